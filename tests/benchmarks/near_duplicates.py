"""How far copies lie from strangers: python -m tests.benchmarks.near_duplicates [--clips FOLDER ...] [--most 20]

Of each clip copies are made with the ffmpeg command (encoded anew, smaller, at other rates, cut, darker, all of it at once);
inventory's two looks are taken of every copy and its original, and of the originals among themselves, which are strangers.
First look: the fingerprints (share of differing bits of the sound, of opposed bits of the picture). Second: the files (correlations).
The margin is what lies between the farthest copy and the limit, and between the limit and the nearest stranger. Last, all files together
as inventory takes them: how many copies end in one group with their original, and how many strangers do.
"""

import argparse
import os
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from pipeline.workers import Workers
from stages.inventory.measure import Hashed, Named, Passing, crashed, hash_one, measure
from stages.inventory.measured import Measured, Outcome
from stages.inventory.near_duplicates import (
    MAX_PICTURE_ERROR,
    MAX_SOUND_ERROR,
    Difference,
    Fingerprint,
    Likeness,
    difference,
    likely_pairs,
    stretch,
)
from stages.inventory.same_recording import MIN_CHANGE, MIN_PICTURE, MIN_SOUND, Pair, Side, Verdict, judge
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
    pairs: dict[str, list[tuple[File, File]]] = {}
    for kind in kinds:
        copies = scratch_folder / f"copies of {clips.name}" / kind
        copies.mkdir(parents=True)
        made = {encoded(ffmpeg, clips / file.path, copies / f"{i:04d}.mp4", KINDS[kind]): file for i, file in enumerate(copied)}
        pairs[kind] = [(made[copies / copy.path], copy) for copy in measured_files(copies, sorted(made))]
    print_copies(pairs)
    print_strangers(originals)
    print_groups(originals, [pair for of_kind in pairs.values() for pair in of_kind])


def print_copies(pairs: Mapping[str, Sequence[tuple[File, File]]]) -> None:
    """Both looks at every copy beside its original."""
    rows, every = [], []
    for kind, of_kind in pairs.items():
        firsts = [difference(a.fingerprint, b.fingerprint) for a, b in of_kind]
        looks = [(first, judge(pair_of(a, b, first.lag_sec)) if first else None) for (a, b), first in zip(of_kind, firsts, strict=True)]
        rows.append((kind, *told(looks)))
        every += looks
    print_table(
        ("copies beside their originals", "pairs", "alike", "same", f"sound differs (<= {MAX_SOUND_ERROR})",
         f"picture differs (<= {MAX_PICTURE_ERROR})", f"waves (>= {MIN_SOUND})", f"pictures (>= {MIN_PICTURE})",
         f"changes (>= {MIN_CHANGE})"),
        [*rows, ("all", *told(every))])


def told(looks: Sequence[tuple[Difference | None, Verdict | None]]) -> tuple[object, ...]:
    """How many were found, and the median and the worst of each measure."""
    firsts, seconds = [first for first, _ in looks if first], [second for _, second in looks if second]

    def spread(values: Iterable[float | None], worst: Callable[[Iterable[float]], float]) -> str:
        kept = [value for value in values if value is not None]
        return f"{statistics.median(kept):.3f}, worst {worst(kept):.3f}" if kept else "none"

    return (len(looks), sum(first.is_small for first in firsts), sum(second.same for second in seconds),
            spread((first.sound_error for first in firsts), max), spread((first.picture_error for first in firsts), max),
            spread((second.sound for second in seconds), min), spread((second.picture for second in seconds), min),
            spread((second.change for second in seconds), min))


def print_strangers(originals: Sequence[File]) -> None:
    """Every two originals."""
    pairs = list(combinations(originals, 2))
    firsts = [first for a, b in pairs if (first := difference(a.fingerprint, b.fingerprint))]
    heard = sorted(first.sound_error for first in firsts)
    seen = sorted(first.picture_error for first in firsts if first.sound_error <= max(MAX_SOUND_ERROR, heard[len(heard) // 100]))
    seconds = judged(likely_pairs([file.fingerprint for file in originals]), originals)
    changes = [verdict.change for verdict in seconds if verdict.change is not None]
    print_table(
        ("strangers", "pairs", "alike", "looked at", "same", "sound differs: nearest", "picture of those of like sound: nearest, median",
         "waves at most", "changes at most"),
        [("two originals", len(pairs), sum(first.is_small for first in firsts), len(seconds), sum(verdict.same for verdict in seconds),
          f"{heard[0]:.3f}", f"{seen[0]:.3f}, {seen[len(seen) // 2]:.3f}", max((verdict.sound for verdict in seconds), default=0.0),
          max(changes, default="-"))])


def print_groups(originals: Sequence[File], pairs: Sequence[tuple[File, File]]) -> None:
    """All files together, as the inventory takes them."""
    files = [*originals, *(copy for _, copy in pairs)]
    place = {file.sha256: i for i, file in enumerate(files)}
    verdicts = judged(likely_pairs([file.fingerprint for file in files]), files)
    links = [(place[verdict.first], place[verdict.second]) for verdict in verdicts if verdict.same]
    graph = csr_matrix((np.ones(len(links)), tuple(zip(*links, strict=True)) or ([], [])), shape=(len(files), len(files)))
    _, group = connected_components(graph, directed=False)
    of_originals = [group[place[file.sha256]] for file in originals]
    joined = sum(group[place[a.sha256]] == group[place[b.sha256]] for a, b in pairs)
    print_table(("all together", "files", "looked at", "copies in their original's group", "of", "originals in a group with another one"),
                [("groups", len(files), len(verdicts), int(joined), len(pairs), len(originals) - len(set(of_originals)))])


def judged(likely: Sequence[Likeness], files: Sequence[File]) -> list[Verdict]:
    """The second look at every pair that the first one chose."""
    by_sha = {file.sha256: file for file in files}
    pairs = [pair_of(by_sha[pair.first], by_sha[pair.second], pair.lag_sec) for pair in likely]
    return list(Workers().map(judge, pairs, preload=["stages.inventory.same_recording"]))


def pair_of(a: File, b: File, lag_sec: float) -> Pair:
    begin_sec, length_sec = stretch(a.measured, b.measured, lag_sec)
    sides = [Side(str(file.folder / file.path), file.sha256, file.measured.video_start_sec, file.measured.audio_end_sec) for file in (a, b)]
    return Pair(Path("/"), sides[0], sides[1], begin_sec, length_sec, lag_sec)


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
