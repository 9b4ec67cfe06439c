"""The demo set as a user meets it: the same bytes each time, sound and picture in step, clear words. `pytest tests/stages/demo_data`"""

import hashlib
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.contracts.events import read_events
from pipeline.errors import DataError
from pipeline.params import DataParams, DemoDataParams
from stages.demo_data import dataset, run
from stages.demo_data.picture import draw_frames
from stages.demo_data.scene import INTERVAL_SEC, draw_scene
from stages.demo_data.sound import SAMPLE_RATE_HZ, make_sound

KINDS = ("bounce", "pendulum", "lamp", "clack", "rain")
SMALL = DemoDataParams(kinds=KINDS, clips_per_kind=2, clip_sec=2.0, fps=20, size_px=64, richness="plain")


def make(out: Path, params: DemoDataParams = SMALL) -> dict[str, str]:
    """Run the stage; hash of every file by its name."""
    run(seed=3, data=DataParams(raw=str(out / "clips")), demo_data=params, out=out)
    files = sorted(path for path in out.rglob("*") if path.is_file() and path.name != "_SUCCESS.json")
    return {str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def decode(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Frames [F, H, W, 3] and waveform [S] at the file's own rates."""
    with av.open(str(path)) as container:
        frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(container.streams.video[0])])
    with av.open(str(path)) as container:
        return frames, np.concatenate([frame.to_ndarray()[0] for frame in container.decode(container.streams.audio[0])])


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    first = make(tmp_path / "a")
    assert first == make(tmp_path / "b")
    assert sorted(first) == sorted(["events.parquet", *(f"clips/{kind}/{kind}_{i:04d}.mp4" for kind in KINDS for i in range(2))])
    assert len(set(first.values())) == len(first)  # no clip is a copy of another


def test_killed_run_goes_on_with_its_finished_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(tmp_path / "whole")
    written: list[str] = []
    original = dataset.write_clip

    def counted(path: Path, *arguments: object) -> None:
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(path.name)
        original(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(dataset, "write_clip", counted)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / "killed")
    assert not (tmp_path / "killed").exists()
    monkeypatch.setattr(dataset, "write_clip", lambda path, *arguments: (written.append(path.name), original(path, *arguments)))
    assert make(tmp_path / "killed") == whole
    assert len(written) == len(set(written)) == 10


@pytest.mark.parametrize("kind", KINDS)
def test_file_holds_the_scene_in_step(tmp_path: Path, kind: str) -> None:
    scene = draw_scene(kind, 5, SMALL.clip_sec, "plain")
    dataset.write_clip(tmp_path / "clip.mp4", scene, SMALL)
    frames, waveform = decode(tmp_path / "clip.mp4")
    drawn, sound = draw_frames(scene, 40, SMALL.fps, SMALL.size_px), make_sound(scene, SMALL.clip_sec)
    assert frames.shape == drawn.shape
    distance = [np.mean((frames[5:-5].astype(float) - drawn[5 + lag:35 + lag]) ** 2) for lag in range(-3, 4)]
    assert np.argmin(distance) == 3
    length = min(len(waveform), len(sound))
    spectra = np.fft.rfft(waveform[:length], 2 * length) * np.conj(np.fft.rfft(sound[:length], 2 * length))
    assert np.argmax(np.fft.irfft(spectra)) == 0  # not one sample of the encoder's delay is left


def test_table_tells_when_it_sounds(tmp_path: Path) -> None:
    make(tmp_path / "demo")
    events = read_events(tmp_path / "demo")
    struck = events[events["kind"].isin(["bounce", "pendulum", "clack"])]
    assert len(struck) >= 3 * 2 * int(SMALL.clip_sec / INTERVAL_SEC[1])
    for name, rows in struck.groupby("source_path"):
        _, waveform = decode(tmp_path / "demo" / "clips" / str(name))
        for time in rows["time_sec"]:
            at = round(time * SAMPLE_RATE_HZ)
            if 2400 < at < len(waveform) - 2400:
                assert np.abs(waveform[at - 1200:at - 400]).max() < 0.1 * np.abs(waveform[at:at + 1200]).max(), name


