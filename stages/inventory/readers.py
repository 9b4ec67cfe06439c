"""Which reader is right for a file: decord where it agrees with the measured frames, PyAV everywhere else.

decord 0.6.0 counts frames that an edit list hides (and is off by them after a seek), sees no change of picture size,
applies rotation on its own, and in an MPEG transport stream listed right times and returned wrong pictures, all without an error.
So it gets the plain mp4 and mkv files, which are most, and only after its count, times and first pictures were
compared with PyAV's.
"""

import importlib.util
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import av
import numpy as np

from stages.inventory.measured import Measured
from stages.inventory.probe import TIME_TOLERANCE_SEC
from stages.inventory.streams import main_streams

if TYPE_CHECKING:
    import decord

COMPARED_PICTURES = 8
"""More than the frames that a decoder holds back to put them in order."""
CONTAINERS = ("mov,", "matroska,")
HAS_DECORD = importlib.util.find_spec("decord") is not None


def choose_reader(path: Path, measured: Measured, frame_times_sec: np.ndarray) -> tuple[str, str]:
    """("decord", "") or ("pyav", why).

    Args:
        path: the file.
        measured: what was found in it.
        frame_times_sec: float64 [n], of its frames, the first is 0.
    """
    for is_so, why in (
        (not HAS_DECORD, "decord is not installed"),
        (not measured.container.startswith(CONTAINERS), "container"),
        (measured.hidden_frames > 0, "edit list"),
        (measured.video_streams > 1, "several video streams"),
        (measured.rotation_deg != 0, "rotation"),
        (measured.size_changes, "picture size changes"),
        (measured.variable_rate, "variable frame rate"),
    ):
        if is_so:
            return "pyav", why
    why = _disagreement(path, frame_times_sec)
    return ("pyav", why) if why else ("decord", "")


def _disagreement(path: Path, times_sec: np.ndarray) -> str:
    """How decord's own list of frames differs from the decoded one; "" if it does not."""
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    except Exception:  # decord raises its own errors and plain RuntimeErrors; whatever it says, it cannot open the file
        return "decord cannot open it"
    if len(reader) != len(times_sec):
        return "decord counts other frames"
    listed = reader.get_frame_timestamp(np.arange(len(reader)))[:, 0].astype(np.float64)
    if np.abs(listed - listed[0] - times_sec).max() > TIME_TOLERANCE_SEC:
        return "decord times frames otherwise"
    return "" if _same_pictures(path, reader) else "decord shows other pictures"


def _same_pictures(path: Path, reader: "decord.VideoReader") -> bool:
    with av.open(str(path)) as container:
        video, _ = main_streams(container)
        video.codec_context.thread_count = 1
        first = islice(container.decode(video), COMPARED_PICTURES)
        return all(np.array_equal(frame.to_ndarray(format="rgb24", threads=1), reader.next().asnumpy()) for frame in first)
