"""Where decord and PyAV disagree, and why: python -m tests.benchmarks.readers [FOLDER ...]

Every file is read whole by both: frames, their times, all their pictures, the samples of the sound. Default: the real and the bad
clips of ../shared. A disagreement whose cause is not in the list below is shown as NOT EXPLAINED, and the exit code is 1.
"""

import argparse
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import decord
import numpy as np

from stages.inventory.listing import VIDEO_ENDINGS
from stages.inventory.measured import Measured
from stages.inventory.probe import TIME_TOLERANCE_SEC, probe
from stages.inventory.readers import CONTAINERS
from stages.inventory.reasons import RejectedFile
from stages.inventory.streams import main_streams
from tests.benchmarks.tables import print_table
from tests.conftest import SHARED

OFFSET_SEC = 0.001
"""Less is rounding of time bases."""
RUN_UP_SAMPLES = 4096
"""More than any codec needs before its first true sample."""
TINY_PX = 32
TIMELESS_SEC = 1e9
NOT_EXPLAINED = "NOT EXPLAINED"
REFUSED = {
    "no_audio_track": "decord does not ask for sound",
    "video_decode_error": "damaged: decord paints over it",
    "truncated": "cut off: decord gives what is left",
    "bad_timestamps": "decord does not ask for times",
}
"""Why decord reads what the inventory refuses."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One property of one file."""

    file: str
    what: str
    pyav: object
    decord: object
    cause: str
    """One of those named in this file, or NOT_EXPLAINED."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Sound as one reader gives it."""

    samples: int
    rate_hz: int


@dataclass(frozen=True, slots=True)
class Seen:
    """Pictures as one reader gives them."""

    times_sec: np.ndarray
    """float64 [n], in the file's own time."""
    size_px: tuple[int, int]
    """(width, height) of the first picture."""
    checks: list[int]
    """A checksum of each picture's bytes."""
    pixel_format: str = ""
    interlaced: bool = False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, default=[SHARED / "real_clips", SHARED / "bad_clips"])
    folders = parser.parse_args().folders
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEO_ENDINGS]
    if not files:
        sys.exit(f"no videos in {', '.join(map(str, folders))}; name a folder")
    found = [row for path in files for row in disagreements(path)]
    rows = [(row.file[:40], row.what, row.pyav, row.decord, row.cause) for row in found]
    print_table(("file", "what", "PyAV", "decord", "because"), rows)
    unexplained = sum(row.cause == NOT_EXPLAINED for row in found)
    print(f"{len(files)} files, {len({row.file for row in found})} read differently, {len(found)} differences, {unexplained} not explained")
    sys.exit(bool(unexplained))


def disagreements(path: Path) -> Iterator[Disagreement]:
    """What the readers tell differently of one file."""
    decord.logging.set_level(decord.logging.QUIET)
    av.logging.set_level(av.logging.PANIC)
    theirs, heard = _decord_pictures(path), _decord_sound(path)
    try:
        measured, _ = probe(path)
    except RejectedFile as rejection:
        if theirs is not None:
            yield Disagreement(path.name, "can be used", f"no: {rejection.reason}", f"{len(theirs.checks)} frames",
                               REFUSED.get(rejection.reason, NOT_EXPLAINED))
        return
    if theirs is None:
        cause = "decord is older than the codec" if "av1" in measured.video_codec or "dav1d" in measured.video_codec else NOT_EXPLAINED
        yield Disagreement(path.name, "can be used", "yes", "no", cause)
        return
    ours, sound = pyav_pictures(path), _pyav_sound(path)
    yield from _seen_otherwise(path.name, measured, ours, theirs)
    yield from _timed_otherwise(path.name, measured, ours.times_sec, theirs.times_sec)
    if abs(measured.audio_start_sec) > OFFSET_SEC:
        yield Disagreement(path.name, "sound begins, s", round(measured.audio_start_sec, 4), 0.0, "decord drops where a track begins")
    if heard != sound:
        run_up = heard is not None and 0 < heard.samples - sound.samples <= RUN_UP_SAMPLES and measured.container.startswith("matroska")
        other_track = (measured.audio_streams > 1, "decord opens another sound track")
        cause = _first_cause(other_track, (run_up, "decord gives the codec's run-up too"))
        yield Disagreement(path.name, "samples", sound.samples, heard.samples if heard else "none", cause)


