"""One protocol on one set of real windows: the extractors, the reference, features taken once, and the figures as they come."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.contracts.window_sets import WindowSet
from pipeline.params import AudioParams, ClipParams
from pipeline.progress import human_seconds, say
from stages.evaluate.extractors.catalogue import AbsentExtractor
from stages.evaluate.extractors.extractor import Extractor, Modality
from stages.evaluate.extractors.local import LocalExtractor
from stages.evaluate.features import Features, FeatureStore
from stages.evaluate.figures import Figure, Figures, NotComputable
from stages.evaluate.learnt_clips import LearntClips
from stages.evaluate.nearest import Neighbours
from stages.evaluate.protocol import Protocol

GENERATED: Mapping[str, tuple[Modality, ...]] = {
    "svg": ("video", "audio"), "a2v": ("video",), "v2a": ("audio",), "i2a": ("audio",), "v": ("video",), "a": ("audio",),
    "audio_continuation": ("video", "audio"), "video_continuation": ("video", "audio"), "reconstruction": ("video", "audio"),
    "real": ("video", "audio")}
"""What each task generates; the other modality is its condition (or left out) and is not measured."""
MOST_NAMES = 3
ONE_MODALITY = ("v", "a", "i2a")
"""Tasks in which nothing could be in time: no sound, no picture, or one that stands still."""


@dataclass(frozen=True, slots=True)
class RealSets:
    """Windows of real clips that share no source video with one another."""

    reference: WindowSet
    """What samples are compared with: held-out clips."""
    floor: WindowSet
    """Held-out clips of other sources, in the samples' place."""
    training: WindowSet
    """Clips that were learnt from; empty when none are known."""
    says: Mapping[str, str]
    """By "test" and "train", what the reference is, in words."""
    missing: Mapping[str, str]
    """Likewise, what is needed where it has no window."""
    learnt_clips: LearntClips | None = None
    """The clips that were learnt from, whole; None: they are not known."""


@dataclass(frozen=True, slots=True)
class Group:
    """The windows of one task, to be measured."""

    task: str
    """A task of sample, "reconstruction", or "real": the reference itself."""
    windows: WindowSet
    originals: WindowSet | None = None
    """Of each window, the real one that it reconstructs or was conditioned on; None: it had none."""
    audio_images: Callable[[int], tuple[np.ndarray, np.ndarray]] | None = None
    """Of each window, its mel image uint8 [n_mels, columns] and the original's; None: there are none."""

    @property
    def modalities(self) -> tuple[Modality, ...]:
        """What was generated."""
        return GENERATED[self.task]

    @property
    def originals_are_targets(self) -> bool:
        """Whether each window should look and sound as its original, and not only fit to it."""
        return self.task == "reconstruction"


