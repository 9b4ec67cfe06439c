"""`quality.json`: what the data set is like, in counts and ranges; the same bytes for the same data."""

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.contracts.outputs import write_text
from stages.inventory.accepted import Source
from stages.inventory.reasons import REASONS, counted


def write_quality(
    path: Path, sources: list[Source], clips: list[dict[str, object]], rejected: list[dict[str, object]], ignored: dict[str, int],
) -> None:
    """Write the report.

    Args:
        sources: accepted files.
        clips: rows of `clips.parquet`.
        rejected: rows of `rejected.parquet`.
        ignored: files that do not look like videos, by ending.
    """
    used_sec = sum(duration for item in sources for _, duration in item.clips)
    report = {
        "files": {"accepted": len(sources), "rejected": len(rejected), "ignored_by_ending": ignored},
        "rejected": {code: {"count": count, "means": REASONS[code]} for code, count in counted(rejected).items()},
        "classes": _by_class(sources, clips),
        "splits": dict(sorted(Counter(str(row["split"]) for row in clips).items())),
        "seconds": {
            "in_clips": round(used_sec, 3),
            "left_over": round(sum(item.measured.video_end_sec for item in sources) - used_sec, 3),
            **_range("source", [item.measured.video_end_sec for item in sources]),
        },
        "picture": {
            **_range("fps", [item.measured.fps for item in sources]),
            "sizes_px": _counts(f"{item.measured.width_px}x{item.measured.height_px}" for item in sources),
        },
        "sound": {
            "rates_hz": _counts(str(item.measured.audio_rate_hz) for item in sources),
            "channels": _counts(str(item.measured.audio_channels) for item in sources),
            **_range("rms_dbfs", [_decibels(item.measured.audio_rms) for item in sources]),
            "peak_over_full_scale": sum(item.measured.audio_peak > 1 for item in sources),
            "silent": sum(item.measured.silent for item in sources),
            "starts_apart_from_picture": {
                item.path: round(item.measured.audio_start_sec, 4) for item in sources if abs(item.measured.audio_start_sec) > 0.02
            },
        },
        "readers": _counts(item.measured.reader for item in sources),
        "pyav_because": {item.path: item.measured.reader_because for item in sources if item.measured.reader == "pyav"},
    }
    write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def _by_class(sources: list[Source], clips: list[dict[str, object]]) -> dict[str, dict[str, object]]:
    rows: dict[str, dict[str, object]] = {}
    for name in sorted({item.class_name for item in sources}):
        own = [row for row in clips if row["class_name"] == name]
        splits = Counter(row["split"] for row in own)
        rows[name] = {
            "sources": len({row["source_sha256"] for row in own}), "train_clips": splits["train"], "test_clips": splits["test"],
            "seconds": round(sum(float(str(row["duration_sec"])) for row in own), 3),
        }
    return rows


def _counts(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items()))


def _range(name: str, values: list[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0, 0.5, 1))
    return {f"{name}_min": round(float(low), 3), f"{name}_median": round(float(middle), 3), f"{name}_max": round(float(high), 3)}


def _decibels(level: float) -> float:
    return 20 * float(np.log10(max(level, 1e-6)))
