"""The memorisation audit finds copies, spares new clips, keeps its rate. `pytest tests/stages/evaluate/test_memorisation.py`"""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from pipeline.contracts.decoded import decoded_sample, read_decoded
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.window_sets import Place, RealWindows, Window, sources_of, spread
from stages.evaluate import memorisation
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.learnt_clips import LearntClips, thumbnails
from stages.evaluate.memorisation import limit_of, neighbour_rows
from stages.evaluate.nearest import blocks_of, nearest
from tests.shards import write_shards
from tests.stages.evaluate.listed import AUDIO, CLIP, Listed, evaluation


def test_the_nearest_row_of_each_source_is_that_of_a_search_one_by_one() -> None:
    random = np.random.default_rng(0)
    rows, sources = random.normal(size=(300, 7)), [f"s{i}" for i in random.integers(0, 23, 300)]
    queries = random.normal(size=(20, 7))
    order = np.argsort(sources, kind="stable")
    for size in (1, 40, 10_000):  # how the large set is cut changes nothing
        found = nearest(queries, cut(rows, sources, order, size), neighbours=4)
        for i, query in enumerate(queries):
            distances = np.linalg.norm(rows - query, axis=1)
            of_source = sorted(min(distances[k] for k in range(300) if sources[k] == name) for name in set(sources))
            assert order[found.rows[i]] == distances.argmin() and found.distances[i] == pytest.approx(distances.min())
            assert found.ratios[i] == pytest.approx(of_source[0] / np.mean(of_source[1:5]))


def cut(rows: np.ndarray, sources: list[str], order: np.ndarray, size: int) -> Iterator[tuple[np.ndarray, Sequence[str]]]:
    names = np.array(sources)[order]
    edges = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1), len(names)]
    kept = [0]
    for edge in edges[1:]:
        if edge - kept[-1] >= size or edge == len(names):
            kept.append(edge)
    for begin, end in pairwise(kept):
        yield rows[order[begin:end]], names[begin:end].tolist()


def test_blocks_hold_whole_sources() -> None:
    sources = ["b", "a", "b", "c", "a"]
    blocks = list(blocks_of(np.arange(5)[:, None], sources, np.argsort(sources, kind="stable")))
    assert [name for _, names in blocks for name in names] == ["a", "a", "b", "b", "c"]
    assert np.concatenate([rows for rows, _ in blocks])[:, 0].tolist() == [1, 4, 0, 2, 3]
    many = [f"{i // 3:05d}" for i in range(9000)]
    seen = [set(names) for _, names in blocks_of(np.zeros((9000, 1)), many, np.arange(9000))]
    assert len(seen) > 3 and sum(map(len, seen)) == 3000, "no source lies in two blocks"


def test_a_single_source_has_no_neighbourhood() -> None:
    with pytest.raises(ValueError, match="two sources or more, got 1"):
        nearest(np.zeros((1, 2)), [(np.zeros((3, 2)), ["a", "a", "a"])])


def test_the_rule_flags_as_many_honest_clips_as_it_says() -> None:
    random = np.random.default_rng(1)
    flagged, rates = [], []
    for _ in range(300):
        limit, rate = limit_of(random.gamma(4.0, size=250))
        flagged.append((random.gamma(4.0, size=100) < limit).mean())
        rates.append(rate)
    assert rates[0] == pytest.approx(2 / 251) and np.mean(flagged) == pytest.approx(rates[0], abs=0.0015)
    assert limit_of(np.array([0.9, 0.7, 0.8])) == (0.7, 1 / 4), "three held-out windows cannot promise one in a hundred"


def write_clouds(out: Path, clips: int = 32) -> Path:
    """data/decode with drifting clouds, no two clips alike: half to learn from, half held out."""
    with stage_output(out, params={}, inputs={}, code=Path(__file__)) as work:
        samples = []
        for i in range(clips):
            cloud = gaussian_filter(np.random.default_rng(i).normal(size=(32, 32, 3)), (4, 4, 0), mode="wrap")
            picture = np.clip(128 + 400 * cloud, 0, 255).astype(np.uint8)
            meta = {"clip_id": f"{i:016x}_000000", "class_id": 0, "class_name": "clouds", "split": "train" if i % 2 else "test",
                    "source_path": f"clouds/{i}.mp4", "start_sec": 0.0, "reader": "pyav", "gain": 1.0}
            samples.append(decoded_sample(np.stack([np.roll(picture, k, axis=1) for k in range(20)]), np.zeros(32_000, np.int16), meta))
        write_shards(work, samples)
    return out


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clouds(tmp_path_factory.mktemp("clouds") / "decode")


