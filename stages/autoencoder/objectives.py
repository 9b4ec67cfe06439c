"""What the two optimizers descend: Eq. (3) for the autoencoder, Eq. (2) for the discriminator.

Shapes: b windows, F frames, k target frames, c KL-VAE channels, n = b + b k images.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.processes import world_size
from pipeline.shared_batch import own_noise, own_rows
from stages.autoencoder.conditions import Conditions
from stages.autoencoder.discriminator import Discriminator
from stages.autoencoder.encoders import Posterior
from stages.autoencoder.losses import contrastive_loss, discriminator_hinge, fake_triples, generator_hinge, kl_divergence
from stages.autoencoder.model import MultiModalAutoencoder, take_frames
from stages.klvae import KLVAE


class Judge:
    """The discriminator and the KL-VAE as the generator uses them: both frozen, in no checkpoint and no average of it."""

    def __init__(self, discriminator: Discriminator, klvae: KLVAE) -> None:
        self.discriminator, self.klvae = discriminator, klvae

    def __deepcopy__(self, memo: dict[int, Any]) -> "Judge":
        return self

    def images(self, latents: Tensor) -> Tensor:
        """KL-VAE latents [m, 3 slots, c, h, w] -> images [m, 3, 3, H, W] in about [-1, 1], differentiable."""
        return self.klvae.decode(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])

    def logits(self, triples: Tensor) -> Tensor:
        """The discriminator's logits [m] with gradients to the images alone."""
        frozen = {name: value.detach() for name, value in self.discriminator.named_parameters()}
        return torch.func.functional_call(self.discriminator, frozen, (triples,))


