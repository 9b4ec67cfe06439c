"""The signal decoder (paper 3.1, figure 3b): one Stable-Diffusion-shaped U-Net that denoises audio images and frames alike.

The U-Net is diffusers' `UNet2DConditionModel`; only its forward is walked here block by block: FACTS asks for a
feature added to the output of EVERY input block, and so to its skip. diffusers' own arguments do something else:
`down_intrablock_additional_residuals` adds one per resolution, `down_block_additional_residuals` to the skips alone.
"""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from pipeline.diffusers_folder import open_network
from pipeline.errors import WeightsError
from pipeline.params import SignalDecoderParams
from pipeline.pretrained import resolve
from stages.autoencoder.blocks import num_groups, zero_init
from stages.autoencoder.conditions import Conditions, ModalityConditions
from stages.autoencoder.noise_schedule import NoiseSchedule


class SignalDecoder(nn.Module):
    """Denoises KL-VAE latents under conditions; shared by both modalities."""

    def __init__(self, params: SignalDecoderParams, *, kl_channels: int, context_dim: int, audio_channels: int, video_channels: int,
                 num_classes: int) -> None:
        """Args:
            kl_channels: channels of the KL-VAE's latent.
            context_dim: channels of s_a, s_v and of the context.
            audio_channels, video_channels: channels of z_a, z_v.
        """
        super().__init__()
        self.params = params
        self.schedule = NoiseSchedule(params)
        self.unet = build_unet(params, kl_channels, context_dim)
        if params.coarse_channels:
            zero_init(self.unet.conv_out)  # the first answer is the coarse decode as it is
        blocks = input_block_channels(params)
        time_dim = 4 * params.block_channels[0]
        self.audio = ModalityConditions(params, audio_channels, context_dim, blocks, time_dim, framed=False)
        self.video = ModalityConditions(params, video_channels, context_dim, blocks, time_dim, framed=True)
        self.class_embedding = nn.Embedding(num_classes, context_dim) if params.class_embedding else None

    def conditions(self, z_a: Tensor, z_v: Tensor, s_a: Tensor, s_v: Tensor, class_id: Tensor, positions: Tensor,
                   coarse_audio: Tensor, coarse_video: Tensor) -> Conditions:
        """Conditions of the audio images of b windows, then of k frames of each window (n = b + b k).

        Args:
            z_a, z_v, s_a, s_v: latents and semantic features of b windows.
            class_id: [b].
            positions: normalised index of each wanted frame [b, k].
            coarse_audio, coarse_video: regression decodes [b, c, h, w] and [b k, c, h, w]; zero channels without.
        """
        sides = input_block_sides(self.params, coarse_audio.shape[-1])
        token = None if self.class_embedding is None else self.class_embedding(class_id)
        audio = self.audio(z_a, None, token, s_v, sides, coarse_audio)
        video = self.video(z_v, positions, token, s_a, sides, coarse_video)
        return Conditions.join([audio, video])

    def forward(self, noisy: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
        """The prediction (`params.prediction`) for noisy KL-VAE latents [n, c, h, w] at timesteps [n].

        With a coarse decode the U-Net sees it beside the noisy latent and corrects the prediction that it implies.
        """
        x = torch.cat([noisy, conditions.coarse], dim=1)
        with attention_kernels(x):
            correction = walk_unet(self.unet, x, timesteps, conditions)
        if not conditions.coarse.shape[1]:
            return correction
        return self.schedule.guess(noisy, conditions.coarse, timesteps) + correction

    def sample(self, noise: Tensor, conditions: Conditions, steps: int, guidance: Tensor | None) -> Tensor:
        """Denoise from pure noise.

        Args:
            noise: [n, c, h, w] standard normal; the only random thing.
            conditions: of n images.
            steps: passes of the U-Net.
            guidance: phi of each image [n], prediction = null + phi (conditional - null), both in one batch of 2 n images; None:
                the conditional alone, at half of the cost.

        Returns:
            KL-VAE latents [n, c, h, w].
        """
        scheduler = self.schedule.scheduler(steps)
        n, x = len(noise), noise
        if guidance is not None:
            conditions = Conditions.join([conditions, conditions.kept(noise.new_zeros(n))])
        for timestep in scheduler.timesteps:
            t = timestep.to(noise.device).expand(n)
            if guidance is None:
                prediction = self(x, t, conditions)
            else:
                conditional, null = self(torch.cat([x, x]), torch.cat([t, t]), conditions).chunk(2)
                prediction = null + guidance[:, None, None, None] * (conditional - null)
            x = scheduler.step(prediction.float(), timestep, x).prev_sample
        return x


def attention_kernels(x: Tensor) -> AbstractContextManager[None]:
    """Unfused attention on the CPU, where the fused kernel's gradient is slow in bfloat16; torch's own choice elsewhere."""
    return sdpa_kernel(SDPBackend.MATH) if x.is_cpu else nullcontext()


def walk_unet(unet: UNet2DConditionModel, x: Tensor, timesteps: Tensor, conditions: Conditions) -> Tensor:
    """`unet(x)` with the pooled latent on its time embedding and a feature on each input block's output."""
    context, features = conditions.context, iter(conditions.features)
    emb = unet.time_embedding(unet.time_proj(timesteps).to(conditions.pooled.dtype)) + conditions.pooled
    x = unet.conv_in(x) + next(features)
    skips = [x]
    block: Any
    for block in unet.down_blocks:
        attentions = block.attentions if hasattr(block, "attentions") else [None] * len(block.resnets)
        for resnet, attention in zip(block.resnets, attentions, strict=True):
            x = resnet(x, emb)
            if attention is not None:
                x = attention(x, encoder_hidden_states=context, return_dict=False)[0]
            x = x + next(features)
            skips.append(x)
        for downsample in block.downsamplers or ():
            x = downsample(x) + next(features)
            skips.append(x)
    x = unet.mid_block(x, emb, encoder_hidden_states=context)
    for block in unet.up_blocks:
        count = len(block.resnets)
        skips, used = skips[:-count], tuple(skips[-count:])
        given = {"encoder_hidden_states": context} if hasattr(block, "attentions") else {}
        size = skips[-1].shape[2:] if skips else None
        x = block(hidden_states=x, res_hidden_states_tuple=used, temb=emb, upsample_size=size, **given)
    return unet.conv_out(unet.conv_act(unet.conv_norm_out(x)))


def build_unet(params: SignalDecoderParams, kl_channels: int, context_dim: int) -> UNet2DConditionModel:
    """A fresh U-Net of the sizes in params (the paper's are Stable Diffusion 1.5's)."""
    down = tuple("CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in params.attention)
    up = tuple("CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(params.attention))
    return UNet2DConditionModel(
        in_channels=kl_channels * (2 if params.coarse_channels else 1), out_channels=kl_channels, block_out_channels=params.block_channels,
        down_block_types=down, up_block_types=up, layers_per_block=params.layers_per_block, cross_attention_dim=context_dim,
        attention_head_dim=params.num_heads,  # diffusers' name for the NUMBER of heads of this network
        norm_num_groups=num_groups(*params.block_channels))


def load_pretrained_unet(unet: UNet2DConditionModel, params: SignalDecoderParams) -> None:
    """Start from `params.pretrained`; the input channels of the coarse decode start at zero.

    Raises:
        WeightsError: the weights are absent, damaged, or of another shape than params say.
    """
    entry = "autoencoder.signal_decoder.pretrained"
    weights = open_network(resolve(params.pretrained, entry), f"params.yaml: {entry}", {"UNet2DConditionModel": UNet2DConditionModel},
                           hint="of a whole Stable Diffusion pipeline, set subfolder to unet").state_dict()
    own = unet.state_dict()
    extra = own["conv_in.weight"].shape[1] - weights["conv_in.weight"].shape[1]
    if params.coarse_channels and extra > 0:
        weights["conv_in.weight"] = nn.functional.pad(weights["conv_in.weight"], (0, 0, 0, 0, 0, extra))
    for name in sorted({*own, *weights}):
        got, expected = weights.get(name), own.get(name)
        if got is None or expected is None or got.shape != expected.shape:
            shapes = ["absent" if w is None else str(list(w.shape)) for w in (got, expected)]
            raise WeightsError(f"params.yaml: {entry}: {name} is {shapes[0]} there and {shapes[1]} by autoencoder.signal_decoder; "
                               f"set block_channels, layers_per_block, attention and semantic_channels to those of the weights")
    unet.load_state_dict(weights)


def input_block_channels(params: SignalDecoderParams) -> list[int]:
    """Channels of the output of each input block: the first convolution, then per resolution its layers and its halving."""
    channels = [params.block_channels[0]]
    for level, width in enumerate(params.block_channels):
        channels += [width] * (params.layers_per_block + (level < len(params.block_channels) - 1))
    return channels


def input_block_sides(params: SignalDecoderParams, side: int) -> list[int]:
    """Side of the output of each input block for a latent of `side`."""
    sides = [side]
    for level in range(len(params.block_channels)):
        sides += [side] * params.layers_per_block
        if level < len(params.block_channels) - 1:
            side = (side + 1) // 2
            sides.append(side)
    return sides
