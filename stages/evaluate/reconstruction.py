"""How near the autoencoder's reconstructions are to their originals, picture by picture: PSNR and SSIM."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from stages.evaluate.bootstrap import mean_interval
from stages.evaluate.evaluation import Evaluation, Group
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.windows import sources

MOST_PSNR_DB = 100.0
SSIM_WINDOW_PX = 11
ORIGINALS = "their own originals, held out"


def measure(evaluation: Evaluation, group: Group) -> None:
    """psnr_db and ssim of reconstructed frames, and audio_image_psnr_db, audio_image_ssim of their mel images."""
    originals = group.originals
    if originals is None or not group.originals_are_targets:
        return
    pairs: dict[str, tuple[bool, Callable[[int], tuple[np.ndarray, np.ndarray]]]] = {
        "": (False, lambda i: (group.windows[i].frames, originals[i].frames))}
    if group.audio_images is not None:
        images = group.audio_images
        pairs["audio_image_"] = True, lambda i: images(i)
    for beginning, (sound_only, pair) in pairs.items():
        template = evaluation.template(group.task, None, ORIGINALS, sound_only=sound_only)
        evaluation.figures.add(template, [f"{beginning}psnr_db", f"{beginning}ssim"],
                               partial(_likeness, evaluation, group, pair, template, beginning))


def _likeness(evaluation: Evaluation, group: Group, pair: Callable[[int], tuple[np.ndarray, np.ndarray]], template: Figure,
              beginning: str) -> list[Figure]:
    ratios, likenesses = [], []
    for i in range(len(group.windows)):
        made, original = pair(i)
        ratios.append(psnr_db(made[None], original[None]))
        likenesses.append(ssim(*(images if images.ndim == 4 else images[None] for images in (made, original))))
    return [_mean(evaluation, group, template, f"{beginning}{name}", values, highest)
            for name, values, highest in (("psnr_db", ratios, MOST_PSNR_DB), ("ssim", likenesses, 1.0))]


def _mean(evaluation: Evaluation, group: Group, template: Figure, name: str, values: Sequence[float], highest: float) -> Figure:
    around = mean_interval(np.array(values), sources(group.windows), evaluation.protocol.replicates, evaluation.seed, (-1.0, highest))
    return template.with_value(name, float(np.mean(values)), None, "", len(values), len(values), around)


def psnr_db(images: np.ndarray, originals: np.ndarray) -> float:
    """Mean PSNR over items.

    Args:
        images: uint8 [n, ...] in [0, 255]; one item is a whole window (all its frames) or one audio image.
        originals: the same shape.

    Returns:
        dB; an item without any error counts as 100 dB.
    """
    _require_same(images, originals)
    ratios = peak_signal_noise_ratio(_unit(images).flatten(1), _unit(originals).flatten(1), data_range=1.0, dim=1, reduction="none")
    return float(torch.clamp(ratios, max=MOST_PSNR_DB).mean())


def ssim(images: np.ndarray, originals: np.ndarray) -> float:
    """Mean structural similarity (11 x 11 Gaussian window) over images.

    Args:
        images: uint8 [n, h, w, 3] or gray [n, h, w] in [0, 255].
        originals: the same shape.

    Returns:
        At most 1.

    Raises:
        NotComputable: the images are smaller than the window.
    """
    _require_same(images, originals)
    if min(images.shape[1:3]) < SSIM_WINDOW_PX:
        raise NotComputable(f"needs images of {SSIM_WINDOW_PX} px or more on each side, they are {images.shape[1]} x {images.shape[2]}")
    x, y = (rearrange(_unit(a), "n h w c -> n c h w") if a.ndim == 4 else _unit(a)[:, None] for a in (images, originals))
    value = structural_similarity_index_measure(x, y, data_range=1.0)
    assert isinstance(value, Tensor)
    return float(value)


def _unit(images: np.ndarray) -> Tensor:
    return torch.from_numpy(images.astype(np.float32)) / 255


def _require_same(images: np.ndarray, originals: np.ndarray) -> None:
    if images.shape != originals.shape or not len(images):
        raise NotComputable(f"needs images of the originals' shape {originals.shape[1:]}, not {images.shape[1:]}; run: dvc repro sample")
