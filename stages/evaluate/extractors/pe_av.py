"""PE-AV embeddings of picture and sound in one space (Meta 2025), by transformers: a free alternative to ImageBind (Apache-2.0).

Its seeing part is a network of the package timm, which is installed by `pip install timm`.
"""

import importlib.util
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.contracts.window_sets import Window
from pipeline.errors import AbsentWeights
from pipeline.pretrained import open_transformers
from stages.evaluate.extractors.extractor import InputContract, stack_frames, stack_waveforms
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import resampled
from stages.evaluate.extractors.weights import open_processor


class PEAV(PublishedExtractor):
    """Two rows a window: picture and sound, brought to unit length (the network does not); their product is the cosine."""

    name = "pe_av"
    where = "the hub repository facebook/pe-av-small"
    modality = "pair"
    metrics = ()
    batch_size = 4
    contract = InputContract(min_frames=2, max_sec=30.0)
    input = "every frame and the waveform at 48 kHz, prepared by the model's own processors; picture and sound each of unit length"

    def __init__(self, path: Path, device: torch.device, sample_rate_hz: int) -> None:
        """Raises AbsentWeights: the package timm is absent."""
        if importlib.util.find_spec("timm") is None:
            raise AbsentWeights(f"{self.entry()} needs the package timm for its seeing part; run: pip install timm")
        super().__init__(path, device, sample_rate_hz)
        self.prepare_sound = open_processor("PeAudioFeatureExtractor", path, self.entry())
        self.prepare_frames = open_processor("PeVideoVideoProcessor", path, self.entry())

    def open(self) -> nn.Module:
        return open_transformers("PeAudioVideoModel", self.path, self.entry(), "a PeAudioVideoModel")

    def __call__(self, windows: list[Window]) -> Tensor:
        rate = self.prepare_sound.sampling_rate
        sound = self.prepare_sound(list(resampled(stack_waveforms(windows), self.sample_rate_hz, rate).numpy()), sampling_rate=rate,
                                   return_tensors="pt")
        videos = list(stack_frames(windows).permute(0, 1, 4, 2, 3))
        pictures = self.prepare_frames(videos, do_sample_frames=False, return_tensors="pt")["pixel_values_videos"].to(self.device)
        inputs, mask = sound["input_values"].float().to(self.device), sound["padding_mask"].to(self.device)
        found = self.network(input_values=inputs, padding_mask=mask, pixel_values_videos=pictures)
        return F.normalize(torch.stack([found.video_embeds, found.audio_embeds], dim=1).float(), dim=2)
