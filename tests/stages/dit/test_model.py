"""The joint DiT: token and parameter counts of the paper, and what zero initialisation promises.

    pytest tests/stages/dit/test_model.py
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.params import DiTParams, load_params
from stages.dit import NULL_CLASS, JointDiT
from stages.dit.model import sin_cos_positions

PAPER_AUDIO, PAPER_VIDEO = (16, 8, 8), (16, 16, 16)
AUDIO, VIDEO = (4, 2, 4), (6, 4, 4)


def params(**changes: object) -> DiTParams:
    dit = load_params(Path(__file__).parents[3] / "params.yaml").dit
    sizes: dict[str, object] = {"hidden_size": 32, "depth": 2, "num_heads": 4, "mlp_ratio": 4.0, "context": "class"}
    return replace(dit, **{**sizes, "audio_patch_size": 1, "video_patch_size": 2, **changes})


def on_meta(**changes: object) -> JointDiT:
    with torch.device("meta"):
        return JointDiT(params(video_patch_size=1, **changes), PAPER_AUDIO, PAPER_VIDEO, num_classes=9)


def awake(network: JointDiT) -> JointDiT:
    """As after some training: nothing is zero but the condition embeddings."""
    torch.manual_seed(0)
    for name, weight in network.named_parameters():
        if "condition_embed" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    return network


def inputs(batch: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return torch.randn(batch, *AUDIO), torch.randn(batch, *VIDEO), torch.tensor([0, 500, 999])[:batch]


def test_paper_shape_has_322_tokens_and_one_for_the_class() -> None:
    assert on_meta(context="none").num_tokens == 64 + 256 + 2 == 322
    assert on_meta(context="class").num_tokens == 323


@pytest.mark.parametrize(("width", "depth", "heads", "millions"),
                         [(768, 12, 12, 131), (1024, 20, 16, 384), (1536, 36, 24, 1543), (1152, 28, 16, 674)],
                         ids=["S", "B", "L", "published"])
def test_parameter_counts_of_the_paper(width: int, depth: int, heads: int, millions: float) -> None:
    network = on_meta(hidden_size=width, depth=depth, num_heads=heads, context="none")
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(millions * 1e6, rel=0.02)


def test_multiply_adds_are_those_torch_counts() -> None:
    network = on_meta(hidden_size=768, depth=12, num_heads=12)
    with FlopCounterMode(display=False) as counter, torch.device("meta"):
        network(torch.randn(1, *PAPER_AUDIO), torch.randn(1, *PAPER_VIDEO), torch.zeros(1, dtype=torch.long))
    assert 2 * network.multiply_adds == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_predictions_have_the_latents_shapes_and_begin_at_zero() -> None:
    audio, video = JointDiT(params(), AUDIO, VIDEO, num_classes=3)(*inputs())
    assert audio.shape == (3, *AUDIO) and video.shape == (3, *VIDEO)
    assert not audio.any() and not video.any()


def test_condition_latents_change_nothing_before_training() -> None:
    network = awake(JointDiT(params(), AUDIO, VIDEO, num_classes=3))
    z_a, z_v, t = inputs()
    free = network(z_a, z_v, t)
    told = network(z_a, z_v, t, audio_condition=torch.randn(3, *AUDIO), video_condition=torch.randn(3, *VIDEO))
    assert free[0].abs().mean() > 0.01
    assert all(torch.equal(a, b) for a, b in zip(free, told, strict=True))


def test_every_input_reaches_both_modalities() -> None:
    network = awake(JointDiT(params(), AUDIO, VIDEO, num_classes=3))
    torch.nn.init.normal_(network.audio.condition_embed.weight)
    z_a, z_v, t = inputs()
    before = network(z_a, z_v, t, class_id=torch.zeros(3, dtype=torch.long))
    for changed in (network(z_a + 1, z_v, t, class_id=torch.zeros(3, dtype=torch.long)),
                    network(z_a, z_v + 1, t, class_id=torch.zeros(3, dtype=torch.long)),
                    network(z_a, z_v, t - 1, class_id=torch.zeros(3, dtype=torch.long)),
                    network(z_a, z_v, t, class_id=torch.ones(3, dtype=torch.long)),
                    network(z_a, z_v, t, class_id=torch.zeros(3, dtype=torch.long), audio_condition=z_a)):
        assert all((a - b).abs().max() > 1e-4 for a, b in zip(before, changed, strict=True))


def test_no_class_and_null_class_are_one_and_differ_from_every_class() -> None:
    network = awake(JointDiT(params(), AUDIO, VIDEO, num_classes=3))
    z_a, z_v, t = inputs()
    null = network(z_a, z_v, t, class_id=torch.full((3,), NULL_CLASS))[0]
    assert torch.equal(null, network(z_a, z_v, t)[0])
    assert all((null - network(z_a, z_v, t, class_id=torch.full((3,), c))[0]).abs().max() > 1e-4 for c in range(3))


def test_patches_come_back_where_they_were() -> None:
    tokens = JointDiT(params(), AUDIO, VIDEO, num_classes=3).video
    z_v = inputs()[1]
    assert tokens.patch(z_v).shape == (3, 4, 24)
    assert torch.equal(tokens.unpatch(tokens.patch(z_v)), z_v)
    assert torch.equal(tokens.patch(z_v)[:, 1].reshape(3, 6, 2, 2), z_v[:, :, :2, 2:])  # second token: top right


def test_positions_tell_rows_from_columns() -> None:
    positions = sin_cos_positions(3, 5, 32)
    assert positions.shape == (15, 32)
    assert len({tuple(row) for row in positions.tolist()}) == 15
    grid = positions.reshape(3, 5, 32)
    assert torch.equal(grid[1, 0, :16], grid[1, 4, :16]) and torch.equal(grid[0, 2, 16:], grid[2, 2, 16:])
