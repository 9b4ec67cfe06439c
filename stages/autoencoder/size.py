"""How large the networks are: parameters of each part, shapes of the latents, operations of a pass; counted without any memory."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.params import AutoencoderParams
from stages.autoencoder.discriminator import Discriminator
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.signal_decoder import walk_unet


@torch.no_grad()
def size_of(params: AutoencoderParams, shapes: Shapes, image_side: int) -> dict[str, float]:
    """Of networks of these params, built on the meta device.

    Args:
        image_side: px of the images that the discriminator judges.

    Returns:
        parameters: of all but the discriminator; parameters_<part>: of each part, discriminator included where it is used.
        audio_latent_channels, audio_latent_side, video_...: of z_a and z_v.
        gflop_encode: 10^9 operations (a multiply-add counts two) for both posteriors of a window.
        gflop_unet: for one pass of the U-Net over one image.
        gflop_decode: for a window's sound and all its frames, in `inference_steps` steps, guided as params say.
    """
    with torch.device("meta"):
        network = MultiModalAutoencoder(params, shapes).eval()
        decoder = network.signal_decoder
        parts: dict[str, nn.Module] = {name: part for name, part in network.named_children() if part is not decoder}
        parts |= {"unet": decoder.unet, "conditions": nn.ModuleList([decoder.audio, decoder.video])}
        if params.loss.adversarial:
            parts["discriminator"] = Discriminator(params.discriminator, image_side)
        c, side, f = shapes.kl_channels, shapes.kl_side, shapes.num_frames
        audio, video = torch.empty(1, c, side, side), torch.empty(1, f, c, side, side)
        z_a, z_v = (posterior.mean for posterior in network.encode(audio, video))
        frames, class_id, timestep = torch.zeros(1, f, dtype=torch.long), torch.zeros(1, dtype=torch.long), torch.zeros(1)

        def conditions():  # type: ignore[no-untyped-def]
            return network.conditions(z_a, z_v, *network.semantics(z_a, z_v), class_id, frames, network.coarse(z_a, z_v))

        one = conditions().rows(slice(1))
        x = torch.cat([audio, one.coarse], dim=1)
        unet = gflop(lambda: walk_unet(decoder.unet, x, timestep, one))
        encode, condition = gflop(lambda: network.encode(audio, video)), gflop(conditions)
    settings = params.signal_decoder
    passes = settings.inference_steps * (1 if settings.audio_guidance_scale == settings.video_guidance_scale == 1 else 2)
    figures: dict[str, float] = {"parameters": count(network), **{f"parameters_{name}": count(part) for name, part in parts.items()}}
    for name, latent in (("audio", z_a), ("video", z_v)):
        figures |= {f"{name}_latent_channels": latent.shape[1], f"{name}_latent_side": latent.shape[2]}
    operations = {"gflop_encode": encode, "gflop_unet": unet, "gflop_decode": condition + passes * (f + 1) * unet}
    return figures | {name: float(f"{value:.6g}") for name, value in operations.items()}


def count(module: nn.Module) -> int:
    """Parameters."""
    return sum(p.numel() for p in module.parameters())


def gflop(work: Callable[[], object]) -> float:
    """10^9 operations of matrix products, convolutions and attention."""
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops() / 1e9
