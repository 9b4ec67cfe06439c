"""What `mmldm generate` is asked for: its command line, and whether these networks can do it; told before anything is loaded."""

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from pipeline.errors import DataError, ParamsError
from pipeline.params import SAMPLERS, DiTParams, SampleParams, Task
from stages.dit import NULL_CLASS, TrainedDiT
from stages.sample.tasks import OF_PICTURE, OF_SOUND

GIVEN: tuple[Task, ...] = (*OF_SOUND, *OF_PICTURE)
"""Tasks that cannot do without a condition."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line, as typed."""

    task: Task
    out: Path
    condition: Path | None
    start_sec: float | None
    class_name: str | None
    text: str | None
    seed: int
    count: int
    windows: int | None
    model: Path | None
    device: Literal["auto", "cpu", "cuda"] | None
    force: bool
    sampling: dict[str, object]
    """Those of the sampling options that were given, by the names of `SampleParams`."""


def parse(arguments: list[str] | None = None) -> Asked:
    """The command line; argparse ends the process with its own line on an unknown or unreadable option."""
    parser = argparse.ArgumentParser(
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
    chosen = vars(parser.parse_args(arguments))
    names = ("sampler", "steps", "guidance_scale", "guidance_interval", "guidance_rescale", "batch_size")
    sampling = {name: value for name in names if (value := chosen.pop(name)) is not None}
    if "guidance_interval" in sampling:
        sampling["guidance_interval"] = tuple(cast(list[float], sampling["guidance_interval"]))
    return Asked(start_sec=chosen.pop("start"), sampling=sampling, **chosen)


def sample_params(asked: Asked, defaults: SampleParams) -> SampleParams:
    """The defaults with what was asked for in its place.

    Raises:
        ParamsError: a value is out of its range.
    """
    given = {**asked.sampling, "tasks": (asked.task,), "num_samples": asked.count}
    if asked.windows is not None:
        given["long_windows"] = asked.windows
    try:
        return replace(defaults, **given)  # type: ignore[arg-type]
    except ParamsError as error:
        raise ParamsError(_on_the_command_line(str(error))) from None


def require_possible(asked: Asked, sample: SampleParams, dit: DiTParams, class_names: tuple[str, ...]) -> None:
    """Compare what is asked for with what the networks have learnt.

    Raises:
        ParamsError: it cannot be done, with what can.
    """
    task = asked.task
    require(task in dit.tasks, f"--task is {task}, for which this model was not trained; it can do: {', '.join(dit.tasks)}")
    can = SAMPLERS[dit.prediction]
    require(sample.sampler in can, f"--sampler is {sample.sampler}, this model (prediction {dit.prediction}) takes: {', '.join(can)}")
    require(asked.windows is None or task == "long", f"--windows is for --task long, --task is {task}")
    require(asked.condition is not None or asked.start_sec is None, "--start is for a --condition, and none is given")
    require(asked.start_sec is None or math.isfinite(asked.start_sec), f"--start is {asked.start_sec}, expected seconds")
    require(asked.seed >= 0, f"--seed is {asked.seed}, expected 0 or more")
    require(asked.condition is None or (asked.class_name is None and asked.text is None),
            "--class and --text cannot go with a --condition, which takes their place; leave them out")
    if task in GIVEN:
        kind = "a sound, or a video with one" if task in OF_SOUND else "a picture or a video" if task == "i2a" else "a video"
        require(asked.condition is not None, f"--task {task} needs --condition FILE: {kind}")
    elif task != "long":
        given = ", ".join(name for name in dit.tasks if name in GIVEN or name == "long")
        require(asked.condition is None, f"--task {task} takes no --condition; with one this model can do: {given or 'nothing'}")
    require(asked.text is None or dit.context == "text", "--text was given, and this model was not trained on texts"
            + (f"; it knows the classes {', '.join(class_names)} (--class)" if class_names else ""))
    if asked.class_name is not None:
        require(bool(class_names), "--class was given, and this model was not trained on classes" + (
            "; say it with --text" if dit.context == "text" else ""))
        require(asked.class_name in class_names, f'--class is "{asked.class_name}", this model knows: {", ".join(class_names)}')
    told = asked.condition is None and dit.context != "none"
    require(not told or sample.guidance_scale == 1 or dit.condition_dropout > 0,
            f"--guidance-scale is {sample.guidance_scale:g}, expected 1, as this model was trained without dit.condition_dropout")


def class_ids(asked: Asked, dit: TrainedDiT) -> list[int]:
    """The class of each sample: the one asked for, or each in turn; NULL_CLASS where a condition or a text takes its place."""
    names = dit.class_names
    if asked.condition is not None or not names:
        return [NULL_CLASS] * asked.count
    return [names.index(asked.class_name) if asked.class_name else i % len(names) for i in range(asked.count)]


def out_paths(asked: Asked) -> list[Path]:
    """Where each sample goes: the path asked for, numbered when there are several.

    Raises:
        ParamsError: its name does not end with .mp4.
        DataError: something lies there, or cannot be written there.
    """
    out = asked.out
    require(out.suffix == ".mp4", f"--out is {out}, expected a name that ends with .mp4")
    width = len(str(asked.count))
    paths = [out] if asked.count == 1 else [out.with_name(f"{out.stem}-{i + 1:0{width}d}.mp4") for i in range(asked.count)]
    for path in paths:
        for written in (path, lossless_path(path)):
            if asked.condition is not None and written.exists() and asked.condition.exists() and written.samefile(asked.condition):
                raise DataError(f"{written} is the condition itself; choose another --out")
            if written.exists() and not asked.force:
                raise DataError(f"{written} exists; choose another --out, or overwrite it with --force")
            if written.is_dir():
                raise DataError(f"{written} is a folder; choose another --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        probe = out.with_name(f".{out.name}.tmp")
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DataError(f"{out.parent} cannot be written ({error.strerror}); choose another --out") from None
    return paths


def lossless_path(mp4: Path) -> Path:
    """The sidecar of a sample."""
    return mp4.with_suffix(".npz")


def require(condition: bool, told: str) -> None:
    """Raises:
        ParamsError: with these words.
    """
    if not condition:
        raise ParamsError(told)


def _on_the_command_line(told: str) -> str:
    """ "params.yaml: sample.num_samples is 0, ..." -> "--count is 0, ..." """
    key, rest = told.removeprefix("params.yaml: sample.").split(" ", 1)
    option = {"num_samples": "count", "long_windows": "windows"}.get(key, key.replace("_", "-"))
    return f"--{option} {rest}"
