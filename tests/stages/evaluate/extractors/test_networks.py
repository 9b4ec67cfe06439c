"""Extractors with networks of the real classes and random weights: names, shapes, and that nothing depends on the batch.

`pytest tests/stages/evaluate/extractors/test_networks.py`
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.models.video as published_video
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

from pipeline.contracts.window_sets import Window
from pipeline.errors import AbsentWeights, WeightsError
from stages.evaluate.extractors.audioclip import AudioCLIP, AudioCLIPAsPublished
from stages.evaluate.extractors.clap import CLAP
from stages.evaluate.extractors.esresnext import ESResNeXt
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.extractors.i3d import I3DStyleGANV, I3DTats
from stages.evaluate.extractors.imagebind import EMBEDDING, HUGE, ImageBind, ImageBindNetwork, Tower
from stages.evaluate.extractors.inception_i3d import InceptionI3d
from stages.evaluate.extractors.panns import PANNs
from stages.evaluate.extractors.pe_av import PEAV
from stages.evaluate.extractors.torchvision_video import R3D18, MViTV2S
from stages.evaluate.extractors.vggish import VGGish, VGGishNetwork
from stages.evaluate.extractors.videomae import VIT_G, VideoMAE, transformers_names
from stages.evaluate.extractors.weights import load_state
from stages.evaluate.features import take

RATE = 8000
CPU = torch.device("cpu")


def windows(count: int, num_frames: int = 16, seconds: float = 1.6) -> list[Window]:
    """Different noise, each in its own colour and loudness."""
    random = np.random.default_rng(0)
    return [Window(f"w{i}", 0, random.integers(0, 60 + 60 * i, (num_frames, 32, 32, 3), dtype=np.uint8),
                   (random.normal(0, 800 * (i + 1), round(seconds * RATE))).astype(np.int16)) for i in range(count)]


@torch.no_grad()
def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Weights at a scale that keeps signals alive, statistics of batch normalisation that do something."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def saved(network: nn.Module, path: Path) -> Path:
    torch.save(randomised(network).state_dict(), path)
    return path


def check_batches(extractor: Extractor, batch: list[Window], tolerance: float = 1e-4, other_order: bool = True) -> np.ndarray:
    """A window alone and in another order gets the same features; returns them."""
    together = take(extractor, batch).values
    assert np.isfinite(together).all()
    size = np.abs(together).max()
    if other_order:
        assert np.abs(take(extractor, batch[::-1]).values[::-1] - together).max() < tolerance * size
    assert np.abs(take(extractor, batch[1:2]).values - together[1:2]).max() < tolerance * size
    assert np.abs(together[0] - together[1]).max() > 100 * tolerance * size, "different windows differ"
    return together


def test_i3d_has_the_published_size_and_tells_windows_apart(tmp_path: Path) -> None:
    network = InceptionI3d()
    assert sum(p.numel() for p in network.parameters()) == 12_697_264, "Carreira and Zisserman: 12 million"
    names = set(network.state_dict())
    assert {"Conv3d_1a_7x7.conv3d.weight", "Mixed_4f.b2b.bn.running_var", "Mixed_5c.b3b.conv3d.weight", "logits.conv3d.bias"} <= names
    extractor = I3DTats(saved(network, tmp_path / "i3d_pretrained_400.pt"), CPU, RATE)
    pair = windows(2, num_frames=10)
    assert check_batches(extractor, pair, other_order=False).shape == (2, 400)
    assert len(extractor.weights) == 64
    extractor.release()
    assert "network" not in vars(extractor)


def test_i3d_as_torchscript_is_called_as_stylegan_v_calls_it(tmp_path: Path) -> None:
    class Called(nn.Module):
        def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
            flags = torch.tensor([float(rescale), float(resize), float(return_features)])
            return torch.cat([x.flatten(1).max(1, keepdim=True)[0], flags.expand(x.shape[0], 3), x.mean(dim=[2, 3, 4])], dim=1)

    torch.jit.script(Called()).save(tmp_path / "i3d_torchscript.pt")
    pair = windows(2)
    found = take(I3DStyleGANV(tmp_path, CPU, RATE), pair).values
    assert found[0, 0] == pair[0].frames.max() and found[0, 1:4].tolist() == [1, 1, 1], "[0, 255]; the network does the rest"
    assert np.allclose(found[1, 4:], pair[1].frames.mean((0, 1, 2)), atol=1e-2)


SMALL_VIDEOMAE = {**VIT_G, "patch_size": 56, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def authors_videomae(state: dict[str, Tensor], video: Tensor) -> Tensor:
    """The authors' network of two layers and two heads, written out: video [1, 3, 16, 224, 224] -> [1, 32]."""
    x = F.conv3d(video, state["patch_embed.proj.weight"], state["patch_embed.proj.bias"], stride=(2, 56, 56)).flatten(2).transpose(1, 2)
    place, unit = torch.arange(x.shape[1])[:, None].double(), torch.arange(32)[None]
    angle = place / 10000 ** (2 * torch.div(unit, 2, rounding_mode="floor") / 32)
    x = x + torch.where(unit % 2 == 0, angle.sin(), angle.cos()).float()
    for i in range(2):
        def norm(x: Tensor, name: str, at: str = f"blocks.{i}.") -> Tensor:
            return F.layer_norm(x, (32,), state[f"{at}{name}.weight"], state[f"{at}{name}.bias"], 1e-6)

        bias = torch.cat([state[f"blocks.{i}.attn.q_bias"], torch.zeros(32), state[f"blocks.{i}.attn.v_bias"]])
        q, k, v = F.linear(norm(x, "norm1"), state[f"blocks.{i}.attn.qkv.weight"], bias).reshape(1, -1, 3, 2, 16).permute(2, 0, 3, 1, 4)
        y = ((q @ k.transpose(2, 3) / 4).softmax(-1) @ v).transpose(1, 2).reshape(1, -1, 32)
        x = x + F.linear(y, state[f"blocks.{i}.attn.proj.weight"], state[f"blocks.{i}.attn.proj.bias"])
        y = F.gelu(F.linear(norm(x, "norm2"), state[f"blocks.{i}.mlp.fc1.weight"], state[f"blocks.{i}.mlp.fc1.bias"]))
        x = x + F.linear(y, state[f"blocks.{i}.mlp.fc2.weight"], state[f"blocks.{i}.mlp.fc2.bias"])
    return F.layer_norm(x.mean(1), (32,), state["fc_norm.weight"], state["fc_norm.bias"], 1e-6)


