"""The moments of one clip: every frame, and the audio image of every window, through the frozen KL-VAE."""

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.audio_image_shards import gray_array
from stages.audio_images.image import rgb_from_gray
from stages.klvae.images import to_model_range
from stages.klvae.model import KLVAE


def clip_moments(model: KLVAE, frames: np.ndarray, pngs: list[bytes], batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """(video float16 [N, 2c, h, w], audio float16 [W, 2c, h, w]).

    Args:
        model: on the device where it shall run.
        frames: uint8 [N, H, W, 3].
        pngs: the gray mel image of each of the W windows.
        batch_size: images at once.
    """
    rgb = np.stack([rgb_from_gray(gray_array(png), frames.shape[1]) for png in pngs])
    moments = encode_images(model, torch.from_numpy(np.concatenate([frames, rgb])), batch_size)
    return moments[:len(frames)], moments[len(frames):]


@torch.no_grad()
def encode_images(model: KLVAE, images: Tensor, batch_size: int) -> np.ndarray:
    """Moments float16 [n, 2c, h, w] of images uint8 [n, H, W, 3]."""
    device = next(model.parameters()).device
    pieces = [model.encode(to_model_range(piece).to(device)).cpu() for piece in images.split(batch_size)]
    return torch.cat(pieces).to(torch.float16).numpy()
