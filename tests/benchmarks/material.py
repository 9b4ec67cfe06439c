"""What the benchmarks work on: real clips where they are, clips made here, and cheap copies that are other content."""

import argparse
import itertools
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import SHARED, write_clip

REAL_CLIPS = SHARED / "real_clips"


def clip_arguments(parser: argparse.ArgumentParser) -> None:
    """`--clips`, as most of the commands take it."""
    parser.add_argument("--clips", type=Path, default=None, metavar="FOLDER",
                        help="folder <class>/<file>; default: ../shared/real_clips where it is, else clips made here")


@contextmanager
def scratch(keep: Path | None = None) -> Iterator[Path]:
    """A folder for the run, removed at its end."""
    with tempfile.TemporaryDirectory(prefix="mmldm-benchmark-", dir=keep) as folder:
        yield Path(folder).resolve()


def clips_or_made(given: Path | None, folder: Path, count: int = 12) -> Path:
    """The clips named on the command line, or the real ones, or `count` of 640x360, 10 s, made in `folder`."""
    if given is not None or REAL_CLIPS.is_dir():
        return (given or REAL_CLIPS).resolve()
    for i in range(count):
        write_clip(folder / f"class_{i % 2}" / f"{i}.mp4", 10.0, 25, (640, 360), tone_hz=300 + 20 * i)
    return folder


def other_content(sources: list[Path], folder: Path, count: int) -> list[Path]:
    """`count` files of the same pictures and sound as `sources`, each with bytes (and so a hash) of its own.

    Args:
        sources: mp4 or mov files.
        folder: gets `<class>/<number>.mp4`.
    """
    made, num_classes = [], min(max(count // 10, 1), 20)
    for number, source in zip(range(count), itertools.cycle(sources)):
        path = folder / f"class_{number % num_classes:03d}" / f"{number:06d}{source.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        # A box of type "free" after all others, which readers of mp4 pass over.
        path.write_bytes(source.read_bytes() + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big"))
        made.append(path)
    return made


def say_load() -> None:
    """One line that tells whether the figures to come can be trusted."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    busy = "; other work is going on, these figures are not to be trusted" if load > 0.5 else ""
    print(f"{cores} cores, load before the run {load:.2f}{busy}", flush=True)
