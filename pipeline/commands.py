"""Command lines of `mmldm generate` and `mmldm export`, which stages/sample carries out, of `mmldm evaluate`, and of what
stages/efficiency measures: here, so that --help and a typing error need no network's libraries."""

import argparse
from pathlib import Path
from typing import NoReturn, get_args

from pipeline.params import SAMPLERS, Task

SAMPLING = ("sampler", "steps", "guidance_scale", "guidance_interval", "guidance_rescale", "batch_size")
"""Options that are fields of `SampleParams`."""


class OneLineParser(argparse.ArgumentParser):
    """Tells a typing error in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see: {self.prog} --help\n")


def generate_parser() -> argparse.ArgumentParser:
    """Of `mmldm generate`."""
    parser = OneLineParser(
        prog="mmldm generate", description="Make videos with sound from the trained networks of this project, or of an exported folder.")
    parser.add_argument("--task", choices=get_args(Task), default="svg", metavar="TASK", help=f"{', '.join(get_args(Task))} (svg)")
    parser.add_argument("--out", type=Path, required=True, metavar="CLIP.mp4", help="with a --count of more than one, they are numbered")
    parser.add_argument("--condition", type=Path, metavar="FILE", help="video, sound or picture that the task is given")
    parser.add_argument("--start", type=float, metavar="SEC",
                        help="where in FILE the window begins (its beginning; of continuations, so that it ends with the file)")
    parser.add_argument("--class", dest="class_name", metavar="NAME", help="what to show (every class in turn)")
    parser.add_argument("--text", help="what to show, in words")
    parser.add_argument("--seed", type=int, default=0, help="of the first one; the next ones count on from it (0)")
    parser.add_argument("--count", type=int, default=1, help="how many (1)")
    parser.add_argument("--windows", type=int, help="of task long: how many windows, one continued by the next")
    parser.add_argument("--model", type=Path, metavar="FOLDER", help="written by mmldm export (this project's data/)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), help="(as compute.device says)")
    parser.add_argument("--force", action="store_true", help="overwrite")
    parser.add_argument("--sampler", choices=sorted({name for names in SAMPLERS.values() for name in names}))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance-scale", type=float, metavar="PHI")
    parser.add_argument("--guidance-interval", type=float, nargs=2, metavar=("FROM", "TO"))
    parser.add_argument("--guidance-rescale", type=float, metavar="SHARE")
    parser.add_argument("--batch-size", type=int, help="generated together; changes nothing but time and memory")
    return parser


def export_parser() -> argparse.ArgumentParser:
    """Of `mmldm export`."""
    parser = OneLineParser(prog="mmldm export", description="Write the trained networks of this project as one folder.")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where to; must not exist")
    parser.add_argument("--force", action="store_true", help="replace an earlier export")
    return parser


def efficiency_options(parser: argparse._ActionsContainer) -> None:
    """Of `mmldm table 2` and `python -m stages.efficiency`."""
    parser.add_argument("--batch", type=_count, default=2, metavar="N", help="windows of a step and of a sampling (2, as the paper)")
    parser.add_argument("--steps", type=_count, default=5, metavar="N", help="timed training steps, of which the median counts (5)")
    parser.add_argument("--no-search", action="store_true", help="leave out the search for the largest batches (on a GPU, minutes)")


def _count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f'"{text}", expected a whole number of 1 or more')
    return int(text)


def evaluate_parser() -> argparse.ArgumentParser:
    """Of `mmldm evaluate`."""
    parser = OneLineParser(prog="mmldm evaluate",
                           description="Measure any two folders of videos by a protocol, without the pipeline.")
    parser.add_argument("--generated", type=Path, required=True, metavar="FOLDER", help="videos of one rate and size")
    parser.add_argument("--reference", type=Path, required=True, metavar="FOLDER", help="real videos")
    parser.add_argument("--protocol", required=True, metavar="NAME", help="mm-ldm-256, mm-ldm-64, mm-diffusion, cmmd or demo")
    parser.add_argument("--out", type=Path, default=Path("figures"), metavar="FOLDER",
                        help="for metrics.parquet, metrics.json and the features, which a later call finds again (figures)")
    parser.add_argument("--floor", default="half", metavar="FOLDER",
                        help="other real videos, for the floor; half: half of the reference's, which is then compared with the other half; "
                             "none: compare with all of it, without a floor (half)")
    parser.add_argument("--train", type=Path, metavar="FOLDER", help="what was learnt from, for the figures ..._to_train")
    parser.add_argument("--task", choices=("svg", "a2v", "v2a", "reconstruction"), default="svg", metavar="TASK",
                        help="svg; or a2v, v2a, reconstruction, for which the reference has a video of the same name beside each generated "
                             "one: the true one, for beat hit rates, divergences and likeness (svg)")
    parser.add_argument("--fit", choices=("pad", "crop"), default="pad",
                        help="pictures that are not square: black bars, or cut (pad)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws of windows and intervals (0)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"))
    return parser
