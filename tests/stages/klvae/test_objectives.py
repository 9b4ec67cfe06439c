"""What the KL-VAE and its patch discriminator descend: pytest tests/stages/klvae/test_objectives.py"""

from dataclasses import replace

import pytest
import torch

from pipeline.params import PatchDiscriminatorParams
from stages.klvae.model import KLVAE
from stages.klvae.objectives import Judges, KLVAEObjective, PatchDiscriminatorObjective, adaptive_weight, last_weight
from stages.klvae.patch_discriminator import PatchDiscriminator
from stages.klvae.pretrained import load_perceptual
from stages.klvae.train import freeze_encoder
from tests.stages.klvae.small import NOTHING, noise_images, settings, small_kl, small_tiny

STANDARD = PatchDiscriminatorParams(base_channels=64, num_layers=3, start_step=0)


def test_the_discriminator_is_the_standard_patchgan() -> None:
    discriminator = PatchDiscriminator(STANDARD)
    assert sum(p.numel() for p in discriminator.parameters()) == 2_765_633, "pix2pix prints 2.766 M for RGB"
    assert discriminator(torch.zeros(1, 3, 256, 256)).shape == (1, 1, 30, 30)


def test_a_logit_sees_seventy_pixels() -> None:
    discriminator = PatchDiscriminator(STANDARD).eval()  # in training the norm's statistics see the whole image
    image = torch.randn(1, 3, 256, 256, generator=torch.Generator().manual_seed(0), requires_grad=True)
    discriminator(image)[0, 0, 15, 15].backward()
    assert image.grad is not None
    rows = image.grad.abs().sum(dim=(0, 1, 3)).nonzero()
    assert int(rows.max() - rows.min()) + 1 == 70


def test_the_smallest_image_still_gives_a_logit() -> None:
    for num_layers in (1, 2, 3, 4):
        params = PatchDiscriminatorParams(base_channels=4, num_layers=num_layers, start_step=0)
        assert PatchDiscriminator(params)(torch.zeros(2, 3, params.min_side_px, params.min_side_px)).numel() == 2


def test_with_the_adaptive_weight_both_gradients_have_the_same_norm() -> None:
    weight = torch.randn(5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    small, large = 1e-2 * weight.square().sum(), 30 * weight.sin().sum()
    factor = adaptive_weight(small, large, weight)
    norms = [torch.autograd.grad(loss, weight)[0].norm() for loss in (small, factor * large)]
    assert float(norms[1]) == pytest.approx(float(norms[0]), rel=1e-4) and not factor.requires_grad


@pytest.mark.parametrize("build", [small_kl, small_tiny])
def test_the_adaptive_weight_looks_at_the_convolution_that_writes_the_pixels(build) -> None:
    model = KLVAE(build())
    assert last_weight(model).shape[0] == 3
    assert last_weight(model) is [p for p in model.autoencoder.decoder.parameters() if p.ndim == 4][-1]


def test_each_part_enters_the_sum_by_its_weight(vgg16) -> None:
    loss = replace(settings().loss, mse=10.0, lpips=0.7, kl=0.1)
    objective = KLVAEObjective(KLVAE(small_kl()), loss, Judges(load_perceptual(replace(NOTHING, source=str(vgg16))), None, 0))
    found = objective({"images": noise_images(2), "step": torch.tensor(0)})
    expected = found["l1"] + 10 * found["mse"] + 0.7 * found["lpips"] + 0.1 * found["kl"]
    torch.testing.assert_close(found["loss"], expected)
    assert all(float(found[name].detach()) > 0 for name in ("l1", "mse", "lpips", "kl"))


def test_before_its_start_step_the_discriminator_has_no_say() -> None:
    discriminator = PatchDiscriminator(settings().discriminator)
    objective = KLVAEObjective(KLVAE(small_kl()), settings(adversarial=0.5).loss, Judges(None, discriminator, start_step=3))
    early, late = ({"images": noise_images(2), "step": torch.tensor(step)} for step in (2, 3))
    assert not {"adversarial", "made"} & set(objective(early))
    found = objective(late)
    expected = found["l1"] + 0.5 * found["adaptive_weight"] * found["adversarial"] + 1e-6 * found["kl"]
    torch.testing.assert_close(found["loss"], expected)
    assert not found["made"].requires_grad


def test_the_kl_vae_moves_no_weight_and_no_statistic_of_its_judge() -> None:
    discriminator, model = PatchDiscriminator(settings().discriminator), freeze_encoder(KLVAE(small_kl()))
    before = {name: value.clone() for name, value in discriminator.state_dict().items()}
    KLVAEObjective(model, settings(adversarial=0.5).loss, Judges(None, discriminator, 0))(
        {"images": noise_images(2), "step": torch.tensor(0)})["loss"].backward()
    assert all(torch.equal(before[name], value) for name, value in discriminator.state_dict().items())
    assert all(p.grad is None for p in discriminator.parameters())
    trained = {name for name, p in model.autoencoder.named_parameters() if p.grad is not None}
    assert trained == {name for name, _ in model.autoencoder.named_parameters() if name.startswith(("decoder.", "post_quant_conv."))}


def test_the_discriminator_learns_to_tell_the_two_apart() -> None:
    torch.manual_seed(0)
    objective = PatchDiscriminatorObjective(PatchDiscriminator(settings().discriminator))
    optimizer = torch.optim.Adam(objective.parameters(), 1e-3, betas=(0.5, 0.9))
    real, made = torch.rand(4, 3, 32, 32), torch.zeros(4, 3, 32, 32)
    assert float(objective({"real": real, "made": made})["loss"].detach()) == pytest.approx(1.0, abs=0.2), "the hinge at logits near 0"
    for _ in range(40):
        optimizer.zero_grad()
        found = objective({"real": real, "made": made})
        found["loss"].backward()
        optimizer.step()
    assert float(found["loss"].detach()) < 0.2 and float(found["real"].detach()) > float(found["made"].detach())
