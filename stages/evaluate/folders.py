"""mmldm evaluate (python -m stages.evaluate.folders): any two folders of videos, by a protocol, without the pipeline.

    mmldm evaluate --generated samples --reference real --protocol mm-ldm-256 --out figures

Every generated video gives its first window, the reference as many windows as the protocol has, files in turn. A rate, a length or a size
that differs within the generated ones stops with one line: a figure over a mixture says nothing. Reference videos may be longer,
larger and faster; their frames are chosen by time, fitted to the size of the generated ones, and none is invented.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

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
from pipeline.stage import mistakes_in_one_line, prepare_torch
from pipeline.training import pick_device
from stages.evaluate.evaluation import Evaluation, Group, RealSets
from stages.evaluate.extractors.catalogue import LOCAL, AbsentExtractor, Catalogue
from stages.evaluate.features import FeatureStore
from stages.evaluate.figures import Figures, write_figures
from stages.evaluate.protocol import Protocol, load_protocol
from stages.evaluate.run import at_size, measure
from stages.evaluate.video_folder import FolderWindows, VideoFile, as_sources, frames_at, survey

PINNED = "landscape"
"""The preset whose extractors are used where params.yaml names none."""
HALF, NONE = "half", "none"
RATE_TOLERANCE = 0.01
"""Of a frame rate: 9.99 is 10, 29.97 is not 29."""
MOST_RATE_HZ = 48000
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


def main() -> None:
    """The command line; prints the figures, and what was not computed with the reason."""
    silence_tools()
    chosen = evaluate_parser().parse_args()
    with mistakes_in_one_line("evaluate"):
        compute = ComputeParams(device=chosen.device or "auto", num_threads=0, num_workers=1, dask_scheduler=None)
        prepare_torch(compute)
        floor = None if chosen.floor in (HALF, NONE) else Path(chosen.floor)
        folders = Folders(chosen.generated, chosen.reference, floor, chosen.floor == HALF, chosen.train)
        figures = evaluate_folders(folders, load_protocol(chosen.protocol), extractor_entries(Path("params.yaml")), chosen.out,
                                   pick_device(compute), chosen.seed)
        print("\n".join(metrics_table(json.loads((chosen.out / FLAT).read_text(encoding="utf-8")))))
        reasons: dict[str, list[str]] = {}
        for figure in figures.missing:
            reasons.setdefault(figure.not_computed, []).append(figure.name)
        for reason, names in reasons.items():
            print(f"not computed: {', '.join(dict.fromkeys(names))}: {reason}")


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
    generated, reference = survey(folders.generated), survey(folders.reference)
    clip, audio = window_shape(generated, reference, protocol)
    learnt = survey(folders.train) if folders.train else []
    beside = survey(folders.floor) if folders.floor else []
    for files, where in ((reference, folders.reference), (learnt, folders.train), (beside, folders.floor)):
        require_fast_enough(files, clip, str(where))
    sounding = all(file.rate_hz for file in (*generated, *reference))
    if not sounding:
        silent = next(file for file in (*generated, *reference) if not file.rate_hz)
        say("evaluate", f"{silent.path} has no sound; figures of sound are left out")
    count = protocol.reference
    compared, others = as_sources(reference, clip), as_sources(beside, clip)
    if folders.halved:
        compared, others = halves(compared, seed)

    def windows(files: Sequence[VideoFile], sources: Sequence[SourceClips]) -> WindowSet:
        return at_size(FolderWindows(files, spread(sources, count, clip, seed), clip, audio), protocol, clip)

    real = RealSets(windows(reference, compared), windows(beside or reference, others), windows(learnt, as_sources(learnt, clip)),
                    {"test": f"{folders.reference.name} ({len(compared)} files; floor: {len(others)} others)",
                     "train": f"{folders.train.name if folders.train else ''} ({len(learnt)} files, learnt from)"},
                    {"test": f"needs videos of {clip.window_sec:g} s or more in {folders.reference}",
                     "train": "needs the folder of what was learnt from; add --train FOLDER"})
    if not len(real.reference):
        raise DataError(f"{folders.reference} holds no video of {clip.window_sec:g} s, as long as the generated ones; "
                        "give longer ones, or another --protocol")
    samples = FolderWindows(generated, [Place(file.name, 0) for file in generated[:protocol.samples]], clip, audio)
    out.mkdir(parents=True, exist_ok=True)
    figures, catalogue = Figures(), Catalogue(entries, clip, audio.sample_rate_hz, device)
    found, absent = catalogue.published(protocol.extractors)
    if LOCAL in protocol.extractors:
        why = "needs networks trained on this data set; run the pipeline on it, or leave these figures"
        absent += [AbsentExtractor(LOCAL, "video", ("fvd", "kvd"), why), AbsentExtractor(LOCAL, "audio", ("fad",), why)]
    evaluation = Evaluation(protocol, real, found, absent, FeatureStore(out, out), figures, seed=seed, clip=clip, audio=audio,
                            min_samples=MIN_SAMPLES, event_tolerance_sec=EVENT_TOLERANCE_SEC, class_names=(),
                            events=pd.DataFrame(columns=["source_path", "kind", "time_sec"]))
    say("evaluate", f"{protocol.name}: {len(samples)} generated | reference {len(real.reference)} windows of {len(compared)} files, floor "
                    f"{len(real.floor)} of {len(others)} others | {clip.num_frames} frames at {clip.fps}, {clip.frame_size_px} px")
    groups = [Group("svg" if sounding else "v", at_size(samples, protocol, clip))]
    measure(evaluation, [Group("real", real.reference), *groups] if sounding else groups)
    write_figures(out, figures)
    return figures


def window_shape(generated: Sequence[VideoFile], reference: Sequence[VideoFile], protocol: Protocol) -> tuple[ClipParams, AudioParams]:
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
    fps = protocol.fps or round(first.fps)
    lengths = {frames_at(file, fps): file.name for file in reversed(generated)}
    wanted = protocol.num_frames or frames_at(first, fps)
    short = [(count, name) for count, name in lengths.items() if count < wanted]
    if short:
        raise DataError(f"a window has {wanted} frames, {short[0][1]} has {short[0][0]} at {fps} a second; leave it out, or make it longer")
    if protocol.num_frames is None and len(lengths) > 1:
        (count, name), (other, another) = list(lengths.items())[:2]
        raise DataError(f"the generated videos differ in length: {name} has {count} frames, {another} {other}; evaluate them apart, or "
                        "take a protocol that says how many frames a window has")
    clip = _clip(first, fps, wanted)
    require_fast_enough(generated, clip, "the generated videos")
    mismatch = protocol.mismatch(clip)
    if mismatch:
        raise DataError(f"protocol {protocol.name} {mismatch} (clip: of the generated videos); take another --protocol")
    rates = [file.rate_hz for file in (*generated, *reference) if file.rate_hz]
    rate = min([*rates, MOST_RATE_HZ])
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


def _clip(file: VideoFile, fps: int, num_frames: int) -> ClipParams:
    return ClipParams(frame_size_px=max(file.width_px, file.height_px), fps=fps, num_frames=num_frames, window_stride=1, fit="pad",
                      max_sec=max(10.0, num_frames / fps))


if __name__ == "__main__":
    main()
