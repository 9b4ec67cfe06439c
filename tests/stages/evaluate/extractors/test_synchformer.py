"""Synchformer with random weights: names, sizes, attention against torch's and transformers' own, input against the documented formulas.

`pytest tests/stages/evaluate/extractors/test_synchformer.py`
"""

import math
from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from torch import nn
from transformers import ASTConfig, ASTModel

from pipeline.contracts.window_sets import Window
from pipeline.errors import WeightsError
from stages.evaluate.extractors.audio_spectrogram_transformer import SpectrogramTransformer
from stages.evaluate.extractors.motionformer import MOMENTS, PLACES, DividedAttention, Motionformer
from stages.evaluate.extractors.synchformer import (
    PUBLISHED,
    Block,
    Synchformer,
    SynchformerNetwork,
    audio_segments,
    frame_rate,
    frames_shown,
    video_segments,
)
from stages.evaluate.features import take

CPU, RATE = torch.device("cpu"), 8000
PUBLISHED_BYTES, SINGLE_FRAME_PATCHES = 950_058_171, 768 * (3 * 16 * 16 + 1)
"""Of the published file; parameters in it that are never called."""
SMALL = {"width": 8, "depth": 1, "heads": 2, "head_depth": 1, "head_heads": 2}


class Small(Synchformer):
    sizes = SMALL


@torch.no_grad()
def randomised(network: nn.Module, spread: float = 0.5) -> nn.Module:
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.normal_(0, spread)
    return network.eval()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """With weights in the form of the published file, which has patches of single frames too."""
    path = tmp_path_factory.mktemp("synchformer") / "synchformer_state_dict.pth"
    unused = {"vfeat_extractor.patch_embed.proj.weight": torch.zeros(8, 3, 16, 16), "vfeat_extractor.patch_embed.proj.bias": torch.zeros(8)}
    torch.save({**randomised(SynchformerNetwork(**SMALL), spread=1.0).state_dict(), **unused}, path)
    return Small(path, CPU, RATE)