def authors_state() -> dict[str, Tensor]:
    shapes: dict[str, tuple[int, ...]] = {"patch_embed.proj.weight": (32, 3, 2, 56, 56), "patch_embed.proj.bias": (32,),
                                          "fc_norm.weight": (32,), "fc_norm.bias": (32,), "head.weight": (174, 32), "head.bias": (174,)}
    for i in range(2):
        for norm in ("norm1", "norm2"):
            shapes |= {f"blocks.{i}.{norm}.weight": (32,), f"blocks.{i}.{norm}.bias": (32,)}
        shapes |= {f"blocks.{i}.attn.q_bias": (32,), f"blocks.{i}.attn.v_bias": (32,), f"blocks.{i}.attn.qkv.weight": (96, 32),
                   f"blocks.{i}.attn.proj.weight": (32, 32), f"blocks.{i}.attn.proj.bias": (32,), f"blocks.{i}.mlp.fc1.weight": (64, 32),
                   f"blocks.{i}.mlp.fc1.bias": (64,), f"blocks.{i}.mlp.fc2.weight": (32, 64), f"blocks.{i}.mlp.fc2.bias": (32,)}
    torch.manual_seed(1)
    return {name: torch.randn(shape) * 0.2 for name, shape in shapes.items()}


class SmallVideoMAE(VideoMAE):
    config = SMALL_VIDEOMAE


def test_videomae_with_the_authors_weights_gives_the_authors_features(tmp_path: Path) -> None:
    state = authors_state()
    torch.save({"module": state}, tmp_path / "vit_g.pth")
    extractor = SmallVideoMAE(tmp_path / "vit_g.pth", CPU, RATE)
    pair = windows(2)
    found = check_batches(extractor, pair)
    images = torch.from_numpy(pair[0].frames).permute(0, 3, 1, 2) / 255.0
    video = F.interpolate(images, size=(224, 224), mode="bilinear").permute(1, 0, 2, 3)
    assert np.abs(found[0] - authors_videomae(state, video[None])[0].numpy()).max() < 1e-4
    assert set(transformers_names(state)) == set(extractor.network.state_dict())


