"""mmldm evaluate (python -m stages.evaluate.folders): any two folders of videos, by a protocol, without the pipeline.

    mmldm evaluate --generated samples --reference real --protocol mm-ldm-256 --out figures

Every generated video gives its first window (where there are more than the protocol has, those are drawn by seed and content, whatever
their names), the reference as many windows as the protocol has, files in turn. A rate, a length or a size that differs within the generated
ones stops with one line: a figure over a mixture says nothing. Reference videos may be longer, larger and faster; their frames are
chosen by time, brought to the protocol's size by the resize that it names (where it names none, fitted to the generated ones'),
and none is invented. What was done to them stands in the column `reference` of every figure.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import pandas as pd
import torch

from pipeline.commands import evaluate_parser
from pipeline.contracts.metrics import FLAT
from pipeline.contracts.window_sets import Place, SourceClips, WindowSet, halves, spread
from pipeline.errors import DataError
from pipeline.look import metrics_table
from pipeline.params import AudioParams, ClipParams, ComputeParams, ExtractorsParams, load_params
from pipeline.preset import preset_params
from pipeline.progress import say
from pipeline.quiet import silence_tools
from pipeline.seeds import derive_seed
from pipeline.stage import mistakes_in_one_line, prepare_torch
from pipeline.training import pick_device
from stages.evaluate import beats
from stages.evaluate.evaluation import Evaluation, Group, RealSets
from stages.evaluate.extractors.catalogue import LOCAL, AbsentExtractor, Catalogue
from stages.evaluate.features import FeatureStore
from stages.evaluate.figures import Figure, Figures, write_figures
from stages.evaluate.protocol import Protocol, load_protocol
from stages.evaluate.run import at_size, measure
from stages.evaluate.video_folder import FolderWindows, VideoFile, as_sources, content, frames_at, survey

PINNED = "landscape"
"""The preset whose extractors are used where params.yaml names none."""
HALF, NONE = "half", "none"
RATE_TOLERANCE = 0.01
"""Of a frame rate: 9.99 is 10, 29.97 is not 29."""
LEAST_RATE_HZ, MOST_RATE_HZ = 16000, 48000
"""Sounds are compared at the lowest rate of all files, within these: one telephone recording does not take the treble of all others."""
MIN_SAMPLES = 16
EVENT_TOLERANCE_SEC = 0.1


@dataclass(frozen=True, slots=True)
class Folders:
    """What is compared with what."""

    generated: Path
    reference: Path
    floor: Path | None
    """Other real videos, in the samples' place; None: half of the reference's, or none (`halved`)."""
    halved: bool
    train: Path | None
    """What was learnt from; None: not known."""
    task: str = "svg"
    """svg, a2v, v2a or reconstruction; the reference has a video of the same name for each generated one, but of svg."""
    fit: Literal["pad", "crop"] = "pad"
    """What becomes of pictures that are not square."""


def main() -> None:
    """The command line; prints the figures, and what was not computed with the reason."""
    silence_tools()
    chosen = evaluate_parser().parse_args()
    with mistakes_in_one_line("evaluate"):
        compute = ComputeParams(device=chosen.device or "auto", num_threads=0, num_workers=1, dask_scheduler=None)
        prepare_torch(compute)
        floor = None if chosen.floor in (HALF, NONE) else Path(chosen.floor)
        folders = Folders(chosen.generated, chosen.reference, floor, chosen.floor == HALF, chosen.train, chosen.task, chosen.fit)
        figures = evaluate_folders(folders, load_protocol(chosen.protocol), extractor_entries(Path("params.yaml")), chosen.out,
                                   pick_device(compute), chosen.seed)
        print("\n".join(metrics_table(json.loads((chosen.out / FLAT).read_text(encoding="utf-8")))))
        notes = [(note, figure.name) for figure in figures.found for note in figure.note.split("; ") if note]
        missing = [(figure.not_computed, figure.name) for figure in figures.missing]
        for title, told in (("read with care", notes), ("not computed", missing)):
            names: dict[str, list[str]] = {}
            for why, name in told:
                names.setdefault(why, []).append(name)
            for why, those in names.items():
                print(f"{title}: {', '.join(dict.fromkeys(those))}: {why}")


def evaluate_folders(folders: Folders, protocol: Protocol, entries: ExtractorsParams, out: Path, device: torch.device,
                     seed: int = 0) -> Figures:
    """Measure, write `out` (metrics.parquet, metrics.json, features), and return the figures.

    Raises:
        DataError: a folder holds nothing that can be compared; says which file, and what to do.
    """
    for name in ("generated", "reference", "floor", "train"):
        folder = getattr(folders, name)
        if folder is not None and out.resolve().is_relative_to(folder.resolve()):
            raise DataError(f"--out is {out}, which lies in --{name}, among the videos to be measured; choose another --out")
    if out.exists() and not out.is_dir():
        raise DataError(f"--out is {out}, which is a file; choose another --out")
    generated, reference = survey(folders.generated), survey(folders.reference)
    clip, audio = window_shape(generated, reference, protocol, folders.fit)
    learnt, beside = (survey(folder) if folder else [] for folder in (folders.train, folders.floor))
    sounding = all(file.rate_hz for file in (*generated, *reference))
    if not sounding:
        silent = next(file for file in (*generated, *reference) if not file.rate_hz)
        if folders.task != "svg":
            raise DataError(f"{silent.path} has no sound, which --task {folders.task} needs; take it out of the folder")
        say("evaluate", f"{silent.path} has no sound; figures of sound are left out")
    reference, learnt, beside = (comparable(files, clip, where, sounding) for files, where in (
        (reference, folders.reference), (learnt, folders.train), (beside, folders.floor)))
    if not reference:
        raise DataError(f"{folders.reference} holds no video of {clip.window_sec:g} s, as long as the generated ones; "
                        "give longer ones, or another --protocol")
    count = protocol.reference
    compared, others = as_sources(reference, clip), as_sources(beside, clip)
    if folders.halved:
        compared, others = halves(compared, seed)

    def windows(files: Sequence[VideoFile], places: Sequence[Place]) -> WindowSet:
        shape = before_resize(files, protocol, clip)
        return at_size(FolderWindows(files, places, shape, audio), protocol, shape)

    def spread_over(files: Sequence[VideoFile], sources: Sequence[SourceClips]) -> WindowSet:
        return windows(files, spread(sources, count, clip, seed))

    how = treatment(generated, reference, protocol, clip, audio.sample_rate_hz if sounding else 0)
    real = RealSets(spread_over(reference, compared), spread_over(beside or reference, others),
                    spread_over(learnt, as_sources(learnt, clip)),
                    {"test": f"{folders.reference.name} ({len(compared)} files; floor: {len(others)} others){how}",
                     "train": f"{folders.train.name if folders.train else ''} ({len(learnt)} files, learnt from){how}"},
                    {"test": f"needs videos of {clip.window_sec:g} s or more in {folders.reference}",
                     "train": "needs the folder of what was learnt from; add --train FOLDER"})
    chosen = sorted(generated, key=lambda file: (derive_seed(seed, "evaluate", content(file.path)), file.name))[:protocol.samples]
    if len(chosen) < len(generated):
        say("evaluate", f"{len(chosen)} of {len(generated)} generated videos are measured, as many as {protocol.name} has, drawn by --seed")
    samples = at_size(FolderWindows(chosen, [Place(file.name, 0) for file in chosen], clip, audio), protocol, clip)
    originals = None if folders.task == "svg" else windows(reference, true_ones(chosen, reference, folders))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"--out {out} cannot be written ({error.strerror}); choose another --out") from None
    figures, catalogue = Figures(), Catalogue(entries, clip, audio.sample_rate_hz, device)
    found, absent = catalogue.published(protocol.extractors)
    if LOCAL in protocol.extractors:
        why = "needs networks trained on this data set; run the pipeline on it, or leave these figures"
        absent += [AbsentExtractor(LOCAL, "video", ("fvd", "kvd"), why), AbsentExtractor(LOCAL, "audio", ("fad",), why)]
    evaluation = Evaluation(protocol, real, found, absent, FeatureStore(out, out), figures, seed=seed, clip=clip, audio=audio,
                            min_samples=MIN_SAMPLES, event_tolerance_sec=EVENT_TOLERANCE_SEC, class_names=(),
                            events=pd.DataFrame(columns=["source_path", "kind", "time_sec"]))
    say("evaluate", f"{protocol.name}: {len(samples)} generated | reference {len(real.reference)} windows of {len(compared)} files, floor "
                    f"{len(real.floor)} of {len(others)} others | {clip.num_frames} frames at {clip.fps}, {clip.frame_size_px} px{how}")
    group = Group(folders.task if sounding else "v", samples, originals)
    measure(evaluation, [Group("real", real.reference), group] if sounding else [group])
    if originals is None and "beats" in protocol.measures:
        figures.miss(Figure(protocol=protocol.name, task=group.task), list(beats.TOLERANCES_SEC),
                     "needs the true sound of each; add --task v2a, with a reference of the same name for each generated video")
    write_figures(out, figures)
    return figures


def comparable(files: Sequence[VideoFile], clip: ClipParams, where: Path | None, sounding: bool) -> list[VideoFile]:
    """The files that hold a window.

    Raises:
        DataError: one has fewer frames a second than are compared, or no sound where the others have.
    """
    require_fast_enough(files, clip, str(where))
    mute = next((file for file in files if sounding and not file.rate_hz), None)
    if mute:
        raise DataError(f"{mute.path} has no sound, as the generated videos have; take it out of the folder")
    short = [file for file in files if frames_at(file, clip.fps) < clip.num_frames]
    if short:
        say("evaluate", f"{len(short)} of {len(files)} videos of {where} are left out, such as {short[0].name}: shorter than a window of "
                        f"{clip.window_sec:g} s")
    return [file for file in files if file not in short]


def before_resize(files: Sequence[VideoFile], protocol: Protocol, clip: ClipParams) -> ClipParams:
    """The shape in which real videos are read, so that the protocol's own resize takes them to its size: that of the smallest one."""
    if protocol.size_px is None or protocol.resize == "none" or not files:
        return clip
    side = min if clip.fit == "crop" else max
    return replace(clip, frame_size_px=max(protocol.size_px, min(side(file.width_px, file.height_px) for file in files)))


