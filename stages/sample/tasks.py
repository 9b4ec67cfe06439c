"""The generation tasks of one joint network (paper 3.3 and 4.4).

    task                 n_cond is given               n_null is given   what Eq. 6 supplies at every t
    svg                  the class, or the text        nothing           nothing
    v, a                 as svg; the other modality is not shown (a network trained on one makes that alone)
    a2v                  z_a as condition              nothing           z_a^t from z_a and one fixed noise
    v2a, i2a             z_v as condition              nothing           z_v^t from z_v and one fixed noise
    audio_continuation   z_a of the window before      nothing           nothing
    video_continuation   z_v of the window before      nothing           nothing
    long                 both of the window before     nothing           nothing; its first window is an svg

Guidance in svg is over class or text alone; elsewhere over the condition, with neither on either side, as in training
(`stages/dit/conditions.py`). i2a is v2a of a picture that stands still.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.params import Task
from pipeline.seeds import derive_seed
from stages.dit import NULL_CLASS, TrainedDiT
from stages.dit.diffusion import NUM_TIMESTEPS
from stages.sample.guidance import acts_at, guide, rescale
from stages.sample.samplers import Sampling, make_scheduler, sample_latents

OF_SOUND: tuple[Task, ...] = ("a2v", "audio_continuation")
"""Tasks whose condition is a sound."""
OF_PICTURE: tuple[Task, ...] = ("v2a", "i2a", "video_continuation")
CONTINUING: tuple[Task, ...] = ("audio_continuation", "video_continuation", "long")
"""Tasks whose condition is the window before."""


@dataclass(frozen=True, slots=True)
class Request:
    """A batch of samples of one task."""

    task: Task
    seeds: list[int]
    """One a sample: all of its randomness."""
    class_id: Tensor
    """int64 [b]; read by svg, v and a. NULL_CLASS: any."""
    audio: Tensor | None = None
    """z_a [b, c, h, w] in the autoencoder's units: the condition, or of the window before."""
    video: Tensor | None = None
    """z_v, likewise."""
    text: Tensor | None = None
    """Embeddings [b, tokens, width]; read by svg, v and a of a network that reads texts. None: any."""

    def rows(self, part: slice) -> "Request":
        """Some of the samples."""
        audio, video, text = (None if one is None else one[part] for one in (self.audio, self.video, self.text))
        return Request(self.task, self.seeds[part], self.class_id[part], audio, video, text)


class Latents:
    """Both latents of a batch as one [b, n] tensor, as samplers take it, and back."""

    def __init__(self, dit: TrainedDiT) -> None:
        self.audio_shape, self.video_shape = dit.statistics.audio_shape, dit.statistics.video_shape
        self.num_audio = math.prod(self.audio_shape)
        self.size = self.num_audio + math.prod(self.video_shape)

    def split(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        """z_a, z_v [b, c, h, w]."""
        return flat[:, : self.num_audio].reshape(-1, *self.audio_shape), flat[:, self.num_audio :].reshape(-1, *self.video_shape)

    @staticmethod
    def join(audio: Tensor, video: Tensor) -> Tensor:
        """The inverse of `split`."""
        return torch.cat([audio.flatten(1), video.flatten(1)], dim=1)


def generate(dit: TrainedDiT, request: Request, sampling: Sampling, on_step: Callable[[], None] = lambda: None) -> tuple[Tensor, Tensor]:
    """Both latents of every sample, in the autoencoder's units; `on_step` is called after every step of the sampler.

    Returns:
        (z_a [b, c, h, w], z_v [b, c, h, w]), float32 on the DiT's device; the condition's own latent comes back as it was. A
        modality that the network does not make comes back at its mean.
    """
    latents, device, count = Latents(dit), dit.device, len(request.seeds)
    noise = seeded_noise(request.seeds, latents.size).to(device)
    no_audio, no_video = latents.split(torch.zeros_like(noise))
    no_class = torch.full((count,), NULL_CLASS, device=device)
    audio, video = (request.audio, request.video) if request.task in (*OF_SOUND, *OF_PICTURE, "long") else (None, None)
    given_audio = no_audio if audio is None else dit.scale.normalise(audio.to(device), no_video)[0]
    given_video = no_video if video is None else dit.scale.normalise(no_audio, video.to(device))[1]
    continuing = request.task in CONTINUING
    a2v, v2a = not continuing and audio is not None, not continuing and video is not None
    free = not (continuing or a2v or v2a)
    class_id = request.class_id.to(device) if free and dit.class_names else no_class
    text = None if request.text is None or not free else request.text.to(device)
    unguided = sampling.guidance_scale == 1 or (free and text is None and bool((class_id == NULL_CLASS).all()))

    def given(z: Tensor, t: Tensor) -> Tensor:
        noised = dit.diffusion.add_noise(latents.join(given_audio, given_video), noise, t)  # Eq. 6, the same noise at every t
        return torch.cat([(noised if a2v else z)[:, : latents.num_audio], (noised if v2a else z)[:, latents.num_audio :]], dim=1)

    def predict(z: Tensor, t: Tensor) -> Tensor:
        audio, video = latents.split(z)
        alone = unguided or not acts_at(float(t[0]), sampling.guidance_interval, NUM_TIMESTEPS)
        if continuing:
            # Two passes: the sequence with the window before is the longer one.
            conditional = latents.join(*dit.network(audio, video, t, previous=(given_audio, given_video)))
            return conditional if alone else guided(conditional, latents.join(*dit.network(audio, video, t)))
        if alone:
            return latents.join(*dit.network(
                audio, video, t, audio_condition=given_audio, video_condition=given_video, class_id=class_id, text=text))
        both = latents.join(*dit.network(  # one pass for n_cond and n_null
            audio.repeat(2, 1, 1, 1), video.repeat(2, 1, 1, 1), t.repeat(2), audio_condition=torch.cat([given_audio, no_audio]),
            video_condition=torch.cat([given_video, no_video]), class_id=torch.cat([class_id, no_class]),
            text=None if text is None else torch.cat([text, torch.zeros_like(text)])))
        return guided(both[:count], both[count:])

    def guided(conditional: Tensor, unconditional: Tensor) -> Tensor:
        pushed = guide(conditional, unconditional, sampling.guidance_scale)
        if not sampling.guidance_rescale:
            return pushed
        parts = (slice(latents.num_audio), slice(latents.num_audio, None))
        return torch.cat([rescale(pushed[:, part], conditional[:, part], sampling.guidance_rescale) for part in parts], dim=1)

    scheduler = make_scheduler(sampling.sampler, dit.params.prediction, dit.params.zero_terminal_snr)
    made = sample_latents(predict, noise, scheduler, sampling.steps, given if a2v or v2a else None, on_step)
    made_audio, made_video = latents.split(made)
    made_audio = no_audio if dit.params.task_mix == "video" else given_audio if a2v else made_audio
    made_video = no_video if dit.params.task_mix == "audio" else given_video if v2a else made_video
    return dit.scale.denormalise(made_audio, made_video)


def seeded_noise(seeds: list[int], size: int) -> Tensor:
    """Noise [b, size], each row of its own CPU generator: batch size, order and device change nothing."""
    return torch.stack([torch.randn(size, generator=torch.Generator().manual_seed(derive_seed(seed, "noise"))) for seed in seeds])
