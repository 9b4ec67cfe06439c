"""mmldm generate: every task from a user's file, refused in one line what cannot be done, nothing overwritten.

    pytest tests/stages/sample/test_generate.py
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from pipeline.contracts.samples import read_lossless
from pipeline.errors import DataError, UserError
from stages.dit import NULL_CLASS
from stages.sample.asked import class_ids, parse
from stages.sample.condition import read_condition
from stages.sample.generate import generate
from stages.sample.trained import open_dit, project_parts
from tests.stages.sample.conftest import Project

CPU = torch.device("cpu")


def made(project: Project, *arguments: object) -> list[Path]:
    return generate(parse([str(argument) for argument in arguments]), project.parts, CPU)


@pytest.fixture(scope="module")
def files(make_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """clip.mp4, short.mp4, tone.wav, picture.png"""
    folder = tmp_path_factory.mktemp("files")
    make_clip(folder / "clip.mp4", seconds=3.0)
    make_clip(folder / "short.mp4", seconds=1.0, tone_hz=300.0)
    with av.open(str(folder / "tone.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=22050, layout="mono")
        wave = (9000 * np.sin(np.arange(2 * 22050) / 10)).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.sample_rate = 22050
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    Image.new("RGB", (64, 64), (200, 40, 40)).save(folder / "picture.png")
    return folder


@pytest.mark.parametrize(("task", "condition"), [
    ("svg", None), ("v", None), ("a", None), ("a2v", "clip.mp4"), ("a2v", "tone.wav"), ("v2a", "clip.mp4"), ("i2a", "picture.png"),
    ("i2a", "short.mp4"), ("audio_continuation", "tone.wav"), ("video_continuation", "clip.mp4"), ("long", None), ("long", "clip.mp4")])
def test_every_task_is_seen_and_heard(project: Project, files: Path, tmp_path: Path, task: str, condition: str | None) -> None:
    given = [] if condition is None else ["--condition", files / condition]
    [path] = made(project, "--task", task, *given, "--out", tmp_path / "out/clip.mp4", "--seed", 7)
    clip, settings, windows = project.params.clip, project.parts.settings, 3 if task == "long" else 1
    with av.open(str(path)) as container:
        assert [stream.codec_context.name for stream in container.streams] == ["h264", "aac"]
        assert sum(1 for _ in container.decode(video=0)) == windows * clip.num_frames
    frames, waveform, _ = read_lossless(path.with_suffix(".npz"))
    assert frames.shape == (windows * clip.num_frames, 32, 32, 3) and len(waveform) == windows * 25600
    assert (bool(frames.any()), bool(waveform.any())) == (task != "a", task != "v")
    if task in ("a2v", "v2a") and condition is not None:
        real = read_condition(files / condition, clip, settings.audio, settings.audio_images, picture=task == "v2a", sound=task == "a2v",
                              start_sec=None, last=False)
        assert np.array_equal(*((waveform, real.waveform) if task == "a2v" else (frames, real.frames)))
    if task == "i2a":
        assert (frames == frames[0]).all()
    row = pd.read_parquet(tmp_path / "out/samples.parquet").iloc[0]
    assert (row.task, row.seed, row.mp4, row.lossless) == (task, 7, "clip.mp4", "clip.npz")
    assert row.condition_clip_id == ("" if condition is None else str(files / condition))
    assert row.class_name == ("bounce" if condition is None else "")


def test_several_are_numbered_and_each_has_its_own_seed(project: Project, tmp_path: Path) -> None:
    paths = made(project, "--out", tmp_path / "all.mp4", "--seed", 7, "--count", 3, "--class", "lamp", "--batch-size", 2)
    assert [path.name for path in paths] == ["all-1.mp4", "all-2.mp4", "all-3.mp4"]
    [alone] = made(project, "--out", tmp_path / "one.mp4", "--seed", 9, "--class", "lamp")
    assert np.abs(read_lossless(paths[2].with_suffix(".npz"))[0].astype(int) - read_lossless(alone.with_suffix(".npz"))[0]).max() <= 2
    table = pd.read_parquet(tmp_path / "samples.parquet")
    assert table["mp4"].tolist() == ["all-1.mp4", "all-2.mp4", "all-3.mp4", "one.mp4"] and table["seed"].tolist() == [7, 8, 9, 9]
    assert set(table["class_name"]) == {"lamp"}


def test_without_a_class_every_class_comes_in_turn(project: Project) -> None:
    dit = open_dit(project.parts, CPU)
    assert class_ids(parse(["--out", "a.mp4", "--count", "3"]), dit) == [0, 1, 0]
    assert class_ids(parse(["--out", "a.mp4", "--count", "2", "--condition", "a.wav"]), dit) == [NULL_CLASS] * 2


def test_options_of_the_sampler_reach_it(project: Project, tmp_path: Path) -> None:
    options = ["--sampler", "unipc", "--steps", 3, "--guidance-scale", 1.5, "--guidance-interval", 0.1, 0.8, "--guidance-rescale", 0.5]
    made(project, "--out", tmp_path / "a.mp4", *options)
    row = pd.read_parquet(tmp_path / "samples.parquet").iloc[0]
    assert (row.sampler, row.steps, row.guidance_scale) == ("unipc", 3, 1.5)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--class", "rain"], r'--class is "rain", this model knows: bounce, lamp'),
    (["--text", "a ball"], r"--text was given, and this model was not trained on texts; it knows the classes bounce, lamp \(--class\)"),
    (["--steps", 0], r"--steps is 0, expected 1 to 1000"),
    (["--guidance-scale", 99], r"--guidance-scale is 99\.0, expected 0 to 50"),
    (["--guidance-scale", "nan"], r"--guidance-scale is nan, expected 0 to 50"),
    (["--guidance-interval", 0.7, 0.2], r"--guidance-interval is \[0\.7, 0\.2\], expected two numbers from 0 to 1"),
    (["--count", 0], r"--count is 0, expected 1 or more"),
    (["--sampler", "heun"], r"--sampler is heun, this model \(prediction v_prediction\) takes: ddim, dpm_solver, unipc"),
    (["--seed", -1], r"--seed is -1, expected 0 to 4611686018427387904"),
    (["--seed", 2**63], r"--seed is 9223372036854775808, expected 0 to 4611686018427387904"),
    (["--windows", 4], r"--windows is for --task long, --task is svg"),
    (["--task", "long", "--windows", 1], r"--windows is 1, expected 2 or more"),
    (["--start", 1], r"--start is for a --condition"),
    (["--condition", "clip.mp4"], r"--task svg takes no --condition; with one this model can do: a2v, v2a, i2a, long, audio_cont"),
    (["--task", "a2v"], r"--task a2v needs --condition FILE: a sound, or a video with one"),
    (["--task", "a2v", "--condition", "clip.mp4", "--class", "lamp"], r"--class and --text cannot go with a --condition"),
    (["--task", "a2v", "--condition", "none.mp4"], r"--condition is \S+none.mp4, where there is no file"),
    (["--task", "a2v", "--condition", "picture.png"], r"picture.png is a still picture, which is for --task i2a; --task a2v needs"),
    (["--task", "v2a", "--condition", "tone.wav"], r"tone.wav cannot be the condition: no picture in the file; needed: a picture"),
    (["--task", "v2a", "--condition", "short.mp4"], r"short.mp4 has 1\.00 s of a picture, one window needs 1\.6 s"),
    (["--task", "v2a", "--condition", "clip.mp4", "--start", "inf"], r"--start is inf, expected seconds"),
    (["--out", "clip.mov"], r"--out is \S*clip.mov, expected a name that ends with .mp4"),
], ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "")
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(project: Project, files: Path, tmp_path: Path, arguments: list[object],
                                                                said: str) -> None:
    arguments = [files / str(value) if str(value).endswith((".mp4", ".png", ".wav")) else value for value in arguments]
    with pytest.raises(UserError, match=said) as told:
        made(project, *(["--out", tmp_path / "a.mp4"] if "--out" not in arguments else []), *arguments)
    assert "\n" not in str(told.value)
    assert not list(tmp_path.glob("*.mp4")) and not list(tmp_path.glob("*.parquet"))


@pytest.mark.parametrize(("changes", "task", "able"), [
    ({"continuation_share": 0.0}, "long", "svg, v, a, a2v, v2a, i2a"),
    ({"a2v_share": 0.0, "previous_dropout": 0.0}, "audio_continuation", "svg, v, a, v2a, i2a, long"),
    ({"task_mix": "audio", "a2v_share": 0.0, "v2a_share": 0.0, "continuation_share": 0.0}, "svg", "a")], ids=str)
def test_a_task_that_the_network_was_not_trained_for_is_refused_with_those_it_was(
        project: Project, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], task: str,
        able: str) -> None:
    dit = open_dit(project.parts, CPU)
    other = replace(dit, params=replace(dit.params, **changes))  # type: ignore[arg-type]
    monkeypatch.setattr("stages.sample.generate.open_dit", lambda *_: other)
    with pytest.raises(UserError, match=rf"--task is {task}, for which this model was not trained; it can do: {able}$"):
        made(project, "--task", task, "--out", tmp_path / "a.mp4", "--condition", files / "clip.mp4")


def test_nothing_is_overwritten_unless_asked_to_and_a_condition_never(project: Project, files: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.mp4"
    shutil.copy(files / "clip.mp4", own)
    before = own.read_bytes()
    with pytest.raises(DataError, match=r"own.mp4 exists; choose another --out, or overwrite it with --force"):
        made(project, "--out", own)
    with pytest.raises(DataError, match=r"own.mp4 is the condition itself; choose another --out"):
        made(project, "--task", "a2v", "--condition", own, "--out", own, "--force")
    assert own.read_bytes() == before
    made(project, "--out", own, "--force")
    assert own.read_bytes() != before
    with pytest.raises(DataError, match=r"is the output of a stage; choose another --out"):
        made(project, "--out", project.root / "data/dit/clip.mp4")
    (tmp_path / "other").mkdir()
    (tmp_path / "other/samples.parquet").write_text("mine")
    with pytest.raises(DataError, match=r"samples.parquet is no table of samples of this version"):
        made(project, "--out", tmp_path / "other/clip.mp4")
    assert (tmp_path / "other/samples.parquet").read_text() == "mine"


def test_a_text_is_asked_for_in_words(text_project: Project, tmp_path: Path) -> None:
    texts = {}
    for text in ("rain", "wind"):
        [path] = made(text_project, "--text", text, "--out", tmp_path / f"{text}.mp4")
        texts[text] = read_lossless(path.with_suffix(".npz"))[0]
    assert not np.array_equal(texts["rain"], texts["wind"])
    assert pd.read_parquet(tmp_path / "samples.parquet")["text"].tolist() == ["rain", "wind"]
    with pytest.raises(UserError, match="--class was given, and this model was not trained on classes; say it with --text"):
        made(text_project, "--class", "lamp", "--out", tmp_path / "a.mp4")


def test_networks_of_different_runs_are_told_apart(own_project: Project) -> None:
    record = own_project.root / "data/autoencoder/_SUCCESS.json"
    record.write_text(record.read_text().replace('"stage"', '"again": 1, "stage"'))
    with pytest.raises(DataError, match=r"latents was made from another autoencoder than lies in \S+; run: dvc repro dit"):
        project_parts(own_project.root / "data", own_project.params)
    shutil.rmtree(own_project.root / "data/dit")
    with pytest.raises(DataError, match=r"dit is not whole .*run: dvc repro dit"):
        project_parts(own_project.root / "data", own_project.params)


@pytest.mark.parametrize("name", ["klvae", "autoencoder", "dit"])
def test_networks_that_were_changed_since_they_were_trained_make_nothing(own_project: Project, name: str) -> None:
    assert own_project.parts.dit.name == "dit"
    weights = next((own_project.root / "data" / name).glob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.unlink()
    weights.write_bytes(content)
    with pytest.raises(DataError, match=rf"{name} is not as its stage left it .*run: mmldm check, then: dvc checkout --force \S+{name}$"):
        project_parts(own_project.root / "data", own_project.params)


def test_a_silent_condition_is_remarked_also_behind_a_codec(project: Project, make_clip: Callable[..., Path], tmp_path: Path,
                                                            capsys: pytest.CaptureFixture[str]) -> None:
    make_clip(tmp_path / "silent.mp4", seconds=4.0, event_sec=3.0, level=0.0003)
    made(project, "--task", "a2v", "--condition", tmp_path / "silent.mp4", "--out", tmp_path / "a.mp4")
    assert "there is no sound in that stretch but silence" in capsys.readouterr().err
