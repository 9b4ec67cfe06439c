"""All real clips, every frame of them and their sound: pytest tests/stages/decode/test_real_clips.py"""

import zlib
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from scipy.signal import resample_poly

from pipeline.contracts.clips import read_clips
from pipeline.params import ClipParams, load_params
from pipeline.workers import Workers
from stages.decode.audio import read_waveform
from stages.decode.video import READERS, TOLERANCE_SEC, PyavReader
from stages.inventory import inventory
from stages.inventory.streams import main_streams

TINY = Path(__file__).resolve().parents[2] / "presets" / "tiny.yaml"
CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
RATE = 16000
MAX_OFFSET_SEC = 0.020
SEARCHED_SEC = 0.5


def checksum(picture: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(picture))


@pytest.mark.slow
def test_no_frame_is_wrong_in_any_real_clip(real_clips: Path, tmp_path: Path) -> None:
    pytest.importorskip("decord")
    from tests.benchmarks.readers import pyav_pictures

    inventory.run(seed=7, clip=CLIP, inventory=load_params(TINY).inventory, workers=Workers(), source=real_clips,
                  out=tmp_path / "inventory")
    clips = read_clips(tmp_path / "inventory").sort_values("start_sec").drop_duplicates("source_path")
    wrong, compared = [], 0
    for name, reader in zip(clips["source_path"], clips["reader"], strict=True):
        with av.open(str(real_clips / name)) as container:
            assert main_streams(container)[0] == container.streams.best("video"), "FFmpeg's own choice"
        seen = pyav_pictures(real_clips / name)
        times, checks = seen.times_sec - seen.times_sec[0], seen.checks
        # At 10 frames a second some are passed over; at 100 every single one of these clips is shown.
        for used, fps in {("pyav", 10), ("pyav", 100), (reader, 10)}:
            moments = np.arange(int(times[-1] * fps) + 1) / fps
            expected = [checks[np.flatnonzero(times <= moment + TOLERANCE_SEC)[-1]] for moment in moments]
            with READERS[used](real_clips / name) as video:
                found = list(checksums(video.pictures(0.0, fps, len(moments))))
            wrong += [(name, used, fps, k) for k, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b]
            compared += len(moments)
    assert not wrong
    assert len(clips) == 62 and set(clips["reader"]) == {"decord", "pyav"} and compared > 60_000


@pytest.mark.slow
def test_sound_of_every_real_clip_is_where_its_times_say(real_clips: Path) -> None:
    offsets = {}
    for path in sorted(real_clips.glob("*/*.*")):
        with PyavReader(path) as video:
            zero_sec = video.zero_sec
        expected = straight(path, zero_sec)
        for start_sec in (0.0, 1.7):
            part = expected[round(start_sec * RATE):]
            found = read_waveform(path, zero_sec, start_sec, len(part) / RATE, RATE)
            offsets[path.name, start_sec], likeness = offset(found, part)
            assert likeness > 0.25, path  # times that jitter cut the reference into pieces (up to 20 ms in one clip)
    assert len(offsets) == 124
    assert max(map(abs, offsets.values())) < MAX_OFFSET_SEC, max(offsets.items(), key=lambda item: abs(item[1]))


@pytest.mark.slow
def test_every_disagreement_of_the_readers_is_explained(real_clips: Path, bad_clips: Path) -> None:
    pytest.importorskip("decord")
    from tests.benchmarks.readers import NOT_EXPLAINED, disagreements

    files = [*sorted(real_clips.glob("*/*.*")), *sorted(bad_clips.glob("*.mp4"))]
    found = [row for path in files for row in disagreements(path)]
    assert len(files) == 81 and found
    assert [row for row in found if row.cause == NOT_EXPLAINED] == []


def checksums(pictures: Iterator[np.ndarray]) -> Iterator[int]:
    """Of each picture; one that is shown again is the same object."""
    last, check = None, 0
    for picture in pictures:
        last, check = picture, check if picture is last else checksum(picture)
        yield check


def straight(path: Path, zero_sec: float) -> np.ndarray:
    """Decoded in one go, every piece put where its own time says, resampled by other code than the stage's."""
    with av.open(str(path)) as container:
        audio = container.streams.best("audio", related=container.streams.best("video"))
        rate = audio.rate
        pieces = [(float(frame.pts * frame.time_base) - zero_sec, frame.to_ndarray()) for frame in container.decode(audio)]
    wave = np.zeros(round((pieces[-1][0] + 1) * rate))
    for time, samples in pieces:
        mono = samples.reshape(len(samples), -1).mean(axis=0)
        first = round(time * rate)
        begin, end = max(first, 0), min(first + len(mono), len(wave))
        if begin < end:
            wave[begin:end] = mono[begin - first:end - first]
    return resample_poly(wave, RATE, rate)


def offset(found: np.ndarray, expected: np.ndarray) -> tuple[float, float]:
    """(seconds by which the first is later, how alike they are there)."""
    size = min(len(found), len(expected))
    a, b = found[:size].astype(np.float64), expected[:size]
    crossed = np.fft.irfft(np.fft.rfft(a, 2 * size) * np.conj(np.fft.rfft(b, 2 * size)))
    reach = round(SEARCHED_SEC * RATE)
    lags = np.r_[0:reach, -reach:0]
    best = lags[crossed[lags].argmax()]
    return best / RATE, crossed[best] / (np.linalg.norm(a) * np.linalg.norm(b))
