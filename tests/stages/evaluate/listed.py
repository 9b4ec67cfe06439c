"""Windows in a list and an evaluation around them, for tests of single measures: no folder, no extractor of its own."""

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.contracts.window_sets import Window
from pipeline.params import AudioParams, ClipParams
from stages.evaluate.evaluation import Evaluation, RealSets
from stages.evaluate.extractors.catalogue import AbsentExtractor
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.features import FeatureStore
from stages.evaluate.figures import Figures
from stages.evaluate.protocol import load_protocol

CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
AUDIO = AudioParams(sample_rate_hz=16_000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)


class Listed:
    """Windows that are here; each is a source of its own unless `sources` says otherwise."""

    def __init__(self, windows: Sequence[Window], sources: Sequence[str] | None = None) -> None:
        self.windows, self.sources = list(windows), list(sources or [window.name for window in windows])

    @property
    def names(self) -> list[str]:
        return [window.name for window in self.windows]

    @property
    def class_ids(self) -> list[int]:
        return [window.class_id for window in self.windows]

    @property
    def origins(self) -> list[tuple[str, float]]:
        return [(source, 0.0) for source in self.sources]

    @property
    def addresses(self) -> list[str]:
        return [window.name for window in self.windows]

    def __len__(self) -> int:
        return len(self.windows)

    def __iter__(self) -> Iterator[Window]:
        return iter(self.windows)

    def __getitem__(self, i: int) -> Window:
        return self.windows[i]


def evaluation(class_names: Sequence[str] = (), events: pd.DataFrame | None = None, clip: ClipParams = CLIP, *,
               reference: Sequence[Window] = (), floor: Sequence[Window] = (), training: Sequence[Window] = (),
               extractors: Sequence[Extractor] = (), absent: Sequence[AbsentExtractor] = ()) -> Evaluation:
    """One by the demo's protocol with 100 redrawn sets."""
    protocol = dataclasses.replace(load_protocol("demo"), replicates=100)
    real = RealSets(Listed(reference), Listed(floor), Listed(training), {"test": "held out", "train": "learnt from"},
                    {"test": "needs held-out windows", "train": "needs training windows"})
    return Evaluation(protocol, real, extractors, absent, FeatureStore(None), Figures(), seed=1, clip=clip, audio=AUDIO, min_samples=6,
                      event_tolerance_sec=0.1, class_names=class_names, events=pd.DataFrame() if events is None else events)
