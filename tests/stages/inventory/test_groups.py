"""What belongs together is never on both sides: pytest tests/stages/inventory/test_groups.py"""

import shutil
from dataclasses import replace
from pathlib import Path

import av
import pandas as pd
import pytest

from pipeline.contracts.sources import read_pairs, read_sources
from pipeline.params import ClipParams, load_params
from pipeline.workers import Workers
from stages.inventory.accepted import Source
from stages.inventory.groups import group_keys, source_id, without_conflicts
from stages.inventory.inventory import run
from stages.inventory.measure import Hashed, Named, hash_one, measure
from stages.inventory.measured import Measured, Outcome
from stages.inventory.near_duplicates import Fingerprint, likely_pairs, stretch
from stages.inventory.same_recording import Pair, Side, Verdict, judge
from stages.inventory.split import SplitSource, split_sources
from tests.stages.inventory.made_up import made_up
from tests.stages.inventory.scenes import write_copy, write_scene

ROOT = Path(__file__).resolve().parents[3]
INVENTORY = load_params(ROOT / "tests/presets/tiny.yaml").inventory
PATTERN = INVENTORY.source_pattern
AIST = load_params(ROOT / "pipeline/presets/aistpp.yaml").inventory.source_pattern
CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
COPIES: dict[str, dict[str, object]] = {
    "encoded anew": {"crf": 36, "bit_rate": 48000},
    "half the size": {"size": (64, 48)},
    "12 frames a second": {"fps": 12},
    "brighter": {"gain": 0.85, "lift": 30.0},
    "cut": {"start_sec": 1.37, "seconds": 4.1},
    "the end cut off, small, slow": {"seconds": 3.3, "size": (80, 60), "fps": 15, "crf": 30, "bit_rate": 48000},
}


@pytest.mark.parametrize(("path", "found"), [
    ("baby/1aDnyPubxdY_000118.mp4", "1aDnyPubxdY"),
    ("baby/SpecVQGAN__1aDnyPubxdY_118000_128000.mp4", "1aDnyPubxdY"),
    ("rain/7fRaV39Y-2o_50_60.webm", "7fRaV39Y-2o"),
    ("piano/Video-to-Audio-and-Piano__nwwHuxHMIpc.00000001.mp4", "nwwHuxHMIpc"),
    ("voice/SparseSync__C8zY0oAdQrs__00018.mp4", "C8zY0oAdQrs"),
    ("a/-1pRmoJIGQc_30.000_40.000.mp4", "-1pRmoJIGQc"),
    ("_6zlMP_kQ_-w_12.mp4", None),               # 12 signs before the number
    ("thunder/thunderclap_000001.mp4", None),    # eleven letters, but a word
    ("thunder/ThunderClap_000001.mp4", None),
    ("a/my_long_vid_001.mp4", None),
    ("a/My_Long_Vid_001.mp4", None),
    ("dog/video_02677.mp4", None),
    ("dog/20231224_183012_001.mp4", None),
    ("dog/AVSBench__p04SYXuBSQ.mp4", None),      # no start
    ("bounce/bounce_0001.mp4", None),
])
def test_youtube_names_are_told_from_numbered_ones(path: str, found: str | None) -> None:
    assert source_id(path, PATTERN) == found


def test_a_pattern_may_name_the_source_in_parts() -> None:
    cameras = {source_id(f"x/gBR_sBM_c{camera}_d04_mBR0_ch01.mp4", AIST) for camera in ("01", "02", "All")}
    assert cameras == {"gBR_sBM/d04_mBR0_ch01"}
    assert source_id("x/gBR_sBM_c01_d05_mBR0_ch01.mp4", AIST) not in cameras
    assert source_id("x/anything.mp4", None) is None


def test_links_by_name_and_by_content_join() -> None:
    names = ["1aDnyPubxdY_1", "1aDnyPubxdY_2", "copy of 2", "alone", "copy of copy"]
    sources = [made_up(name, 9.0 - i) for i, name in enumerate(names)]
    keys = group_keys(sources, [("copy of 2", "1aDnyPubxdY_2"), ("copy of copy", "copy of 2")], PATTERN)
    assert keys == dict.fromkeys(names, "source 1aDnyPubxdY") | {"alone": "alone"}


def test_a_worse_copy_takes_the_side_of_the_old_ones_and_moves_none() -> None:
    old = [made_up(f"old {i}", 8.0 + i % 3) for i in range(60)]
    copies = [made_up(f"copy {i}", 6.0) for i in range(60)]
    same = [(f"copy {i}", f"old {i}") for i in range(60)]

    def sides(sources: list[Source], same: list[tuple[str, str]]) -> dict[str, str]:
        keys = group_keys(sources, same, None)
        return split_sources([SplitSource(source.sha256, "a", 5, keys[source.sha256]) for source in sources], 0.4, seed=7)

    before, after = sides(old, []), sides([*copies, *old], same)
    assert set(before.values()) == {"train", "test"}
    assert all(after[source.sha256] == before[source.sha256] for source in old)
    assert all(after[copy] == after[original] for copy, original in same)


def test_labels_that_part_a_group_leave_out_its_training_side() -> None:
    sources = [made_up("a", 5.0, "train"), made_up("b", 5.0, "test"), made_up("c", 5.0), made_up("d", 5.0, "train")]
    groups = {"a": "g", "b": "g", "c": "g", "d": "d"}
    kept, rejected = without_conflicts(sources, groups)
    assert [source.sha256 for source in kept] == ["b", "c", "d"]
    assert rejected == [{"source_path": "a/a.mp4", "reason": "split_conflict",
                         "detail": "labelled train, but it goes with a/b.mp4, which is labelled test"}]
    split = split_sources([SplitSource(item.sha256, "a", 5, groups[item.sha256], item.candidate.split) for item in kept], 0.2, seed=7)
    assert split == {"b": "test", "c": "test", "d": "train"}


