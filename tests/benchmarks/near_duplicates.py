"""How far copies lie from strangers: python -m tests.benchmarks.near_duplicates [--clips FOLDER ...] [--most 20]

Of each clip copies are made with the ffmpeg command (encoded anew, smaller, at other rates, cut, darker, all of it at once);
inventory's two looks are taken of every copy and its original, and of the originals among themselves, which are strangers.
First look: the fingerprints (share of differing bits of the sound, bits of 64 of the picture). Second: the files (correlations).
The margin is what lies between the farthest copy and the limit, and between the limit and the nearest stranger.
"""

import argparse
import os
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pipeline.workers import Workers
from stages.inventory.measure import Hashed, Named, Passing, crashed, hash_one, measure
from stages.inventory.measured import Measured, Outcome
from stages.inventory.near_duplicates import (
    MAX_DISTANCE,
    MAX_PICTURE_BITS,
    MAX_SOUND_ERROR,
    Difference,
    Fingerprint,
    compare,
    difference,
    stretch,
)
from stages.inventory.same_recording import MIN_CHANGE, MIN_PICTURE, MIN_SOUND, Pair, Verdict, judge
from tests.benchmarks.ffmpeg import find_ffmpeg
from tests.benchmarks.material import REAL_CLIPS, say_load, scratch
from tests.benchmarks.project import Project
from tests.benchmarks.tables import print_table

EVEN = "trunc(iw*{share}/2)*2:trunc(ih*{share}/2)*2:flags=bicubic"
KINDS: dict[str, list[str]] = {
    "encoded anew": ["-crf", "36", "-b:a", "48k"],
    "half the size": ["-vf", f"scale={EVEN.format(share=0.5)}", "-crf", "30", "-b:a", "32k"],
    "12 frames a second": ["-vf", "fps=12", "-crf", "28", "-b:a", "64k"],
    "from 1.37 s on": ["-ss", "1.37", "-crf", "28", "-b:a", "64k"],
    "darker, mono at 22,050 Hz": ["-vf", "lutyuv=y=val*0.7+20", "-ar", "22050", "-ac", "1", "-crf", "28", "-b:a", "48k"],
    "all at once": ["-ss", "0.9", "-vf", f"fps=15,scale={EVEN.format(share=0.6)}", "-ac", "1", "-crf", "33", "-b:a", "32k"],
}


@dataclass(frozen=True, slots=True)
class File:
    """A file that could be measured."""

    folder: Path
    path: str
    sha256: str
    measured: Measured

    @property
    def fingerprint(self) -> Fingerprint:
        """What the first look compares."""
        return Fingerprint.of(self.sha256, self.measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, nargs="*", default=None, metavar="FOLDER",
                        help="folders <class>/<file>; default: ../shared/real_clips where it is, and demo clips made here")
    parser.add_argument("--most", type=int, default=20, help="clips of each folder that are copied, spread over it")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS), help="kinds of copies")
    arguments = parser.parse_args()
    ffmpeg = find_ffmpeg()
    say_load()
    with scratch() as folder:
        folders = arguments.clips or [*([REAL_CLIPS] if REAL_CLIPS.is_dir() else []), demo_clips(folder / "demo")]
        for clips in folders:
            compare_folder(clips.resolve(), folder, ffmpeg, arguments.most, arguments.kinds)