def treatment(generated: Sequence[VideoFile], reference: Sequence[VideoFile], protocol: Protocol, clip: ClipParams, rate_hz: int) -> str:
    """What is done to the real videos so that they can be compared, in words that begin with a semicolon; "" when it is nothing."""
    said = []
    shape = before_resize(reference, protocol, clip)
    if any((file.width_px, file.height_px) != (shape.frame_size_px, shape.frame_size_px) for file in reference):
        said.append(f"fitted to {shape.frame_size_px} px")
    if any(abs(file.width_px - file.height_px) > 1 for file in (*generated, *reference)):
        said.append("black bars around what is not square (--fit)" if clip.fit == "pad" else "cut to squares (--fit)")
    if protocol.size_px and shape.frame_size_px != protocol.size_px:
        said.append(f"then {protocol.resize} to {protocol.size_px} px")
    if rate_hz and any(file.rate_hz != rate_hz for file in (*generated, *reference)):
        said.append(f"sound at {rate_hz} Hz")
    return "".join(f"; {part}" for part in said)


def true_ones(generated: Sequence[VideoFile], reference: Sequence[VideoFile], folders: Folders) -> list[Place]:
    """The first window of the reference that has a generated video's name.

    Raises:
        DataError: there is none.
    """
    by_name = {str(Path(file.name).with_suffix("")): file.name for file in reference}
    for file in generated:
        if str(Path(file.name).with_suffix("")) not in by_name:
            raise DataError(f"--task {folders.task} compares each generated video with the reference of its name, and {folders.reference} "
                            f"has none for {file.name} (or one shorter than a window); name them alike, or take --task svg")
    return [Place(by_name[str(Path(file.name).with_suffix(""))], 0) for file in generated]