def measured(folder: Path, name: str) -> tuple[Fingerprint, Measured]:
    file = hash_one(Named(folder, name))
    assert isinstance(file, Hashed)
    outcome = measure(file)
    assert isinstance(outcome, Outcome) and outcome.measured is not None
    return Fingerprint.of(name, outcome.measured), outcome.measured


def judged(folder: Path) -> list[Verdict]:
    """Verdicts on all files of a folder, whose names stand for their hashes."""
    found = {path.name: measured(folder, path.name) for path in sorted(folder.iterdir())}
    sides = {name: Side(name, name, one.video_start_sec, one.audio_end_sec) for name, (_, one) in found.items()}
    verdicts = []
    for pair in likely_pairs([fingerprint for fingerprint, _ in found.values()]):
        begin_sec, length_sec = stretch(found[pair.first][1], found[pair.second][1], pair.lag_sec)
        verdicts.append(judge(Pair(folder, sides[pair.first], sides[pair.second], begin_sec, length_sec, pair.lag_sec)))
    return verdicts


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_found_and_where_it_lies(kind: str, tmp_path: Path) -> None:
    write_scene(tmp_path / "0.mp4", seed=1)
    write_scene(tmp_path / "1.mp4", seed=1, **COPIES[kind])  # type: ignore[arg-type]
    write_scene(tmp_path / "2.mp4", seed=2)
    (verdict,) = [verdict for verdict in judged(tmp_path) if verdict.same]
    assert verdict.key() == ("0.mp4", "1.mp4")
    assert verdict.lag_sec == pytest.approx(-float(str(COPIES[kind].get("start_sec", 0.0))), abs=0.06)  # AAC's own delay


def test_the_same_packets_in_another_container_are_a_copy(tmp_path: Path) -> None:
    write_scene(tmp_path / "0.mp4", seed=1)
    with av.open(str(tmp_path / "0.mp4")) as source, av.open(str(tmp_path / "1.mkv"), "w") as target:
        streams = {stream: target.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream]
                target.mux(packet)
    assert [verdict.same for verdict in judged(tmp_path)] == [True]


def test_a_still_picture_with_the_same_sound_is_a_copy(tmp_path: Path) -> None:
    write_scene(tmp_path / "0.mp4", seed=1, still=True)
    write_scene(tmp_path / "1.mp4", seed=1, still=True, crf=35)
    assert [(verdict.same, verdict.change) for verdict in judged(tmp_path)] == [(True, None)]


def test_another_take_to_the_same_music_and_the_same_pictures_with_another_sound_are_none(tmp_path: Path) -> None:
    write_scene(tmp_path / "0.mp4", seed=1)
    write_scene(tmp_path / "1.mp4", seed=2, sound_seed=1)
    write_scene(tmp_path / "2.mp4", seed=1, sound_seed=3)
    assert not any(verdict.same for verdict in judged(tmp_path))


def inventory_of(raw: Path, out: Path, *, near_duplicates: bool = True) -> pd.DataFrame:
    params = replace(INVENTORY, test_share=0.4, near_duplicates=near_duplicates)
    run(seed=7, clip=CLIP, inventory=params, workers=Workers(2), source=raw, out=out)
    return read_sources(out).set_index("source_path")


def test_no_group_straddles_the_split_and_new_copies_move_nothing(tmp_path: Path) -> None:
    raw, out = tmp_path / "raw", tmp_path / "inventory"
    for i in range(6):
        write_scene(raw / f"class_{i % 2}" / f"{i}.mp4", seed=i, seconds=3.0)
    before = inventory_of(raw, out)
    for i in range(6):
        write_scene(raw / f"class_{i % 2}" / f"{i}_copy.mp4", seed=i, seconds=2.3, crf=33, size=(96, 72), start_sec=0.4)
    after = inventory_of(raw, out)
    assert after.loc[before.index, "split"].equals(before["split"])
    assert after["group"].nunique() == 6
    for i in range(6):
        own = after.loc[[f"class_{i % 2}/{i}.mp4", f"class_{i % 2}/{i}_copy.mp4"]]
        assert own["group"].nunique() == 1 == own["split"].nunique()
    fresh = inventory_of(raw, tmp_path / "fresh" / "inventory")
    assert fresh.equals(after)
    for name in ("clips.parquet", "sources.parquet", "pairs.parquet", "_SUCCESS.json"):
        assert (out / name).read_bytes() == (tmp_path / "fresh" / "inventory" / name).read_bytes()
    assert read_pairs(out)["same"].sum() == 6
    assert inventory_of(raw, out, near_duplicates=False)["group"].nunique() == 12


@pytest.mark.slow
def test_copies_of_real_clips_are_found_and_no_two_real_clips_are_taken_for_one(real_clips: Path, tmp_path: Path) -> None:
    chosen = [path for path in sorted(real_clips.glob("*/*.mp4")) if path.stat().st_size < 1e6][::2]
    for path in chosen:
        (tmp_path / "raw" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "raw" / path.parent.name)
    originals = sorted((tmp_path / "raw").glob("*/*.mp4"))[::3]
    for i, path in enumerate(originals):
        write_copy(path, path.with_name(f"copy of {path.name}"), start_sec=0.4 * (i % 3), crf=32)
    sources = inventory_of(tmp_path / "raw", tmp_path / "inventory")
    for path in originals:
        own = sources.loc[[f"{path.parent.name}/{path.name}", f"{path.parent.name}/copy of {path.name}"]]
        assert own["group"].nunique() == 1 == own["split"].nunique(), path.name
    assert len(sources) == len(chosen) + len(originals)
    assert sources["group"].nunique() == len(chosen)
