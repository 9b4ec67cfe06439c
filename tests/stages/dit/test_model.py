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
from stages.dit.blocks import Block
from stages.dit.model import multiply_adds
from stages.dit.positions import rotary_angles, rotate, sin_cos_positions
from stages.dit.sizes import SIZES, TEXT_TOKENS, sized

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


@pytest.mark.parametrize("name", list(SIZES))
def test_parameters_and_flops_are_those_of_the_papers_table(name: str) -> None:
    network = on_meta(**{key: getattr(sized(params(), name), key) for key in ("hidden_size", "depth", "num_heads")}, context="none")
    assert sum(p.numel() for p in network.parameters()) == pytest.approx(SIZES[name].printed_parameters, rel=0.02)
    flops = multiply_adds(network.params, network.num_tokens + TEXT_TOKENS, attention=False)
    assert SIZES[name].printed_flops is None or flops == pytest.approx(SIZES[name].printed_flops, rel=0.02)


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


@pytest.mark.parametrize("positions", ["sincos", "rope"])
def test_a_text_reaches_both_modalities_and_zeros_are_no_text(positions: str) -> None:
    network = awake(JointDiT(params(context="text", positions=positions), AUDIO, VIDEO, num_classes=3, text_shape=(5, 7)))
    assert network.num_tokens == 8 + 4 + 2 + 5
    z_a, z_v, t = inputs()
    free, null = network(z_a, z_v, t), network(z_a, z_v, t, text=torch.zeros(3, 5, 7))
    told = network(z_a, z_v, t, text=torch.randn(3, 5, 7))
    assert all(torch.equal(a, b) for a, b in zip(free, null, strict=True))
    assert all((a - b).abs().max() > 1e-4 for a, b in zip(free, told, strict=True))


def test_published_audioset_settings_read_77_tokens_of_text() -> None:
    with torch.device("meta"):
        network = JointDiT(params(video_patch_size=1, context="text"), PAPER_AUDIO, PAPER_VIDEO, 9, text_shape=(TEXT_TOKENS, 768))
    assert network.num_tokens == 322 + 77


@pytest.mark.parametrize("changes", [{"positions": "rope"}, {"qk_norm": True}, {"positions": "rope", "qk_norm": True}], ids=str)
def test_options_of_the_attention_keep_what_zero_initialisation_promises(changes: dict[str, object]) -> None:
    network = JointDiT(params(**changes), AUDIO, VIDEO, num_classes=3)
    assert not any(prediction.any() for prediction in network(*inputs()))
    network = awake(network)
    z_a, z_v, t = inputs()
    audio = network(z_a, z_v, t)[0]
    assert torch.isfinite(audio).all() and (audio - network(z_a, z_v + 1, t)[0]).abs().max() > 1e-4


def test_rotated_products_depend_on_the_distance_alone() -> None:
    angles = rotary_angles(4, 6, 16).unflatten(0, (4, 6))
    torch.manual_seed(0)
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)

    def product(a: tuple[int, int], b: tuple[int, int]) -> float:
        return float((rotate(q, angles[a][None]) * rotate(k, angles[b][None])).sum())

    assert product((0, 1), (2, 3)) == pytest.approx(product((1, 3), (3, 5)), abs=1e-5)
    assert product((0, 1), (2, 3)) != pytest.approx(product((0, 1), (3, 2)), abs=1e-3)
    assert float(rotate(q, angles[0, 0][None]).sub(q).abs().max()) == 0  # without a place: not turned


def test_normalised_queries_and_keys_bound_the_attention_however_large_they_grow() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 5, 32)
    for qk_norm, bounded in ((True, True), (False, False)):
        block = Block(params(qk_norm=qk_norm))
        torch.nn.init.normal_(block.qkv.weight, std=0.3)
        torch.nn.init.zeros_(block.qkv.bias)
        before = block.attention(x, None)
        block.qkv.weight.data[:64] *= 100  # queries and keys, not values
        assert torch.allclose(before, block.attention(x, None), atol=1e-3) == bounded


@pytest.mark.parametrize(("task_mix", "tokens"), [("video", 257), ("audio", 65)])
def test_a_network_of_one_modality_has_its_tokens_alone(task_mix: str, tokens: int) -> None:
    assert on_meta(task_mix=task_mix, context="none", a2v_share=0.0, v2a_share=0.0).num_tokens == tokens
    network = awake(JointDiT(params(task_mix=task_mix, a2v_share=0.0, v2a_share=0.0), AUDIO, VIDEO, num_classes=3))
    z_a, z_v, t = inputs()
    audio, video = network(z_a, z_v, t)
    made, absent = (video, audio) if task_mix == "video" else (audio, video)
    assert made.abs().mean() > 0.01 and not absent.any()
    other = network(torch.randn_like(z_a), z_v, t) if task_mix == "video" else network(z_a, torch.randn_like(z_v), t)
    assert torch.equal(made, other[1 if task_mix == "video" else 0])


@pytest.mark.parametrize("positions", ["sincos", "rope"])
def test_the_window_before_changes_nothing_before_training_and_reaches_both_modalities_after(positions: str) -> None:
    network = JointDiT(params(continuation_share=0.2, positions=positions), AUDIO, VIDEO, num_classes=3)
    z_a, z_v, t = inputs()
    before = torch.randn_like(z_a), torch.randn_like(z_v)
    assert not any(prediction.any() for prediction in network(z_a, z_v, t, previous=before))
    network = awake(network)
    for part in (0, 1):
        changed = [z.clone() for z in before]
        changed[part] += 1
        pairs = zip(network(z_a, z_v, t, previous=before), network(z_a, z_v, t, previous=(changed[0], changed[1])), strict=True)
        assert all((a - b).abs().max() > 1e-4 for a, b in pairs)


def test_injections_begin_at_zero_and_the_free_path_is_that_of_a_network_without_a_branch() -> None:
    torch.manual_seed(0)
    plain = JointDiT(params(), AUDIO, VIDEO, num_classes=3)
    torch.manual_seed(0)
    continuing = JointDiT(params(continuation_share=0.2), AUDIO, VIDEO, num_classes=3)
    assert continuing.previous is not None
    z_a, z_v, t = inputs()
    assert not any(added.any() for added in continuing.previous(z_a, z_v, t, z_a, z_v))
    weights = plain.state_dict()
    missing = continuing.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys and all(key.startswith("previous.") for key in missing.missing_keys)


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
