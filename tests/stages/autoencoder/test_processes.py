"""Trainings on two processes: the same curves and weights as on one, written once; a kill ends both and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import yaml
from safetensors.torch import load_file

from pipeline.params import load_params
from pipeline.progress import human_seconds
from stages import latents as latents_stage

ROOT = Path(__file__).parents[3]
SINGLE = [sys.executable, "-m"]
DOUBLE = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]


def project(folder: Path, *inputs: Path, **train: int) -> Path:
    """A project on the tiny preset with some stages' outputs; `train` is for the trainings of autoencoder and DiT."""
    (folder / "data").mkdir(parents=True)
    for source in inputs:
        shutil.copytree(source, folder / "data" / source.name)
    values = yaml.safe_load((ROOT / "tests/presets/tiny.yaml").read_text())
    values["compute"] = {**values["compute"], "device": "cpu"}
    for stage in ("autoencoder", "dit"):
        values[stage]["train"] |= train
    (folder / "params.yaml").write_text(yaml.safe_dump(values))
    return folder


def start(launcher: list[str], stage: str, folder: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen([*launcher, f"stages.{stage}"], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)


def finish(run: subprocess.Popen[str]) -> str:
    said = run.communicate()[0]
    assert run.returncode == 0, said
    return said


def lines_of(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]


def distance(a: Path, b: Path) -> float:
    """Of all weights together, relative."""
    first, second = load_file(a), load_file(b)
    assert set(first) == set(second)
    vectors = [torch.cat([weights[name].flatten() for name in sorted(weights)]) for weights in (first, second)]
    return float((vectors[0] - vectors[1]).norm() / vectors[0].norm())


@pytest.mark.slow
def test_two_processes_learn_what_one_learns(encoded: Callable[..., Path], klvae: Path, tmp_path: Path) -> None:
    inputs = encoded(num_frames=36, starts=(0, 16)), klvae  # two windows in a row, for the continuations
    one, two = (project(tmp_path / name, *inputs, grad_accumulation=2) for name in ("one", "two"))
    runs = start(SINGLE, "autoencoder", one), start(DOUBLE, "autoencoder", two)
    assert [finish(run).count("autoencoder  done") for run in runs] == [1, 1], "one closing line, whatever the number of processes"
    params = load_params(one / "params.yaml")
    latents_stage.run(seed=params.seed, clip=params.clip, compute=params.compute, latents=params.latents, encode=one / "data/encode",
                      inventory=one / "data/inventory", autoencoder=one / "data/autoencoder", out=one / "data/latents")
    shutil.copytree(one / "data/latents", two / "data/latents")
    for run in (start(SINGLE, "dit", one), start(DOUBLE, "dit", two)):
        finish(run)
    for stage, weights in (("autoencoder", "autoencoder.safetensors"), ("dit", "dit.safetensors")):
        alone, together = one / "data" / stage, two / "data" / stage
        assert sorted(path.name for path in alone.iterdir()) == sorted(path.name for path in together.iterdir())
        for expected, found in zip(lines_of(alone), lines_of(together), strict=True):
            assert found == pytest.approx(expected, rel=1e-3, abs=1e-4), f"{stage} step {expected['step']}"
        assert distance(alone / weights, together / weights) < 1e-4
    assert {"generator/contrastive", "generator/adversarial", "discriminator/loss"} <= set(lines_of(two / "data/autoencoder")[-1])


@pytest.mark.slow
def test_sharded_weights_learn_what_whole_ones_learn(encoded: Callable[..., Path], klvae: Path, tmp_path: Path) -> None:
    inputs = encoded(num_frames=36, starts=(0, 16)), klvae
    one, sharded = (project(tmp_path / name, *inputs, steps=8, checkpoint_every=4) for name in ("one", "sharded"))
    runs = start(SINGLE, "autoencoder", one), start(DOUBLE, "autoencoder", sharded, ACCELERATE_USE_FSDP="true")
    said = [finish(run) for run in runs]
    assert "2 processes, each with its share of the weights" in said[1]
    alone, together = (folder / "data/autoencoder" for folder in (one, sharded))
    for expected, found in zip(lines_of(alone), lines_of(together), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4), f"step {expected['step']}"
    assert distance(alone / "autoencoder.safetensors", together / "autoencoder.safetensors") < 1e-4


@pytest.mark.slow
def test_a_kill_of_one_ends_both_and_the_next_run_goes_on(encoded: Callable[..., Path], klvae: Path, tmp_path: Path) -> None:
    inputs = encoded(), klvae
    whole, cut = (project(tmp_path / name, *inputs, steps=30, checkpoint_every=5) for name in ("whole", "cut"))
    undisturbed, run = start(DOUBLE, "autoencoder", whole), start(DOUBLE, "autoencoder", cut)
    deadline = time.monotonic() + 120
    while not list((cut / "data").glob(".wip/autoencoder/*/scratch/checkpoint.pt")):
        assert run.poll() is None and time.monotonic() < deadline, f"no checkpoint after {human_seconds(120)}"
        time.sleep(0.02)
    workers = [child for child in psutil.Process(run.pid).children(recursive=True) if "stages.autoencoder" in child.cmdline()]
    assert len(workers) == 2
    workers[1].kill()
    run.communicate()
    assert run.returncode != 0
    assert not any(worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE for worker in workers)
    assert not (cut / "data/autoencoder").exists()
    assert "goes on at step" in finish(start(DOUBLE, "autoencoder", cut))
    finish(undisturbed)
    for name in ("autoencoder.safetensors", "train.jsonl", "metrics.json", "config.json"):
        assert (whole / "data/autoencoder" / name).read_bytes() == (cut / "data/autoencoder" / name).read_bytes(), name


@pytest.mark.slow
def test_the_kl_vae_is_trained_by_two_as_by_one(finished_run: Callable[..., Any], tmp_path: Path) -> None:
    made = finished_run()
    folders = [project(tmp_path / name, made.decode, made.audio_images) for name in ("one", "two")]
    for folder in folders:  # against the patch discriminator, whose batch norm and adaptive weight are of the whole batch
        values = yaml.safe_load((folder / "params.yaml").read_text())
        values["klvae"]["loss"]["adversarial"] = 0.5
        values["klvae"]["discriminator"]["start_step"] = 2
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
    runs = [start(launcher, "klvae", folder) for launcher, folder in zip((SINGLE, DOUBLE), folders, strict=True)]
    for run in runs:
        finish(run)
    alone, together = (folder / "data/klvae" for folder in folders)
    assert "klvae/adaptive_weight" in lines_of(together)[-1]
    for expected, found in zip(lines_of(alone), lines_of(together), strict=True):
        assert found == pytest.approx(expected, rel=1e-2, abs=1e-4)
    assert distance(*(out / "diffusion_pytorch_model.safetensors" for out in (alone, together))) < 1e-3


@pytest.mark.slow
def test_mistakes_of_several_processes_are_one_line(encoded: Callable[..., Path], klvae: Path, tmp_path: Path) -> None:
    folder = project(tmp_path / "odd", encoded(), klvae, batch_size=3)
    runs = start(DOUBLE, "autoencoder", folder), start(DOUBLE, "latents", folder)
    said = [run.communicate()[0] for run in runs]
    assert said[0].count("autoencoder.train.batch_size is 3, which 2 processes cannot share evenly") == 1
    assert said[1].count("latents: it was started as 2 processes, which only trainings share; run: python -m stages.latents") == 1
    assert "stages/" not in said[0] + said[1], "the launcher's own words name no line of ours"
