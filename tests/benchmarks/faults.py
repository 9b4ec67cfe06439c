"""The fault kit over the real stages: python -m tests.benchmarks.faults [--kills 30] [--preset tiny|demo]

One project is reproduced undisturbed. Then, each time from that state: a stage is taken out of it at random, started as `dvc repro`
or as the flow, and killed with all its processes at a random moment; `mmldm check` and `dvc repro` (what `make repro` runs) go
on. After every fault dvc.lock and every output must be, byte for byte, those of the undisturbed run. DVC's memory of earlier
runs is removed before, so that the stages work and are not only checked out. Prints a table; exits 1 if anything differs.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment
from tests.benchmarks.material import say_load, scratch
from tests.benchmarks.tables import print_table
from tests.faults.small_disk import small_disk
from tests.test_whole_graph import bytes_of, clone_into

FAULTS = ("truncated_shard", "damaged_checkpoint", "dead_lock", "full_disk", "lost_server", "lost_worker")
DEMO = Path(__file__).parents[2] / "pipeline/presets/demo.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30, help="random kills of single stages, every fifth under the flow")
    parser.add_argument("--preset", choices=["tiny", "demo"], default="tiny")
    parser.add_argument("--seed", type=int, default=0, help="of the stages and moments that are drawn")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=FAULTS, help="these faults besides the kills")
    arguments = parser.parse_args()
    say_load()
    with scratch() as folder:
        kit = Kit(folder / "project", arguments.preset)
        seconds = kit.reproduce_first()
        print(f"preset {arguments.preset}: {len(kit.stages)} stages in {seconds:.0f} s undisturbed", flush=True)
        rows = list(kit.random_kills(arguments.kills, random.Random(arguments.seed)))
        rows += [getattr(kit, name)() for name in arguments.only]
    print_table(("fault", "times", "struck at work", "converged", "seconds to go on"),
                [(row.name, row.times, row.struck, row.converged, row.seconds) for row in rows])
    sys.exit(any(row.converged != row.times for row in rows))


@dataclass(slots=True)
class Row:
    """What came of one kind of fault."""

    name: str
    times: int = 0
    struck: int = 0
    """How often the process was still at work when it was struck."""
    converged: int = 0
    seconds: float = 0.0
    """To go on, all times together."""


class Kit:
    """One project, its undisturbed state, and the ways to hurt it."""

    def __init__(self, root: Path, preset: str) -> None:
        self.root = root
        clone_into(root)
        if preset == "demo":
            shutil.copy(DEMO, root / "params.yaml")
        self.stages = list(yaml.safe_load((root / "dvc.yaml").read_text())["stages"])
        self.seconds_of: dict[str, float] = {}

    def reproduce_first(self) -> float:
        """The undisturbed run, stage by stage for their times; its state is what all others are compared with."""
        started = time.perf_counter()
        for stage in self.stages:
            began = time.perf_counter()
            self.dvc("repro", "--single-item", stage)
            self.seconds_of[stage] = time.perf_counter() - began
        self.lock = (self.root / "dvc.lock").read_text()
        self.outputs = self.state()
        return time.perf_counter() - started

    def random_kills(self, count: int, dice: random.Random) -> Iterator[Row]:
        """A row for stages killed under `dvc repro`, and one for those killed under the flow."""
        alone, flow = Row("stage killed, dvc repro"), Row("stage killed, mmldm reproduce")
        for number in range(count):
            row, stage = (flow if number % 5 == 4 else alone), dice.choice(self.stages)
            self.take_out(stage)
            if row is flow:
                command, delay = [sys.executable, "-m", "pipeline", "reproduce"], 5.0  # Prefect starts
            else:
                command, delay = dvc_command("repro", stage), 0.3
            row.struck += self.kill_after(command, delay + dice.uniform(0, self.seconds_of[stage]))
            self.go_on(row, f"{number + 1}/{count} {stage}")
        if alone.times:
            yield alone
        if flow.times:
            yield flow

    def truncated_shard(self) -> Row:
        """A file that DVC's cache shares is cut."""
        row = Row("shard cut", struck=1)
        shard = sorted((self.root / "data/decode").glob("*.tar"))[0]
        self.forget_runs()
        shard.chmod(0o644)
        os.truncate(shard, shard.stat().st_size // 2)
        return self.go_on(row)

    def damaged_checkpoint(self) -> Row:
        """A training is killed after a checkpoint, of which a bit is flipped then."""
        row = Row("checkpoint damaged")
        self.take_out("dit")
        checkpoints = "data/.wip/dit/*/scratch/checkpoint.pt"
        row.struck += self.kill_when(dvc_command("repro", "dit"), lambda: bool(list(self.root.glob(checkpoints))))
        for path in self.root.glob(checkpoints):
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        return self.go_on(row)

    def dead_lock(self) -> Row:
        """DVC alone is killed; its stage is ended too, and the lock file names a dead process."""
        row = Row("lock of a dead process")
        self.take_out("sample")
        row.struck += self.kill_when(dvc_command("repro", "sample"),
                                     lambda: "data/sample" in read(self.root / ".dvc/tmp/rwlock"), everything=False)
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == str(self.root) and "stages.sample" in process.cmdline():
                    process.kill()
        return self.go_on(row)

    def full_disk(self) -> Row:
        """Work in progress lies on a disk of one megabyte, until a stage has failed on it."""
        row = Row("disk full")
        self.take_out("decode")
        with small_disk(self.root / "data/.wip", kilobytes=1000) as small:
            if small is None:
                print("full disk: not tried, no right to mount one here")
                return row
            done = subprocess.run(dvc_command("repro", "decode"), cwd=self.root, env=dvc_environment(), capture_output=True, text=True)
            row.struck = int("no space left on the disk" in done.stdout + done.stderr)
        return self.go_on(row)

    def lost_server(self) -> Row:
        """The flow reports to a Prefect server of the user's, which is killed under it."""
        row = Row("Prefect's server killed")
        self.take_out("autoencoder")
        from pipeline.flows.settings import prepare_prefect

        environment = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
        prepare_prefect(self.root, environment)
        port = "4296"
        server = subprocess.Popen([sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port],
                                  env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_until(lambda: answers(int(port)), 120)
            flow = subprocess.Popen([sys.executable, "-m", "pipeline", "reproduce"], cwd=self.root, stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL, start_new_session=True,
                                    env={**environment, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"})
            wait_until(lambda: flow.poll() is not None or any(self.root.glob("data/.wip/autoencoder/*")), 120)
            row.struck = int(flow.poll() is None)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()
        with suppress(subprocess.TimeoutExpired):
            flow.wait(300)
        if flow.poll() is None:
            end_tree(flow)
        return self.go_on(row)

    def lost_worker(self) -> Row:
        """decode on a Dask cluster of two workers, one of which is killed."""
        row = Row("Dask worker killed")
        try:
            import distributed
        except ImportError:
            print("Dask worker: not tried, the extra `dask` is not installed")
            return row
        self.take_out("decode")
        params = (self.root / "params.yaml").read_text()
        with in_folder(self.root), distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
            (self.root / "params.yaml").write_text(params.replace("dask_scheduler: null", f"dask_scheduler: {cluster.scheduler_address}"))
            run = subprocess.Popen(dvc_command("repro", "decode"), cwd=self.root, env=dvc_environment(), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
            wait_until(lambda: run.poll() is not None or any(self.root.glob("data/.wip/decode/*/out/*")), 120)
            worker = next(iter(cluster.workers.values()))
            row.struck = int(run.poll() is None)
            psutil.Process(worker.pid).kill()
            run.wait()
        (self.root / "params.yaml").write_text(params)
        return self.go_on(row)

    def take_out(self, stage: str) -> None:
        """As if the stage had not run yet: no output, no record, nothing in DVC's memory of runs."""
        self.forget_runs()
        shutil.rmtree(self.root / "data" / stage)
        lock = yaml.safe_load(self.lock)
        del lock["stages"][stage]
        (self.root / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))

    def forget_runs(self) -> None:
        shutil.rmtree(self.root / ".dvc/cache/runs", ignore_errors=True)

    def go_on(self, row: Row, what: str = "") -> Row:
        """What a user does after a fault, and whether all is as it was undisturbed."""
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "pipeline", "check"], cwd=self.root, check=True, capture_output=True)
        self.dvc("repro")
        row.seconds += time.perf_counter() - started
        # Of equal entries: DVC puts a stage that it had no record of last.
        same = yaml.safe_load((self.root / "dvc.lock").read_text()) == yaml.safe_load(self.lock) and self.state() == self.outputs
        row.times += 1
        row.converged += same
        print(f"{row.name:<30} {what:<24} {'same bytes' if same else 'DIFFERS'}", file=sys.stderr, flush=True)
        return row

    def state(self) -> dict[str, bytes]:
        """Every output; nothing unfinished may be left."""
        found = {f"{stage}/{name}": content for stage in self.stages for name, content in bytes_of(self.root / "data" / stage).items()}
        return found | {f"unfinished {path.name}": b"" for path in self.root.glob("data/.wip/*/*")}

    def dvc(self, *arguments: str) -> None:
        done = subprocess.run(dvc_command(*arguments), cwd=self.root, env=dvc_environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            sys.exit(f"dvc {' '.join(arguments)} failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))

    def kill_after(self, command: list[str], seconds: float) -> bool:
        """Start a command and kill it, with all that it has started, after so long; whether it was still at work."""
        process = subprocess.Popen(command, cwd=self.root, env=dvc_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(seconds)
        at_work = process.poll() is None
        end_tree(process)
        return at_work

    def kill_when(self, command: list[str], moment: Callable[[], bool], everything: bool = True) -> bool:
        """Start a command and kill it (with all that it has started) at a moment; whether it was still at work."""
        process = subprocess.Popen(command, cwd=self.root, env=dvc_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: process.poll() is not None or moment(), 300)
        at_work = process.poll() is None
        if everything:
            end_tree(process)
        else:
            process.kill()
            process.wait()
        return at_work


def end_tree(process: "subprocess.Popen[bytes]") -> None:
    """SIGKILL for a process and all below it."""
    below: list[psutil.Process] = []
    with suppress(psutil.Error):
        below = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in below:
        with suppress(psutil.Error):
            child.kill()
    process.wait()
    psutil.wait_procs(below, timeout=10)


def wait_until(moment: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not moment():
        if time.monotonic() > deadline:
            sys.exit(f"what was waited for has not happened within {seconds:.0f} s")
        time.sleep(0.02)


def answers(port: int) -> bool:
    import socket

    with socket.socket() as caller:
        caller.settimeout(1)
        return caller.connect_ex(("127.0.0.1", port)) == 0


def read(path: Path) -> str:
    """A file's text; "" when it is not there."""
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        return ""


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Work in a folder: a Dask worker looks for the project where it was started."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


if __name__ == "__main__":
    main()
