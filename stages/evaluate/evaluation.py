"""One protocol on one set of real windows: the extractors, the reference, features taken once, and the figures as they come."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipeline.params import AudioParams, ClipParams, EvaluateParams
from stages.evaluate.extractors import Extractor, LocalExtractor, Modality, features_of
from stages.evaluate.figures import Figure, Figures
from stages.evaluate.learnt_clips import LearntClips
from stages.evaluate.nearest import Neighbours
from stages.evaluate.protocol import Protocol
from stages.evaluate.windows import WindowSet

GENERATED: Mapping[str, tuple[Modality, ...]] = {
    "svg": ("video", "audio"), "a2v": ("video",), "v2a": ("audio",), "i2a": ("audio",), "v": ("video",), "a": ("audio",),
    "audio_continuation": ("video", "audio"), "video_continuation": ("video", "audio"), "reconstruction": ("video", "audio"),
    "real": ("video", "audio")}
"""What each task generates; the other modality is its condition (or left out) and is not measured."""
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


@dataclass(frozen=True, slots=True)
class AbsentExtractor:
    """One that the protocol names and that cannot be had."""

    name: str
    modality: Modality
    reason: str
    """'needs X; get it by Y'."""


class Evaluation:
    """What a measure (measures.py) is given; it adds to `figures`."""

    def __init__(self, protocol: Protocol, real: RealSets, extractors: Sequence[Extractor], *, seed: int, clip: ClipParams,
                 audio: AudioParams, params: EvaluateParams, class_names: Sequence[str], events: pd.DataFrame,
                 absent: Sequence[AbsentExtractor], figures: Figures) -> None:
        """Args:
            real: windows at the protocol's size.
            extractors: those of the protocol that are here.
            class_names: by class_id; empty when classes are unknown.
            events: true events of the demo's clips (pipeline/contracts/events.py), empty for others.
            absent: the protocol's other ones.
        """
        self.protocol, self.real, self.seed, self.clip, self.audio, self.params = protocol, real, seed, clip, audio, params
        self.class_names, self.events, self.figures = class_names, events, figures
        self.neighbours: dict[tuple[str, str], Neighbours] = {}
        """By task and space, what memorisation.py found."""
        self._extractors, self._absent = list(extractors), list(absent)
        self._features: dict[tuple[str, str, int], tuple[WindowSet, np.ndarray]] = {}

    def extractors(self, modalities: Sequence[Modality]) -> list[Extractor]:
        """Those that see or hear one of the modalities."""
        return [extractor for extractor in self._extractors if extractor.modality in modalities]

    def absent(self, modalities: Sequence[Modality]) -> list[AbsentExtractor]:
        """Those that the protocol names and that cannot be had."""
        return [extractor for extractor in self._absent if extractor.modality in modalities]

    def local(self, modality: Modality) -> LocalExtractor | None:
        """The classifier trained on this data set; None when the protocol has none."""
        return next((e for e in self._extractors if isinstance(e, LocalExtractor) and e.modality == modality), None)

    def features(self, extractor: Extractor, windows: WindowSet) -> np.ndarray:
        """float64 [n, d], computed once for each set."""
        key = (extractor.name, extractor.modality, id(windows))
        if key not in self._features:
            self._features[key] = windows, features_of(extractor, windows)
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
