"""mmldm export: a folder that generates what the project does, alone, elsewhere, checked to the last byte.

    pytest tests/stages/sample/test_export.py
"""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import read_lossless
from pipeline.errors import DataError, WeightsError
from pipeline.params_reader import to_values
from stages.sample.asked import parse
from stages.sample.export import export
from stages.sample.generate import generate
from stages.sample.model_card import model_card
from stages.sample.samplers import make_scheduler
from stages.sample.trained import exported_parts, open_dit
from tests.stages.sample.conftest import ROOT, Project

CPU = torch.device("cpu")


def exported(project: Project, out: Path, *, force: bool = False) -> Path:
    export(project.root / "data", project.parts, out, force=force)
    return out


@pytest.fixture(scope="module")
def model(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(project, tmp_path_factory.mktemp("export") / "model")


@pytest.fixture
def own_model(model: Path, tmp_path: Path) -> Path:
    """A copy to be spoilt."""
    shutil.copytree(model, tmp_path / "model")
    return tmp_path / "model"


def test_it_makes_the_same_videos_without_the_project(project: Project, model: Path, tmp_path: Path) -> None:
    """In a folder with neither params.yaml nor data/, as a process of its own."""
    moved = tmp_path / "elsewhere/model"
    shutil.copytree(model, moved)
    command = [sys.executable, "-m", "pipeline", "generate", "--model", "elsewhere/model", "--class", "lamp", "--out", "clip.mp4",
               "--seed", "3"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": ""}  # no git, no dvc
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "clip.mp4\n" and "2/2 (100%) | " in done.stderr and "eta 0s" in done.stderr
    [own] = generate(parse(["--class", "lamp", "--out", str(tmp_path / "own.mp4"), "--seed", "3"]), project.parts, CPU)
    for there, here in zip(read_lossless(tmp_path / "clip.npz"), read_lossless(own.with_suffix(".npz")), strict=True):
        assert abs(there.astype(int) - here.astype(int)).max() <= 2  # one thread or several


def test_it_is_a_folder_as_diffusers_writes_them_without_a_pickle_in_it(project: Project, model: Path) -> None:
    files = sorted(path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file())
    assert files == ["README.md", "autoencoder/autoencoder.safetensors", "autoencoder/config.json", "dit/config.json",
                     "dit/dit.safetensors", "klvae/config.json", "klvae/diffusion_pytorch_model.safetensors", "model_index.json",
                     "scheduler/scheduler_config.json", "settings.json"]
    index = json.loads((model / "model_index.json").read_text())
    assert {name: value for name, value in index.items() if not name.startswith("_")} == {
        "klvae": ["diffusers", "AutoencoderKL"], "autoencoder": ["stages.autoencoder", "MultiModalAutoencoder"],
        "dit": ["stages.dit", "JointDiT"], "scheduler": ["diffusers", "DPMSolverMultistepScheduler"]}
    AutoencoderKL.from_pretrained(model, subfolder="klvae")
    scheduler = DPMSolverMultistepScheduler.from_pretrained(model, subfolder="scheduler")
    own = make_scheduler("ddim", "v_prediction", True)
    assert {key: value for key, value in own.config.items() if key[0] != "_"}.items() <= scheduler.config.items()
    settings = json.loads((model / "settings.json").read_text())
    assert settings["audio_images"] == to_values(project.params.audio_images) and settings["vocoder"]["kind"] == "griffin_lim"
    assert json.loads((model / "dit/config.json").read_text())["statistics"]["video_std"] == [1.0] * 4


def test_the_card_says_what_it_learnt_how_good_it_is_and_whose_weights_are_in_it(project: Project, model: Path) -> None:
    card = (model / "README.md").read_text()
    for said in ("Tasks: `svg`, `v`, `a`, `a2v`, `v2a`, `i2a`, `long`, `audio_continuation`, `video_continuation`.",
                 "Classes (`--class`): bounce, lamp.", "6 clips of 6 videos", "| bounce | 3 | 1 | 0.1 |",
                 "| klvae | frames psnr_db | 20.5 |", "16 frames of 32 x 32 px at 10 a second", "All else was trained from random weights"):
        assert said in card, said
    assert "| dit | " in card and str(project.root) not in card


def test_figures_of_other_networks_are_left_out_of_the_card(own_project: Project) -> None:
    data = own_project.root / "data"
    with stage_output(data / "sample", params={}, inputs={"dit": data / "dit"}, code=ROOT / "tests/stages/sample") as work:
        (work.folder / "metrics.json").write_text('{"long": {"frame_step_joins": 0.25}}')
    assert "| sample | long frame_step_joins | 0.25 |" in model_card(data, own_project.parts)
    with stage_output(data / "sample", params={}, inputs={"dit": "another"}, code=ROOT / "tests/stages/sample") as work:
        (work.folder / "metrics.json").write_text('{"long": {"frame_step_joins": 0.25}}')
    assert "frame_step_joins" not in model_card(data, own_project.parts)


@pytest.mark.parametrize("name", ["dit/dit.safetensors", "settings.json", "scheduler/scheduler_config.json"])
def test_a_byte_that_changed_or_a_file_that_is_missing_is_noticed(own_model: Path, name: str) -> None:
    content = bytearray((own_model / name).read_bytes())
    content[-3] ^= 1
    (own_model / name).write_bytes(content)
    with pytest.raises(WeightsError, match=rf"{name} has sha256 \w+\.\.\., \w+\.\.\. in model_index.json; copy the folder again"):
        exported_parts(own_model)
    (own_model / name).unlink()
    with pytest.raises(WeightsError, match=rf"{name} is missing"):
        exported_parts(own_model)


def test_what_was_not_exported_is_not_read(own_model: Path, tmp_path: Path) -> None:
    (own_model / "README.md").write_text("my own words")
    (own_model / "sample.mp4").write_bytes(b"")
    exported_parts(own_model)
    (own_model / "klvae/pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(WeightsError, match=r"klvae/pytorch_model.bin is no part of the exported model"):
        exported_parts(own_model)
    with pytest.raises(WeightsError, match=r"holds no exported model \(no model_index.json\); write one with: mmldm export"):
        exported_parts(tmp_path)
    (own_model / "model_index.json").write_text("[")
    with pytest.raises(WeightsError, match=r"model_index.json cannot be read"):
        exported_parts(own_model)
    (own_model / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(WeightsError, match=r"is of format unknown, expected 1"):
        exported_parts(own_model)


def test_only_an_earlier_export_is_replaced_and_only_when_asked(project: Project, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis/chapter.txt").write_text("years")
    with pytest.raises(DataError, match=r"thesis exists and is no exported model; choose another --out"):
        exported(project, tmp_path / "thesis", force=True)
    assert (tmp_path / "thesis/chapter.txt").read_text() == "years"
    out = exported(project, tmp_path / "model")
    first = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(DataError, match=r"model holds an exported model; choose another --out, or replace it with --force"):
        exported(project, out)
    (out / "dit/dit.safetensors").unlink()
    exported(project, out, force=True)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "thesis"]


def test_pretrained_parts_come_along_as_safetensors_and_are_named_with_their_licences(project: Project, tmp_path: Path) -> None:
    torch.manual_seed(0)
    SpeechT5HifiGan(SpeechT5HifiGanConfig(upsample_initial_channel=16, resblock_kernel_sizes=[3], resblock_dilation_sizes=[[1]],
                                          initializer_range=0.15)).save_pretrained(tmp_path / "hifigan")
    settings = project.parts.settings
    pretrained = replace(settings.vocoder.pretrained, source=str(tmp_path / "hifigan"))
    parts = replace(project.parts, settings=replace(settings, vocoder=replace(settings.vocoder, kind="speecht5_hifigan",
                                                                              pretrained=pretrained)))
    export(project.root / "data", parts, tmp_path / "model", force=False)
    shutil.rmtree(tmp_path / "hifigan")
    assert (tmp_path / "model/vocoder/model.safetensors").is_file()
    card = (tmp_path / "model/README.md").read_text()
    assert "| vocoder | a local folder | not known here; see where it came from |" in card and str(tmp_path) not in card
    [path] = generate(parse(["--out", str(tmp_path / "a.mp4")]), exported_parts(tmp_path / "model"), CPU)
    assert read_lossless(path.with_suffix(".npz"))[1].any()
    named = replace(settings.vocoder, kind="speecht5_hifigan", pretrained=replace(pretrained, source="microsoft/speecht5_hifigan"))
    card = model_card(project.root / "data", replace(parts, settings=replace(settings, vocoder=named)))
    assert "| vocoder | `microsoft/speecht5_hifigan` | MIT |" in card


def test_a_model_of_texts_brings_its_text_encoder(text_project: Project, tmp_path: Path) -> None:
    model = exported(text_project, tmp_path / "model")
    assert (model / "text_encoder/model.safetensors").is_file() and "`--text`" in (model / "README.md").read_text()
    assert open_dit(exported_parts(model), CPU).params.context == "text"
    pair = [generate(parse(["--text", "rain", "--out", str(tmp_path / f"{name}.mp4")]), parts, CPU)[0]
            for name, parts in (("there", exported_parts(model)), ("here", text_project.parts))]
    there, here = (read_lossless(path.with_suffix(".npz"))[0] for path in pair)
    assert (there == here).all()
