"""CLAP embeddings for FAD, as CMMD measures (Elizalde et al. 2023, Wu et al. 2023): they follow what people hear better than VGGish.

`laion/clap-htsat-unfused` in transformers. CMMD names CLAP without saying which weights; fadtk's own default is Microsoft's.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.contracts.window_sets import Window
from pipeline.pretrained import open_transformers
from stages.evaluate.extractors.extractor import InputContract, stack_waveforms
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import resampled
from stages.evaluate.extractors.weights import open_processor

MAX_SEC = 10.0


class CLAP(PublishedExtractor):
    """512 features of unit length."""

    name = "clap"
    where = "the hub repository laion/clap-htsat-unfused"
    modality = "audio"
    metrics = ("fad",)
    batch_size = 16
    contract = InputContract(max_sec=MAX_SEC)  # longer sound would be cut at a random place
    input = "waveform at 48 kHz, repeated and padded to 10 s, log-mel (CLAP's own); 512 features of unit length"

    def __init__(self, path: Path, device: torch.device, sample_rate_hz: int) -> None:
        super().__init__(path, device, sample_rate_hz)
        self.prepare = open_processor("ClapFeatureExtractor", path, self.entry())

    def open(self) -> nn.Module:
        return open_transformers("ClapModel", self.path, self.entry(), "a ClapModel")

    def __call__(self, windows: list[Window]) -> Tensor:
        waveforms = resampled(stack_waveforms(windows), self.sample_rate_hz, self.prepare.sampling_rate)
        inputs = self.prepare(list(waveforms.numpy()), sampling_rate=self.prepare.sampling_rate, truncation="rand_trunc",
                              padding="repeatpad", return_tensors="pt")
        return self.network.get_audio_features(input_features=inputs["input_features"].float().to(self.device),
                                               is_longer=inputs["is_longer"].to(self.device)).pooler_output