def audited(decode: Path, scratch: Path, task: str, windows: list[Window]) -> Evaluation:
    """The audit of some windows as samples of a task."""
    def real(split: str) -> RealWindows:
        return RealWindows(decode, split, spread(sources_of(decode, split), 40, CLIP, 1), CLIP, AUDIO)

    made = evaluation(["clouds"])
    made.real = dataclasses.replace(made.real, reference=real("test"), training=real("train"),
                                    learnt_clips=LearntClips(decode, CLIP, scratch))
    memorisation.measure(made, Group(task, Listed(windows)))
    return made


def test_a_training_window_come_back_is_flagged_and_named_and_a_new_one_is_not(clouds: Path, tmp_path: Path) -> None:
    clip_id = read_decoded(clouds, "train").keys[5]
    copied = RealWindows(clouds, "train", [Place(clip_id, 2)], CLIP, AUDIO)[0]
    noisy = np.clip(copied.frames + np.random.default_rng(0).normal(0, 8, copied.frames.shape), 0, 255).astype(np.uint8)
    windows = [dataclasses.replace(copied, name=name, frames=frames) for name, frames in (("copy", noisy), ("new", noisy[:, ::-1]))]
    made = audited(clouds, tmp_path, "svg", windows)
    share = {figure.name: figure for figure in made.figures.found}["memorised_pixels"]
    assert share.value == 0.5 and share.floor == pytest.approx(1 / 41) and "flagged below a ratio" in share.note
    rows = {str(row["name"]): row for row in neighbour_rows(made)}
    assert rows["copy"]["flagged"] and rows["copy"]["nearest"] == f"{clip_id}-0002" and float(str(rows["copy"]["distance"])) < 8
    assert not rows["new"]["flagged"] and float(str(rows["new"]["ratio"])) > 0.7
    assert sum(row["task"] == "real" for row in rows.values()) == 40


def test_held_out_clips_that_were_learnt_from_leave_no_rule_and_are_named(clouds: Path, tmp_path: Path) -> None:
    place = Place(read_decoded(clouds, "train").keys[5], 2)
    made = audited(clouds, tmp_path, "svg", [RealWindows(clouds, "train", [place], CLIP, AUDIO)[0]])
    made.neighbours.clear()
    made.real = dataclasses.replace(made.real, reference=made.real.training)
    made.figures.found.clear()
    memorisation.measure(made, Group("svg", made.real.training))
    assert not made.figures.found
    assert "of 40 are there among those learnt from (such as " in made.figures.missing[0].not_computed


def test_only_a_picture_that_was_generated_is_audited(clouds: Path, tmp_path: Path) -> None:
    window = Window("a", 0, np.zeros((16, 32, 32, 3), np.uint8), np.zeros(25_600, np.int16))
    assert not audited(clouds, tmp_path, "v2a", [window]).figures.found
    assert not audited(clouds, tmp_path, "reconstruction", [window]).figures.found


def test_clips_that_are_not_known_leave_the_pixels_out() -> None:
    window = Window("a", 0, np.zeros((16, 32, 32, 3), np.uint8), np.zeros(8000, np.int16))
    alone = evaluation(reference=[window], training=[window, dataclasses.replace(window, name="b")])
    memorisation.measure(alone, Group("svg", Listed([window])))
    assert next(figure.not_computed for figure in alone.figures.missing).startswith("needs the clips that were learnt from")


def test_every_window_of_every_training_clip_is_looked_at(clouds: Path, tmp_path: Path) -> None:
    learnt = LearntClips(clouds, CLIP, tmp_path)
    rows = np.concatenate([rows for rows, _ in learnt.blocks()])
    assert rows.shape == (16 * 3, 16 * 16 * 16 * 3) and len(learnt.keys) == 48, "clips of 20 frames hold windows at 0, 2 and 4"
    clip_id, start = learnt.keys[7].rsplit("-", 1)
    window = RealWindows(clouds, "train", [Place(clip_id, int(start))], CLIP, AUDIO)[0]
    assert np.array_equal(rows[7], thumbnails(window.frames).reshape(-1))
