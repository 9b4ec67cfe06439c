"""A person's own decisions: back to the champion before, or another model on top."""

from pathlib import Path

from pipeline.retrain.cycle import now, only_one
from pipeline.retrain.publish import sync_tags
from pipeline.retrain.registry import Row, champion, promoted_by_hand, read_registry, rolled_back, write_registry


def rollback(root: Path) -> str:
    """Make the champion before this one champion again; the sentence that tells it.

    Raises:
        RunError: there is none before it, or a retrain is at work.
    """
    with only_one(root):
        return _decided(root, rolled_back(read_registry(root), now()))


def promote(root: Path, model: str) -> str:
    """Make a model champion; the sentence that tells it.

    Raises:
        RunError: there is no such model, it is champion already, or a retrain is at work.
    """
    with only_one(root):
        return _decided(root, promoted_by_hand(read_registry(root), model, now()))


def _decided(root: Path, rows: list[Row]) -> str:
    write_registry(root, rows)
    sync_tags(root, rows)
    model = champion(rows)
    return f"{model} is the champion now; the tag `champion` names it. To look at it: git switch --detach champion && dvc checkout"
