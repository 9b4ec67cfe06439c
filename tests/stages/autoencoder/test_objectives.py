"""What each optimizer descends, and what it must not touch."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from pipeline.params import Params
from stages.autoencoder.discriminator import Discriminator
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.objectives import DiscriminatorObjective, GeneratorObjective, Judge, draw_frames
from stages.klvae import load as load_klvae


def batch_of(step: int = 0, b: int = 4) -> dict[str, Tensor]:
    torch.manual_seed(7)
    video, audio = torch.randn(b, 16, 8, 4, 4), torch.randn(b, 8, 4, 4)
    video[:, :, 4:], audio[:, 4:] = -8, -8
    return {"video": video.half(), "audio": audio.half(), "class_id": torch.arange(b) % 2, "step": torch.tensor(step)}


def test_target_frames_are_different_and_ascending() -> None:
    frames = draw_frames(200, 16, 2, torch.device("cpu"))
    assert bool((frames[:, 0] < frames[:, 1]).all())
    assert set(frames.flatten().tolist()) == set(range(16))


def test_the_sum_is_eq_3(params: Params, network: MultiModalAutoencoder) -> None:
    found = GeneratorObjective(network, None)(batch_of())
    weight = params.autoencoder.loss
    expected = (0.5 * (found["mse_audio"] + found["mse_video"]) + weight.classification * found["classification"]
                + weight.contrastive * found["contrastive"] + weight.kl * (found["kl_audio"] + found["kl_video"])
                + weight.coarse * 0.5 * (found["coarse_audio"] + found["coarse_video"]))
    assert float(found["loss"].detach()) == pytest.approx(float(expected), rel=1e-5)


def test_every_part_that_is_off_is_left_out(params: Params, shapes: Shapes) -> None:
    ae = params.autoencoder
    bare = replace(ae, heads=replace(ae.heads, classification=False, contrastive=False),
                   signal_decoder=replace(ae.signal_decoder, class_embedding=False, coarse_channels=0))
    found = GeneratorObjective(MultiModalAutoencoder(bare, shapes), None)(batch_of())
    assert set(found) == {"loss", "kl_audio", "kl_video", "mse_audio", "mse_video"}
    found["loss"].backward()


def test_adversarial_steps_judge_images_without_moving_the_judge(params: Params, network: MultiModalAutoencoder, klvae: Path) -> None:
    discriminator = Discriminator(params.autoencoder.discriminator, params.clip.frame_size_px)
    judge = Judge(discriminator, load_klvae(klvae))
    objective = GeneratorObjective(network, judge)
    first = params.autoencoder.discriminator.start_step
    assert "adversarial" not in objective(batch_of(step=first - 1))
    found = objective(batch_of(step=first))
    found["loss"].backward()
    assert "adversarial" in found
    assert all(p.grad is None for p in discriminator.parameters())
    assert found["real_triples"].shape == found["fake_triples"].shape == (4, 3, 3, 32, 32)
    assert not found["fake_triples"].requires_grad
    DiscriminatorObjective(discriminator, "printed")(found)["loss"].backward()
    assert all(p.grad is not None for p in discriminator.parameters())
    assert not any(name.startswith("judge") for name in objective.state_dict())


def test_the_adversarial_gradient_reaches_the_encoders(params: Params, network: MultiModalAutoencoder, klvae: Path) -> None:
    torch.manual_seed(0)
    discriminator = Discriminator(params.autoencoder.discriminator, params.clip.frame_size_px)
    for parameter in discriminator.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    judge = Judge(discriminator, load_klvae(klvae))
    objective = GeneratorObjective(network, judge)
    x0 = torch.randn(6, 4, 4, 4)
    predicted = x0.clone().requires_grad_()
    fake = objective.images(judge, x0, predicted, 2)[1]
    judge.logits(fake).sum().backward()
    assert predicted.grad is not None and bool((predicted.grad.flatten(1).abs().sum(dim=1) > 0).all())


def test_dropped_conditions_give_the_null_prediction(network: MultiModalAutoencoder) -> None:
    z_a, z_v = torch.randn(2, 4, 2, 2), torch.randn(2, 4, 2, 2)
    frames = torch.tensor([[0, 5], [3, 9]])
    conditions = network.conditions(z_a, z_v, *network.semantics(z_a, z_v), torch.tensor([0, 1]), frames, network.coarse(z_a, z_v))
    null = conditions.kept(torch.zeros(6))
    x, t = torch.randn(1, 4, 4, 4).expand(6, -1, -1, -1), torch.full((6,), 500)
    answers = network.signal_decoder(x, t, null)
    assert torch.allclose(answers, answers[:1].expand_as(answers), atol=1e-5)
    assert not torch.allclose(network.signal_decoder(x, t, conditions)[0], answers[0], atol=1e-3)


def test_eight_windows_are_learnt(params: Params, shapes: Shapes) -> None:
    torch.manual_seed(0)
    objective = GeneratorObjective(MultiModalAutoencoder(params.autoencoder, shapes), None)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=3e-3)
    batch, losses = batch_of(b=8), []
    for step in range(60):
        torch.manual_seed(step)
        found = objective(batch)
        optimizer.zero_grad()
        found["loss"].backward()
        optimizer.step()
        losses.append(float(found["coarse_audio"]) + float(found["mse_audio"]) + float(found["classification"]))
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
