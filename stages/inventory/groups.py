"""Which sources belong together, so that none is learnt from while its like is held out.

Two links: the same source by name (inventory.source_pattern, such as the clips `<youtube id>_<start>` of one video), and the same
recording by content (pairs.py). What is linked, directly or through others, is one group.

A group's side is decided by a key (split.py). A name's clips have the name as their key, so that side does not depend on which of
them are there. Of linked recordings the key is that of the best one (longest, then largest, then most bytes): a copy that is added
later is seldom better than what it is a copy of, and so it takes the old one's side. (Where it is better, or where it
links what was apart, an old source can change side; no rule that looks at the files alone could avoid that.)
"""

import re
from collections.abc import Mapping, Sequence

from stages.inventory.accepted import Source


def source_id(path: str, pattern: str | None) -> str | None:
    """What the path names as its source: the parts of `pattern` whose names begin with "source"; None if it does not match."""
    match = re.search(pattern, path) if pattern else None
    parts = [text for name, text in match.groupdict().items() if name.startswith("source") and text] if match else []
    return "/".join(parts) or None


def group_keys(sources: Sequence[Source], same: Sequence[tuple[str, str]], pattern: str | None) -> dict[str, str]:
    """Key of the group by sha256; a source that is alone has its own sha256, or "source " and the name's.

    Args:
        sources: distinct contents.
        same: pairs (sha256, sha256) of the same recording.
        pattern: inventory.source_pattern.
    """
    key = {}
    for source in sources:
        named = source_id(source.path, pattern)
        key[source.sha256] = f"source {named}" if named else source.sha256
    parent = {own: own for own in key.values()}

    def root(own: str) -> str:
        while parent[own] != own:
            parent[own] = parent[parent[own]]
            own = parent[own]
        return own

    for first, second in same:
        parent[root(key[first])] = root(key[second])
    best: dict[str, Source] = {}
    for source in sorted(sources, key=_rank):  # the last one stays
        best[root(key[source.sha256])] = source
    return {source.sha256: key[best[root(key[source.sha256])].sha256] for source in sources}


def without_conflicts(sources: Sequence[Source], groups: Mapping[str, str]) -> tuple[list[Source], list[dict[str, object]]]:
    """(sources, rows of rejected.parquet): where the labels put a group on both sides, the training side is left out."""
    held_out: dict[str, Source] = {}
    for source in sources:
        if source.candidate.split == "test":
            held_out.setdefault(groups[source.sha256], source)
    kept: list[Source] = []
    rejected: list[dict[str, object]] = []
    for source in sources:
        like = held_out.get(groups[source.sha256])
        if source.candidate.split == "train" and like is not None:
            detail = f"labelled train, but it goes with {like.path}, which is labelled test"
            rejected.append({"source_path": source.path, "reason": "split_conflict", "detail": detail})
        else:
            kept.append(source)
    return kept, rejected


def _rank(source: Source) -> tuple[int, int, int, str]:
    """Higher is better; whole seconds, as the encoders round the end."""
    measured = source.measured
    return round(measured.video_end_sec), measured.width_px * measured.height_px, source.bytes, source.sha256
