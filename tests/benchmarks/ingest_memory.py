"""Does memory grow with the number of files? python -m tests.benchmarks.ingest_memory [--files 60 600] [--clips FOLDER]

inventory, decode and audio_images over so many files: the mp4 files of the folder, repeated as files of other content.
Peak of all processes together: `RSS` counts memory that workers share for each of them, `PSS` once.
"""

import argparse

from tests.benchmarks.material import clip_arguments, clips_or_made, other_content, say_load, scratch
from tests.benchmarks.project import Project
from tests.benchmarks.tables import print_table

STAGES = ("inventory", "decode", "audio_images")
GOAL_MB = 1536


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    clip_arguments(parser)
    parser.add_argument("--files", type=int, nargs="+", default=[60, 600], help="numbers of files to compare")
    parser.add_argument("--size", type=int, default=256, help="side of the written pictures, pixels")
    arguments = parser.parse_args()
    say_load()
    rows: list[tuple[object, ...]] = []
    for count in arguments.files:
        with scratch() as folder:
            sources = sorted(clips_or_made(arguments.clips, folder / "made").glob("*/*.mp4"))
            other_content(sources, folder / "raw", count)
            project = Project(folder / "project", folder / "raw", clip={"frame_size_px": arguments.size})
            for stage in STAGES:
                usage = project.stage(stage, memory=True)
                rows.append((count, stage, usage.peak_rss_mb, usage.peak_pss_mb, usage.peak_rss_mb / GOAL_MB, usage.wall_sec))
    print_table(("files", "stage", "peak RSS, MB", "peak PSS, MB", f"RSS / {GOAL_MB} MB", "seconds"), rows)


if __name__ == "__main__":
    main()
