"""A project whose networks are there, as if trained: the tiny preset, random weights."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
import yaml

from pipeline.contracts.clips import write_clips
from pipeline.contracts.latents import LatentStatistics, write_statistics
from pipeline.contracts.outputs import stage_output
from pipeline.params import Params, load_params
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.model import save as save_autoencoder
from stages.dit.checkpoint import make_network
from stages.dit.checkpoint import save as save_dit
from stages.klvae.model import build_scratch
from stages.sample.trained import Parts, project_parts

ROOT = Path(__file__).parents[3]
NAMES = ("bounce", "lamp")


@dataclass(frozen=True, slots=True)
class Project:
    """A project's folder with params.yaml and data/."""

    root: Path
    params: Params

    @property
    def parts(self) -> Parts:
        return project_parts(self.root / "data", self.params)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Trained for every task, on two classes."""
    return make_project(tmp_path_factory.mktemp("project"), load_params(ROOT / "tests/presets/tiny.yaml"))


def make_project(root: Path, params: Params) -> Project:
    """Write params.yaml and what the stages up to dit leave of networks and settings, each made from the one before."""
    values = yaml.safe_load((ROOT / "tests/presets/tiny.yaml").read_text())
    (root / "params.yaml").write_text(yaml.safe_dump(values))
    data, side = root / "data", params.clip.frame_size_px // params.kl_latent.factor
    torch.manual_seed(0)
    autoencoder = MultiModalAutoencoder(params.autoencoder, Shapes(params.kl_latent.channels, side, params.clip.num_frames, NAMES))
    audio, video = ((e.latent_channels, side // e.factor, side // e.factor)
                    for e in (params.autoencoder.audio_encoder, params.autoencoder.video_encoder))
    text_shape = (12, 8) if params.dit.context == "text" else ()
    statistics = LatentStatistics(audio, video, (0.0,) * 4, (1.0,) * 4, (0.0,) * 4, (1.0,) * 4, NAMES, text_shape)
    network = make_network(params.dit, statistics)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.05)
    row = {"source_path": "a/1.mp4", "start_sec": 0.0, "duration_sec": 3.0, "fps": 10.0, "width_px": 32, "height_px": 32,
           "audio_rate_hz": 16000, "audio_channels": 1, "reader": "pyav", "audio_offset_sec": 0.0, "caption": ""}
    clips = [{**row, "clip_id": f"{i:016x}_000000", "source_sha256": str(i), "class_id": i % 2, "class_name": NAMES[i % 2],
              "split": "test" if i < 2 else "train"} for i in range(6)]

    def stage(name: str, *inputs: str):  # type: ignore[no-untyped-def]
        sections = {"clip": params.clip, "audio": params.audio, name: getattr(params, name)}
        return stage_output(data / name, params=sections, inputs={i: data / i for i in inputs}, code=Path(__file__).parent)

    with stage("inventory") as work:
        write_clips(work.folder, clips, [])
    for name in ("decode", "audio_images"):
        with stage(name):
            pass
    with stage("klvae") as work:
        build_scratch(params.klvae, params.kl_latent).save_pretrained(work.folder)
        (work.folder / "metrics.json").write_text('{"frames": {"psnr_db": 20.5}}')
    with stage("autoencoder", "klvae") as work:
        save_autoencoder(work.folder, autoencoder)
    with stage("latents", "autoencoder") as work:
        write_statistics(work.folder, statistics)
    with stage("dit", "latents") as work:
        save_dit(work.folder, network, statistics)
    return Project(root, params)


@pytest.fixture(scope="session")
def text_project(tmp_path_factory: pytest.TempPathFactory, text_encoder: Path) -> Project:
    """Trained on texts."""
    params = load_params(ROOT / "tests/presets/tiny.yaml")
    encoder = replace(params.latents.text_encoder, source=str(text_encoder))
    return make_project(tmp_path_factory.mktemp("text_project"), replace(
        params, latents=replace(params.latents, text_encoder=encoder), dit=replace(params.dit, context="text")))


@pytest.fixture
def own_project(project: Project, tmp_path: Path) -> Project:
    """A copy of `project` to be spoilt."""
    shutil.copytree(project.root, tmp_path / "project")
    return Project(tmp_path / "project", project.params)
