"""What is accepted, what is left out and why: pytest tests/stages/inventory/test_inventory.py"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.contracts.clips import read_clips, read_rejected
from pipeline.errors import DataError
from pipeline.params import ClipParams, load_params
from pipeline.workers import Workers
from stages.inventory.inventory import run
from stages.inventory.measure import Hashed, Named, hash_one, measure
from stages.inventory.measured import Measured, Outcome
from stages.inventory.reasons import REASONS, RejectedFile
from stages.inventory.stretches import clips_of, cut

CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
TINY = Path(__file__).resolve().parents[2] / "presets" / "tiny.yaml"
INVENTORY = replace(load_params(TINY).inventory, test_share=0.2)
MakeClip = Callable[..., Path]

# What ../shared/bad_clips/README.csv expects of each file: a reason code, or the (width, height, frames) that are shown.
EXPECTED: dict[str, str | tuple[int, int, int]] = {
    "good_reference.mp4": (320, 176, 60),
    "truncated.mp4": "not_media",
    "truncated_index_first.mp4": "truncated",
    "zero_bytes.mp4": "empty_file",
    "text_renamed.mp4": "not_media",
    "no_audio_track.mp4": "no_audio_track",
    "audio_only.mp4": "no_video_track",
    "silent_audio.mp4": "silent_audio",
    "too_short.mp4": "video_too_short",
    "single_frame_video.mp4": "video_too_short",
    "variable_frame_rate.mp4": (320, 176, 60),
    "odd_dimensions.mp4": (181, 97, 60),
    "portrait_rotated.mp4": (180, 320, 60),
    "mono_8khz_audio.mp4": (320, 180, 60),
    "audio_shorter_than_video.mp4": "audio_too_short",
    "video_shorter_than_audio.mp4": "video_too_short",
    "corrupt_middle.mp4": "video_decode_error",
    "edit_list_start.mp4": (320, 180, 70),
    "name with spaces – 雨の音 été.mp4": (320, 176, 60),
}


@pytest.fixture
def raw(tmp_path: Path, make_clip: MakeClip) -> Path:
    """Two classes of three short clips."""
    for i in range(6):
        make_clip(tmp_path / "raw" / f"class_{i % 2}" / f"{i}.mp4", 1.8, tone_hz=300 + 50 * i)
    return tmp_path / "raw"


def write(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")


def inventory_of(raw: Path, out: Path, *, num_workers: int = 1, **changes: object) -> dict[str, object]:
    return run(seed=7, clip=CLIP, inventory=replace(INVENTORY, **changes), workers=Workers(num_workers), source=raw, out=out)


def measured(folder: Path, name: str) -> Measured:
    """What is in one file; RejectedFile if it cannot be used."""
    file = hash_one(Named(folder, name))
    assert isinstance(file, Hashed)
    outcome = measure(file)
    assert isinstance(outcome, Outcome)
    if outcome.measured is None:
        raise RejectedFile(outcome.reason, outcome.detail)
    return outcome.measured


@pytest.mark.parametrize("name", EXPECTED)
def test_bad_clip_gets_what_its_readme_expects(name: str, bad_clips: Path) -> None:
    try:
        found = measured(bad_clips, name)
        clips_of(found, CLIP, allow_silent=False)
    except RejectedFile as rejection:
        assert rejection.reason == EXPECTED[name]
        assert rejection.detail
    else:
        assert (found.width_px, found.height_px, found.frames) == EXPECTED[name]


def test_bad_clips_together_never_stop_the_run(bad_clips: Path, tmp_path: Path) -> None:
    shutil.copytree(bad_clips, tmp_path / "raw" / "awkward")
    inventory_of(tmp_path / "raw", tmp_path / "inventory", max_rejected_share=0.9)
    clips, rejected = read_clips(tmp_path / "inventory"), read_rejected(tmp_path / "inventory")
    assert len(clips) + len(rejected) == 19
    assert set(rejected["reason"]) <= set(REASONS)
    assert dict(zip(rejected["source_path"], rejected["reason"], strict=True))["awkward/name with spaces – 雨の音 été.mp4"] == "duplicate"
    assert {"train", "test"} == set(clips["split"])


def test_reader_is_pyav_exactly_where_decord_is_wrong(bad_clips: Path) -> None:
    chosen = {}
    for name in ("good_reference.mp4", "edit_list_start.mp4", "portrait_rotated.mp4", "variable_frame_rate.mp4"):
        chosen[name] = measured(bad_clips, name).reader_because
    pytest.importorskip("decord")
    assert chosen == {"good_reference.mp4": "", "edit_list_start.mp4": "edit list", "portrait_rotated.mp4": "rotation",
                      "variable_frame_rate.mp4": "variable frame rate"}


def test_silence_is_accepted_and_counted_when_allowed(tmp_path: Path, make_clip: MakeClip) -> None:
    for i in range(2):
        make_clip(tmp_path / "raw" / "quiet" / f"{i}.mp4", 1.8 + i / 10, level=0.0)
    with pytest.raises(DataError, match=r"no clip is left of the 2 files .*silent_audio 2"):
        inventory_of(tmp_path / "raw", tmp_path / "inventory")
    inventory_of(tmp_path / "raw", tmp_path / "inventory", allow_silent=True)
    assert json.loads((tmp_path / "inventory" / "quality.json").read_text())["sound"]["silent"]["count"] == 2


def test_a_name_that_is_not_utf8_is_rejected_and_stops_nothing(raw: Path, tmp_path: Path) -> None:
    good = sorted(raw.glob("*/*.mp4"))
    shutil.copy(good[0], os.fsencode(good[0].parent) + b"/odd\xff.mp4")
    inventory_of(raw, tmp_path / "inventory")
    rejected = read_rejected(tmp_path / "inventory")
    assert rejected[["source_path", "reason"]].values.tolist() == [[f"{good[0].parent.name}/odd\\xff.mp4", "name_not_utf8"]]
    assert len(read_clips(tmp_path / "inventory")) == len(good)


def test_same_bytes_whatever_the_number_of_workers(raw: Path, tmp_path: Path) -> None:
    for num_workers in (1, 2):
        inventory_of(raw, tmp_path / str(num_workers) / "inventory", num_workers=num_workers)
    names = sorted(path.name for path in (tmp_path / "1" / "inventory").iterdir())
    assert names == ["_SUCCESS.json", "clips.parquet", "pairs.parquet", "quality.json", "rejected.parquet", "sources.parquet"]
    for name in names:
        assert (tmp_path / "1" / "inventory" / name).read_bytes() == (tmp_path / "2" / "inventory" / name).read_bytes()


def test_added_files_leave_old_clips_where_they_were(raw: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    for i in range(6, 12):
        make_clip(raw / f"class_{i % 2}" / f"{i}.mp4", 1.8, tone_hz=300 + 50 * i)
    inventory_of(raw, tmp_path / "before", test_share=0.4)
    make_clip(raw / "a_new_class" / "new.mp4", 1.8, tone_hz=2000)
    inventory_of(raw, tmp_path / "after", test_share=0.4)
    before, after = (read_clips(tmp_path / name).set_index("clip_id")["split"] for name in ("before", "after"))
    assert len(after) == len(before) + 1
    assert after[before.index].equals(before)


@pytest.mark.parametrize(("prepare", "message"), [
    (lambda raw: None, "is not there; expected a folder <class>/<file>"),
    (lambda raw: raw.mkdir(), "holds nothing; expected videos"),
    (lambda raw: write(raw / "dog" / "notes.txt"), "holds 1 files, none with a video's ending"),
    (lambda raw: write(raw / "a.mp4"), "has no class folders, its 1 videos lie side by side"),
    (lambda raw: write(raw / "dog" / "a.mp4"), "no clip is left of the 1 files .*not_media 1"),
], ids=["missing", "empty", "no videos", "no class folders", "all rejected"])
def test_a_folder_that_cannot_be_used_is_told_in_one_line(prepare: Callable[[Path], object], message: str, tmp_path: Path) -> None:
    prepare(tmp_path / "raw")
    with pytest.raises(DataError, match=message) as told:
        inventory_of(tmp_path / "raw", tmp_path / "inventory")
    assert "\n" not in str(told.value)
    assert not (tmp_path / "inventory").exists()


def test_too_many_rejected_stop_with_the_table_of_reasons(raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(7):
        (raw / "class_0" / f"broken_{i}.mp4").write_bytes(b"" if i < 3 else b"text")
    with pytest.raises(DataError, match=r"7 of 13 files .*max_rejected_share 0.5: empty_file 3 \(such as .*\), not_media 4"):
        inventory_of(raw, tmp_path / "inventory")
    assert f"rejected: 3 empty_file ({REASONS['empty_file']})" in capsys.readouterr().err
    listed = next(tmp_path.glob(".wip/inventory/*/scratch/rejected.csv")).read_text().splitlines()
    assert listed[0] == "source_path,reason,detail" and len(listed) == 8


def test_every_file_is_somewhere(raw: Path, tmp_path: Path) -> None:
    shutil.copy(raw / "class_0" / "0.mp4", raw / "beside.mp4")
    (raw / "class_0" / "deeper").mkdir()
    shutil.copy(raw / "class_0" / "0.mp4", raw / "class_0" / "deeper" / "0.mp4")
    shutil.copy(raw / "class_0" / "0.mp4", raw / "class_1" / "same.mp4")
    (raw / "class_0" / ".hidden.mp4").write_bytes(b"")
    (raw / "SOURCES.csv").write_text("a,b")
    inventory_of(raw, tmp_path / "inventory")
    rejected = read_rejected(tmp_path / "inventory")
    assert dict(zip(rejected["source_path"], rejected["reason"], strict=True)) == {
        "beside.mp4": "outside_class_folder", "class_0/deeper/0.mp4": "nested_folder", "class_1/same.mp4": "duplicate"}
    assert json.loads((tmp_path / "inventory" / "quality.json").read_text())["files"] == {
        "accepted": 6, "rejected": 3, "ignored_by_ending": {".csv": 1}}


def test_long_sources_are_cut_into_clips_of_whole_frames() -> None:
    assert cut(0.0, 23.17, CLIP) == [(0.0, 10.0), (10.0, 10.0), (20.0, 3.1)]
    assert cut(0.0, 11.2, CLIP) == [(0.0, 10.0)]  # the rest is shorter than a window
    assert cut(0.0, 1.5995, CLIP) == [(0.0, 1.6)]  # a rounding short
    assert cut(0.276, 2.4, CLIP) == [(0.276, 2.1)]


def test_sound_that_starts_late_moves_the_begin(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "late.mp4", 3.0, audio_start_sec=0.5)
    found = measured(tmp_path, "late.mp4")
    assert found.audio_start_sec == pytest.approx(0.5, abs=0.03)
    assert clips_of(found, CLIP, allow_silent=False)[0][0] == pytest.approx(found.audio_start_sec, abs=0.001)
    assert found.frames == 75


def test_transport_stream_whose_pictures_decord_gets_wrong_goes_to_pyav(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "clip.ts", 2.0, fps=30)
    assert measured(tmp_path, "clip.ts").reader == "pyav"


def test_a_playlist_opens_nothing(tmp_path: Path, make_clip: MakeClip) -> None:
    make_clip(tmp_path / "secret.mp4", 2.0)
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "concat.mp4").write_text("ffconcat version 1.0\nfile 'clip.mp4'\n")
    (tmp_path / "raw" / "hls.ts").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n../secret.mp4\n#EXT-X-ENDLIST\n")
    make_clip(tmp_path / "raw" / "clip.mp4", 2.0)
    for name in ("concat.mp4", "hls.ts"):
        with pytest.raises(RejectedFile, match="not_media"):
            measured(tmp_path / "raw", name)


@pytest.mark.slow
def test_every_real_clip_is_accepted_or_has_a_reason(real_clips: Path, tmp_path: Path) -> None:
    inventory_of(real_clips, tmp_path / "inventory", num_workers=2)
    clips, rejected = read_clips(tmp_path / "inventory"), read_rejected(tmp_path / "inventory")
    assert clips["source_path"].nunique() + len(rejected) == 62
    assert clips["class_id"].nunique() == 19
    assert set(clips.loc[clips["split"] == "train", "class_name"]) == set(clips["class_name"])
    pyav = set(clips.loc[(clips["reader"] == "pyav") & (clips["start_sec"] == 0), "source_path"])
    assert {"other/torchcodec__nasa_13013.mp4", "vehicle/Video-to-Audio-and-Piano__1uCzQCdCC1U_000170.mp4"} <= pyav
