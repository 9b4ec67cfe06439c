"""What the flow costs beside DVC alone, and what it gains: python -m tests.benchmarks.flow_overhead [--preset tiny] [--sleep 30]

The whole graph from nothing in two clones of the code as it lies here, by `dvc repro` and by `mmldm reproduce`; both again with nothing
to do; then two stages that do not need each other, each of so many seconds. dvc.lock must come out the same, byte for byte. Exits 1
where it does not, or where a limit is missed: 15 s and 2% over DVC, 4 s for nothing to do, two stages in less than one after the other.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from pipeline.dvc_tool import dvc_command, dvc_environment
from pipeline.preset import NAMES, preset_text
from tests.benchmarks.material import say_load, scratch
from tests.benchmarks.tables import print_table
from tests.pipeline.flows.conftest import own_environment
from tests.test_whole_graph import clone_into

TINY = Path(__file__).parents[1] / "presets" / "tiny.yaml"
MAX_SEC, MAX_SHARE, MAX_IDLE_SEC = 15.0, 0.02, 4.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("tiny", *NAMES), default="tiny", help="of the whole graph; demo takes half an hour")
    parser.add_argument("--sleep", type=int, default=30, help="seconds of each of the two stages side by side")
    arguments = parser.parse_args()
    say_load()
    with scratch() as folder:
        clones = [folder / name / "project" for name in ("dvc", "flow")]
        for clone in clones:
            clone.mkdir(parents=True)
            clone_into(clone)
            (clone / "params.yaml").write_text(TINY.read_text() if arguments.preset == "tiny" else preset_text(arguments.preset))
        whole = [dvc(clones[0]), flow(clones[1])]
        same = (clones[0] / "dvc.lock").read_bytes() == (clones[1] / "dvc.lock").read_bytes()
        log = clones[1] / ".prefect/server.log"
        before = log.stat().st_mtime_ns
        idle = [min(dvc(clones[0]) for _ in range(3)), min(flow(clones[1]) for _ in range(3))]
        started_server = log.stat().st_mtime_ns != before
        two = [run(independent(folder / name / "project", arguments.sleep)) for name, run in (("two_dvc", dvc), ("two_flow", flow))]
    allowed = whole[0] + MAX_SEC + MAX_SHARE * whole[0]
    print_table(("what", "dvc repro, s", "mmldm reproduce, s", "more, s", "limit, s"), [
        (f"{arguments.preset}, from nothing", *whole, whole[1] - whole[0], allowed - whole[0]),
        ("nothing to do, best of 3", *idle, idle[1] - idle[0], MAX_IDLE_SEC),
        (f"two independent stages of {arguments.sleep} s", *two, two[1] - two[0], 2.0 * arguments.sleep)])
    print(f"dvc.lock the same, byte for byte: {'yes' if same else 'no'}; Prefect's server started for nothing: "
          f"{'yes' if started_server else 'no'}")
    kept = {"overhead": whole[1] <= allowed, "nothing to do": idle[1] <= MAX_IDLE_SEC, "same dvc.lock": same,
            "no server for nothing": not started_server, "two stages side by side": two[1] < 2 * arguments.sleep}
    if missed := [name for name, well in kept.items() if not well]:
        sys.exit(f"missed: {', '.join(missed)}")


def dvc(root: Path) -> float:
    """Seconds of `dvc repro`."""
    return timed(dvc_command("repro"), root, dvc_environment())


def flow(root: Path) -> float:
    """Seconds of `mmldm reproduce`."""
    return timed([sys.executable, "-m", "pipeline", "reproduce"], root, own_environment(root))


def timed(command: list[str], root: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed ({done.returncode}):\n" + "\n".join(done.stdout.splitlines()[-5:]))
    return time.perf_counter() - started


def independent(root: Path, seconds: int) -> Path:
    """A project of two stages that wait for nothing but the clock."""
    root.mkdir(parents=True)
    (root / ".dvc").mkdir()
    (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
    (root / ".gitignore").write_text("/data/\n.prefect/\n")
    (root / ".dvcignore").write_text(".prefect\n")
    shutil.copy(TINY, root / "params.yaml")
    stages = {name: {"cmd": f"mkdir -p data/{name}/clips; sleep {seconds}; echo {name} > data/{name}/clips/made", "outs": [f"data/{name}"]}
              for name in ("demo_data", "other")}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    subprocess.run(["git", "init", "-q", "."], cwd=root, check=True)
    return root


if __name__ == "__main__":
    main()
