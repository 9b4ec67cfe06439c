"""AudioCLIP embeddings for FAD as MM-Diffusion and those after it publish them; routinely mistaken for the FAD of VGGish.

MM-Diffusion's program hands sound in [-1, 1] to a network made for [-32768, 32767], takes the embedding before it is brought to
unit length, never switches batch normalisation to its own statistics (it never calls eval(), and uses batches of 8) and multiplies
the distance by 10,000. `audioclip_mmdiffusion` does all of it, so its figures depend on which windows share a batch: windows
keep the order of their set here, 8 at a time. `audioclip` uses the network as its authors do; nothing is compared with it but itself.
"""

import torch
from torch import Tensor, nn

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.esresnext import FULL_SCALE, ESResNeXt
from stages.evaluate.extractors.extractor import InputContract, stack_waveforms
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import resampled
from stages.evaluate.extractors.weights import filled, load_state

RATE_HZ = 44100
PART = "audio."
"""Beginning of the names that belong to the hearing part; the rest is CLIP."""


class AudioCLIP(PublishedExtractor):
    """1024 features, the network as its authors use it."""

    name = "audioclip"
    where = "AudioCLIP-Full-Training.pt, release v0.1 of AudioCLIP"
    modality = "audio"
    metrics = ("fad",)
    batch_size = 8
    contract = InputContract(min_sec=0.5)  # 32 columns of the spectrogram and more, or nothing is left after five halvings
    input = "waveform at 44.1 kHz in [-32768, 32767], learned wavelets; 1024 features of unit length"

    def open(self) -> nn.Module:
        state = load_state(self.file, self.entry())
        hearing = {name.removeprefix(PART): value for name, value in state.items() if name.startswith(PART)}
        return filled(ESResNeXt(), hearing, self.entry(), self.file)

    def __call__(self, windows: list[Window]) -> Tensor:
        return torch.nn.functional.normalize(self.network(self._waveforms(windows) * FULL_SCALE), dim=1)

    def _waveforms(self, windows: list[Window]) -> Tensor:
        return resampled(stack_waveforms(windows), self.sample_rate_hz, RATE_HZ).to(self.device)


class AudioCLIPAsPublished(AudioCLIP):
    """1024 features as MM-Diffusion's program takes them."""

    name = "audioclip_mmdiffusion"
    key = AudioCLIP.name
    scale = 10000.0
    input = ("waveform at 44.1 kHz in [-1, 1] (a network for 16-bit numbers), learned wavelets; 1024 features of any length, batch "
             "statistics of 8 windows, distance times 10,000 (MM-Diffusion)")

    def __call__(self, windows: list[Window]) -> Tensor:
        kept = {name: value.clone() for name, value in self.network.state_dict().items()}
        self.network.train()
        # Statistics of one are none: the last window, when it is alone, is beside itself.
        features = self.network(self._waveforms(windows if len(windows) > 1 else windows * 2))[:len(windows)]
        self.network.eval()
        self.network.load_state_dict(kept)  # the running statistics moved, and decide nothing
        return features
