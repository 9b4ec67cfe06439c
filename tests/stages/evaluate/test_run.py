"""The whole stage on tiny synthetic folders. `pytest tests/stages/evaluate/test_run.py`"""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.contracts.metrics import metrics_rows
from pipeline.contracts.samples import read_samples, write_samples
from pipeline.errors import DataError, WeightsError
from pipeline.params import ComputeParams, EvaluateParams, PretrainedParams, TrainParams
from stages.evaluate import run

TRAIN = TrainParams(steps=80, batch_size=8, grad_accumulation=1, learning_rate=5e-3, lr_schedule="cosine", warmup_steps=5,
                    weight_decay=0.01, grad_clip=1.0, ema_decay=0.0, precision="fp32", log_every=10, checkpoint_every=80,
                    gradient_checkpointing=False, compile=False, channels_last=False)
NO_I3D = PretrainedParams(source=None, revision=None, subfolder=None, sha256=None)
PARAMS = EvaluateParams(protocols=("demo",), max_windows=16, max_train_windows=32, min_samples=6, i3d=NO_I3D, classifier_train=TRAIN,
                        event_tolerance_sec=0.1)


def evaluate(finished, params: EvaluateParams = PARAMS, out: str = "evaluate") -> dict[str, dict[str, float]]:  # type: ignore[no-untyped-def]
    """Task -> figure -> value, by protocol demo."""
    run(seed=7, clip=finished.clip, audio=finished.audio, evaluate=params,
        compute=ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None),
        decode=finished.decode, audio_images=finished.audio_images, sample=finished.sample, demo_data=finished.demo_data,
        inventory=finished.inventory, out=finished.root / out)
    tasks: dict[str, dict[str, float]] = {}
    for key, value in json.loads((finished.root / out / "metrics.json").read_text()).items():
        _, task, name = key.split("/")
        tasks.setdefault(task, {})[name] = value
    return tasks


def missing(folder: Path) -> dict[str, str]:
    return {f"{row['task']}/{row['name']}": row["not_computed"] for row in metrics_rows(folder) if row["value"] is None}


