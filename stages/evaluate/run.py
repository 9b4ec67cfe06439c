"""The stage: every task's samples against held-out windows and those learnt from, by every protocol asked for."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.clips import class_names, read_clips
from pipeline.contracts.events import read_events
from pipeline.contracts.neighbours import write_neighbours
from pipeline.contracts.outputs import Work, stage_output
from pipeline.contracts.samples import read_samples
from pipeline.contracts.windows import window_key
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams, ComputeParams, EvaluateParams
from pipeline.pretrained import resolve
from pipeline.progress import human_seconds, say
from pipeline.stage import Summary
from pipeline.training import pick_device
from stages.evaluate.evaluation import GENERATED, AbsentExtractor, Evaluation, Group, RealSets
from stages.evaluate.extractors import I3D, I3D_MIN_FRAMES, Extractor, LocalExtractor, Modality
from stages.evaluate.figures import Figure, Figures, write_figures
from stages.evaluate.learnt_clips import LearntClips
from stages.evaluate.measures import MEASURES
from stages.evaluate.memorisation import neighbour_rows
from stages.evaluate.protocol import Protocol, load_protocol
from stages.evaluate.train_classifiers import load_training_inputs, train_classifier
from stages.evaluate.windows import Place, RealWindows, Resized, SampleWindows, WindowSet, halves, sources_of, spread

I3D_NEEDS = ("needs an I3D as TorchScript; set evaluate.i3d.source to a local file, or to the hub id flateon/FVD-I3D-torchscript "
             "with its revision")
MODALITIES: tuple[Modality, ...] = ("video", "audio")


def run(*, seed: int, clip: ClipParams, audio: AudioParams, compute: ComputeParams, evaluate: EvaluateParams, decode: Path,
        audio_images: Path, sample: Path, demo_data: Path, inventory: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary.

    Raises:
        DataError: an input is absent or older than the params, or there is no training window.
        WeightsError: `evaluate.i3d` is set and cannot be used.
    """
    sections = {"seed": seed, "clip": clip, "audio": audio, "evaluate": evaluate}
    inputs: dict[str, Path | str] = {"decode": decode, "audio_images": audio_images, "sample": sample, "demo_data": demo_data,
                                     "inventory": inventory}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        rows, figures = read_samples(sample), Figures()
        names, neighbours = class_names(read_clips(inventory)), list[dict[str, object]]()
        extractors, absent = extractors_of(seed, clip, audio, compute, evaluate, decode, len(names), work)
        learnt = LearntClips(decode, clip, work.scratch)
        for protocol in (load_protocol(name) for name in evaluate.protocols):
            reason = protocol.mismatch(clip)
            if reason:
                figures.miss(Figure(protocol=protocol.name, task="all"), ["every figure"], reason)
                say("evaluate", f"{protocol.name}: not computed, {reason}")
                continue
            real = real_sets(protocol, seed, clip, audio, evaluate, decode, learnt)
            evaluation = Evaluation(protocol, real, extractors, seed=seed, clip=clip, audio=audio, params=evaluate, class_names=names,
                                    events=read_events(demo_data), absent=absent, figures=figures)
            say("evaluate", f"{protocol.name}: {len(rows)} samples | reference {len(real.reference)} held-out windows, floor "
                            f"{len(real.floor)} of other sources | {len(real.training)} learnt from")
            for group in groups(rows, real, protocol, clip, audio, evaluate, decode=decode, audio_images=audio_images, sample=sample):
                started = time.monotonic()
                for measure in protocol.measures:
                    MEASURES[measure](evaluation, group)
                say("evaluate", f"{protocol.name}: {group.task}, {len(group.windows)} windows measured in "
                                f"{human_seconds(time.monotonic() - started)}")
            neighbours += neighbour_rows(evaluation)
        write_figures(work.folder, figures)
        write_neighbours(work.folder, neighbours)
        work.counts.update(figures=len(figures.found), not_computed=len(figures.missing), samples=len(rows))
    return {"figures": work.counts["figures"], "not computed": work.counts["not_computed"], "out": str(out)}


