"""The stage: every task's samples against held-out windows and those learnt from, by every protocol asked for."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.clips import class_names, read_clips
from pipeline.contracts.events import read_events
from pipeline.contracts.neighbours import write_neighbours
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import read_samples
from pipeline.contracts.window_sets import Place, RealWindows, SourceClips, WindowSet, halves, sources_of, spread
from pipeline.contracts.windows import window_key
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams, ComputeParams, EvaluateParams
from pipeline.progress import human_seconds, say
from pipeline.stage import Summary
from pipeline.training import pick_device
from stages.evaluate.evaluation import GENERATED, Evaluation, Group, RealSets
from stages.evaluate.extractors.catalogue import LOCAL, Catalogue
from stages.evaluate.extractors.local import local_extractors
from stages.evaluate.features import FeatureStore
from stages.evaluate.figures import Figure, Figures, write_figures
from stages.evaluate.learnt_clips import LearntClips
from stages.evaluate.measures import MEASURES
from stages.evaluate.memorisation import neighbour_rows
from stages.evaluate.protocol import Protocol, load_protocol
from stages.evaluate.windows import Resized, SampleWindows


def run(*, seed: int, clip: ClipParams, audio: AudioParams, compute: ComputeParams, evaluate: EvaluateParams, decode: Path,
        local_features: Path, audio_images: Path, sample: Path, demo_data: Path, inventory: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary.

    Raises:
        DataError: an input is absent or older than the params.
        ParamsError: there is no protocol of a name.
        WeightsError: what an entry of evaluate.extractors leads to is something else than it should be.
    """
    protocols = [load_protocol(name) for name in evaluate.protocols]
    sections = {"seed": seed, "clip": clip, "audio": audio, "evaluate": evaluate}
    inputs: dict[str, Path | str] = {"decode": decode, "local_features": local_features, "audio_images": audio_images, "sample": sample,
                                     "demo_data": demo_data, "inventory": inventory}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent, takes_over=True) as work:
        rows, names, device = read_samples(sample), class_names(read_clips(inventory)), pick_device(compute)
        figures, store, neighbours = Figures(), FeatureStore(work.folder, work.scratch, work.earlier), list[dict[str, object]]()
        catalogue = Catalogue(evaluate.extractors, clip, audio.sample_rate_hz, device)
        learnt = LearntClips(decode, clip, work.scratch)
        for protocol in protocols:
            reason = protocol.mismatch(clip)
            if reason:
                figures.miss(Figure(protocol=protocol.name, task="all"), ["every figure"], reason)
                say("evaluate", f"{protocol.name}: not computed, {reason}")
                continue
            found, absent = catalogue.published(protocol.extractors)
            own = local_extractors(local_features, device, audio.sample_rate_hz) if LOCAL in protocol.extractors else []
            real = real_sets(protocol, seed, clip, audio, evaluate, decode, learnt)
            evaluation = Evaluation(protocol, real, [*own, *found], absent, store, figures, seed=seed, clip=clip, audio=audio,
                                    min_samples=evaluate.min_samples, event_tolerance_sec=evaluate.event_tolerance_sec, class_names=names,
                                    events=read_events(demo_data))
            say("evaluate", f"{protocol.name}: {len(rows)} samples | reference {len(real.reference)} held-out windows, floor "
                            f"{len(real.floor)} of other sources | {len(real.training)} learnt from")
            measure(evaluation, list(groups(rows, real, protocol, clip, audio, evaluate, decode=decode, audio_images=audio_images,
                                            sample=sample)))
            neighbours += neighbour_rows(evaluation)
        write_figures(work.folder, figures)
        write_neighbours(work.folder, neighbours)
        work.counts.update(figures=len(figures.found), not_computed=len(figures.missing), samples=len(rows))
        say("evaluate", f"features of {store.taken} windows taken, of {store.found} found")
    return {"figures": work.counts["figures"], "not computed": work.counts["not_computed"], "out": str(out)}


def measure(evaluation: Evaluation, groups: Sequence[Group]) -> None:
    """Everything that the protocol measures of the groups; features first, so that one network at a time is in memory."""
    evaluation.take_features(groups)
    for group in groups:
        started = time.monotonic()
        for name in evaluation.protocol.measures:
            MEASURES[name](evaluation, group)
        say("evaluate", f"{evaluation.protocol.name}: {group.task}, {len(group.windows)} windows measured in "
                        f"{human_seconds(time.monotonic() - started)}")


def real_sets(protocol: Protocol, seed: int, clip: ClipParams, audio: AudioParams, evaluate: EvaluateParams, decode: Path,
              learnt_clips: LearntClips) -> RealSets:
    """Held-out sources divided in two, and those learnt from."""
    count = min(protocol.reference, evaluate.max_windows)
    compared, floor = halves(sources_of(decode, "test"), seed)
    learnt = sources_of(decode, "train")

    def windows(split: str, sources: list[SourceClips]) -> WindowSet:
        return at_size(RealWindows(decode, split, spread(sources, count, clip, seed), clip, audio), protocol, clip)

    return RealSets(windows("test", compared), windows("test", floor), windows("train", learnt),
                    {"test": f"held-out clips of {len(compared)} sources (floor: of {len(floor)} others)",
                     "train": f"clips learnt from, of {len(learnt)} sources (floor: held-out clips of {len(floor)} sources)"},
                    {"test": "needs held-out windows; add clips, or raise inventory.test_share",
                     "train": "needs training windows; add clips"}, learnt_clips)


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
    assert protocol.resize != "none"  # Protocol.mismatch
    return Resized(windows, protocol.size_px, protocol.resize)


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