def windows(count: int, num_frames: int = 48, fps: int = 10) -> list[Window]:
    """Each frame of its own colour, each frame's time of sound of its own loudness."""
    random, found = np.random.default_rng(0), []
    for i in range(count):
        colours = random.integers(0, 256, (num_frames, 1, 1, 3), dtype=np.uint8)
        loudness = 10 ** random.uniform(0, 4, num_frames).repeat(RATE // fps)
        waveform = (random.uniform(-1, 1, len(loudness)) * loudness).astype(np.int16)
        found.append(Window(f"w{i}", 0, colours.repeat(16, 1).repeat(16, 2), waveform))
    return found


def test_the_network_has_the_published_names_and_shapes() -> None:
    with torch.device("meta"):
        network = SynchformerNetwork(**PUBLISHED)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["vfeat_extractor.patch_embed_3d.proj.weight"] == (768, 3, 2, 16, 16)
    assert shapes["vfeat_extractor.cls_token"] == (1, 1, 768)
    assert shapes["vfeat_extractor.pos_embed"] == (1, 197, 768) and shapes["vfeat_extractor.temp_embed"] == (1, 8, 768)
    assert shapes["vfeat_extractor.blocks.11.timeattn.qkv.weight"] == shapes["vfeat_extractor.blocks.0.attn.qkv.weight"] == (2304, 768)
    assert shapes["vfeat_extractor.blocks.0.norm3.weight"] == shapes["vfeat_extractor.norm.bias"] == (768,)
    assert shapes["vfeat_extractor.blocks.11.mlp.fc1.weight"] == (3072, 768)
    assert shapes["vfeat_extractor.spatial_attn_agg.self_attn.in_proj_weight"] == (2304, 768)
    assert shapes["afeat_extractor.ast.embeddings.position_embeddings"] == (1, 74, 768)
    assert shapes["afeat_extractor.ast.embeddings.patch_embeddings.projection.weight"] == (768, 1, 16, 16)
    assert {"afeat_extractor.ast.embeddings.distillation_token", "afeat_extractor.ast.layernorm.weight"} <= set(shapes)
    assert shapes["afeat_extractor.ast.encoder.layer.11.attention.attention.query.weight"] == (768, 768)
    assert shapes["afeat_extractor.ast.encoder.layer.0.attention.output.dense.bias"] == (768,)
    assert shapes["afeat_extractor.ast.encoder.layer.0.intermediate.dense.weight"] == (3072, 768)
    assert shapes["afeat_extractor.freq_attn_agg.cls_token"] == (1, 1, 768)
    assert shapes["afeat_extractor.freq_attn_agg.linear2.weight"] == (768, 3072)
    assert shapes["vfeat_extractor.spatial_attn_agg.linear1.bias"] == (3072,)
    assert shapes["vproj.weight"] == shapes["aproj.weight"] == (768, 768)
    assert shapes["transformer.pos_emb_cfg.pos_emb"] == (1, 198, 768) and shapes["transformer.OFF_tok"] == (1, 1, 768)
    assert shapes["transformer.blocks.2.attn.key.weight"] == (768, 768) and shapes["transformer.blocks.2.mlp.2.weight"] == (768, 3072)
    assert shapes["transformer.off_head.weight"] == (21, 768) and "transformer.blocks.3.ln1.weight" not in shapes
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == 236_869_653
    assert 0 < PUBLISHED_BYTES - 4 * (count + SINGLE_FRAME_PATCHES) < 500 * len(shapes), "what is left are names and the archive's own"


def test_sound_goes_through_the_transformer_of_transformers() -> None:
    config = ASTConfig(hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, max_length=66)
    own, other = randomised(SpectrogramTransformer(8, 2, 2)), ASTModel(config).eval()
    names = {"ast.": "", "encoder.layer.": "layers.", "attention.attention.query": "attention.q_proj",
             "attention.attention.key": "attention.k_proj", "attention.attention.value": "attention.v_proj",
             "attention.output.dense": "attention.o_proj", "intermediate.dense": "mlp.fc1", "output.dense": "mlp.fc2"}
    renamed = {}
    for name, value in own.state_dict().items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        renamed[name] = value
    other.load_state_dict({name: value for name, value in renamed.items() if not name.startswith("freq_")})
    mel = torch.randn(3, 128, 66)
    with torch.no_grad():
        expected = other(mel.transpose(1, 2)).last_hidden_state
        assert own.ast(mel).shape == (3, 74, 8) and torch.allclose(own.ast(mel), expected, atol=1e-4)
        assert own(mel).shape == (3, 6, 8)


@pytest.mark.parametrize("along", ["time", "space"])
def test_a_token_sees_its_place_or_its_moment_and_the_class_token_sees_all(along) -> None:  # type: ignore[no-untyped-def]
    own, torchs = randomised(DividedAttention(8, 2)), nn.MultiheadAttention(8, 2, batch_first=True).eval()
    torchs.load_state_dict({"in_proj_weight": own.qkv.weight, "in_proj_bias": own.qkv.bias, "out_proj.weight": own.proj.weight,
                            "out_proj.bias": own.proj.bias})
    moment, place = torch.arange(MOMENTS).repeat_interleave(PLACES), torch.arange(PLACES).repeat(MOMENTS)
    belongs = place if along == "time" else moment
    unseen = torch.zeros(1 + len(belongs), 1 + len(belongs), dtype=torch.bool)
    unseen[1:, 1:] = belongs[:, None] != belongs
    x = torch.randn(1, 1 + MOMENTS * PLACES, 8)
    with torch.no_grad():
        assert torch.allclose(own(x, along), torchs(x, x, x, attn_mask=unseen, need_weights=False)[0], atol=1e-5)


def test_the_comparing_transformer_is_a_usual_one() -> None:
    own, torchs = randomised(Block(8, 2)), nn.TransformerEncoderLayer(8, 2, 32, 0.0, nn.GELU(), batch_first=True, norm_first=True).eval()
    state = own.state_dict()
    renamed = {f"self_attn.in_proj_{kind}": torch.cat([state[f"attn.{name}.{kind}"] for name in ("query", "key", "value")])
               for kind in ("weight", "bias")}
    for ours, theirs in {"attn.proj": "self_attn.out_proj", "mlp.0": "linear1", "mlp.2": "linear2", "ln1": "norm1", "ln2": "norm2"}.items():
        renamed.update({f"{theirs}.{kind}": state[f"{ours}.{kind}"] for kind in ("weight", "bias")})
    torchs.load_state_dict(renamed)
    x = torch.randn(2, 11, 8)
    with torch.no_grad():
        assert torch.allclose(own(x), torchs(x), atol=1e-5)


def test_moments_and_places_are_told_apart_by_their_positions() -> None:
    network, grey = randomised(Motionformer(8, 1, 2)), torch.zeros(1, 3, 16, 224, 224)
    with torch.no_grad():
        found = network(grey)
        network.temp_embed.zero_()
        assert found.shape == (1, 8, 8) and (found[0, 0] - found[0, 1]).abs().max() > 1e-3
        same = network(grey)
        assert torch.allclose(same, same[:, :1].expand(-1, 8, -1), atol=1e-4), "without them a still picture is the same at every moment"


@pytest.mark.parametrize(("num_frames", "fps", "segments"),
                         [(120, 25, 14), (48, 10, 14), (50, 10, 14), (80, 10, 24), (240, 30, 24), (100, 10, 30)])
def test_segments_are_of_16_frames_and_of_the_same_time_in_sound(num_frames: int, fps: int, segments: int) -> None:
    assert len(frames_shown(num_frames, fps)) == num_frames * 25 // fps
    assert ((num_frames * 25 // fps) - 16) // 8 + 1 == segments
    waveform = torch.randn(round(num_frames / fps * 22050)) * 0.1
    assert audio_segments(waveform, 22050, num_frames, fps).shape == (segments, 128, 66)
    if num_frames <= 50:
        frames = torch.randint(0, 256, (num_frames, 24, 32, 3), dtype=torch.uint8)
        assert video_segments(frames, fps).shape == (segments, 3, 16, 224, 224)


def test_a_frame_is_shown_from_the_moment_nearest_to_its_time() -> None:
    assert frames_shown(25, 25).tolist() == list(range(25))
    assert frames_shown(50, 50).tolist() == [2 * k for k in range(25)]
    for fps in (4, 8, 10, 16, 24, 30, 60):
        appears = [math.floor(i * 25 / fps + 0.5) for i in range(2 * fps)]
        expected = [max(i for i, moment in enumerate(appears) if moment <= k) for k in range(50)]
        assert frames_shown(2 * fps, fps).tolist() == expected
    assert frames_shown(10, 10).tolist()[:7] == [0, 0, 0, 1, 1, 2, 2]


def test_frames_are_the_middle_square_between_minus_and_plus_one_and_segments_overlap_by_half() -> None:
    frames = torch.zeros(120, 224, 300, 3, dtype=torch.uint8)
    frames[:, :, 38:262] = torch.arange(120, dtype=torch.uint8)[:, None, None, None]
    found = video_segments(frames, 25)
    levels = found.mean(dim=(1, 3, 4))
    assert torch.allclose(levels, (8 * torch.arange(14)[:, None] + torch.arange(16)) / 127.5 - 1, atol=1e-5)
    assert torch.equal(found[0, :, 8:], found[1, :, :8]) and found.std(dim=(3, 4)).max() == 0, "nothing of the black sides"


def test_sound_is_the_log_mel_of_the_formula_and_ends_with_a_filled_column() -> None:
    wave = np.random.default_rng(4).normal(0, 0.1, 76800).astype(np.float32)
    found = audio_segments(torch.from_numpy(wave), 16000, 48, 10).numpy()
    part = wave[5120 * 3:5120 * 3 + 10240]
    mel = librosa.feature.melspectrogram(y=part, sr=16000, n_fft=1024, win_length=400, hop_length=160, n_mels=128, htk=True, norm=None,
                                         fmax=8000, pad_mode="reflect")
    assert mel.shape == (128, 65)
    expected = np.pad(np.log(mel + 1e-6), ((0, 0), (0, 1)))
    assert np.abs(found[3] - (expected + 4.2677393) / (2 * 4.5689974)).max() < 1e-3


def test_the_rate_of_the_frames_is_known_from_the_sound_beside_them() -> None:
    for fps in (4, 10, 12, 24, 25, 30, 60):
        for rate in (8000, 16000, 22050, 44100):
            frames, samples = 5 * fps + 1, round((5 * fps + 1) / fps * rate)
            assert frame_rate(Window("w", 0, np.zeros((frames, 1, 1, 3), np.uint8), np.zeros(samples, np.int16)), rate) == fps


def test_order_and_batch_change_nothing_and_the_same_picture_beside_another_sound_is_another_window(small: Small) -> None:
    one, two = windows(2)
    mixed = Window("m", 0, one.frames, two.waveform)
    together = take(small, [one, two, mixed]).values
    size = np.abs(together).max()
    assert together.shape == (3, 2, 21) and np.isfinite(together).all()
    for batch, rows in (([mixed, two, one], [2, 1, 0]), ([two], [1]), ([mixed], [2])):
        assert np.abs(take(small, batch).values - together[rows]).max() < 1e-4 * size
    assert min(np.abs(together[i] - together[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 1e-3 * size


def test_the_first_and_the_last_4_8_seconds_are_asked(small: Small) -> None:
    short, long = windows(1)[0], windows(1, num_frames=80)[0]
    first, last = take(small, [short]).values[0]
    assert np.array_equal(first, last), "of 4.8 s both are the same"
    beginning = Window("b", 0, long.frames[:48], long.waveform[:48 * RATE // 10])
    found = take(small, [long]).values[0]
    assert np.abs(found[0] - found[1]).max() > 1e-2 * np.abs(found).max()
    assert np.abs(found[0] - take(small, [beginning]).values[0, 0]).max() < 0.1 * np.abs(found[0] - found[1]).max()


def test_weights_without_the_head_are_refused_by_name(tmp_path: Path, small: Small) -> None:
    state = {name: value for name, value in torch.load(small.file).items() if not name.startswith("transformer.off_head")}
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError, match=r"synchformer: .*other\.pth is of another network: transformer\.off_head\.bias is none in it"):
        _ = Small(tmp_path / "other.pth", CPU, RATE).network
