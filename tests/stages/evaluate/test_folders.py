"""Any two folders of videos, by a protocol. `pytest tests/stages/evaluate/test_folders.py`"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.contracts.window_sets import Place
from pipeline.errors import DataError
from pipeline.params import AudioParams, ExtractorsParams, PretrainedParams
from pipeline.preset import preset_params
from stages.evaluate.folders import Folders, evaluate_folders, extractor_entries, main, window_shape
from stages.evaluate.protocol import Protocol, load_protocol
from stages.evaluate.video_folder import FolderWindows, survey

NOTHING = ExtractorsParams(**dict.fromkeys((field.name for field in dataclasses.fields(ExtractorsParams)), None))
PROTOCOL = dataclasses.replace(load_protocol("demo"), num_frames=10, measures=("distances",), replicates=20, samples=20,
                               extractors=("local", "i3d_styleganv", "vggish"))


class Averages(torch.nn.Module):
    """The call of the real TorchScript, with a network of averages in place and time."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        return torch.cat([x.mean(dim=[3, 4]).flatten(1), x.std(dim=[3, 4]).flatten(1)], dim=1)


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> ExtractorsParams:
    path = tmp_path_factory.mktemp("i3d") / "i3d_torchscript.pt"
    torch.jit.script(Averages()).save(path)
    return dataclasses.replace(NOTHING, i3d_styleganv=PretrainedParams(source=str(path), revision=None, subfolder=None, sha256=None))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory, make_clip) -> Path:  # type: ignore[no-untyped-def]
    """generated: 17 of 1 s, 10 fps; reference: 34 longer ones, in folders, of which half may be faster."""
    root = tmp_path_factory.mktemp("videos")
    for i in range(17):
        make_clip(root / f"generated/{i:02d}.mp4", 1.0, 10, (64, 64), event_sec=0.2 + 0.04 * i, tone_hz=300 + 20 * i)
    for i in range(34):
        path = root / f"reference/{'ab'[i % 2]}/{i:02d}.mp4"
        make_clip(path, 1.3, (10, 20)[i % 2], (96, 64), event_sec=0.1 + 0.02 * i, tone_hz=310 + 9 * i)
    return root


def compare(videos: Path, entries: ExtractorsParams, out: Path, protocol: Protocol = PROTOCOL, **folders: object):  # type: ignore[no-untyped-def]
    chosen = Folders(**{"generated": videos / "generated", "reference": videos / "reference", "floor": None, "halved": True, "train": None,
                        **folders})
    return evaluate_folders(chosen, protocol, entries, out, torch.device("cpu"))


def test_two_folders_get_the_protocols_figures_and_reasons_for_the_rest(videos: Path, entries: ExtractorsParams, tmp_path: Path) -> None:
    figures = compare(videos, entries, tmp_path / "out")
    found = {figure.name: figure for figure in figures.found}
    fvd = found["fvd_i3d_styleganv"]
    assert (fvd.num_samples, fvd.resolution_px, fvd.fps, fvd.num_frames, fvd.task) == (17, 64, 10, 10, "svg")
    assert fvd.floor is not None and fvd.low is not None and "17 samples, the protocol has 20" in fvd.note
    missing = {figure.name: figure.not_computed for figure in figures.missing}
    assert "run the pipeline" in missing["fvd_local"] and "vggish-10086976.pth" in missing["fad_vggish"]
    assert "--train FOLDER" in missing["fvd_i3d_styleganv_to_train"]
    assert (tmp_path / "out/metrics.json").is_file() and (tmp_path / "out/metrics.parquet").is_file()
    again = {figure.name: figure.value for figure in compare(videos, entries, tmp_path / "out").found}
    assert again == {name: figure.value for name, figure in found.items()}


def test_the_same_videos_on_both_sides_have_no_distance(videos: Path, entries: ExtractorsParams, tmp_path: Path) -> None:
    same = {"generated": videos / "generated", "reference": videos / "generated", "train": videos / "generated"}
    found = {figure.name: figure for figure in compare(videos, entries, tmp_path / "out", halved=False, **same).found}
    assert found["fvd_i3d_styleganv"].value == found["fvd_i3d_styleganv_to_train"].value == 0
    assert found["fvd_i3d_styleganv"].floor is None and found["kvd_i3d_styleganv"].value <= 0


def test_a_window_is_what_a_player_shows_and_sounds(videos: Path) -> None:
    files = survey(videos / "reference")
    assert [file.name for file in files][:2] == ["a/00.mp4", "a/02.mp4"] and {file.fps for file in files} == {10.0, 20.0}
    clip, audio = window_shape(survey(videos / "generated"), files, PROTOCOL)
    assert (clip.frame_size_px, clip.fps, clip.num_frames, audio.sample_rate_hz) == (64, 10, 10, 44100)
    windows = FolderWindows(files, [Place("a/00.mp4", 0), Place("b/01.mp4", 2)], clip, audio)
    first, second = windows[0], windows[1]
    assert first.frames.shape == (10, 64, 64, 3) and first.waveform.shape == (44100,)
    assert first.frames[1].mean() > first.frames[4].mean() + 50, "the flash at 0.1 s"
    assert first.frames[4, :8].max() < 30, "wide pictures are fitted, black above and below"
    assert np.abs(second.waveform.astype(int)).max() > 500 and windows.names == ["a/00.mp4", "b/01.mp4 at 0.2 s"]
    assert len(set(windows.addresses)) == 2


