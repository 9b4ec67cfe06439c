"""Samplers against closed forms: for Gaussian data the ideal prediction, and where DDIM must end, are known.

    pytest tests/stages/sample/test_samplers.py
"""

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTPipeline, DiTTransformer2DModel
from torch import Tensor

from pipeline.params import SAMPLERS, Sampler
from stages.dit.diffusion import Diffusion, Prediction
from stages.sample.guidance import acts_at, guide, rescale
from stages.sample.samplers import make_scheduler, sample_latents

MEAN, STD = 0.7, 0.4


class IdealNetwork:
    """The best prediction for latents drawn from N(MEAN, STD^2)."""

    def __init__(self, prediction: Prediction, zero_terminal_snr: bool) -> None:
        self.diffusion = Diffusion(prediction, zero_terminal_snr).double()
        self.seen: list[float] = []

    def __call__(self, latents: Tensor, timesteps: Tensor) -> Tensor:
        self.seen.append(float(timesteps[0]))
        signal, spread = self.scales(timesteps)
        variance = signal**2 * STD**2 + spread**2
        noise = spread * (latents - signal * MEAN) / variance  # E[n | z^t]
        clean = MEAN + signal * STD**2 * (latents - signal * MEAN) / variance  # E[z^0 | z^t]
        return {"epsilon": noise, "v_prediction": signal * noise - spread * clean, "flow": noise - clean}[self.diffusion.prediction]

    def scales(self, timesteps: Tensor) -> tuple[Tensor, Tensor]:
        if self.diffusion.prediction == "flow":
            return 1 - timesteps.double()[:, None] / 1000, timesteps.double()[:, None] / 1000
        abar = self.diffusion.alphas_cumprod[timesteps][:, None]
        return abar.sqrt(), (1 - abar).sqrt()


CASES: list[tuple[Prediction, bool]] = [("epsilon", False), ("v_prediction", False), ("v_prediction", True)]
STEPS: dict[Sampler, int] = {"ddim": 500, "dpm_solver": 200, "unipc": 200, "euler": 200, "heun": 50}


@pytest.mark.parametrize(("prediction", "zero_terminal_snr", "sampler"), [
    (prediction, zero, sampler) for prediction, zero in [*CASES, ("flow", False)] for sampler in SAMPLERS[prediction]])
def test_noise_flows_to_where_the_closed_form_says(prediction: Prediction, zero_terminal_snr: bool, sampler: Sampler) -> None:
    """The probability flow of Gaussian data keeps each point's place in units of the deviation."""
    network = IdealNetwork(prediction, zero_terminal_snr)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    end = sample_latents(network, noise, make_scheduler(sampler, prediction, zero_terminal_snr), STEPS[sampler])
    signal, spread = network.scales(torch.tensor([1000 if prediction == "flow" else 999]))
    place = (noise - signal * MEAN) / (signal**2 * STD**2 + spread**2).sqrt()
    torch.testing.assert_close(end.double(), MEAN + STD * place, rtol=0, atol=0.02)


@pytest.mark.parametrize(("prediction", "first", "second"), [("v_prediction", "ddim", "dpm_solver"), ("v_prediction", "ddim", "unipc"),
                                                              ("flow", "euler", "heun"), ("flow", "euler", "unipc")])
def test_second_order_needs_fewer_steps(prediction: Prediction, first: Sampler, second: Sampler) -> None:
    """Forty steps of a second-order solver end nearer to the closed form than forty of the first order."""
    errors = []
    for sampler in (first, second):
        noise = torch.tensor([[1.5]], dtype=torch.float64)
        end = sample_latents(IdealNetwork(prediction, prediction != "flow"), noise,
                             make_scheduler(sampler, prediction, prediction != "flow"), 40)
        errors.append(abs(float(end) - (MEAN + STD * 1.5)))
    assert errors[1] < 0.7 * errors[0]


def test_euler_of_a_flow_is_the_straight_line_in_equal_steps() -> None:
    network = IdealNetwork("flow", False)
    noise = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = noise
    for step in range(8):
        expected = expected - network(expected, torch.full((4,), 1000 * (1 - step / 8))) / 8
    network.seen.clear()
    found = sample_latents(lambda x, t: network(x, t).float(), noise.float(), make_scheduler("euler", "flow", False), 8)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=1e-5)
    assert network.seen == [1000, 875, 750, 625, 500, 375, 250, 125]


@pytest.mark.parametrize("sampler", ["unipc", "dpm_solver"])
def test_a_sampler_is_diffusers_own_step_for_step(sampler: Sampler) -> None:
    """The scheduler's own loop, as diffusers' pipelines write it, with nothing around it."""
    noise = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))
    reference, network = make_scheduler(sampler, "epsilon", False), IdealNetwork("epsilon", False)
    reference.set_timesteps(12)
    expected = noise * reference.init_noise_sigma
    for t in reference.timesteps:
        expected = reference.step(network(reference.scale_model_input(expected, t), t.expand(3)).float(), t, expected).prev_sample
    found = sample_latents(lambda x, t: network(x, t).float(), noise, make_scheduler(sampler, "epsilon", False), 12)
    assert torch.equal(found, expected)


