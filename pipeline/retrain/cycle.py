"""A retrain: cycles of steps, from files in data/incoming to rows of the registry, until nothing is left to do."""

import fcntl
import filecmp
import json
import os
import re
import shlex
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pyarrow.parquet as pq
import yaml

from pipeline.check import check_disk
from pipeline.contracts.outputs import write_text
from pipeline.dvc_tool import dvc_environment
from pipeline.errors import RunError
from pipeline.flows.slots import slot
from pipeline.git_tool import commit_files, file_at, git, require_clean_commit
from pipeline.graph import load_graph
from pipeline.params import Params, parse_params, parse_yaml, read_yaml
from pipeline.progress import say
from pipeline.retrain.contest import TRAINED, fetch_champion, measure_champion, read_metrics
from pipeline.retrain.gate import Judgement, find, flat, judge
from pipeline.retrain.incoming import Arrival, Look, Refused, clear_taken, copy_whole, look, set_aside
from pipeline.retrain.journal import Cycle, Record, advance, load_cycle, save_cycle
from pipeline.retrain.owned_process import run_owned, stopped_by_signals
from pipeline.retrain.publish import push, sync_tags
from pipeline.retrain.raw_data import RawData, add_file, add_files, check_out, is_taken, raw_data, version_of
from pipeline.retrain.registry import champion, model_name, read_registry, trained, write_registry
from pipeline.retrain.workspace import HOME, LOCK, Workspace, default_remote
from pipeline.stage import disk_is_full

PARAMS = "params.yaml"
START = "data/start"
"""Where a warm start's weights lie, as <model>/<stage>."""
Around = Callable[[str, Callable[[], Any]], Any]
"""Runs a step by its name: directly, or as a task of Prefect."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a retrain came to."""

    decision: Literal["promoted", "declined", "nothing new"]
    """Of its last cycle."""
    model: str
    """That was decided on; "" for nothing new."""
    champion: str
    reason: str
    """One line."""
    waiting: tuple[str, ...] = ()
    """Files that were still being copied."""
    not_pushed: str = ""
    """Why the DVC remote has not got all yet."""


def retrain(root: Path, *, again: bool = False, around: Around = lambda name, step: step()) -> Outcome:
    """Finish what a killed run left, take what has arrived, and decide on it; see the package's docstring.

    Args:
        root: the user's project.
        again: train and decide also when no data is new (after an edit of the params or the gate).
        around: how each step is run.

    Raises:
        UserError: in one line what has to be mended; nothing is lost, and the next run goes on.
    """
    with only_one(root), stopped_by_signals():
        try:
            return Retraining(root, around).run(again)
        except OSError as error:
            if not disk_is_full(error):
                raise
            raise RunError(f"no space left on the disk ({error.filename or HOME}); free some, for instance with: dvc gc --workspace "
                           "--all-tags; then run again: mmldm retrain (nothing is lost)") from None


def idle(root: Path) -> Outcome | None:
    """What `retrain` would answer when there is nothing to do at all, found without starting anything; None: there may be.

    Raises:
        UserError: as `retrain`.
    """
    with only_one(root):
        run = Retraining(root, lambda name, step: step())
        if run.journal.exists() or not run.rows or run.params.retrain.source == "import" or not run.is_pushed():
            return None
        return run.nothing_new() if run.open_cycle(again=False) is None else None


@contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Nobody else works in `.retrain` meanwhile; a killed run holds nothing.

    Raises:
        RunError: somebody does.
        ParamsError: this folder is no project.
    """
    read_yaml(root / PARAMS)
    (root / HOME).mkdir(exist_ok=True)
    with (root / HOME / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip()
            raise RunError(f"a retrain is already at work here (process {holder}); wait for it, or stop it: kill {holder}") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


class Retraining:
    """One run."""

    def __init__(self, root: Path, around: Around) -> None:
        self.root, self.around = root.resolve(), around
        self.work, self.arena = Workspace(self.root, "work"), Workspace(self.root, "arena")
        self.home = self.root / HOME
        self.arrived, self.accepted = self.home / "arrived", self.home / "accepted"
        self.journal = self.home / "journal.json"
        self.steps = {"take": self.take, "validate": self.validate, "version": self.version, "collect": self.collect,
                      "reproduce": self.reproduce, "contest": self.contest, "decide": self.decide}
        self.waiting: tuple[str, ...] = ()
        self.read()

    def read(self) -> None:
        """The user's last commit, and all that follows from it."""
        self.base = require_clean_commit(self.root, "retrain")
        self.params_text = file_at(self.root, self.base, PARAMS) or ""
        self.params: Params = parse_params(parse_yaml(self.params_text, PARAMS))
        self.rows = read_registry(self.root)
        self.raw: RawData = raw_data(self.root, self.base, self.params.data.raw, self.params.retrain.source)
        self.incoming = self.root / self.params.retrain.incoming
        self.seen: Look | None = None

    def run(self, again: bool) -> Outcome:
        """Cycle after cycle, until nothing is left."""
        check_disk(self.root)
        sync_tags(self.root, self.rows)
        decided = ""
        while (cycle := self.open_cycle(again)) is not None:
            again = False
            save_cycle(self.journal, cycle)
            finished = advance(cycle, self.steps_around(), lambda current: save_cycle(self.journal, current))
            self.journal.unlink()
            self.read()
            sync_tags(self.root, self.rows)
            if finished is None:
                break
            decided = model_name(cycle.number)
        not_pushed = push(self.root, self.rows, self.raw.dvc_file) if self.params.retrain.push else ""
        if not decided:
            return replace(self.nothing_new(), not_pushed=not_pushed)
        row = trained(self.rows, decided)
        return Outcome(row["decision"], decided, champion(self.rows), row["reason"], self.waiting, not_pushed)

    def nothing_new(self) -> Outcome:
        """The answer when there is nothing to do."""
        where = self.params.retrain.incoming if self.params.retrain.source == "incoming" else self.raw.dvc_file
        now_champion = champion(self.rows)
        return Outcome("nothing new", "", now_champion, f"nothing new in {where}; the champion is {now_champion}", self.waiting)

    def is_pushed(self) -> bool:
        """Whether the DVC remote has all that it is to have."""
        return not self.params.retrain.push or default_remote(self.root) is None or all(row["pushed"] for row in self.rows)

    def open_cycle(self, again: bool) -> Cycle | None:
        """The cycle that a stopped run left, or a new one if there is a reason for one."""
        left, now_champion = load_cycle(self.journal), champion(self.rows)
        if left is not None and not self.is_decided(left):
            say("retrain", f"goes on with {model_name(left.number)}, which was stopped before: {left.next_step}")
            return left.on(self.base, now_champion)
        cycle = Cycle(self.next_number(), self.base, now_champion, again)
        if not self.rows:
            say("retrain", f"there is no champion yet; {model_name(cycle.number)} is what the last commit reproduces")
            return cycle
        if self.params.retrain.source == "import":
            return cycle
        self.seen = look(self.incoming, self.params.retrain.settle_sec)
        self.waiting = self.seen.waiting
        last = self.last_trained()
        users_are_new = self.raw.version not in (last["data_version"], last["base_data_version"])
        return cycle if self.seen.whole or users_are_new or again else None

    def is_decided(self, cycle: Cycle) -> bool:
        """Whether the registry has the cycle's model: the run was killed between its last two writes."""
        return any(row["event"] == "trained" and row["model"] == model_name(cycle.number) for row in self.rows)

    def last_trained(self) -> dict[str, Any]:
        """The newest model's row."""
        return next(row for row in reversed(self.rows) if row["event"] == "trained")

    def next_number(self) -> int:
        """One more than any model in the registry or among git's tags."""
        tags = re.findall(r"model-(\d+)", git(self.root, "tag", "--list", "model-*"))
        return max([0, *(int(number) for number in tags), *(int(row["model"].rsplit("-", 1)[1]) for row in self.rows)]) + 1

    def steps_around(self) -> dict[str, Callable[[Cycle], Record | None]]:
        """The steps, each run by `around`."""
        def wrapped(name: str, step: Callable[[Cycle], Record | None]) -> Callable[[Cycle], Record | None]:
            return lambda cycle: self.around(name, lambda: step(cycle))

        return {name: wrapped(name, step) for name, step in self.steps.items()}

    def take(self, cycle: Cycle) -> Record:
        """Copy what has arrived. Leaves "files": what was copied to `arrived`; "refused": what has a name or bytes that the data has."""
        if not cycle.champion:
            return {"files": [], "refused": []}
        shutil.rmtree(self.arrived, ignore_errors=True)  # of a killed run; the originals are still there
        self.hold_base()
        check_out(self.work, self.raw.path)
        data = self.work.folder / self.raw.path
        add_files(self.accepted, data)
        by_size: dict[int, list[Path]] = {}
        for file in (path for path in data.rglob("*") if path.is_file()):
            by_size.setdefault(file.stat().st_size, []).append(file)
        files: list[dict[str, Any]] = []
        refused: list[dict[str, Any]] = []
        seen = self.seen or look(self.incoming, self.params.retrain.settle_sec)
        for arrival in seen.whole:
            if not copy_whole(self.incoming, arrival, self.arrived / arrival.path, self.home / "arriving.tmp"):
                continue
            files.append(asdict(arrival))
            same = next((file for file in by_size.get(arrival.size, []) if same_bytes(file, self.arrived / arrival.path)), None)
            if same is not None:
                detail = f"the same bytes as {same.relative_to(data).as_posix()}"
                refused.append(asdict(Refused(arrival.path, "duplicate", detail)))
            elif is_taken(data, arrival.path):
                refused.append(asdict(Refused(arrival.path, "name_taken", "the data has another file of that name; give it another one")))
        return {"files": files, "refused": refused}

    def validate(self, cycle: Cycle) -> Record:
        """Look at the new files among the old ones, with the inventory. Leaves "refused": those of no use, with reasons."""
        candidates = paths_left(cycle)
        if not candidates:
            return {"refused": []}
        self.hold_base()
        check_out(self.work, self.raw.path)
        data = self.work.folder / self.raw.path
        add_files(self.accepted, data)
        for path in candidates:
            add_file(self.arrived / path, data / path)
        values: Any = parse_yaml(self.params_text, PARAMS)
        values["inventory"]["max_rejected_share"] = 1.0  # here each file is asked for itself
        write_text(self.work.folder / PARAMS, yaml.safe_dump(values, sort_keys=False))
        stage = load_graph(self.work.folder).stages.get("inventory")
        if stage is None:
            raise RunError("dvc.yaml has no stage inventory, which looks at new files; restore it: git checkout dvc.yaml")
        run_owned(shlex.split(stage.cmd), self.work.folder, dvc_environment(), "inventory")
        tables = {name: pq.read_table(self.work.folder / stage.outs[0] / f"{name}.parquet").to_pylist() for name in ("clips", "rejected")}
        used = {row["source_path"] for row in tables["clips"]}
        told = {row["source_path"]: (row["reason"], row["detail"]) for row in tables["rejected"]}
        unknown = ("not_a_video", "the inventory does not take it for a video")
        return {"refused": [asdict(Refused(path, *told.get(path, unknown))) for path in candidates if path not in used]}

    def version(self, cycle: Cycle) -> Record:
        """Put the data with its new files under version control. Leaves "dvc": the text of its .dvc file; "version": its hash."""
        for path in paths_left(cycle):
            if (self.arrived / path).exists():
                (self.accepted / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(self.arrived / path, self.accepted / path)
        self.hold_base()
        check_out(self.work, self.raw.path)
        data = self.work.folder / self.raw.path
        if self.params.retrain.source == "import":
            self.work.dvc("update", self.raw.dvc_file)
        else:
            self.leave_to_the_user(data)
            add_files(self.accepted, data)
            if any(self.accepted.rglob("*")):
                self.work.dvc("add", self.raw.path)
        text = self.work.text(self.raw.dvc_file)
        return {"dvc": text, "version": version_of(text)}

    def leave_to_the_user(self, data: Path) -> None:
        """What the user's own commit holds by now (a model's commit was merged) is no addition any more."""
        for file in [path for path in self.accepted.rglob("*") if path.is_file()]:
            path = file.relative_to(self.accepted).as_posix()
            if not is_taken(data, path):
                continue
            if (data / path).is_file() and same_bytes(file, data / path):
                file.unlink()
            else:
                refused = Refused(path, "name_taken", "your commit has another file of that name; give it another one")
                set_aside(self.accepted, filter(None, [Arrival.of(self.accepted, path)]), [refused], self.aside())

    def collect(self, cycle: Cycle) -> Record:
        """Empty `incoming` of what was taken; what is of no use moves to `incoming_rejected`, with the reasons."""
        arrivals = [Arrival(**file) for file in cycle.done["take"]["files"]]
        refused = [Refused(**row) for row in (*cycle.done["take"]["refused"], *cycle.done["validate"]["refused"])]
        left = set(paths_left(cycle))
        set_aside(self.incoming, arrivals, refused, self.aside())
        # Only what is safe elsewhere: somebody may have emptied `.retrain` meanwhile.
        clear_taken(self.incoming, [arrival for arrival in arrivals if arrival.path in left and (self.accepted / arrival.path).is_file()])
        shutil.rmtree(self.arrived, ignore_errors=True)
        for row in refused:
            say("retrain", f"not used: {row.path} ({row.reason}: {row.detail}), it is in {self.aside().relative_to(self.root)}")
        return {"new": len(left), "refused": len(refused)}

    def reproduce(self, cycle: Cycle) -> Record | None:
        """Bring every stage up to date in the copy. Leaves "files": text by path of all that the commit will hold, "metrics"."""
        if self.rows and not cycle.asked and cycle.done["version"]["version"] == self.last_trained()["data_version"]:
            return None
        self.warn_of_gate(cycle.champion)
        files = {self.raw.dvc_file: cycle.done["version"]["dvc"], PARAMS: self.params_text}
        warm = bool(self.params.retrain.warm_start and cycle.champion)
        if warm:
            files[PARAMS] = with_warm_start(self.params_text, cycle.champion)
            fetch_champion(self.arena, self.base, files, self.lock_of(cycle.champion))
        self.work.hold(self.base, files)
        if warm:
            self.copy_start(cycle.champion)
            self.work.dvc("add", START)
            files[f"{START}.dvc"] = self.work.text(f"{START}.dvc")
        check_out(self.work, self.raw.path)
        with self.gpu():
            self.work.dvc("repro")
        files[LOCK] = self.work.text(LOCK)
        return {"files": files, "metrics": read_metrics(self.work), "warm_start": cycle.champion if warm else ""}

    def warn_of_gate(self, now_champion: str) -> None:
        """Before hours of training: a figure that the gate asks for and the champion has not."""
        if not now_champion:
            return
        known = flat(json.loads(trained(self.rows, now_champion)["metrics"]))
        for asked in self.params.retrain.gate.not_worse:
            if known and find(known, asked.metric) is None:
                say("retrain", f"retrain.gate.not_worse has {asked.metric}, by which {now_champion} was not measured; "
                               "unless this run measures it of both models, no model can be promoted")

    def copy_start(self, model: str) -> None:
        """The champion's weights, where the trainings look for them."""
        start = self.work.folder / START
        if start.is_dir() and {path.name for path in start.iterdir()} != {model}:
            shutil.rmtree(start)
        for stage in TRAINED:
            source = self.arena.folder / "data" / stage
            if source.is_dir():
                shutil.rmtree(start / model / stage, ignore_errors=True)
                shutil.copytree(source, start / model / stage)

    def contest(self, cycle: Cycle) -> Record:
        """Measure the champion as the challenger was measured. Leaves "metrics" and "failed", see contest.py."""
        if not cycle.champion:
            return {"metrics": {}, "failed": ""}
        files = dict(cycle.done["reproduce"]["files"])
        lock = files.pop(LOCK)
        with self.gpu():
            return measure_champion(self.arena, base=self.base, files=files, challenger_lock=lock,
                                    champion_lock=self.lock_of(cycle.champion))

    @contextmanager
    def gpu(self) -> Iterator[None]:
        """While stages run that may train: in the slot that `mmldm reproduce` waits for too."""
        def wait(seconds: float) -> bool:
            time.sleep(seconds)
            return False

        holder = f"retrain of {self.root} (process {os.getpid()})"
        with slot("gpu", self.params.flow.gpu, holder, wait=wait, say=lambda text: say("retrain", text)):
            yield

    def decide(self, cycle: Cycle) -> Record:
        """Ask the gate, and write the answer down."""
        model, reproduced, contest = model_name(cycle.number), cycle.done["reproduce"], cycle.done["contest"]
        if not self.is_decided(cycle):
            judgement = self.judgement(cycle)
            decision = "promoted" if judgement.promoted else "declined"
            files = reproduced["files"]
            commit = commit_files(self.root, self.base, files, f"{model}: {decision}\n\n{judgement.reason}", self.home / "index")
            row = {"event": "trained", "model": model, "decision": decision, "reason": judgement.reason,
                   "champion": model if judgement.promoted else cycle.champion, "decided_at": now(), "commit": commit, "base": self.base,
                   "data_version": cycle.done["version"]["version"], "base_data_version": self.raw.version,
                   "new_files": cycle.done["collect"]["new"], "rejected_files": cycle.done["collect"]["refused"],
                   "warm_start": reproduced["warm_start"], "params": files[PARAMS], "metrics": as_json(reproduced["metrics"]),
                   "champion_metrics": as_json(contest["metrics"]), "pushed": False}
            self.rows = [*self.rows, row]
            write_registry(self.root, self.rows)
        decided = trained(self.rows, model)
        return {"decision": decided["decision"], "reason": decided["reason"]}

    def judgement(self, cycle: Cycle) -> Judgement:
        """The gate's answer; a champion that cannot be measured stays champion."""
        if not cycle.champion:
            return Judgement(True, "the first model, there is none to compare it with")
        contest = cycle.done["contest"]
        if contest["failed"]:
            return Judgement(False, f"{cycle.champion} cannot be measured with the present code and params ({contest['failed']}); "
                                    f"look at both, then: mmldm registry promote {model_name(cycle.number)}")
        return judge(contest["metrics"], cycle.done["reproduce"]["metrics"], self.params.retrain.gate)

    def hold_base(self) -> None:
        """The copy as the user's commit is, filled with what that commit's outputs are where the copy has none of its own yet."""
        self.work.hold(self.base, {PARAMS: self.params_text, self.raw.dvc_file: self.raw.dvc_text})
        self.work.fill()

    def lock_of(self, model: str) -> str:
        """A model's dvc.lock."""
        commit = trained(self.rows, model)["commit"]
        text = file_at(self.root, commit, LOCK)
        if text is None:
            raise RunError(f"git has no commit {commit[:12]} of {model} any more; make another model champion: mmldm registry promote")
        return text

    def aside(self) -> Path:
        """Where files go that cannot be used."""
        return self.incoming.with_name(f"{self.incoming.name}_rejected")


def paths_left(cycle: Cycle) -> list[str]:
    """The taken files that nothing has been found against so far."""
    refused = {row["path"] for step in ("take", "validate") for row in cycle.done.get(step, {}).get("refused", ())}
    return [file["path"] for file in cycle.done["take"]["files"] if file["path"] not in refused]


def same_bytes(a: Path, b: Path) -> bool:
    """Whether two files hold the same."""
    return filecmp.cmp(a, b, shallow=False)


def with_warm_start(params_text: str, model: str) -> str:
    """params.yaml with `warm_start` set to a model's weights, all else as it was, comments too.

    Raises:
        RunError: the section is not on one line, as the presets have it.
    """
    line = "warm_start: {" + ", ".join(f"{stage}: {START}/{model}/{stage}" for stage in TRAINED) + "}"
    text, count = re.subn(r"(?m)^warm_start: *\{[^}\n]*\} *$", line, params_text)
    if count != 1:
        raise RunError("params.yaml has warm_start not on one line; write it as: warm_start: {klvae: null, autoencoder: null, dit: null}")
    return text


def as_json(metrics: Record) -> str:
    """Figures as text, sorted."""
    return json.dumps(metrics, sort_keys=True)


def now() -> str:
    """The time of day, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