@pytest.mark.parametrize(("change", "says"), [
    ({"fps": 20}, r"differ in rate: 00\.mp4 has 10 frames a second, odd\.mp4 20"),
    ({"size": (32, 32)}, r"differ in size: 00\.mp4 is 64 x 64, odd\.mp4 32 x 32"),
    ({"seconds": 0.6}, r"a window has 10 frames, odd\.mp4 has 6"),
])
def test_generated_videos_that_differ_are_named(change: dict[str, object], says: str, make_clip, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    shape: dict[str, object] = {"seconds": 1.0, "fps": 10, "size": (64, 64)}
    make_clip(tmp_path / "00.mp4", event_sec=0.3, **shape)
    make_clip(tmp_path / "odd.mp4", event_sec=0.3, **shape | change)
    with pytest.raises(DataError, match=says):
        window_shape(survey(tmp_path), [], PROTOCOL)


def test_slow_references_broken_files_and_empty_folders_are_told_in_one_line(videos: Path, entries: ExtractorsParams, make_clip,  # type: ignore[no-untyped-def]
                                                                             tmp_path: Path) -> None:
    make_clip(tmp_path / "slow/a.mp4", 2.0, 5, (64, 64), event_sec=0.3)
    with pytest.raises(DataError, match=r"a\.mp4 has 5 frames a second, 10 are compared"):
        compare(videos, entries, tmp_path / "out", reference=tmp_path / "slow")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/x.mp4").write_bytes(b"no video")
    with pytest.raises(DataError, match=r"x\.mp4 cannot be read .*take it out of the folder"):
        compare(videos, entries, tmp_path / "out", reference=tmp_path / "broken")
    (tmp_path / "broken/x.mp4").write_bytes(b"")
    with pytest.raises(DataError, match=r"x\.mp4 cannot be read \([A-Z][a-z ]+"):  # words, not a number
        compare(videos, entries, tmp_path / "out", reference=tmp_path / "broken")
    (tmp_path / "empty").mkdir()
    for name, says in (("empty", "holds no video"), ("absent", "is no folder")):
        with pytest.raises(DataError, match=says):
            compare(videos, entries, tmp_path / "out", reference=tmp_path / name)


@pytest.mark.parametrize("where", ["generated", "reference", "reference/a"])
def test_nothing_is_written_among_the_videos(videos: Path, entries: ExtractorsParams, where: str) -> None:
    before = sorted(videos.rglob("*"))
    with pytest.raises(DataError, match=rf"--out is \S+, which lies in --{where.split('/')[0]}, among the videos"):
        compare(videos, entries, videos / where)
    assert sorted(videos.rglob("*")) == before


def test_videos_without_sound_are_measured_by_their_pictures(videos: Path, entries: ExtractorsParams, tmp_path: Path,
                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    mute = [dataclasses.replace(file, rate_hz=0) for file in survey(videos / "generated")]
    monkeypatch.setattr("stages.evaluate.folders.survey", lambda folder: mute if folder.name == "generated" else survey(folder))
    figures = compare(videos, entries, tmp_path / "out")
    assert {figure.task for figure in figures.found} == {"v"} and not any("fad" in figure.name for figure in figures.missing)


def test_a_protocol_of_another_shape_says_what_it_needs(videos: Path) -> None:
    with pytest.raises(DataError, match=r"a window has 16 frames, 00\.mp4 has 10"):
        window_shape(survey(videos / "generated"), [], load_protocol("mm-ldm-256"))
    wide = dataclasses.replace(load_protocol("mm-ldm-256"), num_frames=10)
    with pytest.raises(DataError, match="protocol mm-ldm-256 needs frames of 256 px"):
        window_shape(survey(videos / "generated"), [], wide)


def test_entries_that_params_leave_empty_are_the_pinned_ones(tmp_path: Path) -> None:
    pinned = extractor_entries(tmp_path / "params.yaml")
    assert pinned == preset_params("landscape").evaluate.extractors and pinned.clap is not None
    from pipeline.preset import preset_text

    text = preset_text("demo").replace("    vggish: null", "    vggish: {source: my.pth, revision: null, subfolder: null, sha256: null}")
    (tmp_path / "params.yaml").write_text(text)
    own = extractor_entries(tmp_path / "params.yaml")
    assert own.vggish is not None and own.vggish.source == "my.pth" and own.clap == pinned.clap
    assert isinstance(preset_params("demo").audio, AudioParams)


def test_the_command_line_tells_a_mistake_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["evaluate", "--generated", str(tmp_path), "--reference", str(tmp_path), "--protocol", "mm-ldm"])
    with pytest.raises(SystemExit, match=r'^evaluate: there is no protocol "mm-ldm"; there are: cmmd, demo, '):
        main()
