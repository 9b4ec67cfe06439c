"""What `mmldm generate` is asked for: its command line, and whether these networks can do it; told before anything is loaded."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pipeline.commands import SAMPLING, generate_parser
from pipeline.errors import DataError, ParamsError
from pipeline.params import SAMPLERS, DiTParams, SampleParams, Task
from pipeline.seeds import MAX_SEED
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
    chosen = vars(generate_parser().parse_args(arguments))
    sampling = {name: value for name in SAMPLING if (value := chosen.pop(name)) is not None}
    if "guidance_interval" in sampling:
        sampling["guidance_interval"] = tuple(sampling["guidance_interval"])
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
    require(0 <= asked.seed <= MAX_SEED, f"--seed is {asked.seed}, expected 0 to {MAX_SEED}")
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
