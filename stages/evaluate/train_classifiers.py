"""Trains the local classifiers on training windows, classes and corruptions drawn evenly, by the one training loop."""

import dataclasses
from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.outputs import Work
from pipeline.params import ComputeParams, TrainParams
from pipeline.seeds import derive_seed
from pipeline.training import Phase, train
from stages.evaluate import corruptions
from stages.evaluate.classifiers import AudioTrunk, Classifier, VideoTrunk
from stages.evaluate.extractors import Modality, batches, classifier_inputs
from stages.evaluate.windows import WindowSet


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingInputs:
    """What the classifiers see of the training windows, in memory: about 200 kB a window."""

    video: Tensor
    """uint8 [n, f, h, w, 3]."""
    audio: Tensor
    """float32 [n, 64, t]."""
    class_ids: np.ndarray
    """int64 [n]."""


def load_training_inputs(windows: WindowSet, sample_rate_hz: int) -> TrainingInputs:
    """Read every training window once and keep the small form."""
    video, audio, class_ids = [], [], []
    for batch in batches(windows):
        video.append(classifier_inputs(batch, "video", sample_rate_hz))
        audio.append(classifier_inputs(batch, "audio", sample_rate_hz))
        class_ids += [window.class_id for window in batch]
    return TrainingInputs(torch.cat(video), torch.cat(audio), np.array(class_ids, np.int64))


def train_classifier(modality: Modality, inputs: TrainingInputs, num_classes: int, params: TrainParams, *, seed: int,
                     compute: ComputeParams, work: Work) -> Classifier:
    """A classifier of one modality, trained; its curves go to `<work.folder>/<modality>_classifier/`.

    Args:
        inputs: of one window or more; classes may have any number of windows. With a single class the corruptions alone are learned.
        num_classes: of the data set, also of classes without a training window.
    """
    name = f"{modality}_classifier"
    rooms = dataclasses.replace(work, folder=work.folder / name, scratch=work.scratch / name, counts={})
    for room in (rooms.folder, rooms.scratch):
        room.mkdir(exist_ok=True)
    torch.manual_seed(derive_seed(seed, "evaluate", name))
    kinds = corruptions.VIDEO if modality == "video" else corruptions.AUDIO
    corrupt = corruptions.corrupt_video if modality == "video" else corruptions.corrupt_audio
    network = Classifier(VideoTrunk() if modality == "video" else AudioTrunk(), num_classes, len(kinds))
    values = inputs.video if modality == "video" else inputs.audio
    members: dict[int, list[int]] = defaultdict(list)
    for i, class_id in enumerate(inputs.class_ids.tolist()):
        members[class_id].append(i)
    classes = sorted(members)

    def batch_at(step: int) -> dict[str, Tensor]:
        random = np.random.default_rng(derive_seed(seed, "evaluate", name, step))
        items, class_ids, found = [], [], []
        for _ in range(params.batch_size):
            group = members[classes[random.integers(len(classes))]]
            chosen, other, kind = group[random.integers(len(group))], random.integers(len(values)), random.integers(len(kinds))
            items.append(corrupt(values[chosen], values[other], kinds[kind], random))
            class_ids.append(inputs.class_ids[chosen])
            found.append(kind)
        return {"inputs": torch.stack(items), "class_id": torch.tensor(np.array(class_ids)), "corruption": torch.tensor(np.array(found))}

    trained = train("evaluate", params, [Phase(name, network)], batch_at, seed=seed, compute=compute, work=rooms)
    assert isinstance(trained, Classifier)
    return trained
