"""The generation tasks of one joint network: svg, a2v, v2a (paper 3.3).

    task   condition of n_cond     n_null                what Eq. 6 supplies at every t
    svg    the class               nothing               nothing
    a2v    z_a as condition        nothing               z_a^t from z_a and one fixed noise
    v2a    z_v as condition        nothing               z_v^t from z_v and one fixed noise

Guidance in svg is over the class alone; in a2v and v2a over the condition latent, with no class on either side, as in
training (`stages/dit/conditions.py`).
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pipeline.seeds import derive_seed
from stages.dit import NULL_CLASS, TrainedDiT
from stages.dit.diffusion import NUM_TIMESTEPS
from stages.sample.guidance import acts_at, guide, rescale
from stages.sample.samplers import Sampling, make_scheduler, sample_latents

Task = Literal["svg", "a2v", "v2a"]


@dataclass(frozen=True, slots=True)
class Request:
    """A batch of samples of one task."""

    task: Task
    seeds: list[int]
    """One a sample: all of its randomness."""
    class_id: Tensor
    """int64 [b]; read by svg. NULL_CLASS: any."""
    audio: Tensor | None = None
    """z_a [b, c, h, w] in the autoencoder's units; the condition of a2v."""
    video: Tensor | None = None
    """z_v, the condition of v2a."""


def generate(dit: TrainedDiT, request: Request, sampling: Sampling) -> tuple[Tensor, Tensor]:
    """Both latents of every sample, in the autoencoder's units.

    Returns:
        (z_a [b, c, h, w], z_v [b, c, h, w]), float32 on the DiT's device; the condition's own latent comes back as it was.
    """
    audio_shape, video_shape = dit.statistics.audio_shape, dit.statistics.video_shape
    num_audio = math.prod(audio_shape)
    device, count = dit.device, len(request.seeds)

    def split(flat: Tensor) -> tuple[Tensor, Tensor]:
        return flat[:, :num_audio].reshape(-1, *audio_shape), flat[:, num_audio:].reshape(-1, *video_shape)

    def join(audio: Tensor, video: Tensor) -> Tensor:
        return torch.cat([audio.flatten(1), video.flatten(1)], dim=1)

    noise = seeded_noise(request.seeds, num_audio + math.prod(video_shape)).to(device)
    a2v, v2a = request.task == "a2v", request.task == "v2a"
    no_audio, no_video = split(torch.zeros_like(noise))
    no_class = torch.full((count,), NULL_CLASS, device=device)
    audio_condition, video_condition, class_id = no_audio, no_video, no_class
    if a2v:
        assert request.audio is not None
        audio_condition, _ = dit.scale.normalise(request.audio.to(device), no_video)
    elif v2a:
        assert request.video is not None
        _, video_condition = dit.scale.normalise(no_audio, request.video.to(device))
    elif dit.class_names:
        class_id = request.class_id.to(device)
    unguided = sampling.guidance_scale == 1 or (request.task == "svg" and bool((class_id == NULL_CLASS).all()))

    def given(latents: Tensor, t: Tensor) -> Tensor:
        noised = dit.diffusion.add_noise(join(audio_condition, video_condition), noise, t)  # Eq. 6, the same noise at every t
        return torch.cat([(noised if a2v else latents)[:, :num_audio], (noised if v2a else latents)[:, num_audio:]], dim=1)

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        audio, video = split(latents)
        if unguided or not acts_at(float(t[0]), sampling.guidance_interval, NUM_TIMESTEPS):
            return join(*dit.network(audio, video, t, audio_condition=audio_condition, video_condition=video_condition, class_id=class_id))
        both = join(*dit.network(  # one pass for n_cond and n_null
            audio.repeat(2, 1, 1, 1), video.repeat(2, 1, 1, 1), t.repeat(2), audio_condition=torch.cat([audio_condition, no_audio]),
            video_condition=torch.cat([video_condition, no_video]), class_id=torch.cat([class_id, no_class])))
        guided = guide(both[:count], both[count:], sampling.guidance_scale)
        if not sampling.guidance_rescale:
            return guided
        parts = ((guided[:, part], both[:count, part]) for part in (slice(num_audio), slice(num_audio, None)))
        return torch.cat([rescale(one, conditional, sampling.guidance_rescale) for one, conditional in parts], dim=1)

    scheduler = make_scheduler(sampling.sampler, dit.params.prediction, dit.params.zero_terminal_snr)
    audio, video = split(sample_latents(predict, noise, scheduler, sampling.steps, given if a2v or v2a else None))
    return dit.scale.denormalise(audio_condition if a2v else audio, video_condition if v2a else video)


def seeded_noise(seeds: list[int], size: int) -> Tensor:
    """Noise [b, size], each row of its own CPU generator: batch size, order and device change nothing."""
    return torch.stack([torch.randn(size, generator=torch.Generator().manual_seed(derive_seed(seed, "noise"))) for seed in seeds])
