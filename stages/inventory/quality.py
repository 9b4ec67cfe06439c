"""`quality.json`: what the data set is like, in counts, ranges and the worst examples; the same bytes for the same data."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from stages.inventory.accepted import Source
from stages.inventory.reasons import REASONS, counted

BLACK_SHARE = 0.1
"""Of the time: a source whose picture is black for longer is counted."""
CLIPPED_SHARE = 1e-4
"""Of the samples: a source with more of them at full scale is counted; a few peaks are none of it."""
APART_SEC = 0.02
"""Sound that starts so much before or after the picture is told."""
EXAMPLES = 10
"""Paths named for each remark, the worst first."""


def quality(
    sources: Sequence[Source], clips: Sequence[Mapping[str, object]], rejected: Sequence[Mapping[str, object]], ignored: Mapping[str, int],
    groups: Mapping[str, str],
) -> dict[str, Any]:
    """The report.

    Args:
        sources: accepted files, at least one.
        clips: rows of `clips.parquet`.
        rejected: rows of `rejected.parquet`.
        ignored: files that do not look like videos, by ending.
        groups: key of the group by sha256 (groups.py).
    """
    used_sec = sum(duration for item in sources for _, duration in item.clips)
    return {
        "files": {"accepted": len(sources), "rejected": len(rejected), "ignored_by_ending": dict(ignored)},
        "rejected": {code: {"count": count, "means": REASONS[code]} for code, count in counted(rejected).items()},
        "classes": _by_class(sources, clips),
        "splits": _counts(str(row["split"]) for row in clips),
        "seconds": {
            "in_clips": round(used_sec, 3),
            "left_over": round(sum(item.measured.video_end_sec for item in sources) - used_sec, 3),
            **_range("source", [item.measured.video_end_sec for item in sources]),
        },
        "picture": _picture(sources),
        "sound": _sound(sources),
        "duplicates": _duplicates(sources, rejected, groups),
        "containers": _counts(item.measured.container for item in sources),
        "readers": _counts(item.measured.reader for item in sources),
        "pyav_because": _counts(item.measured.reader_because for item in sources if item.measured.reader == "pyav"),
    }


def _picture(sources: Sequence[Source]) -> dict[str, Any]:
    black = {item.path: item.measured.black_share for item in sources if item.measured.black_share >= BLACK_SHARE}
    return {
        **_range("fps", [item.measured.fps for item in sources]),
        "variable_rate": sum(item.measured.variable_rate for item in sources),
        "rotated": sum(item.measured.rotation_deg != 0 for item in sources),
        "codecs": _counts(item.measured.video_codec for item in sources),
        "sizes_px": _counts(f"{item.measured.width_px}x{item.measured.height_px}" for item in sources),
        "black_share_of_time": _weighted([(item.measured.black_share, item.measured.video_end_sec) for item in sources]),
        f"black_over_{BLACK_SHARE:g}_of_time": {"count": len(black), "worst": _worst(black)},
        "frozen": _named([item.path for item in sources if item.measured.frozen]),
    }


def _sound(sources: Sequence[Source]) -> dict[str, Any]:
    loud = [item.measured.loudness_lufs for item in sources if item.measured.loudness_lufs is not None]
    clipped = {item.path: item.measured.full_scale_share for item in sources if item.measured.full_scale_share > CLIPPED_SHARE}
    apart = {item.path: item.measured.audio_start_sec for item in sources if abs(item.measured.audio_start_sec) > APART_SEC}
    return {
        "rates_hz": _counts(str(item.measured.audio_rate_hz) for item in sources),
        "layouts": _counts(item.measured.audio_layout for item in sources),
        "codecs": _counts(item.measured.audio_codec for item in sources),
        **(_range("loudness_lufs", loud) if loud else {}),
        "under_-70_lufs": len(sources) - len(loud),
        **_range("rms_dbfs", [_decibels(item.measured.audio_rms) for item in sources]),
        "clipped_share_of_samples": _weighted(
            [(item.measured.full_scale_share, item.measured.audio_end_sec - item.measured.audio_start_sec) for item in sources]),
        f"clipped_over_{CLIPPED_SHARE:g}_of_samples": {"count": len(clipped), "worst": _worst(clipped)},
        "peak_over_full_scale": sum(item.measured.audio_peak > 1 for item in sources),
        "silent": _named([item.path for item in sources if item.measured.silent]),
        "starts_apart_from_picture": {"count": len(apart), "worst_sec": _worst(apart)},
    }


def _duplicates(sources: Sequence[Source], rejected: Sequence[Mapping[str, object]], groups: Mapping[str, str]) -> dict[str, Any]:
    """Same bytes, and sources that share their split because they show the same or come from one video."""
    members: dict[str, list[str]] = {}
    for item in sources:
        members.setdefault(groups[item.sha256], []).append(item.path)
    several = sorted((paths for paths in members.values() if len(paths) > 1), key=lambda paths: (-len(paths), paths))
    return {
        "same_bytes": sum(row["reason"] == "duplicate" for row in rejected),
        "groups": len(members),
        "groups_of_several": len(several),
        "sources_in_them": sum(map(len, several)),
        "largest": several[:EXAMPLES],
    }


def _by_class(sources: Sequence[Source], clips: Sequence[Mapping[str, object]]) -> dict[str, dict[str, object]]:
    own: dict[str, list[Mapping[str, object]]] = {name: [] for name in sorted({item.class_name for item in sources})}
    for row in clips:
        own[str(row["class_name"])].append(row)
    return {name: {
        "sources": len({row["source_sha256"] for row in rows}),
        "train_clips": sum(row["split"] == "train" for row in rows), "test_clips": sum(row["split"] == "test" for row in rows),
        "seconds": round(sum(float(str(row["duration_sec"])) for row in rows), 3),
    } for name, rows in own.items()}


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _named(paths: Sequence[str]) -> dict[str, Any]:
    return {"count": len(paths), "such_as": list(paths[:EXAMPLES])}


def _worst(values: Mapping[str, float]) -> dict[str, float]:
    worst = sorted(values.items(), key=lambda entry: (-abs(entry[1]), entry[0]))[:EXAMPLES]
    return {path: round(value, 4) for path, value in worst}


def _weighted(values: Sequence[tuple[float, float]]) -> float:
    """Mean over the time of all sources, of (value, seconds)."""
    return round(sum(value * seconds for value, seconds in values) / max(sum(seconds for _, seconds in values), 1e-9), 6)


def _range(name: str, values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0, 0.5, 1))
    return {f"{name}_min": round(float(low), 3), f"{name}_median": round(float(middle), 3), f"{name}_max": round(float(high), 3)}


def _decibels(level: float) -> float:
    return 20 * float(np.log10(max(level, 1e-6)))