def test_r3d_18_gives_the_layer_before_the_classes(tmp_path: Path) -> None:
    network = published_video.r3d_18()
    extractor = R3D18(saved(network, tmp_path / "r3d_18.pth"), CPU, RATE)
    two = windows(2, num_frames=4)
    found = check_batches(extractor, two, other_order=False)
    assert found.shape == (2, 512)
    with torch.no_grad():
        whole = network(R3D18.preset(torch.from_numpy(two[0].frames).permute(0, 3, 1, 2)[None]))
        assert torch.allclose(network.fc(torch.from_numpy(found[:1])), whole, atol=1e-4)


def test_mvit_takes_torchvisions_weights_and_lets_go_of_the_classes(tmp_path: Path) -> None:
    extractor = MViTV2S(saved(published_video.mvit_v2_s(), tmp_path / "mvit.pth"), CPU, RATE)
    assert isinstance(extractor.network.head, nn.Identity) and extractor.network.norm.normalized_shape == (768,)
    assert MViTV2S.preset(torch.zeros(1, 16, 3, 32, 32, dtype=torch.uint8)).shape == (1, 3, 16, 224, 224)
    assert "windows of 16 frames" in MViTV2S.contract.mismatch(clip_of(18))


def test_vggish_has_the_published_size_and_gives_a_row_for_each_whole_example(tmp_path: Path) -> None:
    with torch.device("meta"):
        network = VGGishNetwork()
    assert sum(p.numel() for p in network.parameters()) == 72_141_184
    assert [name for name in network.state_dict() if name.endswith("weight")] == [
        *(f"features.{i}.weight" for i in (0, 3, 6, 8, 11, 13)), *(f"embeddings.{i}.weight" for i in (0, 2, 4))], "torchvggish's names"
    assert VGGish.contract.min_sec == pytest.approx(0.975)

    class Means(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], dim=1)

    extractor = VGGish.__new__(VGGish)  # without 288 MB of weights
    extractor.sample_rate_hz, extractor.device = RATE, CPU
    vars(extractor)["network"] = Means()
    assert check_batches(extractor, windows(2)).shape == (2, 1, 2)
    assert take(extractor, windows(2, num_frames=31, seconds=3.1)).values.shape == (2, 3, 2)


def test_clap_gives_features_of_unit_length(tmp_path: Path) -> None:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 20}
    audio = {"hidden_size": 64, "patch_embeds_hidden_size": 8, "depths": [1, 1, 1, 1], "num_attention_heads": [1, 2, 4, 8],
             "num_classes": 4}
    torch.manual_seed(0)
    ClapModel(ClapConfig(text_config=text, audio_config=audio, projection_dim=16)).save_pretrained(tmp_path)
    ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad").save_pretrained(tmp_path)
    found = check_batches(CLAP(tmp_path, CPU, RATE), windows(3), tolerance=1e-4)
    assert found.shape == (3, 16) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert "10 s at most" in CLAP.contract.mismatch(clip_of(160))
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"evaluate\.extractors\.clap.*preprocessor_config\.json"):
        CLAP(tmp_path, CPU, RATE)


def clip_of(num_frames: int):  # type: ignore[no-untyped-def]
    from pipeline.params import ClipParams

    return ClipParams(frame_size_px=32, fps=10, num_frames=num_frames, window_stride=2, fit="pad", max_sec=60.0)


@pytest.fixture(scope="module")
def audioclip_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AudioCLIP's file: the hearing part under "audio.", and something of CLIP that is passed over."""
    path = tmp_path_factory.mktemp("audioclip") / "AudioCLIP-Full-Training.pt"
    torch.manual_seed(0)
    hearing = {f"audio.{name}": value for name, value in randomised(ESResNeXt()).state_dict().items()}
    torch.save({**hearing, "visual.conv1.weight": torch.zeros(3), "logit_scale_ai": torch.zeros(())}, path)
    return path


def test_audioclip_hears_one_window_at_a_time(audioclip_file: Path) -> None:
    found = check_batches(AudioCLIP(audioclip_file, CPU, RATE), windows(2, seconds=0.8), tolerance=1e-5)
    assert found.shape == (2, 1024) and np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_audioclip_as_published_uses_the_statistics_of_its_batch_and_keeps_none(audioclip_file: Path) -> None:
    extractor, three = AudioCLIPAsPublished(audioclip_file, CPU, RATE), windows(3, seconds=0.8)
    together, pair = take(extractor, three).values, take(extractor, three[:2]).values
    assert not np.allclose(together[:2], pair, rtol=1e-2), "which windows share a batch matters, as in the program that it follows"
    assert np.array_equal(take(extractor, three).values, together), "what came before does not"
    assert np.isfinite(take(extractor, three[:1]).values).all() and extractor.scale == 10000


