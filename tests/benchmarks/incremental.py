"""Does new data cost its own size? python -m tests.benchmarks.incremental [--files 400] [--added 0.01]

inventory, decode and audio_images over so many files, then again with one in a hundred more, then over all of them in a
project that begins with nothing. The last two outputs must be the same, byte for byte; exits 1 where they are not.
"""

import argparse
import re
import sys
from pathlib import Path

from tests.benchmarks.material import clip_arguments, clips_or_made, other_content, say_load, scratch
from tests.benchmarks.project import Project
from tests.benchmarks.tables import print_table

STAGES = ("inventory", "decode", "audio_images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    clip_arguments(parser)
    parser.add_argument("--files", type=int, default=400)
    parser.add_argument("--added", type=float, default=0.01, help="share of files that come later")
    parser.add_argument("--size", type=int, default=64, help="side of the written pictures, pixels")
    arguments = parser.parse_args()
    say_load()
    with scratch() as folder:
        sources = sorted(clips_or_made(arguments.clips, folder / "made").glob("*/*.mp4"))
        later = max(round(arguments.files * arguments.added), 1)
        files = other_content(sources, folder / "raw", arguments.files + later)
        away = {path: folder / f"{i}.away" for i, path in enumerate(files[arguments.files:])}
        for path, aside in away.items():
            path.rename(aside)
        grown = Project(folder / "grown", folder / "raw", clip={"frame_size_px": arguments.size})
        fresh = Project(folder / "fresh", folder / "raw", clip={"frame_size_px": arguments.size})
        first = {stage: grown.stage(stage) for stage in STAGES}
        for path, aside in away.items():
            aside.rename(path)
        second = {stage: grown.stage(stage) for stage in STAGES}
        whole = {stage: fresh.stage(stage) for stage in STAGES}
        same = {stage: contents(grown.output(stage)) == contents(fresh.output(stage)) for stage in STAGES}
    print(f"{arguments.files} files, then {later} more")
    print_table(
        ("stage", "seconds at first", "with the new ones", "from nothing", "share of it", "made then", "same bytes"),
        [(stage, first[stage].wall_sec, second[stage].wall_sec, whole[stage].wall_sec, second[stage].wall_sec / whole[stage].wall_sec,
          made(second[stage].output), same[stage]) for stage in STAGES],
    )
    sys.exit(not all(same.values()))


def made(output: str) -> str:
    """What a stage's closing line says it made and took over."""
    found = re.findall(r"(made|taken over) (\d+)", output.splitlines()[-1])
    return ", ".join(f"{count} {name}" for name, count in found) or "-"


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of an output."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


if __name__ == "__main__":
    main()