@pytest.mark.parametrize("sampler", ["ddim", "dpm_solver", "unipc"])
def test_guided_sampling_is_diffusers_dit_pipeline_step_for_step(sampler: Sampler, monkeypatch: pytest.MonkeyPatch) -> None:
    """diffusers' own pipeline of a class-conditional DiT, its loop and its guidance, on the same network and noise."""
    torch.manual_seed(0)
    network = DiTTransformer2DModel(num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, num_layers=1, sample_size=4,
                                    patch_size=2, num_embeds_ada_norm=10, norm_num_groups=4).eval()
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.2)
    vae = AutoencoderKL(block_out_channels=(4,), norm_num_groups=2, latent_channels=4)
    scheduler = make_scheduler(sampler, "epsilon", False)
    pipeline = DiTPipeline(network, vae, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    steps, step = [], type(scheduler).step

    def watched(self: object, *arguments: object, **options: object) -> object:
        steps.append(step(self, *arguments, **options))  # type: ignore[arg-type]
        return steps[-1]

    classes, null = torch.tensor([3, 7]), torch.full((2,), 1000)
    monkeypatch.setattr(type(pipeline.scheduler), "step", watched)
    monkeypatch.setattr(network.transformer_blocks[0].norm1.emb.class_embedder.embedding_table, "weight",
                        torch.nn.Parameter(torch.randn(1001, 16)))
    pipeline(class_labels=classes.tolist(), guidance_scale=4.0, generator=torch.Generator().manual_seed(1), num_inference_steps=6,
             output_type="np")
    theirs = [made[0][:2] for made in steps]
    steps.clear()

    def predict(flat: Tensor, t: Tensor) -> Tensor:
        z = flat.view(2, 4, 4, 4)
        conditional, unconditional = (network(z, timestep=t, class_labels=labels).sample for labels in (classes, null))
        return guide(conditional, unconditional, 4.0).flatten(1)

    noise = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)).flatten(1)
    sample_latents(predict, noise, make_scheduler(sampler, "epsilon", False), 6)
    assert len(steps) == len(theirs) == 6
    for (ours,), expected in zip(steps, theirs, strict=True):
        torch.testing.assert_close(ours.view(2, 4, 4, 4), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("prediction", "zero_terminal_snr"), CASES)
@pytest.mark.parametrize("steps", [1, 20])
def test_ddim_is_diffusers_ddim_step_for_step(steps: int, prediction: Prediction, zero_terminal_snr: bool) -> None:
    network = IdealNetwork(prediction, zero_terminal_snr)
    noise = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    reference = DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False,
        set_alpha_to_one=True, timestep_spacing="trailing", rescale_betas_zero_snr=zero_terminal_snr)
    reference.set_timesteps(steps)
    expected = noise
    for t in reference.timesteps:
        expected = reference.step(network(expected, t.expand(5)).float(), t, expected).prev_sample
    found = sample_latents(lambda x, t: network(x, t).float(), noise, make_scheduler("ddim", prediction, zero_terminal_snr), steps)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)


def test_every_step_count_begins_at_pure_noise_and_walks_the_whole_way() -> None:
    for steps in (1, 7, 30, 600):
        network = IdealNetwork("v_prediction", True)
        noise = torch.tensor([[1.0]], dtype=torch.float64)
        end = sample_latents(network, noise, make_scheduler("ddim", "v_prediction", True), steps)
        assert len(network.seen) == steps and network.seen[0] == 999 and network.seen == sorted(network.seen, reverse=True)
        assert steps < 30 or float(end) == pytest.approx(MEAN + STD, abs=0.1)


def test_what_is_given_replaces_the_latents_before_every_prediction() -> None:
    seen: list[float] = []

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        seen.append(float(latents[0, 0]))
        return torch.zeros_like(latents)

    scheduler = make_scheduler("dpm_solver", "v_prediction", True)
    sample_latents(predict, torch.randn(1, 2), scheduler, 4, given=lambda latents, t: torch.full_like(latents, float(t[0])))
    assert seen == [999, 749, 499, 249]


def test_guidance_is_eq_9_with_its_sign_mended() -> None:
    conditional, unconditional = torch.tensor([2.0, -1.0]), torch.tensor([1.0, 1.0])
    assert guide(conditional, unconditional, 1.0).tolist() == [2, -1]
    assert guide(conditional, unconditional, 0.0).tolist() == [1, 1]
    phi = 2.5
    torch.testing.assert_close(guide(conditional, unconditional, phi), phi * conditional + (1 - phi) * unconditional)
    # As printed, equal predictions would come out 2 phi - 1 times as large.
    assert guide(conditional, conditional, phi).tolist() == conditional.tolist()


def test_rescaling_gives_back_the_deviation_of_the_conditional_prediction() -> None:
    """Lin et al. 2024, Eq. 15 and 16."""
    torch.manual_seed(0)
    conditional, unconditional = torch.randn(3, 50), torch.randn(3, 50)
    guided = guide(conditional, unconditional, 5.0)
    torch.testing.assert_close(rescale(guided, conditional, 1.0).std(dim=1), conditional.std(dim=1))
    assert torch.equal(rescale(guided, conditional, 0.0), guided)
    torch.testing.assert_close(rescale(guided, conditional, 0.7), 0.7 * rescale(guided, conditional, 1.0) + 0.3 * guided)


def test_guidance_acts_inside_its_interval() -> None:
    assert all(acts_at(t, (0.0, 1.0), 1000) for t in (0, 1, 999, 1000))
    assert [acts_at(t, (0.2, 0.6), 1000) for t in (199, 200, 600, 601)] == [False, True, True, False]
