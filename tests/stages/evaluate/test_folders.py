"""Any two folders of videos, by a protocol. `pytest tests/stages/evaluate/test_folders.py`"""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pipeline.contracts.window_sets import Place
from pipeline.errors import DataError
from pipeline.params import AudioParams, ExtractorsParams, PretrainedParams
from pipeline.preset import preset_params
from stages.evaluate.folders import Folders, before_resize, evaluate_folders, extractor_entries, main, window_shape
from stages.evaluate.protocol import Protocol, load_protocol
from stages.evaluate.run import at_size
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


def test_a_floor_without_sound_is_refused_and_not_heard_as_silence(videos: Path, entries: ExtractorsParams, tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    mute = [dataclasses.replace(file, rate_hz=0) for file in survey(videos / "generated")]
    (tmp_path / "mute").mkdir()
    monkeypatch.setattr("stages.evaluate.folders.survey", lambda folder: mute if folder.name == "mute" else survey(folder))
    for folder in ("floor", "train"):
        with pytest.raises(DataError, match=r"00\.mp4 has no sound, as the generated videos have; take it out of the folder"):
            compare(videos, entries, tmp_path / "out", halved=False, **{folder: tmp_path / "mute"})


def test_one_telephone_recording_does_not_take_the_treble_of_all(videos: Path, make_clip, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make_clip(tmp_path / "a/low.mp4", 1.3, 10, (64, 64), event_sec=0.3, rate_hz=8000)
    _, audio = window_shape(survey(videos / "generated"), survey(tmp_path), PROTOCOL)
    assert audio.sample_rate_hz == 16000


def test_what_was_done_to_the_reference_stands_beside_every_figure(videos: Path, entries: ExtractorsParams, tmp_path: Path) -> None:
    says = {figure.name: figure.reference for figure in compare(videos, entries, tmp_path / "out").found}["fvd_i3d_styleganv"]
    assert says.endswith("; fitted to 64 px; black bars around what is not square (--fit)")
    cut = {figure.name: figure for figure in compare(videos, entries, tmp_path / "cut", fit="crop").found}["fvd_i3d_styleganv"]
    assert cut.reference.endswith("; fitted to 64 px; cut to squares (--fit)")


def test_the_protocols_resize_takes_the_reference_to_its_size_too(videos: Path, entries: ExtractorsParams, tmp_path: Path) -> None:
    small = dataclasses.replace(PROTOCOL, size_px=64, resize="bicubic")
    clip, audio = window_shape(survey(videos / "generated"), survey(videos / "reference"), small)
    files = survey(videos / "reference")
    shape = before_resize(files, small, clip)
    assert shape.frame_size_px == 96, "as large as the videos are"
    [window] = at_size(FolderWindows(files[:1], [Place(files[0].name, 0)], shape, audio), small, shape)
    whole = FolderWindows(files[:1], [Place(files[0].name, 0)], shape, audio)[0].frames
    expected = F.interpolate(torch.from_numpy(whole).permute(0, 3, 1, 2).float(), size=(64, 64), mode="bicubic", align_corners=False)
    assert np.abs(window.frames - expected.round().clamp(0, 255).permute(0, 2, 3, 1).numpy()).max() == 0
    figures = compare(videos, entries, tmp_path / "out", small).found
    assert "; fitted to 96 px; black bars around what is not square (--fit); then bicubic to 64 px" in figures[-1].reference


def test_generated_videos_beyond_the_protocols_count_are_drawn_whatever_their_names(
        videos: Path, entries: ExtractorsParams, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = dataclasses.replace(PROTOCOL, samples=16)
    names = sorted(path.name for path in (videos / "generated").iterdir())
    (tmp_path / "other").mkdir()
    for name, other in zip(names, reversed(names), strict=True):
        os.link(videos / "generated" / name, tmp_path / "other" / other)
    found = [[(figure.name, figure.value, figure.low, figure.floor) for figure in
              compare(videos, entries, tmp_path / f"out{i}", few, generated=folder).found]
             for i, folder in enumerate((videos / "generated", tmp_path / "other"))]
    assert found[0] == found[1]
    assert "16 of 17 generated videos are measured, as many as demo has, drawn by --seed" in capsys.readouterr().err


def test_generated_sounds_are_compared_with_the_true_ones_of_the_same_name(videos: Path, entries: ExtractorsParams, tmp_path: Path) -> None:
    (tmp_path / "true").mkdir()
    for path in (videos / "generated").iterdir():
        os.link(path, tmp_path / "true" / path.name)
    beating = dataclasses.replace(PROTOCOL, measures=("beats",))
    missing = {figure.name: figure.not_computed for figure in compare(videos, entries, tmp_path / "a", beating).missing}
    assert "add --task v2a" in missing["beat_hit_rate_100ms"]
    figures = compare(videos, entries, tmp_path / "b", beating, reference=tmp_path / "true", task="v2a")
    told = {figure.name: figure for figure in (*figures.found, *figures.missing)}
    assert told["beat_hit_rate_100ms"].task == "v2a" and "--task" not in told["beat_hit_rate_100ms"].not_computed
    (tmp_path / "true" / "03.mp4").rename(tmp_path / "true" / "other.mp4")
    with pytest.raises(DataError, match=r"true has none for 03\.mp4 \(or one shorter"):
        compare(videos, entries, tmp_path / "c", beating, reference=tmp_path / "true", task="v2a")


@pytest.mark.parametrize(("fps", "compared"), [(21.5, 21), (29.97, 30), (9.99, 10)])
def test_a_set_of_an_odd_rate_is_compared_at_a_rate_that_it_has(fps: float, compared: int, videos: Path) -> None:
    odd = [dataclasses.replace(file, fps=fps) for file in survey(videos / "generated")]
    clip, _ = window_shape(odd, odd, dataclasses.replace(PROTOCOL, num_frames=2))
    assert clip.fps == compared


def test_a_rate_or_length_that_leaves_no_window_is_told(videos: Path) -> None:
    slow = [dataclasses.replace(file, fps=0.4) for file in survey(videos / "generated")]
    with pytest.raises(DataError, match=r"00\.mp4 has 0\.4 frames a second, 1 or more are compared"):
        window_shape(slow, slow, PROTOCOL)
    still = [dataclasses.replace(file, num_frames=1) for file in survey(videos / "generated")]
    with pytest.raises(DataError, match=r"00\.mp4 has 1 frames at 10 a second, a window has 2 or more"):
        window_shape(still, still, dataclasses.replace(PROTOCOL, num_frames=None))


def test_videos_behind_links_and_of_every_ending_are_found_once(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "all/class").mkdir(parents=True)
    os.link(videos / "generated/00.mp4", tmp_path / "all/class/a.ts")
    os.link(videos / "generated/01.mp4", tmp_path / "all/class/b.3gp")
    (tmp_path / "all/linked").symlink_to(videos / "reference/a")
    (tmp_path / "all/class/up").symlink_to(tmp_path / "all")
    names = [file.name for file in survey(tmp_path / "all")]
    assert names[:2] == ["class/a.ts", "class/b.3gp"] and len(names) == 2 + 17 and names[-1].startswith("linked/")


def test_an_out_that_is_a_file_is_told(videos: Path, entries: ExtractorsParams, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(DataError, match=r"--out is \S+out, which is a file; choose another --out"):
        compare(videos, entries, tmp_path / "out")
