"""The whole stage on tiny synthetic folders. `pytest tests/stages/evaluate/test_run.py`"""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.contracts.metrics import metrics_rows
from pipeline.contracts.samples import read_lossless, read_samples, write_lossless, write_samples
from pipeline.errors import DataError, ParamsError, WeightsError
from pipeline.params import ComputeParams, EvaluateParams, ExtractorsParams, PretrainedParams
from stages.evaluate import run

NOTHING = ExtractorsParams(**dict.fromkeys((field.name for field in dataclasses.fields(ExtractorsParams)), None))
PARAMS = EvaluateParams(protocols=("demo",), max_windows=16, min_samples=6, extractors=NOTHING, event_tolerance_sec=0.1)
CPU = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)


def evaluate(finished, params: EvaluateParams = PARAMS, out: str = "evaluate") -> dict[str, dict[str, float]]:  # type: ignore[no-untyped-def]
    """Task -> figure -> value, by protocol demo."""
    run(seed=7, clip=finished.clip, audio=finished.audio, evaluate=params, compute=CPU, decode=finished.decode,
        local_features=finished.local_features, audio_images=finished.audio_images, sample=finished.sample, demo_data=finished.demo_data,
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
    assert all("local" in name for task in metrics.values() for name in task if "fvd" in name), "nothing stands in for what is absent"
    # The synthetic reconstructions are their originals, and the classes differ plainly.
    assert metrics["reconstruction"]["psnr_db"] == 100 and metrics["reconstruction"]["ssim"] == pytest.approx(1, abs=1e-3)
    assert metrics["reconstruction"]["rfvd_local"] < 1e-6
    assert metrics["real"]["video_class_accuracy_local"] == 1 and metrics["real"]["audio_class_accuracy_local"] == 1
    assert "set evaluate.extractors.i3d_styleganv" in missing(finished.root / "evaluate")["svg/fvd_i3d_styleganv"]
    assert {"precision_video_local", "recall_audio_local", "coverage_video_local_floor", "coverage_video_local_low"} <= set(metrics["svg"])
    assert {"kl_local", "fad_local_per_sample"} <= set(metrics["v2a"]) and "kl_local" not in metrics["svg"]
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
    one, two = finished.root / "one/evaluate", finished.root / "two/evaluate"
    files = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    assert len(files) >= 5
    for path in files:
        assert (one / path).read_bytes() == (two / path).read_bytes(), path


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


def with_i3d(path: Path) -> EvaluateParams:
    i3d = PretrainedParams(source=str(path), revision=None, subfolder=None, sha256=None)
    return dataclasses.replace(PARAMS, extractors=dataclasses.replace(NOTHING, i3d_styleganv=i3d))


def test_an_i3d_from_a_file_gives_its_figures(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run()
    torch.jit.script(TinyI3D()).save(tmp_path / "i3d_torchscript.pt")
    metrics = evaluate(finished, with_i3d(tmp_path / "i3d_torchscript.pt"))
    assert {"fvd_i3d_styleganv", "kvd_i3d_styleganv", "fvd_local"} <= set(metrics["svg"])
    assert "rfvd_i3d_styleganv" in metrics["reconstruction"]
    # To these averages all clips of a class are one and the same: where held-out ones cannot be told from those learnt from, no copy can.
    absent = {name: why for name, why in missing(finished.root / "evaluate").items() if "i3d" in name}
    assert {name.split("/")[1] for name in absent} == {"memorised_video_i3d_styleganv", "nearest_ratio_video_i3d_styleganv"}
    assert all(why.startswith("needs held-out clips that were not learnt from: 24 of 24 are") for why in absent.values())


def test_windows_too_short_for_the_i3d_leave_its_figures_out(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    torch.jit.script(TinyI3D()).save(tmp_path / "i3d_torchscript.pt")
    finished = finished_run(num_frames=8, tasks=("svg",))
    assert "fvd_i3d_styleganv" not in evaluate(finished, with_i3d(tmp_path / "i3d_torchscript.pt"))["svg"]
    assert "10 frames or more" in missing(finished.root / "evaluate")["svg/fvd_i3d_styleganv"]


def test_an_i3d_that_is_no_torchscript_stops_with_one_line(finished_run, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "i3d.pt").write_bytes(b"not a network")
    with pytest.raises(WeightsError, match=r"evaluate\.extractors\.i3d_styleganv.*is not TorchScript"):
        evaluate(finished_run(tasks=("svg",)), with_i3d(tmp_path / "i3d.pt"))


def test_an_unknown_protocol_stops_before_any_work(finished_run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ParamsError, match=r"evaluate.protocols is \['mmldm'\], expected some of cmmd, .*mm-ldm-256"):
        evaluate(finished_run(tasks=("svg",)), dataclasses.replace(PARAMS, protocols=("mmldm",)))


def test_windows_that_a_protocol_is_not_for_are_not_measured_by_it(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    evaluate(finished, dataclasses.replace(PARAMS, protocols=("mm-diffusion", "demo")))
    assert missing(finished.root / "evaluate")["all/every figure"] == "needs windows of 16 frames, clip.num_frames is 10"


def test_what_was_learnt_from_shows_beside_the_held_out_reference(finished_run) -> None:  # type: ignore[no-untyped-def]
    """Samples that copy training clips are nearer to the training set than held-out clips are."""
    finished = finished_run(tasks=("svg",), copies=True)
    svg = evaluate(finished)["svg"]
    assert svg["fvd_local_to_train"] < svg["fvd_local_to_train_floor"]
    assert svg["fvd_local_to_train"] < svg["fvd_local"]


def test_features_are_found_again_and_taken_only_where_something_changed(finished_run, capsys) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    first = evaluate(finished)
    assert "features of 96 windows taken, of 0 found" in capsys.readouterr().err
    kept = {path.name: path.read_bytes() for path in (finished.root / "evaluate/features").iterdir()}
    rows = read_samples(finished.sample).to_dict("records")
    for path in kept:
        assert path.startswith("local-")
    other = finished.sample / str(rows[0]["lossless"])
    frames, waveform, gray = read_lossless(other)
    write_lossless(other, 255 - frames, waveform, gray)
    second = evaluate(finished)
    assert "features of 16 windows taken, of 80 found" in capsys.readouterr().err
    assert second["svg"]["fad_local"] == first["svg"]["fad_local"] and second["svg"]["fvd_local"] != first["svg"]["fvd_local"]
    evaluate(finished, out="fresh/evaluate")
    for path in (finished.root / "fresh/evaluate").rglob("*"):
        if path.is_file():
            assert path.read_bytes() == (finished.root / "evaluate" / path.relative_to(finished.root / "fresh/evaluate")).read_bytes(), path


def test_silent_samples_and_pictures_of_one_colour_are_named(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    paths = [finished.sample / str(row["lossless"]) for row in read_samples(finished.sample).to_dict("records")]
    for path, silent in ((paths[1], True), (paths[2], False)):
        frames, waveform, gray = read_lossless(path)
        write_lossless(path, frames if silent else frames * 0 + 90, waveform * 0 if silent else waveform, gray)
    evaluate(finished)
    notes = {row["name"]: row["note"] for row in metrics_rows(finished.root / "evaluate") if row["task"] == "svg"}
    assert "1 of 8 are silent: svg-0001" in notes["fad_local"] and "silent" not in notes["fvd_local"]
    assert "1 of 8 are of one colour: svg-0002" in notes["fvd_local"]


def test_samples_that_are_all_silent_have_no_distance_of_sound(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("svg",))
    for row in read_samples(finished.sample).to_dict("records"):
        frames, waveform, gray = read_lossless(finished.sample / str(row["lossless"]))
        write_lossless(finished.sample / str(row["lossless"]), frames, waveform * 0, gray)
    found = evaluate(finished)["svg"]
    assert "fvd_local" in found and not {"fad_local", "fad_local_per_sample", "precision_audio_local"} & set(found)
    assert missing(finished.root / "evaluate")["svg/fad_local"] == "needs sounds, all 8 samples are silent; look at them"


def test_samples_conditioned_on_clips_that_are_gone_say_what_to_run(finished_run) -> None:  # type: ignore[no-untyped-def]
    finished = finished_run(tasks=("reconstruction",))
    rows = read_samples(finished.sample).to_dict("records")
    write_samples(finished.sample, [{**row, "condition_clip_id": "gone_000000"} for row in rows])
    with pytest.raises(DataError, match=r"no test clip gone_000000.*run: dvc repro sample"):
        evaluate(finished)
