"""The pretrained vocoder: SpeechT5's HiFi-GAN, from a local folder or the hub; checked, as transformers would fill gaps with noise."""

import math

import torch

from pipeline.errors import ParamsError, WeightsError
from pipeline.params import AudioParams, PretrainedParams
from pipeline.pretrained import open_transformers, resolve

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
    wanted, way_out = "SpeechT5's HiFi-GAN", ", or take vocoder.kind: griffin_lim"
    model = open_transformers("SpeechT5HifiGan", folder, "vocoder.pretrained", wanted, way_out)
    made_for = (model.config.sampling_rate, math.prod(model.config.upsample_rates), model.config.model_in_dim)
    if made_for != (audio.sample_rate_hz, audio.hop_length, audio.n_mels):
        makes = "it makes {} Hz, {} samples a column, of {} mel bins".format(*made_for)
        raise WeightsError(f"params.yaml: vocoder.pretrained: {folder} does not hold {wanted} ({makes}); fetch it again{way_out}")
    return model
