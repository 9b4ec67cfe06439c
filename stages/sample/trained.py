"""All that generating needs: the trained parts of a project's data/, or of an exported folder (export.py)."""

import json
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from pipeline.contracts.outputs import identity, read_success, require_unchanged
from pipeline.contracts.windows import mel_columns, window_samples
from pipeline.errors import DataError
from pipeline.params import (
    AudioImagesParams,
    AudioParams,
    ClipParams,
    LatentsParams,
    Params,
    PretrainedParams,
    SampleParams,
    VocoderParams,
)
from pipeline.params_reader import build
from stages import autoencoder as autoencoder_stage
from stages import dit as dit_stage
from stages import klvae as klvae_stage
from stages.audio_images import Vocoder
from stages.dit import TrainedDiT
from stages.latents import load_text_encoder
from stages.sample.decoding import Decoder
from stages.sample.encoding import Encoder
from stages.sample.package import SETTINGS, require_undamaged

PARTS = ("klvae", "autoencoder", "latents", "dit")
"""Stages in a row, each of which was made from the one before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How windows are cut, heard and drawn: what the networks were trained with, and the last two as params.yaml says."""

    clip: ClipParams
    audio: AudioParams
    audio_images: AudioImagesParams
    vocoder: VocoderParams
    sample: SampleParams
    text_encoder: PretrainedParams
    """Source null: the network reads no texts."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Where the networks lie."""

    klvae: Path
    autoencoder: Path
    dit: Path
    settings: Settings


@dataclass(frozen=True, slots=True)
class Networks:
    """The parts in memory, on one device."""

    dit: TrainedDiT
    decoder: Decoder
    encoder: Encoder


def project_parts(data: Path, params: Params) -> Parts:
    """The parts that a project has trained.

    Args:
        data: its folder data/.
        params: of params.yaml, for `vocoder` and `sample`; all else is as it was when the networks were trained.

    Raises:
        DataError: a stage has not finished, a file of theirs was changed since, or they are not of one run.
    """
    records = {name: read_success(data / name) for name in (*PARTS, "audio_images")}
    for earlier, later in pairwise(PARTS):
        inputs = records[later]["inputs"]
        assert isinstance(inputs, dict)
        if inputs[earlier] != identity(data / earlier):
            raise DataError(f"{data / later} was made from another {earlier} than lies in {data / earlier}; run: dvc repro dit")
    trained, cached = records["audio_images"]["params"], records["latents"]["params"]
    assert isinstance(trained, dict) and isinstance(cached, dict)
    settings = Settings(
        clip=build(ClipParams, trained["clip"], "clip"), audio=build(AudioParams, trained["audio"], "audio"),
        audio_images=build(AudioImagesParams, trained["audio_images"], "audio_images"), vocoder=params.vocoder, sample=params.sample,
        text_encoder=build(LatentsParams, cached["latents"], "latents").text_encoder)
    klvae, autoencoder, dit = (require_unchanged(data / name) for name in ("klvae", "autoencoder", "dit"))
    return Parts(klvae, autoencoder, dit, settings)


def exported_parts(folder: Path) -> Parts:
    """The parts of a folder that `mmldm export` wrote, every byte of them checked.

    Raises:
        WeightsError: it is no such folder, or a file is missing, added or changed.
    """
    require_undamaged(folder)
    settings = build(Settings, json.loads((folder / SETTINGS).read_text(encoding="utf-8")), "settings")
    vocoder, text_encoder = settings.vocoder, settings.text_encoder
    if vocoder.pretrained.source is not None:
        vocoder = replace(vocoder, pretrained=replace(vocoder.pretrained, source=str(folder / vocoder.pretrained.source)))
    if text_encoder.source is not None:
        text_encoder = replace(text_encoder, source=str(folder / text_encoder.source))
    return Parts(folder / "klvae", folder / "autoencoder", folder / "dit", replace(settings, vocoder=vocoder, text_encoder=text_encoder))


def open_dit(parts: Parts, device: torch.device) -> TrainedDiT:
    """The joint DiT alone: what can be asked for is known by it."""
    return dit_stage.open_folder(parts.dit, device)


def open_networks(parts: Parts, dit: TrainedDiT, device: torch.device) -> Networks:
    """Everything else on the way from and to frames and sound."""
    settings, clip, audio = parts.settings, parts.settings.clip, parts.settings.audio
    vocoder = Vocoder(audio, settings.vocoder, num_samples=window_samples(clip, audio), db_floor=settings.audio_images.db_floor,
                      db_ceiling=settings.audio_images.db_ceiling, device=device)
    autoencoder, klvae = autoencoder_stage.open_folder(parts.autoencoder, device), klvae_stage.open_folder(parts.klvae, device)
    mel_size = audio.n_mels, mel_columns(clip, audio)
    return Networks(dit, Decoder(autoencoder, klvae, vocoder, mel_size), Encoder(autoencoder, klvae, clip.frame_size_px))


def embed_text(parts: Parts, text: str, device: torch.device) -> Tensor:
    """[1, tokens, width] of a text, by the encoder that embedded the training captions."""
    return torch.from_numpy(load_text_encoder(parts.settings.text_encoder, device).embed([text]))
