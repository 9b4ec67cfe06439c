"""The pretrained vocoder: SpeechT5's HiFi-GAN, from a local folder or the hub; checked, as transformers would fill gaps with noise."""

import contextlib
import math
from collections.abc import Iterator
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from pipeline.errors import ParamsError, WeightsError
from pipeline.params import AudioParams, PretrainedParams
from pipeline.pretrained import resolve

HIFIGAN_AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
"""The mel settings that SpeechT5's HiFi-GAN was trained on."""


def load_hifigan(audio: AudioParams, pretrained: PretrainedParams) -> torch.nn.Module:
    """`transformers.SpeechT5HifiGan`, float32: log10 of the magnitude's mel [b, n, m] -> waveform [b, n * hop_length].

    Raises:
        ParamsError: it was not trained on these mel settings.
        WeightsError: its weights are not at hand, damaged, or of another network.
    """
    if audio != HIFIGAN_AUDIO:
        raise ParamsError(f"params.yaml: audio is {audio}, expected {HIFIGAN_AUDIO}, as vocoder.kind is speecht5_hifigan; "
                          "take those or vocoder.kind: griffin_lim")
    folder = resolve(pretrained, "vocoder.pretrained")
    try:
        with _quiet_transformers() as transformers:
            model, loading = transformers.SpeechT5HifiGan.from_pretrained(
                folder, dtype=torch.float32, output_loading_info=True, ignore_mismatched_sizes=True)
    except (OSError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        raise _not_usable(folder, " ".join(str(error).split())[:200]) from None
    wrong = sorted([*loading["missing_keys"], *(key for key, *_ in loading["mismatched_keys"])])
    if wrong:
        raise _not_usable(folder, f"{len(wrong)} of its weights are missing or of another shape, such as {wrong[0]}")
    made_for = (model.config.sampling_rate, math.prod(model.config.upsample_rates), model.config.model_in_dim)
    if made_for != (audio.sample_rate_hz, audio.hop_length, audio.n_mels):
        raise _not_usable(folder, "it makes {} Hz, {} samples a column, of {} mel bins".format(*made_for))
    return model.eval()


@contextlib.contextmanager
def _quiet_transformers() -> Iterator[Any]:
    """The library without its progress bars and its table of what does not fit: a WeightsError says it in a line."""
    import transformers

    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield transformers
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def _not_usable(folder: Path, why: str) -> WeightsError:
    return WeightsError(f"params.yaml: vocoder.pretrained: {folder} does not hold SpeechT5's HiFi-GAN ({why}); fetch it again, "
                        "or take vocoder.kind: griffin_lim")