def _seen_otherwise(name: str, measured: Measured, ours: Seen, theirs: Seen) -> Iterator[Disagreement]:
    other_track = (measured.video_streams > 1, "decord opens another video track")
    rotation = (measured.rotation_deg != 0, "rotation: PyAV leaves it to the caller")
    if ours.size_px != theirs.size_px:
        sizes = [f"{seen.size_px[0]}x{seen.size_px[1]}" for seen in (ours, theirs)]
        yield Disagreement(name, "size", *sizes, _first_cause(rotation, other_track))
    count, counted = len(ours.checks), len(theirs.checks)
    if count != counted:
        hidden = (measured.hidden_frames > 0 and counted > count, "edit list: decord counts hidden frames")
        yield Disagreement(name, "frames", count, counted, _first_cause(other_track, hidden))
    elif ours.checks != theirs.checks:
        others = sum(a != b for a, b in zip(ours.checks, theirs.checks, strict=True))
        yield Disagreement(name, "pictures", "-", f"{others} others", _first_cause(
            other_track, rotation,
            (not measured.container.startswith(CONTAINERS), "decord loses frames of this container and repeats others"),
            (ours.pixel_format not in ("yuv420p", "yuvj420p"), "decord's older FFmpeg turns other pixel formats into RGB otherwise"),
            (ours.interlaced, "decord's older FFmpeg gives both fields the same colours"),
            (min(ours.size_px) < TINY_PX, "decord pads the lines of tiny pictures"),
        ))


def _timed_otherwise(name: str, measured: Measured, ours_sec: np.ndarray, theirs_sec: np.ndarray) -> Iterator[Disagreement]:
    first, listed = float(ours_sec[0]), float(theirs_sec[0])
    timeless = (abs(listed) > TIMELESS_SEC, "no times in this container, and decord makes none up")
    hidden = (measured.hidden_frames > 0, "edit list: decord times hidden frames too")
    if abs(first - listed) > OFFSET_SEC:
        yield Disagreement(name, "first frame, s", round(first, 4), round(listed, 4),
                           _first_cause(timeless, hidden, (listed == 0, "decord's times begin at 0")))
    if len(ours_sec) == len(theirs_sec):
        off = float(np.abs((theirs_sec - listed) - (ours_sec - first)).max())
        coarse = (off <= np.spacing(np.float32(first)), "decord's times are float32")
        if off > TIME_TOLERANCE_SEC:
            yield Disagreement(name, "times", "-", f"up to {off:.4g} s off", _first_cause(timeless, hidden, coarse))


def _first_cause(*causes: tuple[bool, str]) -> str:
    """The first cause that applies."""
    return next((why for is_so, why in causes if is_so), NOT_EXPLAINED)


@cache
def pyav_pictures(path: Path) -> Seen:
    """All shown frames in the order of decoding, without a seek; kept in memory, as a test has them in hand twice."""
    times, checks, first = [], [], None
    with av.open(str(path), metadata_errors="replace") as container:
        video, _ = main_streams(container)
        for frame in container.decode(video):
            first = first or frame
            times.append(float(frame.pts * video.time_base))
            checks.append(zlib.crc32(np.ascontiguousarray(frame.to_ndarray(format="rgb24", threads=1))))
    assert first is not None
    return Seen(np.array(times), (first.width, first.height), checks, first.format.name, bool(first.interlaced_frame))


def _decord_pictures(path: Path) -> Seen | None:
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
        times = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0].astype(np.float64)
        pictures = (reader.next().asnumpy() for _ in range(len(reader)))
        first = next(pictures)
        checks = [zlib.crc32(first), *(zlib.crc32(picture) for picture in pictures)]
    except Exception:  # decord's errors are of many types; whatever it says, it cannot read the file
        return None
    return Seen(times, (first.shape[1], first.shape[0]), checks)


def _pyav_sound(path: Path) -> Heard:
    with av.open(str(path), metadata_errors="replace") as container:
        _, audio = main_streams(container)
        pieces = [(frame.samples, frame.sample_rate) for frame in container.decode(audio)]
    return Heard(sum(samples for samples, _ in pieces), pieces[0][1])


def _decord_sound(path: Path) -> Heard | None:
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            rate_hz = container.streams.audio[0].rate
        return Heard(int(decord.AudioReader(str(path), mono=True).shape[-1]), rate_hz)
    except Exception:  # as above
        return None


if __name__ == "__main__":
    main()
