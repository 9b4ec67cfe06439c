"""Windows in a list and an evaluation around them, for tests of single measures: no folder, no extractor."""

import dataclasses
from collections.abc import Iterator, Sequence

import pandas as pd

from pipeline.params import AudioParams, ClipParams, EvaluateParams, PretrainedParams, TrainParams
from stages.evaluate.evaluation import Evaluation, RealSets
from stages.evaluate.figures import Figures
from stages.evaluate.protocol import load_protocol
from stages.evaluate.windows import Window

CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
AUDIO = AudioParams(sample_rate_hz=16_000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
TRAIN = TrainParams(steps=80, batch_size=8, grad_accumulation=1, learning_rate=5e-3, lr_schedule="cosine", warmup_steps=5,
                    weight_decay=0.01, grad_clip=1.0, ema_decay=0.0, precision="fp32", log_every=10, checkpoint_every=80,
                    gradient_checkpointing=False, compile=False, channels_last=False)
PARAMS = EvaluateParams(protocols=("demo",), max_windows=16, max_train_windows=32, min_samples=6,
                        i3d=PretrainedParams(source=None, revision=None, subfolder=None, sha256=None), classifier_train=TRAIN,
                        event_tolerance_sec=0.1)


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
               reference: Sequence[Window] = (), floor: Sequence[Window] = (), training: Sequence[Window] = ()) -> Evaluation:
    """One by the demo's protocol with 100 redrawn sets."""
    protocol = dataclasses.replace(load_protocol("demo"), replicates=100)
    real = RealSets(Listed(reference), Listed(floor), Listed(training), {"test": "held out", "train": "learnt from"})
    return Evaluation(protocol, real, [], seed=1, clip=clip, audio=AUDIO, params=PARAMS, class_names=class_names,
                      events=pd.DataFrame() if events is None else events, absent=[], figures=Figures())
