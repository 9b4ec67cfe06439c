"""Losses of held-out windows with fixed noise at fixed timesteps: how good, and whether one modality listens to the other."""

from collections import defaultdict

import torch
from torch import Tensor, nn

from pipeline.seeds import derive_seed
from stages.dit.conditions import Conditions
from stages.dit.data import mean
from stages.dit.diffusion import NUM_TIMESTEPS
from stages.dit.model import NULL_CLASS
from stages.dit.objective import GENERATED, DiTLoss

NUM_BUCKETS = 5
"""Timesteps at which the held-out loss is measured: the middles of this many equal parts of 0 to 999."""
MAX_HELD_OUT = 256


@torch.no_grad()
def held_out_losses(module: nn.Module, batch: dict[str, Tensor], pairs: dict[str, Tensor] | None, seed: int) -> dict[str, float]:
    """Means over `NUM_BUCKETS` timesteps, unweighted whatever training weighs.

    Args:
        module: a `DiTLoss`.
        batch: of held-out windows.
        pairs: of held-out windows with the windows before them (`ContinuedWindows.batch`), for a network that continues.
        seed: `seed` of params.yaml.

    Returns:
        "loss", and its parts "audio", "video": of svg with the class or text; "loss_t0100" ...: by timestep.
        Of a network of both modalities, "a2v_video", "v2a_audio": of the generated modality given the other; "..._shuffled":
        given another window's, which must be worse if the network listens. Of one that reads texts, "loss_text_shuffled" given another
        clip's. Of one that continues, "continuation" given the window before and "continuation_shuffled" given another clip's.
    """
    assert isinstance(module, DiTLoss)
    device = module.diffusion.alphas_cumprod.device
    audio, video = module.scale.normalise(mean(batch["audio"]).to(device), mean(batch["video"]).to(device))
    class_id = batch["class_id"].to(device)
    generator = torch.Generator().manual_seed(derive_seed(seed, "dit", "held_out"))
    audio_noise = torch.randn(audio.shape, generator=generator).to(device)
    video_noise = torch.randn(video.shape, generator=generator).to(device)
    half = len(audio) // 2  # far enough to be another clip
    other_audio, other_video = audio.roll(half, 0), video.roll(half, 0)
    no_class, no_audio, no_video = torch.full_like(class_id, NULL_CLASS), torch.zeros_like(audio), torch.zeros_like(video)
    text = batch["text"].to(device) if "text" in batch else None
    given_class, given_audio = Conditions(no_audio, no_video, class_id, text), Conditions(audio, no_video, no_class)
    given_video, given_other_audio = Conditions(no_audio, video, no_class), Conditions(other_audio, no_video, no_class)
    given_other_video = Conditions(no_audio, other_video, no_class)
    task_mix = module.network.params.task_mix
    sums: defaultdict[str, float] = defaultdict(float)

    def add(name: str, error: Tensor, share: int = NUM_BUCKETS) -> None:
        sums[name] += float(error.mean()) / share

    for bucket in range(NUM_BUCKETS):
        middle = (2 * bucket + 1) * NUM_TIMESTEPS // (2 * NUM_BUCKETS)
        t = torch.full_like(class_id, middle)
        audio_error, video_error = module.errors(audio, video, audio_noise, video_noise, t, given_class)
        add("loss", module.total(audio_error, video_error))
        parts = {"audio": audio_error, "video": video_error}
        for name in GENERATED[task_mix]:
            add(name, parts[name])
        add(f"loss_t{middle:04d}", module.total(audio_error, video_error), share=1)
        if text is not None:
            given_other_text = Conditions(no_audio, no_video, class_id, text.roll(half, 0))
            add("loss_text_shuffled", module.total(*module.errors(audio, video, audio_noise, video_noise, t, given_other_text)))
        if task_mix == "svg":
            add("a2v_video", module.errors(audio, video, audio_noise, video_noise, t, given_audio)[1])
            add("a2v_video_shuffled", module.errors(other_audio, video, audio_noise, video_noise, t, given_other_audio)[1])
            add("v2a_audio", module.errors(audio, video, audio_noise, video_noise, t, given_video)[0])
            add("v2a_audio_shuffled", module.errors(audio, other_video, audio_noise, video_noise, t, given_other_video)[0])
    return dict(sums) if pairs is None else {**sums, **continuation_losses(module, pairs, seed)}


def continuation_losses(module: DiTLoss, pairs: dict[str, Tensor], seed: int) -> dict[str, float]:
    """Means over the same timesteps of both modalities' loss given the window before, and given that of another clip."""
    device = module.diffusion.alphas_cumprod.device
    audio, video = module.scale.normalise(mean(pairs["audio"]).to(device), mean(pairs["video"]).to(device))
    before = module.scale.normalise(mean(pairs["previous_audio"]).to(device), mean(pairs["previous_video"]).to(device))
    generator = torch.Generator().manual_seed(derive_seed(seed, "dit", "held_out", "continuation"))
    audio_noise = torch.randn(audio.shape, generator=generator).to(device)
    video_noise = torch.randn(video.shape, generator=generator).to(device)
    other = tuple(latents.roll(max(len(latents) // 2, 1), 0) for latents in before)
    sums = {"continuation": 0.0, "continuation_shuffled": 0.0}
    for bucket in range(NUM_BUCKETS):
        t = torch.full((len(audio),), (2 * bucket + 1) * NUM_TIMESTEPS // (2 * NUM_BUCKETS), device=device)
        for name, previous in zip(sums, (before, other), strict=True):
            errors = module.errors(audio, video, audio_noise, video_noise, t, None, (previous[0], previous[1]))
            sums[name] += float(module.total(*errors).mean()) / NUM_BUCKETS
    return sums
