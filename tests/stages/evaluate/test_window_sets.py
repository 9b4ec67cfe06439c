"""Which real windows are compared with which: no source on both sides, classes even, sources shared as little as possible."""

from collections import Counter

import numpy as np
import pytest

from pipeline.contracts.window_sets import RealWindows, SourceClips, halves, sources_of, spread


def sources(*counts: int) -> list[SourceClips]:
    return [SourceClips(f"class{c}/{i}.mp4", c, ((f"{c:08x}{i:08x}_000000", 24),)) for c, count in enumerate(counts) for i in range(count)]


def test_halves_share_no_source_and_divide_every_class() -> None:
    first, second = halves(sources(6, 8, 10), seed=3)
    assert not {s.source_path for s in first} & {s.source_path for s in second}
    assert Counter(s.class_id for s in first) == Counter(s.class_id for s in second) == {0: 3, 1: 4, 2: 5}


def test_classes_of_one_source_go_to_both_halves() -> None:
    first, second = halves(sources(*[1] * 9), seed=3)
    assert (len(first), len(second)) == (5, 4)


def test_a_source_that_is_alone_is_compared_with() -> None:
    for class_id in range(4):  # whatever its rank
        [only] = sources(*[0] * class_id, 1)
        assert halves([only], seed=3) == ([only], [])


def test_spread_takes_every_source_once_before_any_twice(finished_run) -> None:  # type: ignore[no-untyped-def]
    clip = finished_run(tasks=("svg",)).clip
    places = spread(sources(4, 4), 8, clip, seed=1)
    assert len({place.clip_id for place in places}) == 8
    assert Counter(place.clip_id[:8] for place in places[:4]) == {"00000000": 2, "00000001": 2}
    assert len(spread(sources(1), 10**6, clip, seed=1)) == 8  # all that there are: (24 - 10) / 2 + 1
    assert places == spread(sources(4, 4), 8, clip, seed=1) != spread(sources(4, 4), 8, clip, seed=2)


def test_real_windows_are_the_frames_and_sound_of_their_place(finished_run) -> None:  # type: ignore[no-untyped-def]
    run = finished_run(tasks=("svg",))
    found = sources_of(run.decode, "test")
    assert [length for source in found for _, length in source.clips] == [14] * 8
    places = spread(found, 30, run.clip, seed=1)
    windows = RealWindows(run.decode, "test", places, run.clip, run.audio)
    assert len(windows) == 24
    late = next(i for i, place in enumerate(places) if place.start_frame == 4)
    early = places.index(type(places[0])(places[late].clip_id, 0))
    assert np.array_equal(windows[late].frames[:6], windows[early].frames[4:])
    assert np.array_equal(windows[late].waveform[:4800], windows[early].waveform[3200:])
    assert windows[late].waveform.shape == (8000,) and pytest.approx(0) != windows[late].waveform.std()