def extractors_of(seed: int, clip: ClipParams, audio: AudioParams, compute: ComputeParams, evaluate: EvaluateParams, decode: Path,
                  num_classes: int, work: Work) -> tuple[list[Extractor], list[AbsentExtractor]]:
    """The extractors that can be had, the local ones trained here, and what the others need."""
    i3d = None if evaluate.i3d.source is None else I3D(resolve(evaluate.i3d, "evaluate.i3d"), pick_device(compute))
    places = spread(sources_of(decode, "train"), evaluate.max_train_windows, clip, seed)
    if not places:
        raise DataError(f"{decode} holds no training window of {clip.num_frames} frames; add clips of {clip.window_sec:g} s or more, "
                        "or lower clip.num_frames")
    inputs = load_training_inputs(RealWindows(decode, "train", places, clip, audio), audio.sample_rate_hz)
    found: list[Extractor] = [
        LocalExtractor(train_classifier(modality, inputs, num_classes, evaluate.classifier_train, seed=seed, compute=compute, work=work),
                       modality, audio.sample_rate_hz)
        for modality in MODALITIES]
    if i3d is None:
        return found, [AbsentExtractor(I3D.name, "video", I3D_NEEDS)]
    if clip.num_frames < I3D_MIN_FRAMES:
        return found, [AbsentExtractor(I3D.name, "video",
                                       f"needs windows of {I3D_MIN_FRAMES} frames or more, clip.num_frames is {clip.num_frames}")]
    return [*found, i3d], []


def real_sets(protocol: Protocol, seed: int, clip: ClipParams, audio: AudioParams, evaluate: EvaluateParams, decode: Path,
              learnt_clips: LearntClips) -> RealSets:
    """Held-out sources divided in two, and those learnt from."""
    count = min(protocol.reference, evaluate.max_windows)
    compared, floor = halves(sources_of(decode, "test"), seed)
    learnt = sources_of(decode, "train")

    def windows(split: str, sources: list) -> WindowSet:  # type: ignore[type-arg]
        return at_size(RealWindows(decode, split, spread(sources, count, clip, seed), clip, audio), protocol, clip)

    return RealSets(windows("test", compared), windows("test", floor), windows("train", learnt),
                    {"test": f"held-out clips of {len(compared)} sources (floor: of {len(floor)} others)",
                     "train": f"clips learnt from, of {len(learnt)} sources (floor: held-out clips of {len(floor)} sources)"},
                    learnt_clips)


def groups(rows: pd.DataFrame, real: RealSets, protocol: Protocol, clip: ClipParams, audio: AudioParams, evaluate: EvaluateParams, *,
           decode: Path, audio_images: Path, sample: Path) -> Iterator[Group]:
    """The held-out reference itself, then the samples of each task that a window holds."""
    yield Group("real", real.reference)
    for name, some in sorted(rows.groupby("task"), key=lambda pair: str(pair[0])):
        task, found = str(name), some.head(min(protocol.samples, evaluate.max_windows))
        if task not in GENERATED:
            say("evaluate", f"{task}: {len(some)} samples are longer than a window; their seams are in {sample / 'metrics.json'}")
            continue
        samples, places = SampleWindows(sample, found, clip, audio), conditions(found)
        originals = at_size(RealWindows(decode, "test", places, clip, audio), protocol, clip) if places else None
        images = AudioImagePairs(samples, places, audio_images) if task == "reconstruction" else None
        yield Group(task, at_size(samples, protocol, clip), originals, images)


def conditions(rows: pd.DataFrame) -> list[Place]:
    """The real window that each sample was conditioned on or reconstructs; empty when they had none."""
    places = [Place(str(clip_id), int(start)) for clip_id, start in
              zip(rows["condition_clip_id"], rows["condition_start_frame"], strict=True) if clip_id]
    return places if len(places) == len(rows) else []


def at_size(windows: WindowSet, protocol: Protocol, clip: ClipParams) -> WindowSet:
    """The windows at the protocol's size."""
    if protocol.size_px is None or protocol.size_px == clip.frame_size_px:
        return windows
    return Resized(windows, protocol.size_px)


class AudioImagePairs:
    """The mel images that the autoencoder gives, beside those made of the original sound."""

    def __init__(self, samples: SampleWindows, places: list[Place], audio_images: Path) -> None:
        self.samples, self.keys = samples, [window_key(place.clip_id, place.start_frame) for place in places]
        self.reader = read_audio_images(audio_images, "test")
        self.rows: Mapping[str, int] = {key: i for i, key in enumerate(self.reader.keys)}
        absent = [key for key in self.keys if key not in self.rows]
        if absent:
            raise DataError(f"{audio_images} has no window {absent[0]}, which data/sample reconstructs; run: dvc repro sample")

    def __call__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """(made, original) of sample i, uint8 [n_mels, columns]."""
        return self.samples.load(i)[2], gray_array(self.reader[self.rows[self.keys[i]]]["gray"])