def test_every_task_gets_the_figures_of_what_it_generates(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run()
    metrics = evaluate(finished)
    assert {"fvd_local", "fvd_local_floor", "kvd_local", "fad_local", "video_class_accuracy_local"} <= set(metrics["svg"])
    assert "fad_local" not in metrics["a2v"] and "fvd_local" in metrics["a2v"]
    assert "fvd_local" not in metrics["v2a"] and "fad_local" in metrics["v2a"]
    assert {"psnr_db", "ssim", "audio_image_psnr_db", "audio_image_ssim"} <= set(metrics["reconstruction"])
    assert {"rfvd_local", "rkvd_local", "rfad_local"} <= set(metrics["reconstruction"])
    assert not any("fvd" in name and not name.startswith(("fvd_local", "rfvd_local")) for task in metrics.values() for name in task)
    # The synthetic reconstructions are their originals, and the classes differ plainly.
    assert metrics["reconstruction"]["psnr_db"] == 100 and metrics["reconstruction"]["ssim"] == pytest.approx(1, abs=1e-3)
    assert metrics["reconstruction"]["rfvd_local"] < 1e-6
    assert metrics["real"]["video_class_accuracy_local"] == 1 and metrics["real"]["audio_class_accuracy_local"] == 1
    assert "needs an I3D" in missing(finished.root / "evaluate")["svg/fvd_i3d"]
    fvd = next(row for row in metrics_rows(finished.root / "evaluate") if (row["name"], row["task"]) == ("fvd_local", "svg"))
    assert (fvd["extractor"], fvd["num_samples"], fvd["num_frames"], fvd["fps"], len(fvd["weights"])) == ("local", 8, 10, 10, 64)
    assert fvd["low"] <= fvd["value"] <= fvd["high"] and "8 samples, the protocol has 256" in fvd["note"]
    assert {"fvd_local_to_train", "fvd_local_to_train_floor"} <= set(metrics["svg"])


def test_noise_in_the_samples_raises_the_distances(finished_run) -> None:  # type: ignore[no-untyped-def]
    clean = evaluate(finished_run(tasks=("svg",)))["svg"]
    noisy = evaluate(finished_run(tasks=("svg",), noise=1.0))["svg"]
    for name in ("fvd_local", "kvd_local", "fad_local"):
        assert noisy[name] > clean[name] and noisy[name] > noisy[f"{name}_floor"]


def test_a_second_run_leaves_the_same_bytes(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    evaluate(finished, out="one/evaluate")
    evaluate(finished, out="two/evaluate")
    files = sorted(path.relative_to(finished.root / "one") for path in (finished.root / "one").rglob("*") if path.is_file())
    assert len(files) >= 6
    for path in files:
        assert (finished.root / "one" / path).read_bytes() == (finished.root / "two" / path).read_bytes(), path


def test_too_few_samples_leave_the_distance_out_and_say_why(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(samples_per_task=3, tasks=("svg",))
    metrics = evaluate(finished)
    assert "fvd_local" not in metrics["svg"] and "video_class_accuracy_local" in metrics["svg"]
    assert missing(finished.root / "evaluate")["svg/fvd_local"].startswith("needs 6 samples (evaluate.min_samples), there are 3")


def test_one_class_is_measured_without_class_accuracy(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(class_names=("only",), clips_per_class=12)
    metrics = evaluate(finished)
    assert "fvd_local" in metrics["svg"] and "video_class_accuracy_local" not in metrics["real"]
    assert "two classes or more" in missing(finished.root / "evaluate")["real/audio_class_accuracy_local"]


def test_classes_of_a_single_clip_work(finished_run) -> None:  # type: ignore[no-untyped-def]
    metrics = evaluate(finished_run(class_names=("a", "b", "c", "d", "e"), clips_per_class=2, samples_per_task=8, tasks=("svg",)))
    assert "fvd_local" in metrics["svg"]


class TinyI3D(torch.nn.Module):
    """The call of the real TorchScript, with a network of averages."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        if rescale:
            x = 2 * x / 255 - 1
        return torch.cat([x.mean(dim=[2, 3, 4]), x.std(dim=[2, 3, 4])], dim=1)


def test_an_i3d_from_a_file_gives_fvd_i3d(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run()
    torch.jit.script(TinyI3D()).save(tmp_path / "i3d_torchscript.pt")
    i3d = dataclasses.replace(NO_I3D, source=str(tmp_path / "i3d_torchscript.pt"))
    params = dataclasses.replace(PARAMS, i3d=i3d)
    metrics = evaluate(finished, params)
    assert {"fvd_i3d", "kvd_i3d", "fvd_local"} <= set(metrics["svg"]) and "rfvd_i3d" in metrics["reconstruction"]
    assert not any("i3d" in name for name in missing(finished.root / "evaluate"))


def test_windows_too_short_for_the_i3d_leave_its_figures_out(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.jit.script(TinyI3D()).save(tmp_path / "i3d_torchscript.pt")
    finished = finished_run(num_frames=8, tasks=("svg",))
    params = dataclasses.replace(PARAMS, i3d=dataclasses.replace(NO_I3D, source=str(tmp_path / "i3d_torchscript.pt")))
    assert "fvd_i3d" not in evaluate(finished, params)["svg"]
    assert "10 frames or more" in missing(finished.root / "evaluate")["svg/fvd_i3d"]


def test_an_i3d_that_is_no_torchscript_stops_with_one_line(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "i3d.pt").write_bytes(b"not a network")
    params = dataclasses.replace(PARAMS, i3d=dataclasses.replace(NO_I3D, source=str(tmp_path / "i3d.pt")))
    with pytest.raises(WeightsError, match=r"evaluate\.i3d.*is not TorchScript"):
        evaluate(finished_run(tasks=("svg",)), params)


def test_samples_conditioned_on_clips_that_are_gone_say_what_to_run(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("reconstruction",))
    rows = read_samples(finished.sample).to_dict("records")
    write_samples(finished.sample, [{**row, "condition_clip_id": "gone_000000"} for row in rows])
    with pytest.raises(DataError, match=r"no test clip gone_000000.*run: dvc repro sample"):
        evaluate(finished)
