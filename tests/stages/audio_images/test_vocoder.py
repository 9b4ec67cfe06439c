"""From gray mel images back to sound: pytest tests/stages/audio_images/test_vocoder.py"""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from pipeline.errors import ParamsError, WeightsError
from pipeline.params import AudioParams, PretrainedParams, VocoderParams
from stages.audio_images.image import gray_from_mel
from stages.audio_images.mel import mel_db
from stages.audio_images.vocoder import Vocoder

AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
NO_WEIGHTS = PretrainedParams(source=None, revision=None, subfolder=None, sha256=None)
GRIFFIN_LIM = VocoderParams(kind="griffin_lim", iterations=32, pretrained=NO_WEIGHTS)
FLOOR, CEILING = -80.0, 10.0


def clicks(times_sec: tuple[float, ...], frequency_hz: float = 600.0) -> torch.Tensor:
    """1.6 s of decaying tones that begin at the given times."""
    t = torch.arange(25600) / 16000
    return sum((torch.where(t >= start, torch.exp(-30 * (t - start)) * torch.sin(2 * torch.pi * frequency_hz * t), 0.0) * 0.6
                for start in times_sec), torch.zeros(25600))


def vocoder_of(params: VocoderParams, audio: AudioParams = AUDIO) -> Vocoder:
    return Vocoder(audio, params, num_samples=25600, db_floor=FLOOR, db_ceiling=CEILING)


def save_hifigan(folder: Path, **changes: object) -> Path:
    """SpeechT5's HiFi-GAN, a thousandth of its size, with random weights that make it sound."""
    torch.manual_seed(0)
    sizes = {"upsample_initial_channel": 16, "resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1]], "initializer_range": 0.15}
    SpeechT5HifiGan(SpeechT5HifiGanConfig(**{**sizes, **changes})).save_pretrained(folder)
    return folder


def pretrained(source: Path | str, **changes: str | None) -> VocoderParams:
    return VocoderParams(kind="speecht5_hifigan", iterations=1, pretrained=replace(NO_WEIGHTS, source=str(source), **changes))


def test_griffin_lim_keeps_pitch_and_onsets() -> None:
    wave = clicks((0.3, 0.9), frequency_hz=1000.0)
    gray = gray_from_mel(mel_db(wave, AUDIO), FLOOR, CEILING)
    vocoder = vocoder_of(GRIFFIN_LIM)
    sound = vocoder.waveform(gray)
    assert sound.dtype == np.int16 and sound.shape == (25600,)
    peak_hz = np.abs(np.fft.rfft(sound)).argmax() * 16000 / 25600
    assert peak_hz == pytest.approx(1000, abs=60)
    energy = np.square(sound.astype(float)).reshape(-1, 320).mean(axis=1)  # pieces of 20 ms
    loud = np.flatnonzero((energy[1:] > 0.2 * energy.max()) & (energy[:-1] < 0.2 * energy.max())) + 1
    np.testing.assert_allclose(loud * 0.02, [0.3, 0.9], atol=0.05)
    np.testing.assert_array_equal(sound, vocoder.waveform(gray))  # same image, same bytes


def test_black_image_is_silence() -> None:
    vocoder = vocoder_of(GRIFFIN_LIM)
    assert not vocoder.waveform(np.zeros((80, 100), np.uint8)).any()


def test_pretrained_vocoder_makes_the_same_sound_alone_and_among_others(tmp_path: Path) -> None:
    grays = [gray_from_mel(mel_db(clicks((at,)), AUDIO), FLOOR, CEILING) for at in (0.3, 0.8)] + [np.zeros((80, 100), np.uint8)]
    vocoder = vocoder_of(pretrained(save_hifigan(tmp_path / "hifigan")))
    together = vocoder.waveforms(grays)
    assert [(sound.dtype, sound.shape) for sound in together] == [(np.int16, (25600,))] * 3
    assert together[0].any() and (together[0] != together[1]).any()
    assert not together[2].any()  # a black image is silence
    for sound, gray in zip(together, grays, strict=True):
        np.testing.assert_array_equal(sound, vocoder.waveform(gray))


def test_pretrained_vocoder_is_given_log10_of_the_mel(tmp_path: Path) -> None:
    folder, wave = save_hifigan(tmp_path / "hifigan"), clicks((0.3, 0.9))
    gray = gray_from_mel(mel_db(wave, AUDIO), FLOOR, CEILING)
    network = SpeechT5HifiGan.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = network((mel_db(wave, AUDIO).clamp(FLOOR, CEILING) / 20).T)
    sound = torch.from_numpy(vocoder_of(pretrained(folder)).waveform(gray) / 32767)
    assert (sound - expected).abs().max() < 0.02 * expected.abs().max()  # eight bits are between them


def test_weights_are_known_by_their_hash(tmp_path: Path) -> None:
    folder = save_hifigan(tmp_path / "hifigan")
    right = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    vocoder_of(pretrained(folder, sha256=right))
    with pytest.raises(WeightsError, match=r"vocoder\.pretrained\.sha256 is 000000000000\.\.\., but model\.safetensors has "):
        vocoder_of(pretrained(folder, sha256="0" * 64))


@pytest.mark.parametrize("changes", [{"hop_length": 160}, {"n_mels": 64}, {"f_max_hz": 8000.0}, {"sample_rate_hz": 22050}])
def test_other_mels_are_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    with pytest.raises(ParamsError, match=r"expected AudioParams\(sample_rate_hz=16000.*take those or vocoder\.kind: griffin_lim"):
        vocoder_of(pretrained(tmp_path), replace(AUDIO, **changes))


def test_what_is_not_this_network_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    faster = save_hifigan(tmp_path / "faster", upsample_rates=[4, 4, 4, 2])
    with pytest.raises(WeightsError, match=r"does not hold SpeechT5's HiFi-GAN \(it makes 16000 Hz, 128 samples a column, of 80 mel bins"):
        vocoder_of(pretrained(faster))
    other = save_hifigan(tmp_path / "other", resblock_kernel_sizes=[3, 7], resblock_dilation_sizes=[[1], [1]])
    (other / "model.safetensors").write_bytes((save_hifigan(tmp_path / "fewer") / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"of its weights are missing or of another shape, such as resblocks"):
        vocoder_of(pretrained(other))
    wider = save_hifigan(tmp_path / "wider", upsample_initial_channel=32)
    (wider / "model.safetensors").write_bytes((tmp_path / "fewer" / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match=r"does not hold SpeechT5's HiFi-GAN .* or take vocoder\.kind: griffin_lim$"):
        capfd.readouterr()
        vocoder_of(pretrained(wider))
    assert capfd.readouterr().err == ""  # the line of the error is all


def test_damaged_and_absent_files_are_one_line_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = save_hifigan(tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:100])
    empty = tmp_path / "empty"
    empty.mkdir()
    for folder in (cut, empty):
        with pytest.raises(WeightsError, match=rf"^params\.yaml: vocoder\.pretrained: {folder} does not hold [^\n]* griffin_lim$"):
            vocoder_of(pretrained(folder))
    with pytest.raises(WeightsError, match=r"vocoder\.pretrained\.source is \./nothing, which is neither a folder here nor a hub id"):
        vocoder_of(pretrained("./nothing"))
    with pytest.raises(WeightsError, match=r"vocoder\.pretrained\.revision is null; pin the commit of nobody/nothing"):
        vocoder_of(pretrained("nobody/nothing"))
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"vocoder.pretrained.*connect to the network once, or set .* to a local folder"):
        vocoder_of(pretrained("nobody/nothing", revision="0" * 40))
