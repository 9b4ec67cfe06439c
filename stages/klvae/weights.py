"""Weights from disk: a diffusers folder of an `AutoencoderKL` or `AutoencoderTiny`, checked against what the params say."""

import json
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTiny

from pipeline.errors import WeightsError

ImageAutoencoder = AutoencoderKL | AutoencoderTiny
CLASSES = {"AutoencoderKL": AutoencoderKL, "AutoencoderTiny": AutoencoderTiny}


def open_autoencoder(folder: Path, named: str) -> ImageAutoencoder:
    """The autoencoder of images in a diffusers folder, float32, on the CPU.

    Args:
        folder: holds config.json and one file of weights.
        named: what the user calls it, for the error text.

    Raises:
        WeightsError: it is something else, or its weights do not fill the network that its config describes.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise WeightsError(f"{named}: {folder} has no readable config.json, expected a diffusers folder of {' or '.join(CLASSES)}; "
                           "of a whole Stable Diffusion pipeline, set subfolder to vae") from None
    name = config.get("_class_name", "a network without a class name") if isinstance(config, dict) else "no network"
    if name not in CLASSES:
        raise WeightsError(f"{named}: {folder} holds {name}, expected {' or '.join(CLASSES)}; name another folder or subfolder")
    for side in ("in_channels", "out_channels"):
        if config.get(side, 3) != 3:
            raise WeightsError(f"{named}: {folder} has {side} {config[side]}, expected 3 (RGB); name another autoencoder")
    try:
        autoencoder, found = CLASSES[name].from_pretrained(
            folder, local_files_only=True, torch_dtype=torch.float32, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise WeightsError(f"{named}: the weights in {folder} do not fit its config.json ({reason}); fetch the folder anew") from None
    for kind in ("missing_keys", "unexpected_keys"):  # diffusers fills what is missing with random numbers
        if found[kind]:
            raise WeightsError(f"{named}: the weights in {folder} are not those of its config.json: {kind.replace('_', ' ')} "
                               f"{sorted(found[kind])[0]} and {len(found[kind]) - 1} more; fetch the folder anew")
    autoencoder.register_to_config(_name_or_path=None)  # where it lay is no part of what it is
    return autoencoder
