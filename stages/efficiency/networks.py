"""Networks of the sizes in params.yaml with random weights, and windows of noise: time and memory depend on neither."""

import math
from dataclasses import dataclass, replace

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from pipeline.contracts.latents import LatentStatistics
from pipeline.contracts.windows import mel_columns, window_samples
from pipeline.params import Params
from pipeline.training import Batch
from stages.audio_images import Vocoder
from stages.autoencoder import Autoencoder
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.dit import LatentScale, TrainedDiT
from stages.dit.checkpoint import make_network
from stages.dit.diffusion import Diffusion
from stages.dit.objective import DiTLoss
from stages.klvae import KLVAE
from stages.klvae.images import to_model_range
from stages.klvae.model import build_scratch
from stages.latents.cache import latent_shapes
from stages.sample.decoding import Decoder

NUM_CLASSES = 9
"""Landscape's; one row of a table more or less."""
TEXT_SHAPE = (77, 768)
"""Of CLIP's text encoder."""


@dataclass(frozen=True, slots=True)
class Networks:
    """Everything on the way from frames to frames."""

    dit: TrainedDiT
    decoder: Decoder

    @property
    def device(self) -> torch.device:
        """Where they all are."""
        return self.dit.device

    def text(self, count: int) -> Tensor | None:
        """Embedded texts for `count` samples, for a DiT that reads them."""
        return torch.zeros(count, *TEXT_SHAPE) if self.dit.params.context == "text" else None

    def loss(self) -> DiTLoss:
        """The DiT as its training sees it; a network of its own, as training moves it."""
        with self.device:  # a minute faster than on a CPU
            return DiTLoss(make_network(self.dit.params, self.dit.statistics), self.dit.statistics)

    def latents(self, count: int) -> Batch:
        """What the DiT's training reads of the latents stage, "audio" and "video" float16 [b, 2c, h, w]."""
        statistics = self.dit.statistics
        batch = {name: torch.zeros(count, 2 * shape[0], *shape[1:], dtype=torch.float16)
                 for name, shape in (("audio", statistics.audio_shape), ("video", statistics.video_shape))}
        return {**batch, **self.others(count)}

    def others(self, count: int) -> Batch:
        """What comes beside the latents."""
        text = self.text(count)
        return {"class_id": torch.zeros(count, dtype=torch.long), **({} if text is None else {"text": text.half()})}


class EndToEnd(nn.Module):
    """The DiT's loss of windows that are still pictures: both encoders run in every step, and are not trained."""

    def __init__(self, networks: Networks) -> None:
        super().__init__()
        self.loss = networks.loss()
        self._encoders = [networks.decoder]  # in a list: no part of this module, whose weights are trained and averaged

    def forward(self, batch: Batch) -> Batch:
        """batch: "images" uint8 [b, F + 1, H, W, 3], the last one the sound's, and `Networks.others`."""
        with torch.no_grad():
            images = to_model_range(batch["images"].flatten(0, 1))
            count, frames = batch["images"].shape[:2]
            klvae, autoencoder = self._encoders[0].klvae, self._encoders[0].autoencoder
            latents = klvae.encode(images).chunk(2, dim=1)[0].unflatten(0, (count, frames))
            audio, video = autoencoder.encode(latents[:, :-1], latents[:, -1])
        return self.loss({**batch, "audio": audio, "video": video})


def make_networks(params: Params, device: torch.device) -> Networks:
    """All of them on `device`, in eval mode."""
    clip, kl_latent = params.clip, params.kl_latent
    classes = tuple(f"class {i}" for i in range(NUM_CLASSES))
    klvae = KLVAE(_klvae(params)).eval().requires_grad_(False).to(device)
    shapes = Shapes(kl_latent.channels, clip.frame_size_px // kl_latent.factor, clip.num_frames, classes)
    autoencoder = Autoencoder(MultiModalAutoencoder(params.autoencoder, shapes).requires_grad_(False), device)
    audio_shape, video_shape = latent_shapes(autoencoder)
    statistics = LatentStatistics(
        audio_shape=audio_shape, video_shape=video_shape, audio_mean=(0.0,) * audio_shape[0], audio_std=(1.0,) * audio_shape[0],
        video_mean=(0.0,) * video_shape[0], video_std=(1.0,) * video_shape[0], class_names=classes,
        text_shape=TEXT_SHAPE if params.dit.context == "text" else ())
    with device:
        network = make_network(params.dit, statistics).eval().requires_grad_(False)
    dit = TrainedDiT(network, params.dit, statistics, LatentScale(statistics).to(device),
                     Diffusion(params.dit.prediction, params.dit.zero_terminal_snr).to(device), device)
    mel_size = params.audio.n_mels, mel_columns(clip, params.audio)
    return Networks(dit, Decoder(autoencoder, klvae, _vocoder(params, device), mel_size))


def _klvae(params: Params) -> AutoencoderKL:
    """Of the sizes in params; that of a pretrained mode has Stable Diffusion's attention in its middle."""
    if params.klvae.mode == "scratch":
        return build_scratch(params.klvae, params.kl_latent)
    channels = params.klvae.block_channels
    return AutoencoderKL(in_channels=3, out_channels=3, down_block_types=("DownEncoderBlock2D",) * len(channels),
                         up_block_types=("UpDecoderBlock2D",) * len(channels), block_out_channels=channels,
                         layers_per_block=params.klvae.layers_per_block, latent_channels=params.kl_latent.channels,
                         norm_num_groups=math.gcd(32, *channels))


def _vocoder(params: Params, device: torch.device) -> Vocoder:
    without_weights = replace(params.vocoder, kind="griffin_lim")
    made = Vocoder(params.audio, without_weights, num_samples=window_samples(params.clip, params.audio),
                   db_floor=params.audio_images.db_floor, db_ceiling=params.audio_images.db_ceiling, device=device)
    if params.vocoder.kind == "speecht5_hifigan":
        made.hifigan = SpeechT5HifiGan(SpeechT5HifiGanConfig()).eval().requires_grad_(False).to(device)
    return made
