"""What is known of one content once it was decoded; the same whether it was decoded in this run or taken over from another."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

SILENCE_PEAK = 1 / 32768
"""Below the smallest step of 16-bit sound."""

FROZEN_CHANGE = 8.0
"""Of 255. One still picture, encoded: 1 to 4, at any quality. The stillest of 62 real clips: 55."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One content that can be decoded. Fields as in pipeline/contracts/sources.py."""

    container: str
    video_codec: str
    audio_codec: str
    frames: int
    hidden_frames: int
    video_start_sec: float
    video_end_sec: float
    audio_start_sec: float
    audio_end_sec: float
    width_px: int
    height_px: int
    rotation_deg: int
    size_changes: bool
    variable_rate: bool
    video_streams: int
    audio_streams: int
    audio_rate_hz: int
    audio_channels: int
    audio_layout: str
    audio_peak: float
    audio_rms: float
    loudness_lufs: float | None
    full_scale_share: float
    black_share: float
    picture_change: float
    picture_hashes: bytes
    sound_words: bytes
    reader: str = ""
    reader_because: str = ""

    @property
    def fps(self) -> float:
        """Mean frame rate."""
        return self.frames / self.video_end_sec

    @property
    def frozen(self) -> bool:
        """Whether the picture never changes."""
        return self.picture_change < FROZEN_CHANGE

    @property
    def silent(self) -> bool:
        """Whether every sample is zero."""
        return self.audio_peak < SILENCE_PEAK


FIELDS = tuple(field.name for field in fields(Measured))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one content: measured, or a reason code."""

    sha256: str
    bytes: int
    measured: Measured | None
    reason: str = ""
    detail: str = ""

    def key(self) -> str:
        """By which it is known."""
        return self.sha256

    def row(self) -> dict[str, Any]:
        """As columns of sources.parquet; those of `Measured` are None where there is a reason."""
        own = {name: getattr(self.measured, name) if self.measured else None for name in FIELDS}
        return {"sha256": self.sha256, "bytes": self.bytes, "reason": self.reason, "detail": self.detail, **own}


def outcome_from(row: Mapping[str, Any]) -> Outcome:
    """The opposite of `Outcome.row`; KeyError or TypeError where a column is missing."""
    measured = None if row["reason"] else Measured(**{name: row[name] for name in FIELDS})
    return Outcome(row["sha256"], row["bytes"], measured, row["reason"], row["detail"])
