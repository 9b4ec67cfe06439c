"""Presets load, and using one keeps the user's data path: pytest tests/pipeline/test_preset.py"""

import dataclasses
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from pipeline.errors import ParamsError
from pipeline.params import PretrainedParams, load_params
from pipeline.params_reader import to_values
from pipeline.preset import KEPT, NAMES, preset_headline, preset_params, preset_text, use_preset

ROOT = Path(__file__).resolve().parents[2]
PAPER = ("landscape", "aistpp", "audioset")


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_complete_and_valid(name: str) -> None:
    preset_params(name)
    assert len(preset_headline(name)) > 40 and not preset_headline(name).startswith("seed")


def test_every_file_is_a_preset_of_the_list() -> None:
    assert {path.stem for path in (ROOT / "pipeline/presets").glob("*.yaml")} == set(NAMES)


def test_the_demo_is_the_committed_params_file() -> None:
    assert yaml.safe_load(committed("params.yaml")) == yaml.safe_load(committed("pipeline/presets/demo.yaml"))


@pytest.mark.parametrize("name", ["demo", "demo-hour"])
def test_the_demos_need_no_download(name: str) -> None:
    params = preset_params(name)
    parts = (params.vocoder.pretrained, params.klvae.pretrained, params.klvae.lpips, params.autoencoder.signal_decoder.pretrained)
    assert all(part.source is None for part in parts)
    assert not any(to_values(params.evaluate.extractors).values())


@pytest.mark.parametrize("name", PAPER)
def test_paper_presets_have_the_papers_shapes_and_pinned_weights(name: str) -> None:
    params = preset_params(name)
    side = params.clip.frame_size_px // params.kl_latent.factor
    audio, video = params.autoencoder.audio_encoder, params.autoencoder.video_encoder
    assert (audio.latent_channels, side // audio.factor) == (16, 8), "z_a is [16, 8, 8]"
    assert (video.latent_channels, side // video.factor) == (16, 16), "z_v is [16, 16, 16]"
    assert (side // audio.factor) ** 2 + (side // video.factor) ** 2 + 2 == 322, "tokens of the DiT with both [EOS]"
    assert (params.dit.hidden_size, params.dit.depth, params.dit.num_heads) == (1152, 28, 16)
    assert params.clip.window_sec == {"landscape": 1.6, "aistpp": 1.6, "audioset": 4.0}[name]
    loss, discriminator = params.klvae.loss, params.klvae.discriminator
    assert params.klvae.mode == "finetune_decoder", "paper 4.6"
    assert params.encode.flips and params.autoencoder.flip_share == 0.5, "published settings"
    assert (loss.adversarial, discriminator.start_step, loss.kl, params.klvae.train.learning_rate) == (0.5, 10001, 1e-6, 1e-5)
    for part in (params.vocoder.pretrained, params.klvae.pretrained, params.klvae.lpips, params.autoencoder.signal_decoder.pretrained):
        assert part.revision is not None and len(part.revision) == 40, "a commit, not a branch"
        assert part.sha256 is not None and len(part.sha256) == 64
    for extractor, found in vars_of(params.evaluate.extractors).items():
        pinned = found and (found.sha256 or found.revision or re.search(r"/[0-9a-f]{40}/", str(found.source)))
        assert pinned or extractor == "imagebind", "a hash, or a commit; ImageBind's address has neither"


def vars_of(section: object) -> dict[str, PretrainedParams | None]:
    return {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}  # type: ignore[arg-type]


def test_the_papers_networks_can_be_built_and_take_the_pretrained_weights() -> None:
    import torch

    from stages.autoencoder.model import MultiModalAutoencoder, Shapes
    from stages.dit.model import JointDiT

    params = preset_params("landscape")
    with torch.device("meta"):  # shapes only, no memory
        shapes = Shapes(kl_channels=4, kl_side=32, num_frames=16, class_names=tuple("012345678"))
        autoencoder = MultiModalAutoencoder(params.autoencoder, shapes)
        dit = JointDiT(params.dit, (16, 8, 8), (16, 16, 16), num_classes=9)
    millions = {name: sum(p.numel() for p in network.parameters()) / 1e6 for name, network in (
        ("unet", autoencoder.signal_decoder.unet), ("dit", dit), ("branch", dit.previous))}
    assert millions["unet"] == pytest.approx(859.52, abs=0.01), "Stable Diffusion 1.5's"
    assert millions["dit"] - millions["branch"] == pytest.approx(674, rel=0.01), "the published settings'"
    assert millions["branch"] == pytest.approx(674, rel=0.1), "a copy of it, and a linear layer a block"


def test_use_keeps_the_users_data_path_and_the_presets_comments(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    raw = "/videos/my: strange #folder"
    file.write_text(preset_text("demo").replace("raw: data/demo_data/clips", f'raw: "{raw}"'))
    used = use_preset("landscape", file)
    assert used.raw == raw and not used.kept
    assert load_params(file).data.raw == raw
    assert load_params(file).dit == preset_params("landscape").dit
    assert file.read_text().splitlines()[0] == preset_text("landscape").splitlines()[0]
    use_preset("demo", file)
    assert load_params(file).data.raw == raw


def test_use_keeps_the_users_labels(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(preset_text("demo").replace("labels: null", "labels: my labels.csv"))
    assert not use_preset("landscape", file).kept
    assert load_params(file).inventory.labels == "my labels.csv"


def test_there_and_back_leaves_the_demo_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(preset_text("demo"))
    use_preset("audioset", file)
    use_preset("demo", file)
    assert file.read_text() == preset_text("demo")
    assert not (tmp_path / KEPT).exists()


def test_edits_by_hand_are_kept_aside(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    edited = preset_text("demo").replace("seed: 7", "seed: 8")
    file.write_text(edited)
    assert use_preset("aistpp", file).kept
    assert (tmp_path / KEPT).read_text() == edited


@pytest.mark.parametrize("content", [None, "", "dit: [", "data: 3\n"])
def test_a_missing_or_broken_params_file_is_replaced(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "params.yaml"
    if content is not None:
        file.write_text(content)
    assert use_preset("demo", file).raw == "data/demo_data/clips"
    load_params(file)


def test_an_unknown_name_is_answered_with_the_list(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match='no preset "dmeo", expected one of demo, demo-hour, landscape, aistpp, audioset'):
        use_preset("dmeo", tmp_path / "params.yaml")


def committed(path: str) -> str:
    """A file as committed (params.yaml may be another preset in a user's working tree); as it lies there where git knows nothing."""
    shown = subprocess.run(["git", "show", f"HEAD:{path}"], cwd=ROOT, capture_output=True, text=True)
    return shown.stdout if shown.returncode == 0 else (ROOT / path).read_text()
