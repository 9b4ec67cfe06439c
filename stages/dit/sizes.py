"""The sizes of the paper's table 4 and of the published settings: python -m stages.dit.sizes

The paper prints parameters and FLOPs alone; width and depth of S, B, L are inferred from them. The FLOPs agree when the linear
layers' multiply-adds are counted over 322 tokens and 77 of a text. Other settings are those of params.yaml.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline.params import DiTParams, load_params
from stages.dit.model import JointDiT, multiply_adds

AUDIO_SHAPE, VIDEO_SHAPE = (16, 8, 8), (16, 16, 16)
"""z_a and z_v of the paper."""
TEXT_TOKENS = 77


@dataclass(frozen=True, slots=True)
class Size:
    """One row of the table."""

    hidden_size: int
    depth: int
    num_heads: int
    printed_parameters: float
    """In the paper; of `published`, counted from the settings' shapes."""
    printed_flops: float | None


SIZES = {
    "S": Size(768, 12, 12, 131e6, 34e9),
    "B": Size(1024, 20, 16, 384e6, 101e9),
    "L": Size(1536, 36, 24, 1543e6, 407e9),
    "published": Size(1152, 28, 16, 674e6, None),
}


def sized(params: DiTParams, name: str) -> DiTParams:
    """The params with the shape of one of `SIZES`, patches of 1 and no context."""
    size = SIZES[name]
    return replace(params, hidden_size=size.hidden_size, depth=size.depth, num_heads=size.num_heads, mlp_ratio=4.0,
                   audio_patch_size=1, video_patch_size=1, context="none")


def on_meta(params: DiTParams, num_classes: int = 9) -> JointDiT:
    """The network for the paper's latents, without memory for its weights."""
    with torch.device("meta"):
        return JointDiT(params, AUDIO_SHAPE, VIDEO_SHAPE, num_classes)


def table(dit: DiTParams) -> list[str]:
    """A line a size: shape; parameters, the linear layers' multiply-adds, each beside the paper's; all multiply-adds."""
    lines = ["size       width depth heads parameters  paper G linear paper  G all"]
    for name, size in SIZES.items():
        params = sized(dit, name)
        network = on_meta(params)
        tokens = network.num_tokens + TEXT_TOKENS
        linear, every = (multiply_adds(params, tokens, attention=attention) / 1e9 for attention in (False, True))
        millions = sum(weight.numel() for weight in network.parameters()) / 1e6
        flops = "-" if size.printed_flops is None else f"{size.printed_flops / 1e9:.0f}"
        lines.append(f"{name:<10} {size.hidden_size:>5} {size.depth:>5} {size.num_heads:>5} {millions:>9.1f}M "
                     f"{size.printed_parameters / 1e6:>5.0f}M {linear:>8.1f} {flops:>5} {every:>6.1f}")
    return lines


if __name__ == "__main__":
    print("\n".join(table(load_params(Path("params.yaml")).dit)))
