"""Trains the local networks on training windows, classes and corruptions drawn evenly, by the one training loop."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.outputs import Work
from pipeline.contracts.window_sets import Window, WindowSet
from pipeline.params import ComputeParams, TrainParams
from pipeline.seeds import derive_seed
from pipeline.training import Phase, train
from stages.local_features import corruptions
from stages.local_features.networks import LocalNetwork, Modality, log_mel, small_frames
from stages.local_features.views import audio_view, video_view

READ_AT_ONCE = 32


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingInputs:
    """What the networks see of the training windows, in memory: about 200 kB a window."""

    video: Tensor
    """uint8 [n, f, h, w, 3]."""
    audio: Tensor
    """float32 [n, 64, t]."""
    class_ids: np.ndarray
    """int64 [n]."""


def load_training_inputs(windows: WindowSet, sample_rate_hz: int) -> TrainingInputs:
    """Read every training window once and keep the small form."""
    video, audio = [], []
    for some in _batches(windows):
        video.append(small_frames(torch.from_numpy(np.stack([window.frames for window in some]))))
        audio.append(log_mel(torch.from_numpy(np.stack([window.waveform for window in some])), sample_rate_hz))
    return TrainingInputs(torch.cat(video), torch.cat(audio), np.array(windows.class_ids, np.int64))


def train_network(modality: Modality, inputs: TrainingInputs, num_classes: int, params: TrainParams, *, seed: int,
                  compute: ComputeParams, work: Work) -> LocalNetwork:
    """A network of one modality, trained; its curves go to `<work.folder>/<modality>/`.

    Args:
        inputs: of one window or more; classes may have any number of windows.
        num_classes: of the data set, also of classes without a training window.
    """
    rooms = dataclasses.replace(work, folder=work.folder / modality, scratch=work.scratch / modality, counts={})
    for room in (rooms.folder, rooms.scratch):
        room.mkdir(exist_ok=True)
    torch.manual_seed(derive_seed(seed, "local_features", modality))
    network = LocalNetwork(modality, num_classes)
    kinds = corruptions.VIDEO if modality == "video" else corruptions.AUDIO
    corrupt = corruptions.corrupt_video if modality == "video" else corruptions.corrupt_audio
    view = video_view if modality == "video" else audio_view
    values = inputs.video if modality == "video" else inputs.audio
    members: dict[int, list[int]] = defaultdict(list)
    for i, class_id in enumerate(inputs.class_ids.tolist()):
        members[class_id].append(i)
    classes = sorted(members)

    def batch_at(step: int) -> dict[str, Tensor]:
        random = np.random.default_rng(derive_seed(seed, "local_features", modality, step))
        chosen, items, found = [], [], []
        for _ in range(params.batch_size):
            group = members[classes[random.integers(len(classes))]]
            row, other, kind = group[random.integers(len(group))], random.integers(len(values)), random.integers(len(kinds))
            items.append(corrupt(values[row], values[other], kinds[kind], random))
            chosen.append(row)
            found.append(kind)
        batch = {"inputs": torch.stack(items), "class_id": torch.from_numpy(inputs.class_ids[chosen]), "corruption": torch.tensor(found)}
        if num_classes < 2:
            # Each clip once: two rows of one clip would be told to differ.
            rows = random.permutation(len(values))[:params.batch_size]
            batch |= {name: torch.stack([view(values[row], random) for row in rows]) for name in ("view_a", "view_b")}
        return batch

    trained = train("local_features", params, [Phase(modality, network)], batch_at, seed=seed, compute=compute, work=rooms)
    assert isinstance(trained, LocalNetwork)
    return trained.eval()


def _batches(windows: WindowSet) -> Iterator[list[Window]]:
    remaining = iter(windows)
    while some := list(islice(remaining, READ_AT_ONCE)):
        yield some
