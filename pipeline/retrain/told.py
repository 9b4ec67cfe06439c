"""What a person is told of a retrain and of a model."""

import json
from collections.abc import Sequence

from pipeline.retrain.cycle import Outcome
from pipeline.retrain.registry import Row, champion, trained

MOST_NAMES = 5


def outcome_lines(outcome: Outcome) -> list[str]:
    """A retrain's closing lines."""
    lines = []
    if outcome.waiting:
        names = ", ".join(outcome.waiting[:MOST_NAMES])
        more = f" and {len(outcome.waiting) - MOST_NAMES} more" if len(outcome.waiting) > MOST_NAMES else ""
        lines.append(f"not taken yet, still being copied, unreadable or no plain file: {names}{more}; the next run looks again")
    return [*lines, sentence(outcome)]


def sentence(outcome: Outcome) -> str:
    """A retrain in one line."""
    if outcome.decision == "promoted":
        return f"{outcome.model} is the champion now ({outcome.reason}); to work with it: git merge {outcome.model} && dvc checkout"
    if outcome.decision == "declined":
        return (f"{outcome.model} is declined, {outcome.champion} stays champion ({outcome.reason}); "
                f"see: mmldm registry show {outcome.model}")
    return outcome.reason


def model_lines(rows: Sequence[Row], model: str) -> list[str]:
    """All that the registry knows of a model.

    Raises:
        RunError: it does not know it.
    """
    row = trained(rows, model)
    ours, theirs = json.loads(row["metrics"]), json.loads(row["champion_metrics"])
    against = champion(rows[:rows.index(row)])
    facts = [("model", f"{model}{' (champion)' if champion(rows) == model else ''}"), ("decision", f"{row['decision']}: {row['reason']}"),
             ("decided at", row["decided_at"]), ("commit", row["commit"]), ("made from", row["base"]), ("data", row["data_version"]),
             ("new files", f"{row['new_files']}, {row['rejected_files']} rejected"), ("warm start", row["warm_start"] or "none"),
             ("pushed", "yes" if row["pushed"] else "no"), ("to work with it", f"git merge {model} && dvc checkout"),
             ("only its weights", f"dvc get . data/dit --rev {model}")]
    width = max(len(name) for name, _ in facts)
    lines = [f"{name.ljust(width)}  {value}" for name, value in facts]
    if not ours:
        return lines
    column = max(len(name) for name in ours)
    header = f"{'figure'.ljust(column)}  {model:>12}  {against or '':>12}".rstrip()
    return [*lines, "", header, *(f"{name.ljust(column)}  {value:>12.4g}  {f'{theirs[name]:.4g}' if name in theirs else '':>12}".rstrip()
                                  for name, value in sorted(ours.items()))]
