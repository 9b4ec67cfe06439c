"""Weights from disk: a diffusers folder of an `AutoencoderKL` or `AutoencoderTiny` of RGB images."""

from pathlib import Path

from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

from pipeline.diffusers_folder import open_network, read_config
from pipeline.errors import WeightsError

ImageAutoencoder = AutoencoderKL | AutoencoderTiny
CLASSES: dict[str, type[ImageAutoencoder]] = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


def open_autoencoder(folder: Path, named: str) -> ImageAutoencoder:
    """The autoencoder of images in a diffusers folder, float32, on the CPU.

    Args:
        folder: holds config.json and one file of weights.
        named: what the user calls it, for the error text.

    Raises:
        WeightsError: it is something else, or its weights do not fill the network that its config describes.
    """
    config = read_config(folder) or {}
    for side in ("in_channels", "out_channels"):
        if config.get("_class_name") in CLASSES and config.get(side, 3) != 3:
            raise WeightsError(f"{named}: {folder} has {side} {config[side]}, expected 3 (RGB); name another autoencoder")
    return open_network(folder, named, CLASSES, hint="of a whole Stable Diffusion pipeline, set subfolder to vae")