class GeneratorObjective(nn.Module):
    """Eq. (3); every part whose weight or head is off is left out."""

    def __init__(self, model: MultiModalAutoencoder, judge: Judge | None) -> None:
        super().__init__()
        self.model, self.judge = model, judge

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Args:
            batch: video moments [b, F, 2c, h, w], audio moments [b, 2c, h, w], class_id [b], step (a scalar).

        Returns:
            loss, and its parts; on adversarial steps also `real_triples` and `fake_triples` [m, 3, 3, H, W] for the discriminator.
        """
        model, weight = self.model, self.model.params.loss
        audio, video = draw(batch["audio"]), draw(batch["video"])               # (b, c, h, w), (b, F, c, h, w)
        audio_posterior, video_posterior = model.encode(audio, video)
        z_a, z_v = audio_posterior.sample(), video_posterior.sample()
        s_a, s_v = model.semantics(z_a, z_v)
        coarse = model.coarse(z_a, z_v)
        parts = {"kl_audio": kl_divergence(audio_posterior), "kl_video": kl_divergence(video_posterior)}
        total = weight.kl * (parts["kl_audio"] + parts["kl_video"])
        if model.classification_head is not None and weight.classification:
            logits = model.classification_head(s_a, s_v).float()
            parts["classification"] = F.cross_entropy(logits, batch["class_id"])
            total = total + weight.classification * parts["classification"]
        if model.contrastive_head is not None and weight.contrastive:
            parts["contrastive"] = contrastive_loss(model.contrastive_head(s_a), model.contrastive_head(s_v), model.contrastive_head.scale)
            total = total + weight.contrastive * parts["contrastive"]
        if model.params.signal_decoder.coarse_channels:
            parts["coarse_audio"], parts["coarse_video"] = F.mse_loss(coarse[0].float(), audio), F.mse_loss(coarse[1].float(), video)
            total = total + weight.coarse * 0.5 * (parts["coarse_audio"] + parts["coarse_video"])

        frames = draw_frames(len(video), video.shape[1], model.params.num_target_frames, video.device)
        # The coarse decode has its own loss; through the U-Net it would be pulled towards what helps at one noise level.
        conditions = model.conditions(z_a, z_v, s_a, s_v, batch["class_id"], frames, (coarse[0].detach(), coarse[1].detach()))
        x0 = torch.cat([audio, take_frames(video, frames).flatten(0, 1)])       # (n, c, h, w)
        predicted, parts["mse_audio"], parts["mse_video"] = self.denoise(x0, conditions, len(audio))
        total = total + 0.5 * (parts["mse_audio"] + parts["mse_video"])
        if self.judge is not None and self.adversarial_step(int(batch["step"])):
            real, fake = self.images(self.judge, x0, predicted, len(audio))
            parts["adversarial"] = generator_hinge(self.judge.logits(fake).float())
            total = total + weight.adversarial * parts["adversarial"]
            parts |= {"real_triples": real, "fake_triples": fake}
        return {"loss": total, **{name: value.detach() for name, value in parts.items()}}

    def denoise(self, x0: Tensor, conditions: Conditions, b: int) -> tuple[Tensor, Tensor, Tensor]:
        """L_MSE of b audio images and the frames after them, at one timestep for a window's sound and another for its frames.

        Returns:
            the predicted x0 [n, c, h, w] and the squared errors of audio and video.
        """
        decoder = self.model.signal_decoder
        schedule, k = decoder.schedule, len(x0) // b - 1
        timesteps = schedule.draw_timesteps(b, x0.device)
        timesteps = torch.cat([timesteps[:b], timesteps[b:].repeat_interleave(k)])                     # (n,)
        keep = (own_rows(lambda count: torch.rand(count, device=x0.device), b, b) >= self.model.params.condition_dropout).float()
        keep = torch.cat([keep[:b], keep[b:].repeat_interleave(k)])
        noise = own_noise(x0, b, b * k)
        noisy = schedule.add_noise(x0, noise, timesteps)
        prediction = decoder(noisy, timesteps, conditions.kept(keep)).float()
        error = (prediction - schedule.target(x0, noise, timesteps)).square()
        return schedule.predicted_x0(noisy, prediction, timesteps), error[:b].mean(), error[b:].mean()

    def adversarial_step(self, step: int) -> bool:
        """Whether the adversarial losses take part in a step."""
        params = self.model.params.discriminator
        return step >= params.start_step and step % params.every_steps == 0

    def images(self, judge: Judge, x0: Tensor, predicted: Tensor, b: int) -> tuple[Tensor, Tensor]:
        """The triples to judge, true and predicted: decoded images of the first windows and two of their frames, i < j."""
        count = min(b, self.model.params.discriminator.max_items // world_size() or b)
        with torch.no_grad():
            real = judge.images(slots(x0, b)[:count])
        return real, judge.images(slots(predicted, b)[:count])


class DiscriminatorObjective(nn.Module):
    """Hinge form of Eq. (2) on the triples that the generator left in the batch."""

    def __init__(self, discriminator: Discriminator, combination: Any) -> None:
        super().__init__()
        self.discriminator, self.combination = discriminator, combination

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """batch: `real_triples`, `fake_triples` [m, 3, 3, H, W] -> loss and the mean logits."""
        real = batch["real_triples"].float()
        fakes = fake_triples(real, batch["fake_triples"].float(), self.combination)
        logits = self.discriminator(torch.cat([real, fakes])).float()
        real_logits, fake_logits = logits.split([len(real), len(fakes)])
        loss = discriminator_hinge(real_logits, fake_logits)
        return {"loss": loss, "real": real_logits.mean().detach(), "fake": fake_logits.mean().detach()}


def draw(moments: Tensor) -> Tensor:
    """A draw [b, ..., c, h, w] from KL-VAE moments [b, ..., 2c, h, w]."""
    flat = Posterior.from_moments(moments.flatten(0, -4)).sample(items=len(moments))
    return flat.unflatten(0, moments.shape[:-3])


def draw_frames(b: int, num_frames: int, k: int, device: torch.device) -> Tensor:
    """k different frames of each of b windows, ascending: [b, k]."""
    return own_rows(lambda count: torch.rand(count, num_frames, device=device), b).topk(k, dim=1).indices.sort(dim=1).values


def slots(images: Tensor, b: int) -> Tensor:
    """[b + b k, c, h, w] (audio images, then frames) -> <a, v_i, v_j> [b, 3, c, h, w] of the first two frames."""
    frames = images[b:].unflatten(0, (b, -1))
    return torch.stack([images[:b], frames[:, 0], frames[:, 1]], dim=1)
