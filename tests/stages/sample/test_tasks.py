"""The tasks over a small joint network: seeds, conditions, guidance.

    pytest tests/stages/sample/test_tasks.py
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.contracts.latents import LatentStatistics
from pipeline.params import Sampler, Task, load_params
from stages.dit import NULL_CLASS, JointDiT, LatentScale, TrainedDiT
from stages.dit.diffusion import Diffusion
from stages.sample.samplers import Sampling
from stages.sample.tasks import OF_PICTURE, OF_SOUND, Request, generate, seeded_noise

AUDIO, VIDEO = (2, 2, 2), (3, 2, 2)
SEEDS = [11, 12, 13, 14]
CLASSES = torch.tensor([0, 1, 0, 1])


@pytest.fixture(scope="module")
def dit() -> TrainedDiT:
    params = replace(load_params(Path(__file__).parents[3] / "params.yaml").dit, hidden_size=32, depth=2, num_heads=2, audio_patch_size=1,
                     video_patch_size=1, context="class", prediction="v_prediction", zero_terminal_snr=True, continuation_share=0.2)
    torch.manual_seed(0)
    network = JointDiT(params, AUDIO, VIDEO, num_classes=2).eval().requires_grad_(False)
    for weight in network.parameters():
        torch.nn.init.normal_(weight, std=0.15)
    statistics = LatentStatistics(AUDIO, VIDEO, (3.0,) * 2, (0.5,) * 2, (-3.0,) * 3, (2.0,) * 3, ("rain", "clack"))
    return TrainedDiT(network, params, statistics, LatentScale(statistics), Diffusion("v_prediction", True), torch.device("cpu"))


def request(task: Task, places: list[int]) -> Request:
    latents = torch.Generator().manual_seed(5)
    audio, video = torch.randn(4, *AUDIO, generator=latents) + 3, torch.randn(4, *VIDEO, generator=latents) - 3
    return Request(task, [SEEDS[i] for i in places], CLASSES[places], audio[places] if task in (*OF_SOUND, "long") else None,
                   video[places] if task in (*OF_PICTURE, "long") else None)


@pytest.mark.parametrize("task", ["svg", "a2v", "v2a", "audio_continuation", "video_continuation", "long"])
def test_batch_size_and_order_change_nothing(dit: TrainedDiT, task: Task) -> None:
    whole = generate(dit, request(task, [0, 1, 2, 3]), Sampling("ddim", 5, 2.0))
    turned = generate(dit, request(task, [2, 0]), Sampling("ddim", 5, 2.0))
    alone = generate(dit, request(task, [3]), Sampling("ddim", 5, 2.0))
    for all_four, two, one in zip(whole, turned, alone, strict=True):
        torch.testing.assert_close(two, all_four[[2, 0]], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one, all_four[[3]], rtol=1e-4, atol=1e-4)


def test_another_seed_is_another_sample(dit: TrainedDiT) -> None:
    first, second = (generate(dit, Request("svg", [seed], CLASSES[:1]), Sampling("ddim", 5, 1.0))[0] for seed in (1, 2))
    assert (first - second).abs().max() > 0.1
    assert torch.equal(seeded_noise([1], 6), seeded_noise([2, 1], 6)[1:])


def test_the_condition_comes_back_untouched_and_moves_the_other_half(dit: TrainedDiT) -> None:
    asked = request("a2v", [0, 1])
    assert asked.audio is not None
    audio, video = generate(dit, asked, Sampling("ddim", 5, 1.5))
    torch.testing.assert_close(audio, asked.audio, rtol=1e-5, atol=1e-5)
    _, other = generate(dit, replace(asked, audio=asked.audio.flip(0)), Sampling("ddim", 5, 1.5))
    assert (video - other).abs().max() > 0.01


def test_the_condition_is_noised_by_eq_6_with_one_noise(dit: TrainedDiT, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = request("v2a", [0])
    assert asked.video is not None
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []
    forward = JointDiT.forward

    def watched(self: JointDiT, audio: torch.Tensor, video: torch.Tensor, t: torch.Tensor, **conditions: torch.Tensor) -> object:
        seen.append((int(t[0]), video, conditions["video_condition"]))
        assert (conditions["class_id"] == NULL_CLASS).all()  # a condition latent comes without a class
        return forward(self, audio, video, t, **conditions)

    monkeypatch.setattr(JointDiT, "forward", watched)
    generate(dit, asked, Sampling("ddim", 4, 2.0))
    assert [t for t, _, _ in seen] == [999, 749, 499, 249]
    clean = (asked.video + 3) / 2
    noise = seen[0][1][:1]  # at t = 999 nothing but noise
    for t, video, condition in seen:
        abar = dit.diffusion.alphas_cumprod[t]
        torch.testing.assert_close(video, (abar.sqrt() * clean + (1 - abar).sqrt() * noise).repeat(2, 1, 1, 1))
        assert torch.allclose(condition[0], clean[0]) and not condition[1].any()  # with it, and without: 0_v


def test_class_guidance_pushes_away_from_no_class(dit: TrainedDiT) -> None:
    asked = request("svg", [0, 1])
    plain, pushed = (generate(dit, asked, Sampling("ddim", 1, scale))[0] for scale in (1.0, 3.0))
    null = generate(dit, replace(asked, class_id=torch.full((2,), NULL_CLASS)), Sampling("ddim", 1, 3.0))[0]
    torch.testing.assert_close(pushed, null + 3 * (plain - null), rtol=1e-3, atol=1e-3)  # one step is linear in the prediction
    assert (plain - null).abs().max() > 1e-3


def test_outside_of_its_interval_guidance_costs_and_changes_nothing(dit: TrainedDiT, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, sizes = request("svg", [0, 1]), []
    forward = JointDiT.forward

    def watched(self: JointDiT, audio: torch.Tensor, *rest: torch.Tensor, **conditions: torch.Tensor) -> object:
        sizes.append(len(audio))
        return forward(self, audio, *rest, **conditions)

    monkeypatch.setattr(JointDiT, "forward", watched)
    nowhere = generate(dit, asked, Sampling("ddim", 5, 3.0, guidance_interval=(0.0, 0.0)))
    assert sizes == [2] * 5
    plain = generate(dit, asked, Sampling("ddim", 5, 1.0))
    assert all(torch.equal(a, b) for a, b in zip(nowhere, plain, strict=True))
    sizes.clear()
    generate(dit, asked, Sampling("ddim", 5, 3.0, guidance_interval=(0.3, 0.7)))
    assert sizes == [2, 2, 4, 4, 2]  # t = 999, 799, 599, 399, 199


@pytest.mark.parametrize("sampler", ["dpm_solver", "unipc"])
def test_every_sampler_keeps_samples_apart(dit: TrainedDiT, sampler: Sampler) -> None:
    whole = generate(dit, request("a2v", [0, 1, 2]), Sampling(sampler, 6, 2.0, guidance_rescale=0.7))
    alone = generate(dit, request("a2v", [2]), Sampling(sampler, 6, 2.0, guidance_rescale=0.7))
    torch.testing.assert_close(alone[1], whole[1][2:], rtol=1e-4, atol=1e-4)


def test_a_continuation_depends_on_the_window_before_and_guidance_is_over_it(dit: TrainedDiT) -> None:
    asked = request("long", [0, 1])
    assert asked.audio is not None and asked.video is not None
    plain, pushed = (generate(dit, asked, Sampling("ddim", 1, scale))[1] for scale in (1.0, 3.0))
    free = generate(dit, Request("svg", asked.seeds, torch.full((2,), NULL_CLASS)), Sampling("ddim", 1, 1.0))[1]
    torch.testing.assert_close(pushed, free + 3 * (plain - free), rtol=1e-3, atol=1e-3)
    for other in (replace(asked, audio=asked.audio.flip(0)), replace(asked, video=asked.video.flip(0))):
        assert (generate(dit, other, Sampling("ddim", 1, 1.0))[1] - plain).abs().max() > 1e-3


def test_a_missing_half_of_the_window_before_is_the_null_latent(dit: TrainedDiT, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = JointDiT.forward

    def watched(self: JointDiT, *latents: torch.Tensor, **conditions: object) -> object:
        seen.append(conditions["previous"])  # type: ignore[arg-type]
        return forward(self, *latents, **conditions)  # type: ignore[arg-type]

    monkeypatch.setattr(JointDiT, "forward", watched)
    asked = request("video_continuation", [0])
    generate(dit, asked, Sampling("ddim", 1, 1.0))
    assert asked.video is not None
    assert not seen[0][0].any() and torch.allclose(seen[0][1], (asked.video + 3) / 2)


@pytest.mark.parametrize(("task_mix", "task"), [("video", "v"), ("audio", "a")])
def test_a_network_of_one_modality_leaves_the_other_at_its_mean(dit: TrainedDiT, task_mix: str, task: Task) -> None:
    params = replace(dit.params, task_mix=task_mix, a2v_share=0.0, v2a_share=0.0, continuation_share=0.0)
    assert params.tasks == (task,)
    torch.manual_seed(0)
    network = JointDiT(params, AUDIO, VIDEO, num_classes=2).eval().requires_grad_(False)
    audio, video = generate(replace(dit, params=params, network=network), request(task, [0, 1]), Sampling("ddim", 3, 2.0))
    absent, made = (audio, video) if task == "v" else (video, audio)
    assert (absent == (3 if task == "v" else -3)).all() and made.std() > 0.1
