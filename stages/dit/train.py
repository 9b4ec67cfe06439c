"""Training of the joint DiT: draws, Eq. 8, and the validation that says whether one modality listens to the other."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pipeline.contracts.latents import LatentStatistics, read_statistics
from pipeline.contracts.outputs import stage_output, write_text
from pipeline.params import ComputeParams, DiTParams
from pipeline.progress import say
from pipeline.seeds import derive_seed
from pipeline.training import Phase, train
from stages.dit.checkpoint import LatentScale, make_network, save
from stages.dit.conditions import Conditions, draw_conditions
from stages.dit.data import batch_indices, draw, evenly_spaced, mean, open_posteriors
from stages.dit.diffusion import NUM_TIMESTEPS, Diffusion, draw_timesteps
from stages.dit.model import NULL_CLASS, JointDiT

NUM_BUCKETS = 5
"""Timesteps at which the held-out loss is measured: the middles of this many equal parts of 0 to 999."""
MAX_HELD_OUT = 256


def run(*, seed: int, compute: ComputeParams, dit: DiTParams, latents: Path, out: Path) -> Mapping[str, object]:
    """Train the DiT on cached latents and write it to `out`."""
    statistics = read_statistics(latents)
    with stage_output(out, params={"seed": seed, "dit": dit}, inputs={"latents": latents}, code=Path(__file__).parent) as work:
        training, held_out = open_posteriors(latents, "train"), open_posteriors(latents, "test")
        torch.manual_seed(derive_seed(seed, "dit", "weights"))
        network = make_network(dit, statistics)
        say("dit", f"{len(training.windows)} windows, {len(held_out.windows)} held out | {network.num_tokens} tokens | "
                   f"{network.multiply_adds / 1e9:.3g} G multiply-adds a pass | {latents} -> {out}")
        validation_batch = held_out.batch(evenly_spaced(len(held_out.windows), MAX_HELD_OUT))
        trained = train(
            "dit", dit.train, [Phase("dit", DiTLoss(network, statistics))],
            lambda step: training.batch(batch_indices(len(training.windows), dit.train.batch_size, step, seed)),
            seed=seed, compute=compute, work=work, validate=lambda module: held_out_losses(module, validation_batch, seed))
        assert isinstance(trained, DiTLoss)
        losses = held_out_losses(trained, validation_batch, seed)
        save(work.folder, trained.network, statistics)
        write_text(work.folder / "metrics.json", json.dumps({"held_out": {k: round(v, 5) for k, v in losses.items()}}, indent=1) + "\n")
        work.counts.update(training_windows=len(training.windows), held_out_windows=len(held_out.windows), steps=dit.train.steps,
                           parameters=sum(p.numel() for p in network.parameters()))
        return {**work.counts, "held_out_loss": f"{losses['loss']:.4f}", "out": out}


class DiTLoss(nn.Module):
    """From a batch of posteriors to Eq. 8."""

    def __init__(self, network: JointDiT, statistics: LatentStatistics) -> None:
        super().__init__()
        self.network, self.scale = network, LatentScale(statistics)
        self.diffusion = Diffusion(network.params.prediction, network.params.zero_terminal_snr)

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Scalars "loss", "audio", "video" of a batch (see `Posteriors.batch`)."""
        audio, video = self.scale.normalise(draw(batch["audio"]), draw(batch["video"]))
        conditions = draw_conditions(audio, video, batch["class_id"], self.network.params)
        timesteps = draw_timesteps(len(audio), audio.device)  # one t for both modalities
        audio_error, video_error = self.errors(audio, video, torch.randn_like(audio), torch.randn_like(video), timesteps, conditions)
        return {"loss": (audio_error + video_error).mean() / 2, "audio": audio_error.mean().detach(), "video": video_error.mean().detach()}

    def errors(self, audio: Tensor, video: Tensor, audio_noise: Tensor, video_noise: Tensor, timesteps: Tensor,
               conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Squared error per sample [b] of each modality, averaged over its elements (Eq. 8's two terms)."""
        add_noise, target = self.diffusion.add_noise, self.diffusion.target
        audio_pred, video_pred = self.network(
            add_noise(audio, audio_noise, timesteps), add_noise(video, video_noise, timesteps), timesteps,
            audio_condition=conditions.audio, video_condition=conditions.video, class_id=conditions.class_id)
        return ((audio_pred.float() - target(audio, audio_noise, timesteps)).square().mean(dim=(1, 2, 3)),
                (video_pred.float() - target(video, video_noise, timesteps)).square().mean(dim=(1, 2, 3)))


@torch.no_grad()
def held_out_losses(module: nn.Module, batch: dict[str, Tensor], seed: int) -> dict[str, float]:
    """Losses of held-out windows with fixed noise at fixed timesteps.

    Returns:
        "loss", "audio", "video": of svg with the class; "loss_t0100" ...: its parts by timestep;
        "a2v_video", "v2a_audio": of the generated modality given the other; "..._shuffled": given another window's,
        which must be worse if the network listens.
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
    given_class, given_audio = Conditions(no_audio, no_video, class_id), Conditions(audio, no_video, no_class)
    given_video, given_other_audio = Conditions(no_audio, video, no_class), Conditions(other_audio, no_video, no_class)
    given_other_video = Conditions(no_audio, other_video, no_class)
    sums: dict[str, float] = {}

    def add(name: str, error: Tensor, share: int = NUM_BUCKETS) -> None:
        sums[name] = sums.get(name, 0.0) + float(error.mean()) / share

    for bucket in range(NUM_BUCKETS):
        middle = (2 * bucket + 1) * NUM_TIMESTEPS // (2 * NUM_BUCKETS)
        t = torch.full_like(class_id, middle)
        audio_error, video_error = module.errors(audio, video, audio_noise, video_noise, t, given_class)
        add("loss", (audio_error + video_error) / 2)
        add("audio", audio_error)
        add("video", video_error)
        add(f"loss_t{middle:04d}", (audio_error + video_error) / 2, share=1)
        add("a2v_video", module.errors(audio, video, audio_noise, video_noise, t, given_audio)[1])
        add("a2v_video_shuffled", module.errors(other_audio, video, audio_noise, video_noise, t, given_other_audio)[1])
        add("v2a_audio", module.errors(audio, video, audio_noise, video_noise, t, given_video)[0])
        add("v2a_audio_shuffled", module.errors(audio, other_video, audio_noise, video_noise, t, given_other_video)[0])
    return sums
