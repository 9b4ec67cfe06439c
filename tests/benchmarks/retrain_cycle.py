"""A model's life by retraining, on real clips: python -m tests.benchmarks.retrain_cycle [--clips FOLDER] [--by-the-clock]

A project with the tests' tiny networks. First champion: hardly trained. Then new clips arrive and the user has committed longer
trainings: promoted. Then more arrive and the trainings are cut to one step: declined. Then a rollback. Prints times, what decode and
encode made of it, and the registry. Exits 1 if a decision is another one, or if the user's tree was touched.

With --by-the-clock nobody starts a retraining: `mmldm serve` runs beside the project and looks for new data every two minutes.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment
from pipeline.retrain.registry import read_registry
from tests.benchmarks.material import clip_arguments, clips_or_made, say_load, scratch
from tests.benchmarks.tables import print_table
from tests.test_whole_graph import clone_into

TRAININGS = ("klvae", "autoencoder", "dit")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    clip_arguments(parser)
    parser.add_argument("--first", type=int, default=56, help="clips of the first model")
    parser.add_argument("--new", type=int, default=3, help="clips that arrive each time")
    parser.add_argument("--steps", type=int, default=60, help="of each of the longer trainings")
    parser.add_argument("--by-the-clock", action="store_true", help='retrain by: mmldm serve --cron "*/2 * * * *"')
    parser.add_argument("--keep", type=Path, default=None, metavar="FOLDER", help="keep the project there")
    arguments = parser.parse_args()
    say_load()
    with scratch() as folder:
        root = arguments.keep.resolve() if arguments.keep else folder / "project"
        clips = clips_or_made(arguments.clips, folder / "made", arguments.first + 2 * arguments.new)
        files = spread_over_classes(sorted(path for path in clips.glob("*/*") if path.suffix in (".mp4", ".webm", ".mkv", ".mov", ".avi")))
        ends = [arguments.first + i * arguments.new for i in range(3)]
        batches = [files[:ends[0]], files[ends[0]:ends[1]], files[ends[1]:ends[2]]]
        if len(batches[-1]) < arguments.new:
            sys.exit(f"{clips} has {len(files)} clips, {arguments.first + 2 * arguments.new} needed; lower --first or --new")
        life = ServedLife(root, batches[0]) if arguments.by_the_clock else Life(root, batches[0])
        with life:
            told = [life.step("first champion", steps=1, arrived=[]),
                    life.step(f"{arguments.new} clips, {arguments.steps} steps", steps=arguments.steps, arrived=batches[1]),
                    life.step("nothing new", steps=None, arrived=[]),
                    life.step(f"{arguments.new} clips, 1 step", steps=1, arrived=batches[2]),
                    life.rollback()]
        print_table(("what happens", "seconds", "decision", "decode made", "encode made", "of clips"), told)
        print(life.said("registry", "list"))
        print(life.said("registry", "show", "model-0003"))
        wrong = [told[i][2] for i, expected in ((0, "promoted"), (1, "promoted"), (2, "nothing new"), (3, "declined"))
                 if told[i][2] != expected]
        dirty = life.git("status", "--porcelain")
    if wrong or dirty:
        sys.exit(f"not as expected: {wrong} {dirty}")


class Life(AbstractContextManager["Life"]):
    """The project, and what is done to it."""

    def __init__(self, root: Path, first: list[Path]) -> None:
        self.root = root
        clone_into(root)
        params = yaml.safe_load((root / "params.yaml").read_text())
        params["data"]["raw"] = "data/raw"
        params["inventory"]["max_rejected_share"] = 1.0
        params["sample"] |= {"tasks": ["svg"], "num_samples": 32, "batch_size": 32}
        params["evaluate"] |= {"min_samples": 4, "max_windows": 64}
        params["dit"] |= {"continuation_share": 0.0}
        params["retrain"] |= {"settle_sec": 1.0}
        params["retrain"]["gate"] = {"not_worse": [{"metric": "svg/fad_local", "better": "lower"}],
                                     "better": [{"metric": "svg/fvd_local", "better": "lower"}], "min_gain": 0.0, "at_most": []}
        (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, default_flow_style=None, width=1000))
        copy(first, root / "data/raw")
        subprocess.run(dvc_command("add", "-q", "data/raw"), cwd=root, env=dvc_environment(), check=True)
        self.clips = len(first)

    def step(self, name: str, steps: int | None, arrived: list[Path]) -> tuple[object, ...]:
        """Commit trainings of so many steps (None: leave them), let clips arrive, retrain."""
        started = time.perf_counter()
        self.hold()
        if steps is not None:
            params = yaml.safe_load((self.root / "params.yaml").read_text())
            for stage in TRAININGS:
                params[stage]["train"] |= {"steps": steps, "warmup_steps": 0, "checkpoint_every": steps, "log_every": steps}
            (self.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False, default_flow_style=None, width=1000))
            self.git("add", "-A")
            self.git("-c", "user.name=bench", "-c", "user.email=bench@example.org", "commit", "--allow-empty", "-q", "-m", name)
        copy(arrived, self.root / "data/incoming")
        self.clips += len(arrived)
        output = self.retrained()
        seconds = time.perf_counter() - started
        decision = "promoted" if "is the champion now" in output else "declined" if "is declined" in output else "nothing new"
        return (name, seconds, decision, made("decode", output), made("encode", output), self.clips)

    def hold(self) -> None:
        """Before commits and clips come."""

    def retrained(self) -> str:
        """What a retraining says."""
        return self.said("retrain")

    def __exit__(self, *_: object) -> None:
        pass

    def rollback(self) -> tuple[object, ...]:
        """Back to the champion before."""
        started = time.perf_counter()
        self.said("registry", "rollback")
        return ("rollback", time.perf_counter() - started, "", "", "", self.clips)

    def said(self, *arguments: str) -> str:
        """What a command of mmldm says."""
        done = subprocess.run([sys.executable, "-m", "pipeline", *arguments], cwd=self.root, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"mmldm {' '.join(arguments)} failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))
        return done.stdout.rstrip()

    def git(self, *arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, check=True).stdout


class ServedLife(Life):
    """The same with `mmldm serve` in another process; a step takes from its commit to the end of the run that found it."""

    def __init__(self, root: Path, first: list[Path]) -> None:
        super().__init__(root, first)
        self.log = root.parent / "serve.log"
        self.server: subprocess.Popen[bytes] | None = None

    def hold(self) -> None:
        if self.server is not None:
            self.said("schedule", "pause")

    def retrained(self) -> str:
        since, begin = datetime.now(UTC), self.log.stat().st_size if self.log.exists() else 0
        if self.server is None:
            command = [sys.executable, "-m", "pipeline", "serve", "--cron", "*/2 * * * *", "--timezone", "UTC"]
            with self.log.open("wb") as log:
                self.server = subprocess.Popen(command, cwd=self.root, stdout=log, stderr=subprocess.STDOUT)
        else:
            self.said("schedule", "resume")
        while not self._has_completed(since):
            if self.server.poll() is not None:
                sys.exit(f"mmldm serve ended:\n{self.log.read_text()[-2000:]}")
            time.sleep(2)
        new = [row for row in read_registry(self.root) if datetime.fromisoformat(row["decided_at"]) > since]
        words = {"promoted": "is the champion now", "declined": "is declined"}
        return self.log.read_text()[begin:] + "".join(words[row["decision"]] for row in new)

    def _has_completed(self, since: datetime) -> bool:
        """Whether a run that began after `since` has ended well."""
        if "mmldm schedule" not in self.log.read_text():  # what it says when it listens
            return False
        runs = re.findall(r"(?m)^  (\d{4}-\d\d-\d\d \d\d:\d\d)  Completed", self.said("schedule", "show"))
        return any(datetime.strptime(run, "%Y-%m-%d %H:%M").astimezone() > since for run in runs)

    def __exit__(self, *_: object) -> None:
        if self.server is not None:
            self.server.terminate()
            self.server.wait(60)


def spread_over_classes(files: list[Path]) -> list[Path]:
    """The clips in turn from each class, so that no class is left to those that come later."""
    by_class: dict[str, list[Path]] = {}
    for path in files:
        by_class.setdefault(path.parent.name, []).append(path)
    longest = max(len(members) for members in by_class.values())
    return [members[i] for i in range(longest) for members in by_class.values() if i < len(members)]


def copy(files: list[Path], folder: Path) -> None:
    """Copy clips, each into the folder of its class."""
    for path in files:
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.parent.name / path.name)


def made(stage: str, output: str) -> str:
    """What a stage's closing lines (in the challenger's copy, then in the champion's) say that it made and took over."""
    lines = re.findall(rf"(?m)^{stage} +done in .*$", output)
    counts = [re.findall(r"(made|taken over) (\d+)", line) for line in lines]
    return "; ".join(", ".join(f"{count} {what}" for what, count in line) or "all" for line in counts)


if __name__ == "__main__":
    main()