def test_background_gives_no_class_away() -> None:
    corner = {kind: draw_frames(draw_scene(kind, 1, 2.0, "plain"), 1, 20, 64)[0, -1, 0].tolist() for kind in KINDS}
    assert len({tuple(colour) for colour in corner.values()}) == 1
    rich = {tuple(draw_scene(kind, i, 2.0, "rich").background) for i in range(60) for kind in KINDS}
    for kind in KINDS:
        assert {tuple(draw_scene(kind, i, 2.0, "rich").background) for i in range(60)} == rich


def test_things_stay_in_the_picture() -> None:
    # Nothing but background in the outermost columns and the top row: no ball, bob or lamp is cut off.
    for kind in ("bounce", "pendulum", "lamp", "clack"):
        for i in range(30):
            frames = draw_frames(draw_scene(kind, i, 2.0, "plain"), 20, 10, 96)
            assert np.abs(frames[:, :80, [0, -1]].astype(int) - frames[0, 0, 0]).max() < 60, kind
            assert (frames[:, 0] == frames[0, 0, 0]).all(), kind


def test_classes_and_sizes_are_heard() -> None:
    def centroid_hz(kind: str, size: float) -> float:
        base = draw_scene(kind, 1, 2.0, "plain")
        scene = type(base)(**{name: getattr(base, name) for name in base.__dataclass_fields__} | {"size": size})
        power = np.abs(np.fft.rfft(make_sound(scene, 2.0))) ** 2
        return float(np.average(np.fft.rfftfreq(2 * SAMPLE_RATE_HZ, 1 / SAMPLE_RATE_HZ), weights=power))

    assert centroid_hz("bounce", 0) < 600 < centroid_hz("clack", 1) < centroid_hz("clack", 0) < 2500 < centroid_hz("pendulum", 1)
    for kind in KINDS:
        assert centroid_hz(kind, 0.9) < 0.8 * centroid_hz(kind, 0.1)


def test_own_data_gets_an_empty_table_and_no_clips(tmp_path: Path) -> None:
    (tmp_path / "mine" / "dog").mkdir(parents=True)
    (tmp_path / "mine" / "dog" / "one.mp4").write_bytes(b"any")
    summary = run(seed=3, data=DataParams(raw=str(tmp_path / "mine")), demo_data=SMALL, out=tmp_path / "demo")
    assert "none written" in str(summary["clips"])
    assert len(read_events(tmp_path / "demo")) == 0
    assert not (tmp_path / "demo" / "clips").exists()


@pytest.mark.parametrize(("make_files", "words"), [
    ([], "does not exist"),
    (["raw/"], "which is empty"),
    (["raw"], "which is a file, expected a folder"),
    (["raw/a.mp4", "raw/b.mp4"], "has 2 files but no class folders"),
    (["raw/dog/", "raw/cat/"], "2 class folders hold no file"),
    (["raw/dog/.DS_Store"], "1 class folders hold no file"),
])
def test_missing_data_is_told_with_the_next_step(tmp_path: Path, make_files: list[str], words: str) -> None:
    for name in make_files:
        path = tmp_path / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.touch()
    with pytest.raises(DataError, match=words) as caught:
        run(seed=3, data=DataParams(raw=str(tmp_path / "raw")), demo_data=SMALL, out=tmp_path / "demo")
    assert "set data.raw in params.yaml" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "demo").exists()


def test_own_data_is_never_deleted(tmp_path: Path) -> None:
    mine = tmp_path / "demo" / "mine" / "dog"
    mine.mkdir(parents=True)
    (mine / "one.mp4").write_bytes(b"any")
    with pytest.raises(DataError, match="this stage replaces"):
        run(seed=3, data=DataParams(raw=str(mine.parent)), demo_data=SMALL, out=tmp_path / "demo")
    assert (mine / "one.mp4").is_file()


def test_stage_starts_without_torch() -> None:
    code = "import sys, stages.demo_data; sys.exit('torch' in sys.modules or 'librosa' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=False).returncode == 0
