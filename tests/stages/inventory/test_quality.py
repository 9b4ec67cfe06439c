"""What the report says of a data set: pytest tests/stages/inventory/test_quality.py"""

from stages.inventory.quality import quality
from stages.inventory.quality_lines import quality_lines
from tests.stages.inventory.made_up import made_up

SOURCES = [
    made_up("plain", 4.0, loudness_lufs=-20.0),
    made_up("half black", 4.0, black_share=0.5, loudness_lufs=-30.0),
    made_up("a little black", 4.0, black_share=0.05),
    made_up("frozen", 4.0, picture_change=2.0, loudness_lufs=-10.0),
    made_up("clipped", 4.0, full_scale_share=0.01, audio_peak=1.4),
    made_up("one peak", 4.0, full_scale_share=1e-5),
    made_up("silent", 4.0, audio_peak=0.0, audio_rms=0.0),
    made_up("late", 4.0, audio_start_sec=0.476, reader="pyav", reader_because="edit list"),
]
GROUPS = {source.sha256: source.sha256 for source in SOURCES} | {"one peak": "plain", "late": "plain"}
REJECTED: list[dict[str, object]] = [{"source_path": f"a/{i}.mp4", "reason": reason, "detail": ""}
                                     for i, reason in enumerate(("duplicate", "duplicate", "empty_file"))]
CLIPS: list[dict[str, object]] = [{"class_name": "a", "split": "train", "source_sha256": source.sha256, "duration_sec": 4.0}
                                  for source in SOURCES]
REPORT = quality(SOURCES, CLIPS, REJECTED, {".txt": 2}, GROUPS)


def test_black_and_frozen_pictures_are_counted_and_named() -> None:
    assert REPORT["picture"]["black_over_0.1_of_time"] == {"count": 1, "worst": {"a/half black.mp4": 0.5}}
    assert REPORT["picture"]["black_share_of_time"] == 0.06875
    assert REPORT["picture"]["frozen"] == {"count": 1, "such_as": ["a/frozen.mp4"]}


def test_loudness_clipping_silence_and_offsets_are_counted_and_named() -> None:
    sound = REPORT["sound"]
    assert [sound[f"loudness_lufs_{which}"] for which in ("min", "median", "max")] == [-30.0, -20.0, -10.0]
    assert sound["under_-70_lufs"] == 5
    assert sound["clipped_over_0.0001_of_samples"] == {"count": 1, "worst": {"a/clipped.mp4": 0.01}}
    assert sound["peak_over_full_scale"] == 1
    assert sound["silent"] == {"count": 1, "such_as": ["a/silent.mp4"]}
    assert sound["starts_apart_from_picture"] == {"count": 1, "worst_sec": {"a/late.mp4": 0.476}}


def test_duplicates_are_told_by_bytes_and_by_group() -> None:
    assert REPORT["duplicates"] == {"same_bytes": 2, "groups": 6, "groups_of_several": 1, "sources_in_them": 3,
                                    "largest": [["a/plain.mp4", "a/one peak.mp4", "a/late.mp4"]]}


def test_a_person_reads_it_in_a_few_lines_with_a_count_for_each_reason() -> None:
    lines = list(quality_lines(REPORT))
    assert lines[0] == "8 sources of 4.0 to 4.0 s, 0.5 min in clips | 1 classes of 8 to 8 sources"
    assert lines[1] == "rejected: 1 empty_file (0 bytes)"
    assert lines[2].startswith("rejected: 2 duplicate (the same bytes as a file")
    assert "black for over 10% of the time 1 (such as a/half black.mp4) | frozen 1 (such as a/frozen.mp4)" in lines[3]
    assert "-30, -20, -10 LUFS (least, median, most) | clipped 1 (such as a/clipped.mp4) | silent 1 (such as a/silent.mp4)" in lines[4]
    assert "2 of the same bytes | 3 sources in 1 groups" in lines[5]
    assert not any("\n" in line for line in lines)


def test_sources_without_a_measurable_loudness_are_no_error() -> None:
    report = quality([made_up("quiet", 4.0, loudness_lufs=None)], CLIPS[:1], [], {}, {"quiet": "quiet"})
    assert "none LUFS" in next(line for line in quality_lines(report) if line.startswith("sound"))
