"""What became of each stage of a run, and the one line that says it in closing."""

from collections.abc import Iterable
from typing import Literal

from pipeline.flows.stage_process import Ended
from pipeline.plan import Plan, Selection
from pipeline.progress import human_seconds

Outcome = Literal["ran", "from DVC's cache", "up to date", "failed", "interrupted", "not started"]


class Outcomes:
    """Filled while the run goes on, from several threads, each of which writes its own stage."""

    def __init__(self, selection: Selection, plan: Plan) -> None:
        self.selection, self.plan = selection, plan
        self.ended: dict[str, Ended] = {}
        self.interrupted: set[str] = set()

    def of(self, stage: str) -> Outcome:
        """What became of a stage of the plan."""
        if stage in self.plan.fresh:
            return "up to date"
        ended = self.ended.get(stage)
        if stage in self.interrupted:
            return "interrupted"
        if ended is None:
            return "not started"
        if ended.code:
            return "failed"
        return "ran" if ended.ran else "from DVC's cache" if ended.from_cache else "up to date"

    def those(self, outcome: Outcome) -> list[str]:
        """The stages with an outcome, in running order."""
        return [stage for stage in (*self.plan.fresh, *self.plan.run) if self.of(stage) == outcome]

    def failure(self) -> str:
        """What failed, and each one's own last line; empty when nothing did."""
        return ", ".join(f"{stage} failed ({self.ended[stage].last_line})" for stage in self.those("failed"))

    def counted(self) -> str:
        """`ran decode 12s, encode 40s | up to date demo_data, inventory | ...`; what there is none of is left out."""
        parts = [f"ran {_named(f'{stage} {human_seconds(self.ended[stage].seconds)}' for stage in self.those('ran'))}",
                 f"up to date {_named(self.those('up to date'))}"]
        others: tuple[Outcome, ...] = ("from DVC's cache", "interrupted", "not started")
        parts += [f"{outcome} {_named(self.those(outcome))}" for outcome in others if self.those(outcome)]
        return " | ".join(parts)

    def stopped_line(self) -> str:
        """The closing line of a run that was stopped."""
        return f"stopped | {self.counted()} | finished work is kept, go on with: {self.go_on()}"

    def go_on(self) -> str:
        """The command that goes on where this run ended: what was forced and has run is not forced again."""
        left = tuple(name for name in self.selection.force if self.of(name) not in ("ran", "from DVC's cache"))
        return Selection(self.selection.to, self.selection.start, left).command()


def _named(stages: Iterable[str]) -> str:
    return ", ".join(stages) or "none"