def test_panns_know_classes_of_their_features(tmp_path: Path) -> None:
    class Small(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc_audioset = nn.Linear(2048, 527)

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :2048 * 16].unflatten(1, (16, 2048)).std(1)

    extractor = PANNs.__new__(PANNs)
    extractor.sample_rate_hz, extractor.device = RATE, CPU
    vars(extractor)["network"] = Small()
    features = check_batches(extractor, windows(2))
    logs = extractor.log_probabilities(features)
    assert logs.shape == (2, 527) and np.allclose(np.exp(logs).sum(1), 1)


def test_panns_have_the_published_size_and_names() -> None:
    from stages.evaluate.extractors.panns import Cnn14

    with torch.device("meta"):
        network = Cnn14()
    assert sum(p.numel() for p in network.parameters()) == 80_753_615
    names = {"bn0.running_mean", "conv_block6.bn2.weight", "fc1.weight", "fc_audioset.bias", "logmel_extractor.melW"}
    assert names <= set(network.state_dict())


class SmallImageBind(ImageBind):
    sizes = {"vision": Tower(width=16, depth=1, heads=2), "audio": Tower(width=8, depth=1, heads=2)}  # noqa: RUF012


def test_imagebind_gives_picture_and_sound_of_unit_length(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = ImageBindNetwork(SmallImageBind.sizes, EMBEDDING)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.3)
    other = {"modality_trunks.text.blocks.0.attn.in_proj_weight": torch.zeros(2),
             "modality_postprocessors.audio.1.log_logit_scale": torch.ones(())}
    torch.save({**network.state_dict(), **other}, tmp_path / "imagebind.pth")
    found = check_batches(SmallImageBind(tmp_path / "imagebind.pth", CPU, RATE), windows(2), tolerance=1e-5)
    assert found.shape == (2, 2, EMBEDDING) and np.allclose(np.linalg.norm(found, axis=2), 1, atol=1e-5)


def test_imagebind_huge_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        state = ImageBindNetwork(HUGE, EMBEDDING).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    assert shapes["modality_preprocessors.vision.pos_embedding_helper.pos_embed"] == (1, 257, 1280)
    assert shapes["modality_preprocessors.vision.rgbt_stem.proj.1.weight"] == (1280, 3, 2, 14, 14)
    assert shapes["modality_preprocessors.audio.pos_embedding_helper.pos_embed"] == (1, 229, 768)
    assert shapes["modality_trunks.vision.blocks.31.mlp.fc1.weight"] == (5120, 1280)
    assert shapes["modality_trunks.audio.blocks.11.attn.bias_k"] == (1, 1, 768)
    assert shapes["modality_trunks.vision.pre_transformer_layer.0.weight"] == (1280,)
    assert shapes["modality_heads.audio.2.weight"] == (1024, 768)


def test_pe_av_without_timm_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AbsentWeights, match="pip install timm"):
        PEAV(tmp_path, CPU, RATE)


def test_weights_of_another_network_are_refused_with_a_name_and_both_shapes(tmp_path: Path) -> None:
    state = InceptionI3d().state_dict()
    state["logits.conv3d.bias"] = torch.zeros(600)
    torch.save(state, tmp_path / "i3d.pt")
    with pytest.raises(WeightsError, match=r"i3d_tats: .*logits\.conv3d\.bias is \(600,\) in it, expected \(400,\) \(1 of 344"):
        _ = I3DTats(tmp_path / "i3d.pt", CPU, RATE).network
    (tmp_path / "i3d.pt").write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match="holds no weights that can be read"):
        _ = I3DTats(tmp_path / "i3d.pt", CPU, RATE).network


@pytest.mark.parametrize(("name", "content"), [
    ("a.pth", b""), ("a.pth", b"error 404"), ("a.pth", b"hello I am text"), ("a.pt", b"PK\x03\x04"),
    ("a.safetensors", b"hello I am text"), ("a.safetensors", b"")])
def test_a_file_that_holds_no_weights_is_one_line_whatever_is_in_it(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=r"^params\.yaml: x: \S+ holds no weights that can be read \([^\n]+\); fetch it again$"):
        load_state(tmp_path / name, "x")