def compare_folder(clips: Path, scratch_folder: Path, ffmpeg: str, most: int, kinds: Sequence[str]) -> None:
    """Print the tables of one folder."""
    originals = measured_files(clips, sorted(path for path in clips.glob("*/*") if path.is_file()))
    copied = originals[::max(1, -(-len(originals) // most))][:most]
    print(f"{clips.name}: {len(originals)} clips, {len(copied)} of them copied in {len(kinds)} ways")
    rows, every = [], []
    for kind in kinds:
        copies = scratch_folder / f"copies of {clips.name}" / kind
        copies.mkdir(parents=True)
        made = {encoded(ffmpeg, clips / file.path, copies / f"{i:04d}.mp4", KINDS[kind]): file for i, file in enumerate(copied)}
        found = measured_files(copies, sorted(made))
        pairs = [(made[copies / copy.path], copy) for copy in found]
        looks = [(difference(a.fingerprint, b.fingerprint), judged(a, b)) for a, b in pairs]
        rows.append((kind, len(pairs), *told(looks)))
        every += looks
    rows.append(("all copies", len(every), *told(every)))
    strangers = list(combinations(originals, 2))
    firsts = [difference(a.fingerprint, b.fingerprint) for a, b in strangers]
    near = [((a, b), first) for (a, b), first in zip(strangers, firsts, strict=True) if first and compare(a.fingerprint, b.fingerprint)]
    seconds = Workers().map(judge, [pair_of(a, b, first) for (a, b), first in near], preload=["stages.inventory.same_recording"])
    looks = [(first, second) for (_, first), second in zip(near, seconds, strict=True)]
    same = [pair for (pair, _), (_, second) in zip(near, looks, strict=True) if second and second.same]
    print_table(
        ("copies of one clip", "pairs", "alike", "same", f"bits differing: sound (<= {MAX_SOUND_ERROR})",
         f"picture (<= {MAX_PICTURE_BITS:g})", f"distance (<= {MAX_DISTANCE})",
         f"waves (>= {MIN_SOUND})", f"pictures (>= {MIN_PICTURE})", f"changes (>= {MIN_CHANGE})"), rows)
    apart = sorted(first.distance for first in firsts if first and first.sound_error <= MAX_SOUND_ERROR)
    print_table(
        ("strangers", "pairs", "alike", "same", "nearest distances", "of those alike: waves at most", "changes at most"),
        [("two clips", len(strangers), len(near), len(same), " ".join(f"{value:.2f}" for value in apart[:4]) or "-",
          max((second.sound for _, second in looks if second), default=0.0),
          max((second.change for _, second in looks if second and second.change is not None), default="-"))])
    for a, b in same:
        print(f"taken for one: {a.path} and {b.path}")


def told(looks: Sequence[tuple[Difference | None, Verdict | None]]) -> tuple[object, ...]:
    """How many were found, and the worst of each measure; "none" where a look found nothing to compare."""
    firsts, seconds = [first for first, _ in looks if first], [second for _, second in looks if second]
    alike = sum(first.sound_error <= MAX_SOUND_ERROR and first.picture_bits <= MAX_PICTURE_BITS and first.distance <= MAX_DISTANCE
                for first in firsts)

    def worst(values: Iterable[float | None], least: bool) -> object:
        kept = [value for value in values if value is not None]
        return (min(kept) if least else max(kept)) if kept else "none"

    return (alike, sum(second.same for second in seconds), worst((first.sound_error for first in firsts), False),
            worst((first.picture_bits for first in firsts), False), worst((first.distance for first in firsts), False),
            worst((second.sound for second in seconds), True), worst((second.picture for second in seconds), True),
            worst((second.change for second in seconds), True))


def judged(a: File, b: File) -> Verdict | None:
    """The second look, wherever the first one found the shift."""
    first = difference(a.fingerprint, b.fingerprint)
    return judge(pair_of(a, b, first)) if first else None


def pair_of(a: File, b: File, first: Difference) -> Pair:
    begin_sec, length_sec = stretch(a.measured, b.measured, first.lag_sec)
    return Pair(Path("/"), str(a.folder / a.path), str(b.folder / b.path), a.sha256, b.sha256, begin_sec, length_sec, first.lag_sec)


def measured_files(folder: Path, paths: Sequence[Path]) -> list[File]:
    """Those that can be used, in order."""
    workers, preload = Workers(), ["stages.inventory.measure"]
    hashed = workers.map(hash_one, [Named(folder, path.relative_to(folder).as_posix()) for path in paths], preload=preload)
    files = [file for file in hashed if isinstance(file, Hashed)]
    found = list(zip(files, workers.map(measure, files, preload=preload, on_crash=crashed), strict=True))
    return [File(folder, file.path, file.sha256, outcome.measured) for file, outcome in found
            if isinstance(outcome, Outcome) and not isinstance(outcome, Passing) and outcome.measured]


def encoded(ffmpeg: str, source: Path, path: Path, how: Sequence[str]) -> Path:
    """A copy."""
    subprocess.run([ffmpeg, "-v", "error", "-nostdin", "-y", "-i", source, "-map", "0:v:0", "-map", "0:a:0", "-c:v", "libx264", "-preset",
                    "veryfast", "-pix_fmt", "yuv420p", "-threads", str(os.cpu_count() or 1), "-c:a", "aac", *how, path], check=True)
    return path


def demo_clips(folder: Path) -> Path:
    """The demo's clips, a few of each kind."""
    clips = Path("data/demo_data/clips")
    project = Project(folder, clips, data={"raw": str(clips)}, demo_data={"clips_per_kind": 40})
    project.stage("demo_data")
    return project.output("demo_data") / "clips"


if __name__ == "__main__":
    main()
