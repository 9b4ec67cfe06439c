"""Why a file is left out: the closed list of reason codes in `rejected.parquet`."""

from collections.abc import Mapping, Sequence

REASONS = {
    "unreadable": "the file cannot be read (permission, a link to nothing, an error of the disk)",
    "name_not_utf8": "its name (or a folder's) is not UTF-8, which tables and DVC need",
    "changed_while_read": "its size, time or bytes changed between the first and the last read; it is still being written",
    "empty_file": "0 bytes",
    "outside_class_folder": "lies beside the class folders, so it has no class",
    "nested_folder": "lies in a folder inside a class folder; the layout is <class>/<file>",
    "not_in_labels": "inventory.labels names classes, and has no row for it",
    "no_class": "inventory.labels gives it no class, and it lies in no class folder",
    "missing_file": "inventory.labels names it, and it is not there",
    "path_leads_outside": "inventory.labels names a path outside of data.raw (absolute, or with ..), which is not opened",
    "duplicate": "the same bytes as a file that comes earlier in the listing; says so when class or split differ",
    "split_conflict": "inventory.labels says train, and test of a source that shows the same (groups.py); the held-out one is kept",
    "not_media": "cannot be opened: no media file, or truncated so that its index is lost",
    "no_video_track": "no picture (a cover image does not count)",
    "no_audio_track": "no sound",
    "unsupported_codec": "a track is in a format for which there is no decoder here",
    "truncated": "its header promises more than the file holds",
    "container_error": "the stream of packets breaks off with an error",
    "video_decode_error": "a frame cannot be decoded without damage",
    "audio_decode_error": "a piece of the sound cannot be decoded",
    "bad_timestamps": "frames or sound without times, times that run backwards, or sound whose times contradict its length",
    "audio_format_changes": "sample rate or number of channels changes on the way",
    "video_too_short": "the picture lasts less than one window",
    "audio_too_short": "the sound lasts less than one window",
    "overlap_too_short": "sound and picture are there together for less than one window",
    "silent_audio": "every sample is zero (accepted and counted with inventory.allow_silent)",
    "reader_crashed": "the decoder's process died on it",
    "reader_hung": "the decoder came to no end and was stopped",
    "reader_failed": "the decoder gave up in a way of its own; the detail has its words",
}


class RejectedFile(Exception):
    """Raised while a file is measured; carries the code and what was found."""

    def __init__(self, reason: str, detail: str) -> None:
        assert reason in REASONS, reason
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def counted(rejected: Sequence[Mapping[str, object]]) -> dict[str, int]:
    """Number of rejected files by reason, in the order of REASONS."""
    codes = [row["reason"] for row in rejected]
    return {code: codes.count(code) for code in REASONS if code in codes}
