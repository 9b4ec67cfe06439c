"""What training descends: draws from the cached posteriors, their tasks, one shared t, Eq. 8."""

import torch
from torch import Tensor, nn

from pipeline.contracts.latents import LatentStatistics
from pipeline.shared_batch import own_noise, own_rows
from stages.dit.checkpoint import LatentScale
from stages.dit.conditions import Conditions, draw_conditions, drop_previous
from stages.dit.data import draw
from stages.dit.diffusion import Diffusion
from stages.dit.model import JointDiT, Previous

GENERATED = {"svg": ("audio", "video"), "audio": ("audio",), "video": ("video",)}
"""Modalities of each `dit.task_mix`."""


class DiTLoss(nn.Module):
    """From a batch of posteriors to Eq. 8."""

    def __init__(self, network: JointDiT, statistics: LatentStatistics) -> None:
        super().__init__()
        self.network, self.scale = network, LatentScale(statistics)
        self.diffusion = Diffusion(network.params.prediction, network.params.zero_terminal_snr)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars "loss", "audio", "video" of a batch (see `Posteriors.batch`; where it has "previous_audio" and "previous_video",
        those are the windows before its first ones, which are trained as continuations)."""
        params, (audio, video) = self.network.params, self.drawn(batch["audio"], batch["video"])
        conditions = draw_conditions(audio, video, batch["class_id"], params, batch.get("text"))
        num_continued = len(batch["previous_audio"]) if "previous_audio" in batch else 0
        counts = [count for count in (num_continued, len(audio) - num_continued) if count]
        # One t for both modalities.
        timesteps = torch.cat([
            own_rows(lambda count: self.diffusion.draw_timesteps(count, audio.device, params.timesteps), own) for own in counts])
        noises = own_noise(audio), own_noise(video)
        free = slice(num_continued, None)
        audio_error, video_error = self.errors(audio[free], video[free], noises[0][free], noises[1][free], timesteps[free],
                                               conditions.rows(free))
        if num_continued:
            previous = drop_previous(*self.drawn(batch["previous_audio"], batch["previous_video"]), params.previous_dropout)
            first = slice(num_continued)
            errors = self.errors(audio[first], video[first], noises[0][first], noises[1][first], timesteps[first], None, previous)
            audio_error, video_error = torch.cat([errors[0], audio_error]), torch.cat([errors[1], video_error])
        error = self.total(audio_error, video_error)
        if params.min_snr_gamma:
            error = error * self.diffusion.min_snr_weights(timesteps, params.min_snr_gamma)
        parts = {"audio": audio_error.mean().detach(), "video": video_error.mean().detach()}
        return {"loss": error.mean(), **{name: parts[name] for name in GENERATED[params.task_mix]}}

    def drawn(self, audio: Tensor, video: Tensor) -> tuple[Tensor, Tensor]:
        """z_a, z_v [b, c, h, w], normalised, drawn from their posteriors [b, 2c, h, w]."""
        return self.scale.normalise(draw(audio), draw(video))

    def total(self, audio_error: Tensor, video_error: Tensor) -> Tensor:
        """Eq. 8 of each sample [b]: the mean of both modalities, or the one that the network generates."""
        return {"svg": (audio_error + video_error) / 2, "audio": audio_error, "video": video_error}[self.network.params.task_mix]

    def errors(self, audio: Tensor, video: Tensor, audio_noise: Tensor, video_noise: Tensor, timesteps: Tensor,
               conditions: Conditions | None, previous: Previous | None = None) -> tuple[Tensor, Tensor]:
        """Squared error per sample [b] of each modality, averaged over its elements (Eq. 8's two terms)."""
        add_noise, target = self.diffusion.add_noise, self.diffusion.target
        given = {} if conditions is None else {"audio_condition": conditions.audio, "video_condition": conditions.video,
                                               "class_id": conditions.class_id, "text": conditions.text}
        audio_pred, video_pred = self.network(
            add_noise(audio, audio_noise, timesteps), add_noise(video, video_noise, timesteps), timesteps, previous=previous, **given)
        return ((audio_pred.float() - target(audio, audio_noise, timesteps)).square().mean(dim=(1, 2, 3)),
                (video_pred.float() - target(video, video_noise, timesteps)).square().mean(dim=(1, 2, 3)))
