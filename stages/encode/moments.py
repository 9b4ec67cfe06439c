"""The moments of one clip: every frame, and the audio image of every window, through the frozen KL-VAE.

A pass of other size may round other last bits (measured: 1 in 300 float16 numbers, by their last place). So on a CPU the size
follows from the pictures alone, and no setting changes a byte; on a GPU it is `encode.batch_size`, or what has room.
"""

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.audio_image_shards import gray_array
from pipeline.errors import DataError
from pipeline.progress import say
from stages.audio_images.image import rgb_from_gray
from stages.klvae.images import to_model_range
from stages.klvae.model import KLVAE

CPU_PASS_PX = 2**18  # 64 pictures of 64 px, 4 of 256 px: larger passes are not faster there


class Encoder:
    """The KL-VAE with the size of its passes, which it remembers when the device has no room for more."""

    def __init__(self, model: KLVAE, batch_size: int) -> None:
        """Args:
            model: on the device where it shall run.
            batch_size: images of one pass on a GPU; 0: all of a clip, halved until they have room.
        """
        self.model, self.device = model, next(model.parameters()).device
        self.batch_size = batch_size

    @torch.no_grad()
    def moments(self, images: Tensor) -> np.ndarray:
        """Moments float16 [n, 2c, h, w] of images uint8 [n, H, W, 3].

        Raises:
            DataError: one image alone has no room, or the moments are no finite float16 numbers.
        """
        size = max(1, CPU_PASS_PX // images[0, ..., 0].numel()) if self.device.type == "cpu" else self.batch_size or len(images)
        while True:
            try:
                pieces = [self.model.encode(to_model_range(piece.to(self.device))).half().cpu() for piece in images.split(size)]
                break
            except torch.OutOfMemoryError:
                size = min(size, len(images)) // 2
            if size == 0:
                raise DataError(f"{self.device} has no room for one image of {images.shape[1]} px; end other programs there, "
                                "or set compute.device to cpu")
            torch.cuda.empty_cache()
            self.batch_size = size
            say("encode", f"{self.device} has no room for more than {size} images at once")
        moments = torch.cat(pieces).numpy()
        if not np.isfinite(moments).all():
            raise DataError("the KL-VAE gives moments that are not finite, or too large for float16; run: dvc repro klvae --force, "
                            "or name another one as klvae.pretrained")
        return moments


def clip_moments(encoder: Encoder, frames: np.ndarray, pngs: list[bytes], flips: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """(frames' float16 [N, 2c, h, w], audio images' [W, 2c, h, w], and with `flips` those of the frames mirrored left to right).

    Args:
        encoder: owns the network and its passes.
        frames: uint8 [N, H, W, 3].
        pngs: the gray mel image of each of the W windows.
        flips: whether mirrored frames are wanted.
    """
    rgb = np.stack([rgb_from_gray(gray_array(png), frames.shape[1]) for png in pngs])
    moments = encoder.moments(torch.from_numpy(np.concatenate([frames, rgb])))
    mirrored = encoder.moments(torch.from_numpy(frames[:, :, ::-1].copy())) if flips else None
    return moments[:len(frames)], moments[len(frames):], mirrored