class Evaluation:
    """What a measure (measures.py) is given; it adds to `figures`."""

    def __init__(self, protocol: Protocol, real: RealSets, extractors: Sequence[Extractor], absent: Sequence[AbsentExtractor],
                 store: FeatureStore, figures: Figures, *, seed: int, clip: ClipParams, audio: AudioParams, min_samples: int,
                 event_tolerance_sec: float, class_names: Sequence[str], events: pd.DataFrame) -> None:
        """Args:
            real: windows at the protocol's size.
            extractors: those of the protocol that are here.
            absent: its other ones.
            store: keeps features.
            min_samples: fewest samples, and reference windows, for which a distance is given.
            event_tolerance_sec: how near in time a sound and a motion event count as together.
            class_names: by class_id; empty when classes are unknown.
            events: true events of the demo's clips (pipeline/contracts/events.py), empty for others.
        """
        self.protocol, self.real, self.store, self.figures = protocol, real, store, figures
        self.seed, self.clip, self.audio = seed, clip, audio
        self.min_samples, self.event_tolerance_sec = min_samples, event_tolerance_sec
        self.class_names, self.events = class_names, events
        self.neighbours: dict[tuple[str, str], Neighbours] = {}
        """By task and space, what memorisation.py found."""
        self._extractors, self._absent = list(extractors), list(absent)
        self._features: dict[tuple[str, str, int], tuple[WindowSet, Features]] = {}

    def extractors(self, modalities: Sequence[Modality]) -> list[Extractor]:
        """Those that see or hear one of the modalities."""
        return [extractor for extractor in self._extractors if extractor.modality in modalities]

    def absent(self, modalities: Sequence[Modality]) -> list[AbsentExtractor]:
        """Those that the protocol names and that cannot be had."""
        return [extractor for extractor in self._absent if extractor.modality in modalities]

    def local(self, modality: Modality) -> LocalExtractor | None:
        """The network trained on this data set; None when the protocol has none."""
        for extractor in self._extractors:
            if isinstance(extractor, LocalExtractor) and extractor.modality == modality:
                return extractor
        return None

    def take_features(self, groups: Sequence[Group]) -> None:
        """All that the measures will ask for, one extractor after the other, each network given back when it is done.

        Those of picture and sound at once are left to the measure, which makes the wrong pairs that they see too.
        """
        for extractor in self.extractors(("video", "audio", "pair")):
            started, taken = time.monotonic(), self.store.taken
            sets = [self.real.reference, self.real.floor, self.real.training]
            for group in groups:
                if extractor.modality == "pair" or extractor.modality in group.modalities:
                    sets += [group.windows] if group.originals is None else [group.windows, group.originals]
            for windows in sets:
                self._of(extractor, windows)
            extractor.release()
            if self.store.taken > taken:
                say("evaluate", f"{extractor.name} ({extractor.modality}): features of {self.store.taken - taken} windows in "
                                f"{human_seconds(time.monotonic() - started)}")

    def features(self, extractor: Extractor, windows: WindowSet) -> np.ndarray:
        """float64 [n, d], or [n, k, d] of an extractor that takes in k parts of a window; taken once for each set."""
        return self._of(extractor, windows).values.astype(np.float64)

    def oddities(self, extractor: Extractor, samples: WindowSet, reference: WindowSet) -> str:
        """Which windows give the extractor nothing to see or hear, "" when there are none.

        Raises:
            NotComputable: none of a set gives it anything.
        """
        said = []
        for whose, windows in (("", samples), ("reference: ", reference)):
            found = self._of(extractor, windows)
            what, odd = ("silent", found.silent) if extractor.modality == "audio" else ("of one colour", found.one_colour)
            rows = np.flatnonzero(odd)
            if not len(rows):
                continue
            if len(rows) == len(odd):
                raise NotComputable(f"needs {'sounds' if what == 'silent' else 'pictures'}, all {len(odd)} "
                                    f"{'reference windows' if whose else 'samples'} are {what}; look at them")
            names, more = windows.names, f" and {len(rows) - MOST_NAMES} more" if len(rows) > MOST_NAMES else ""
            said.append(f"{whose}{len(rows)} of {len(odd)} are {what}: {', '.join(names[row] for row in rows[:MOST_NAMES])}{more}")
        return "; ".join(said)

    def _of(self, extractor: Extractor, windows: WindowSet) -> Features:
        key = (extractor.name, extractor.modality, id(windows))
        if key not in self._features:
            self._features[key] = windows, self.store.of(extractor, windows)
        return self._features[key][1]

    def template(self, task: str, extractor: Extractor | None = None, reference: str = "", *, sound_only: bool = False) -> Figure:
        """A figure's provenance, for `Figure.with_value`.

        Args:
            extractor: None for figures of pixels and samples themselves.
            reference: what the samples are compared with, in words.
            sound_only: whether a figure without extractor looks at no frame.
        """
        sees_frames = not sound_only if extractor is None else extractor.modality != "audio"
        size, own = self.protocol.size_px or self.clip.frame_size_px, self.clip.frame_size_px
        figure = Figure(protocol=self.protocol.name, task=task, reference=reference, fps=self.clip.fps, num_frames=self.clip.num_frames,
                        resolution_px=size if sees_frames else 0,
                        resize=f"{self.protocol.resize} from {own} px" if sees_frames and size != own else "")
        if extractor is None:
            return figure
        return replace(figure, extractor=extractor.name, version=extractor.version, weights=extractor.weights, input=extractor.input)
