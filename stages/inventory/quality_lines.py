"""The data-quality report for people: a few lines at the close of the stage; all of it is in quality.json."""

from collections.abc import Iterator, Mapping
from typing import Any

from stages.inventory.quality import BLACK_SHARE, CLIPPED_SHARE


def quality_lines(report: Mapping[str, Any]) -> Iterator[str]:
    """One line a subject.

    Args:
        report: quality.quality.
    """
    files, seconds, picture, sound, alike = (report[name] for name in ("files", "seconds", "picture", "sound", "duplicates"))
    classes = report["classes"].values()
    smallest = min((one["sources"] for one in classes), default=0)
    largest = max((one["sources"] for one in classes), default=0)
    yield (f"{files['accepted']} sources of {seconds['source_min']:.1f} to {seconds['source_max']:.1f} s, "
           f"{seconds['in_clips'] / 60:.1f} min in clips | {len(classes)} classes of {smallest} to {largest} sources")
    for code, found in report["rejected"].items():
        yield f"rejected: {found['count']} {code} ({found['means']})"
    black, clipped = picture[f"black_over_{BLACK_SHARE:g}_of_time"], sound[f"clipped_over_{CLIPPED_SHARE:g}_of_samples"]
    yield (f"picture: {picture['fps_min']:g} to {picture['fps_max']:g} fps, {len(picture['sizes_px'])} sizes | black for over "
           f"{BLACK_SHARE:.0%} of the time {_told(black['count'], black['worst'])} | "
           f"frozen {_told(picture['frozen']['count'], picture['frozen']['such_as'])} | variable rate {picture['variable_rate']} | "
           f"rotated {picture['rotated']}")
    measured = [f"loudness_lufs_{which}" for which in ("min", "median", "max")]
    loudness = ", ".join(f"{sound[name]:.0f}" for name in measured if name in sound)
    yield (f"sound: {', '.join(sound['rates_hz'])} Hz | {loudness or 'none'} LUFS (least, median, most) | clipped "
           f"{_told(clipped['count'], clipped['worst'])} | silent {_told(sound['silent']['count'], sound['silent']['such_as'])} | "
           f"apart from the picture {_told(sound['starts_apart_from_picture']['count'], sound['starts_apart_from_picture']['worst_sec'])}")
    largest_group = f", the largest of {len(alike['largest'][0])} (such as {alike['largest'][0][0]})" if alike["largest"] else ""
    yield (f"alike: {alike['same_bytes']} of the same bytes | {alike['sources_in_them']} sources in {alike['groups_of_several']} groups "
           f"that share their split{largest_group}")


def _told(count: int, paths: Any) -> str:
    """`3 (such as a/b.mp4)`."""
    return f"{count} (such as {next(iter(paths))})" if count else "0"
