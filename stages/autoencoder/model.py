"""The hierarchical multi-modal autoencoder (paper 3.1), and the one door through which other stages use it.

Shapes: b windows, F frames of each, k frames wanted, c KL-VAE channels, h w its side, C latent channels.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.contracts.outputs import atomic_path, require_whole, write_text
from pipeline.contracts.weights_folder import fill, read_config
from pipeline.errors import DataError
from pipeline.params import AutoencoderParams
from pipeline.params_reader import build, to_values
from pipeline.progress import say
from stages.autoencoder.blocks import frame_positions
from stages.autoencoder.coarse import CoarseDecoder
from stages.autoencoder.conditions import Conditions
from stages.autoencoder.encoders import AudioEncoder, Posterior, VideoEncoder
from stages.autoencoder.heads import ClassificationHead, ContrastiveHead
from stages.autoencoder.projectors import Projector
from stages.autoencoder.signal_decoder import SignalDecoder

CONFIG, WEIGHTS = "config.json", "autoencoder.safetensors"
CPU_PASS_PLACES = 2**16
"""Places (images x h x w) of one pass of the U-Net on a CPU; 64 images at the paper's 32 x 32, 1,024 at the demo's 8 x 8. A pass of
another size may round other last bits, so no setting changes it."""
Guidance = tuple[float, float]
"""phi of audio images and of frames; 1: none."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """What the networks must know of the data."""

    kl_channels: int
    kl_side: int
    num_frames: int
    class_names: tuple[str, ...]
    """By class_id; one name for data without classes."""


class MultiModalAutoencoder(nn.Module):
    """Encoders, projectors, heads and signal decoder."""

    def __init__(self, params: AutoencoderParams, shapes: Shapes) -> None:
        super().__init__()
        self.params, self.shapes = params, shapes
        audio, video, decoder = params.audio_encoder, params.video_encoder, params.signal_decoder
        c, side, d = shapes.kl_channels, shapes.kl_side, params.semantic_channels
        self.audio_encoder = AudioEncoder(audio, c, side)
        self.video_encoder = VideoEncoder(video, c, side, params.video_convolution, params.video_readout, len(self.seen_frames()))
        self.audio_projector = Projector(params.audio_projector, audio.latent_channels, d)
        self.video_projector = Projector(params.video_projector, video.latent_channels, d)
        self.classification_head = ClassificationHead(params.heads, d, len(shapes.class_names)) if params.heads.classification else None
        self.contrastive_head = ContrastiveHead(params.heads, d) if params.heads.contrastive else None
        self.coarse_audio = self._coarse(1, audio.latent_channels, audio.factor)
        self.coarse_video = self._coarse(shapes.num_frames, video.latent_channels, video.factor)
        self.signal_decoder = SignalDecoder(decoder, kl_channels=c, context_dim=d, audio_channels=audio.latent_channels,
                                            video_channels=video.latent_channels, num_classes=len(shapes.class_names))

    def encode(self, audio: Tensor, video: Tensor) -> tuple[Posterior, Posterior]:
        """Posteriors of z_a and z_v from KL-VAE latents of the audio image [b, c, h, w] and of all frames [b, F, c, h, w]."""
        frames = self.seen_frames().to(video.device)
        positions = frame_positions(self.shapes.num_frames).to(video.device)[frames]
        video = video[:, frames]
        return Posterior.from_moments(self.audio_encoder(audio)), Posterior.from_moments(self.video_encoder(video, positions))

    def seen_frames(self) -> Tensor:
        """Indices of the frames that the video encoder sees: evenly spaced from first to last (16 and 4: 0, 5, 10, 15), or all."""
        count = self.shapes.num_frames if self.params.video_input == "all_frames" else self.params.num_key_frames
        return torch.linspace(0, self.shapes.num_frames - 1, count).round().long()

    def semantics(self, z_a: Tensor, z_v: Tensor) -> tuple[Tensor, Tensor]:
        """s_a, s_v [b, d, h', w'] of each latent, which they do not move."""
        return self.audio_projector(z_a), self.video_projector(z_v)

    def class_of(self, s_a: Tensor, s_v: Tensor) -> Tensor:
        """The class [b] that the classification head predicts; 0 without one."""
        if self.classification_head is None:
            return torch.zeros(len(s_a), dtype=torch.long, device=s_a.device)
        return self.classification_head(s_a, s_v).argmax(dim=1)

    def coarse(self, z_a: Tensor, z_v: Tensor) -> tuple[Tensor, Tensor]:
        """Regression decode: audio [b, c, h, w] and all frames [b, F, c, h, w]; zero channels when it is switched off."""
        b, f, side = len(z_a), self.shapes.num_frames, self.shapes.kl_side
        if self.coarse_audio is None or self.coarse_video is None:
            return z_a.new_zeros(b, 0, side, side), z_v.new_zeros(b, f, 0, side, side)
        return self.coarse_audio(z_a)[:, 0], self.coarse_video(z_v)

    def conditions(self, z_a: Tensor, z_v: Tensor, s_a: Tensor, s_v: Tensor, class_id: Tensor, frames: Tensor,
                   coarse: tuple[Tensor, Tensor]) -> Conditions:
        """Conditions of the b audio images, then of frames [b, k] of each window."""
        positions = frame_positions(self.shapes.num_frames).to(frames.device)[frames]
        coarse_video = take_frames(coarse[1], frames).flatten(0, 1)
        return self.signal_decoder.conditions(z_a, z_v, s_a, s_v, class_id, positions, coarse[0], coarse_video)

    def decode(self, z_a: Tensor, z_v: Tensor, *, steps: int, guidance: Guidance, class_id: Tensor | None,
               seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        """KL-VAE latents of the audio image [b, c, h, w] and of all frames [b, F, c, h, w] of latents; see `Autoencoder.decode`."""
        b, f = len(z_a), self.shapes.num_frames
        s_a, s_v = self.semantics(z_a, z_v)
        class_id = self.class_of(s_a, s_v) if class_id is None else class_id
        frames = torch.arange(f, device=z_a.device).expand(b, f)
        conditions = self.conditions(z_a, z_v, s_a, s_v, class_id, frames, self.coarse(z_a, z_v))
        shape = (f + 1, self.shapes.kl_channels, self.shapes.kl_side, self.shapes.kl_side)
        # Drawn on the CPU, one generator per window: the same on every device and in every batch.
        noise = torch.stack([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]).to(z_a.device)
        noise = torch.cat([noise[:, 0], noise[:, 1:].flatten(0, 1)])                           # (b + b F, c, h, w)
        phi = None if guidance == (1, 1) else torch.cat([torch.full((b,), guidance[0]), torch.full((b * f,), guidance[1])]).to(z_a.device)
        audio, video = self.signal_decoder.sample(noise, conditions, steps, phi).split([b, b * f])
        return audio, video.unflatten(0, (b, f))

    def _coarse(self, num_frames: int, latent_channels: int, factor: int) -> CoarseDecoder | None:
        decoder, side = self.params.signal_decoder, self.shapes.kl_side
        if not decoder.coarse_channels:
            return None
        return CoarseDecoder(decoder.coarse_channels, decoder.coarse_depth, num_frames, latent_channels, side // factor,
                             self.shapes.kl_channels, side)


def take_frames(video: Tensor, frames: Tensor) -> Tensor:
    """Frames [b, k] of each window of video [b, F, ...] -> [b, k, ...]."""
    return video[torch.arange(len(video), device=video.device)[:, None], frames]


class Autoencoder:
    """A trained autoencoder: `encode` and `decode` between KL-VAE latents and (z_a, z_v)."""

    def __init__(self, network: MultiModalAutoencoder, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device, self.shapes = device, network.shapes
        self.reduced = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": None}[network.params.train.precision]
        self.room: int | None = None
        """Windows of one pass that a GPU has been found to have room for; None: no limit met yet."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names by class_id."""
        return self.shapes.class_names

    @torch.no_grad()
    def encode(self, video_latents: Tensor, audio_latents: Tensor) -> tuple[Tensor, Tensor]:
        """Moments of z_a and z_v.

        Args:
            video_latents: KL-VAE latents of the window's frames [b, F, c, h, w].
            audio_latents: of its audio image [b, c, h, w].

        Returns:
            float32 [b, 2 C_a, h_a, w_a], [b, 2 C_v, h_v, w_v]: mean, then log-variance.
        """
        with self._autocast():
            audio, video = self.network.encode(audio_latents.to(self.device), video_latents.to(self.device))
        return audio.moments.float(), video.moments.float()

    @torch.no_grad()
    def decode(self, z_a: Tensor, z_v: Tensor, *, seeds: Sequence[int], steps: int | None = None, guidance: float | Guidance | None = None,
               class_id: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """KL-VAE latents of the audio image and of every frame, all denoised in one batch of the U-Net, or in as few as have room.

        Args:
            z_a, z_v: latents [b, C_a, h_a, w_a], [b, C_v, h_v, w_v].
            seeds: one per window; the noise of a window depends on its own seed alone.
            steps: passes of the U-Net, 1 to 1000; None: `signal_decoder.inference_steps`.
            guidance: phi, of both modalities or of each; None: `signal_decoder.audio_guidance_scale` and `.video_guidance_scale`.
            class_id: [b]; None: as the classification head predicts.

        Returns:
            float32 [b, c, h, w] and [b, F, c, h, w].

        Raises:
            DataError: a GPU has no room for one window.
        """
        assert len(seeds) == len(z_a) == len(z_v), (len(seeds), len(z_a), len(z_v))
        decoder = self.network.params.signal_decoder
        steps = decoder.inference_steps if steps is None else steps
        if guidance is None:
            guidance = decoder.audio_guidance_scale, decoder.video_guidance_scale
        elif isinstance(guidance, (int, float)):
            guidance = guidance, guidance
        parts: list[tuple[Tensor, Tensor]] = []
        first = 0
        while first < len(z_a):
            rows = slice(first, first + self._windows_per_pass(len(z_a), guided=guidance != (1, 1)))
            fits = True
            try:
                with self._autocast():
                    parts.append(self.network.decode(
                        z_a[rows].to(self.device), z_v[rows].to(self.device), steps=steps, guidance=guidance,
                        class_id=None if class_id is None else class_id[rows].to(self.device), seeds=seeds[rows]))
            except torch.OutOfMemoryError:  # whose traceback holds on to the tensors until this block is left
                fits = False
            if fits:
                first = rows.stop
            else:
                self._halve(len(z_a[rows]))
        return torch.cat([audio.float() for audio, _ in parts]), torch.cat([video.float() for _, video in parts])

    def _windows_per_pass(self, asked: int, *, guided: bool) -> int:
        if self.device.type == "cpu":
            places = (self.shapes.num_frames + 1) * self.shapes.kl_side**2 * (2 if guided else 1)
            return max(CPU_PASS_PLACES // places, 1)
        return asked if self.room is None else self.room

    def _halve(self, tried: int) -> None:
        """Take fewer windows from here on."""
        if tried == 1:
            raise DataError(f"{self.device} has no room to decode one window; end other programs there, or set compute.device to cpu")
        self.room = tried // 2
        torch.cuda.empty_cache()
        say("autoencoder", f"{self.device} has no room to decode more than {self.room} windows at once")

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.reduced or torch.bfloat16, enabled=self.reduced is not None)


def save(folder: Path, network: MultiModalAutoencoder) -> None:
    """Write `autoencoder.safetensors` and `config.json` (params and shapes)."""
    shapes = network.shapes
    config = {"params": to_values(network.params), "shapes": {name: getattr(shapes, name) for name in Shapes.__slots__}}  # type: ignore[attr-defined]
    write_text(folder / CONFIG, json.dumps(config, indent=1) + "\n")
    with atomic_path(folder / WEIGHTS) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, temporary)


def load(path: Path, device: torch.device | None = None) -> Autoencoder:
    """The autoencoder of a finished autoencoder stage.

    Raises:
        DataError: the stage has not finished.
        WeightsError: weights or configuration are absent, damaged, or do not belong together.
    """
    return open_folder(require_whole(path), device)


def open_folder(path: Path, device: torch.device | None = None) -> Autoencoder:
    """The same of an exported folder, which carries no mark of a stage."""
    config = read_config(path / CONFIG)
    shapes = Shapes(**{**config["shapes"], "class_names": tuple(config["shapes"]["class_names"])})
    network = MultiModalAutoencoder(build(AutoencoderParams, config["params"], "autoencoder"), shapes)
    fill(network, path / WEIGHTS)
    return Autoencoder(network.requires_grad_(False), device or torch.device("cpu"))