def window_shape(generated: Sequence[VideoFile], reference: Sequence[VideoFile], protocol: Protocol,
                 fit: Literal["pad", "crop"] = "pad") -> tuple[ClipParams, AudioParams]:
    """The shape of a window, which the generated files decide within the protocol.

    Raises:
        DataError: they differ among themselves, or the protocol is for others.
    """
    first = generated[0]
    for file in generated:
        if abs(file.fps - first.fps) > RATE_TOLERANCE * first.fps:
            raise DataError(f"the generated videos differ in rate: {first.name} has {first.fps:.4g} frames a second, {file.name} "
                            f"{file.fps:.4g}; evaluate them apart, or make them alike")
        if (file.width_px, file.height_px) != (first.width_px, first.height_px):
            raise DataError(f"the generated videos differ in size: {first.name} is {first.width_px} x {first.height_px}, {file.name} "
                            f"{file.width_px} x {file.height_px}; evaluate them apart, or make them alike")
    fps = protocol.fps or (round(first.fps) if first.fps >= round(first.fps) * (1 - RATE_TOLERANCE) else int(first.fps))
    if fps < 1:
        raise DataError(f"{first.name} has {first.fps:.4g} frames a second, 1 or more are compared; leave it out")
    lengths = {frames_at(file, fps): file.name for file in reversed(generated)}
    wanted = protocol.num_frames or frames_at(first, fps)
    short = [(count, name) for count, name in lengths.items() if count < wanted]
    if short:
        raise DataError(f"a window has {wanted} frames, {short[0][1]} has {short[0][0]} at {fps} a second; leave it out, or make it longer")
    if protocol.num_frames is None and len(lengths) > 1:
        (count, name), (other, another) = list(lengths.items())[:2]
        raise DataError(f"the generated videos differ in length: {name} has {count} frames, {another} {other}; evaluate them apart, or "
                        "take a protocol that says how many frames a window has")
    if wanted < 2:
        raise DataError(f"{first.name} has {wanted} frames at {fps} a second, a window has 2 or more; leave it out")
    clip = ClipParams(frame_size_px=(max if fit == "pad" else min)(first.width_px, first.height_px), fps=fps, num_frames=wanted,
                      window_stride=1, fit=fit, max_sec=max(10.0, wanted / fps))
    require_fast_enough(generated, clip, "the generated videos")
    mismatch = protocol.mismatch(clip)
    if mismatch:
        raise DataError(f"protocol {protocol.name} {mismatch} (clip: of the generated videos); take another --protocol")
    rates = [file.rate_hz for file in (*generated, *reference) if file.rate_hz]
    rate = max(min([*rates, MOST_RATE_HZ]), LEAST_RATE_HZ)
    return clip, replace(preset_params("demo").audio, sample_rate_hz=rate, f_max_hz=min(7600.0, rate / 2))


def require_fast_enough(files: Sequence[VideoFile], clip: ClipParams, where: str) -> None:
    """Raises DataError for a video with fewer frames a second than are compared."""
    for file in files:
        if file.fps < clip.fps * (1 - RATE_TOLERANCE):
            raise DataError(f"{where}: {file.name} has {file.fps:.4g} frames a second, {clip.fps} are compared, and none is invented; "
                            "leave it out, or take a protocol of its rate")


def extractor_entries(params: Path) -> ExtractorsParams:
    """The entries of params.yaml where there is one, and for those that are null there the pinned ones of the paper presets."""
    pinned = preset_params(PINNED).evaluate.extractors
    if not params.is_file():
        return pinned
    own = load_params(params).evaluate.extractors
    return replace(own, **{field.name: getattr(own, field.name) or getattr(pinned, field.name) for field in fields(ExtractorsParams)})


if __name__ == "__main__":
    main()
