"""decode against the `ffmpeg` command: python -m tests.benchmarks.ingest_speed [--clips FOLDER]

The stage reads the clips, picks frames at 10 a second, resizes them to fit 256 px, pads, resamples the sound, writes the shards, all its
start-up included. The rival does `fps=10`, bicubic `scale` and `pad` to raw RGB on the disk, without the sound: one file after the
other with its own threads, and several single-threaded at a time. The limit is ffmpeg decoding every frame to nothing.
Repetitions take turns; the figures are medians.
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from pipeline.contracts.clips import read_clips
from tests.benchmarks.ffmpeg import find_ffmpeg
from tests.benchmarks.material import clip_arguments, clips_or_made, other_content, say_load, scratch
from tests.benchmarks.project import Project
from tests.benchmarks.tables import print_table
from tests.conftest import write_clip

RIVAL = "ffmpeg, one file after the other"


class Took(NamedTuple):
    """Time of one run."""

    wall_sec: float
    cpu_sec: float
    """Of all processes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    clip_arguments(parser)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--size", type=int, default=256, help="side of the written pictures, pixels")
    parser.add_argument("--fps", type=int, default=10)
    parser.add_argument("--readers", nargs="+", default=["auto", "pyav"], choices=["auto", "pyav", "decord"], help="decode.reader")
    parser.add_argument("--max-files", type=int, default=None, help="the first so many of the clips, for a quick look")
    parser.add_argument("--copies", type=int, default=1, help="each mp4 file so many times, as other content: the start-up weighs less")
    arguments = parser.parse_args()
    ffmpeg = find_ffmpeg()
    say_load()
    with scratch() as folder:
        clips = clips_or_made(arguments.clips, folder / "made")
        if arguments.copies > 1:
            sources = sorted(clips.glob("*/*.mp4"))
            other_content(sources, folder / "copies", arguments.copies * len(sources))
            clips = folder / "copies"
        compare(folder, clips, ffmpeg, arguments)


def compare(folder: Path, clips: Path, ffmpeg: str, arguments: argparse.Namespace) -> None:
    """Measure and print."""
    if arguments.max_files:
        clips = first_files(clips, folder / "some", arguments.max_files)
    shape: dict[str, object] = {"frame_size_px": arguments.size, "fps": arguments.fps}
    projects = {reader: Project(folder / reader, clips, clip=shape, decode={"reader": reader}) for reader in arguments.readers}
    first = next(iter(projects.values()))
    inventory = first.stage("inventory")
    for project in projects.values():
        if project is not first:
            shutil.copytree(first.output("inventory"), project.output("inventory"))
    table = read_clips(first.output("inventory"))
    files = [clips / name for name in sorted(set(table["source_path"]))]
    seconds = float(table["duration_sec"].sum())
    frames = float((table["duration_sec"] * table["fps"]).sum())
    print(f"{len(files)} files, {len(table)} clips, {seconds:.0f} s, {frames:.0f} source frames; "
          f"{arguments.size} px, {arguments.fps} frames a second; inventory took {inventory.wall_sec:.1f} s")
    raw = folder / "raw"
    runs: dict[str, Callable[[], Took]] = {
        **{f"decode, reader {reader}": lambda project=project: timed_decode(project) for reader, project in projects.items()},  # type: ignore[misc]
        RIVAL: lambda: timed_ffmpeg(ffmpeg, files, raw, arguments, at_once=1),
        f"ffmpeg, {os.cpu_count()} files at a time": lambda: timed_ffmpeg(ffmpeg, files, raw, arguments, at_once=os.cpu_count() or 1),
        "ffmpeg, decoding to nothing": lambda: timed_ffmpeg(ffmpeg, files, None, arguments, at_once=1),
    }
    took: dict[str, list[Took]] = {name: [] for name in runs}
    for repetition in range(arguments.repetitions):
        for name in list(runs)[::-1 if repetition % 2 else 1]:
            took[name].append(runs[name]())
    wall = {name: statistics.median(one.wall_sec for one in several) for name, several in took.items()}
    cpu = {name: statistics.median(one.cpu_sec for one in several) for name, several in took.items()}
    print_table(
        ("", "seconds", "source frames/s", "times real time", "speed / ffmpeg's", "CPU seconds"),
        [(name, wall[name], frames / wall[name], seconds / wall[name], wall[RIVAL] / wall[name], cpu[name]) for name in runs],
    )
    print_start_up(folder, ffmpeg, len(files))


def first_files(clips: Path, folder: Path, count: int) -> Path:
    """A folder of links to the first files."""
    for path in sorted(path for path in clips.glob("*/*") if path.is_file())[:count]:
        (folder / path.parent.name).mkdir(parents=True, exist_ok=True)
        (folder / path.parent.name / path.name).symlink_to(path)
    return folder


def timed_decode(project: Project) -> Took:
    """The whole stage, from nothing."""
    project.forget("decode")
    os.sync()  # what the run before left to write is no burden of this one
    usage = project.stage("decode")
    return Took(usage.wall_sec, usage.cpu_sec)


def timed_ffmpeg(ffmpeg: str, files: list[Path], raw: Path | None, arguments: argparse.Namespace, *, at_once: int) -> Took:
    """All files.

    Args:
        raw: folder for the raw pictures; None: decode alone.
        at_once: processes; with one, ffmpeg chooses its threads.
    """
    side = arguments.size
    scaling = (f"fps={arguments.fps},scale={side}:{side}:force_original_aspect_ratio=decrease:flags=bicubic,"
               f"pad={side}:{side}:(ow-iw)/2:(oh-ih)/2")

    def convert(numbered: tuple[int, Path]) -> None:
        number, path = numbered
        threads = ["-threads", "1", "-filter_threads", "1"] if at_once > 1 else []
        out = ["-f", "null", "-"] if raw is None else ["-vf", scaling, "-pix_fmt", "rgb24", "-f", "rawvideo", str(raw / f"{number}.raw")]
        subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-y", *threads, "-i", path, "-map", "0:v:0", *out], check=True)

    if raw is not None:
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir()
    os.sync()
    started, before = time.perf_counter(), _children_sec()
    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(convert, enumerate(files)))
    return Took(time.perf_counter() - started, _children_sec() - before)


def _children_sec() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def print_start_up(folder: Path, ffmpeg: str, num_files: int) -> None:
    """What of the figures above is no decoding."""
    for i in range(4):
        write_clip(folder / "tiny" / "class" / f"{i}.mp4", 2.0, 10, (64, 64), tone_hz=300 + 50 * i)
    tiny = Project(folder / "start_up", folder / "tiny")
    tiny.stage("inventory")
    started = time.perf_counter()
    for _ in range(num_files):
        subprocess.run([ffmpeg, "-version"], check=True, capture_output=True)
    started_sec = time.perf_counter() - started
    print_table(("start-up, contained in the above", "seconds"), [
        ("decode of four tiny clips", statistics.median(timed_decode(tiny).wall_sec for _ in range(3))),
        (f"ffmpeg -version, {num_files} times", started_sec),
    ])


if __name__ == "__main__":
    main()
