"""What each step of sound -> mel -> 8-bit image -> sound loses: python -m tests.benchmarks.round_trip [--clips FOLDER]

Every figure is measured on sound, not on generated images, so it is the best that a trained network can reach. Without the
folder of real clips, sounds from a formula stand in, which says little about real ones.

    floored, clipped     share of the mel's bins under db_floor (silence mostly) and over db_ceiling
    mel error            mean |difference| in dB over the bins above db_floor, after clamping to the range
    convergence          |magnitude - true magnitude| / |true magnitude| of the whole spectrum, 0: equal, 1: as far as silence
    onsets               those of the true sound that have one within 50 ms (recall), and the other way round (precision)
"""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import librosa
import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.windows import window_samples
from pipeline.errors import WeightsError
from pipeline.params import AudioParams, Params, VocoderParams, load_params
from stages.audio_images.image import gray_from_mel, gray_from_rgb, mel_from_gray, rgb_from_gray
from stages.audio_images.mel import magnitude_from_mel, mel_db, window_mels_db
from stages.audio_images.vocoder import Vocoder
from stages.decode.audio import read_waveform, to_int16

ROOT = Path(__file__).parents[2]
RANGES_DB = ((-80, 10), (-80, 20), (-80, 0), (-100, 10), (-100, 20), (-70, 10), (-60, 10))
ONSET_HOP = 80  # 5 ms at 16 kHz
TOLERANCE_SEC = 0.05

Back = Callable[[np.ndarray], np.ndarray]
"""From a gray mel image uint8 [m, n] to a waveform, int16 or float in [-1, 1]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=ROOT.parent / "shared" / "real_clips", help="folder <class>/<video with sound>")
    parser.add_argument("--most", type=int, default=1000, help="most clips, spread over the folder")
    parser.add_argument("--fetch", action="store_true", help="fetch the pretrained vocoder from the hub if it is not on this machine")
    arguments = parser.parse_args()
    if not arguments.fetch:
        os.environ["HF_HUB_OFFLINE"] = "1"  # before the hub's library is imported
    torch.set_num_threads(1)
    params = load_params(ROOT / "pipeline" / "presets" / "demo.yaml")
    sounds, what = read_sounds(arguments.clips, params.audio.sample_rate_hz, arguments.most)
    size = window_samples(params.clip, params.audio)
    mels = [window_mels_db(torch.from_numpy(sound), torch.arange(0, len(sound) - size + 1, size), size, params.audio) for sound in sounds]
    print(f"{what}: {len(mels)} clips, {sum(len(mel) for mel in mels)} windows of {params.clip.window_sec:g} s one after the other\n")
    print_ranges(mels)
    middles = [torch.from_numpy(sound[(len(sound) - size) // 2:][:size]) for sound in sounds]
    middles = [wave for wave in middles if float(wave.abs().max()) > 0.003]  # a silent window is inverted without loss
    print(f"\nOf each clip the window in the middle ({len(middles)} that are not silent), "
          f"{params.audio_images.db_floor:g} to {params.audio_images.db_ceiling:g} dB\n")
    print_image_steps(middles, params)
    print_ways_back(middles, params)


def print_ranges(mels: Sequence[Tensor]) -> None:
    """What the image would make of its 256 grays, for several ranges."""
    every = torch.cat(list(mels))
    print("range dB        floored   clipped   clipped, worst clip   gray at percentile 1   5  25  50  75  95  99   8 bits: error dB")
    for floor, ceiling in RANGES_DB:
        gray = gray_from_mel(every, floor, ceiling)
        grays = "".join(f"{int(np.percentile(gray, percent)):4d}" for percent in (1, 5, 25, 50, 75, 95, 99))
        worst = max(float((mel > ceiling).float().mean()) for mel in mels)
        print(f"{floor:5g} to {ceiling:3g}   {float((every < floor).float().mean()):8.2%} {float((every > ceiling).float().mean()):9.3%}"
              f"   {worst:19.2%}   {grays:>40}   {mel_error(mel_from_gray(gray, floor, ceiling), every, floor, ceiling):18.3f}")


def print_image_steps(waves: Sequence[Tensor], params: Params) -> None:
    """Error of the mel after each step to the image and back."""
    floor, ceiling = params.audio_images.db_floor, params.audio_images.db_ceiling
    true = [mel_db(wave, params.audio) for wave in waves]
    grays = [gray_from_mel(mel, floor, ceiling) for mel in true]
    print("step                                  mel error dB")
    for size_px in (None, 64, 128, 256):
        seen = [through_image(gray, size_px) for gray in grays]
        error = np.mean([mel_error(mel_from_gray(gray, floor, ceiling), mel, floor, ceiling) for gray, mel in zip(seen, true, strict=True)])
        print(f"{step_name(size_px):<37} {error:12.3f}")


def print_ways_back(waves: Sequence[Tensor], params: Params) -> None:
    """Losses of the sound made again: by size of the image, by iterations, beside rivals and the pretrained vocoder."""
    images, audio = params.audio_images, params.audio

    def vocoder(settings: VocoderParams) -> Back:
        return Vocoder(audio, settings, num_samples=window_samples(params.clip, audio), db_floor=images.db_floor,
                       db_ceiling=images.db_ceiling).waveform

    def linear(gray: np.ndarray) -> Tensor:
        mel = mel_from_gray(gray, images.db_floor, images.db_ceiling)
        return torch.where(mel > images.db_floor, 10 ** (mel / 20), 0.0)

    def griffinlim(magnitude: np.ndarray) -> np.ndarray:
        wave = librosa.griffinlim(
            magnitude, n_iter=32, hop_length=audio.hop_length, n_fft=audio.n_fft, length=len(waves[0]), random_state=0)
        return wave / max(1.0, float(np.abs(wave).max()))  # as the vocoder does

    def librosas(gray: np.ndarray) -> np.ndarray:
        magnitude = np.pad(magnitude_from_mel(linear(gray), audio).numpy(), ((0, 0), (0, 1)), mode="edge")
        return griffinlim(magnitude)

    def all_librosa(gray: np.ndarray) -> np.ndarray:
        mel = np.pad(linear(gray).numpy(), ((0, 0), (0, 1)), mode="edge")
        magnitude = librosa.feature.inverse.mel_to_stft(
            mel, sr=audio.sample_rate_hz, n_fft=audio.n_fft, power=1.0, fmin=audio.f_min_hz, fmax=audio.f_max_hz)
        return griffinlim(magnitude)

    measure = Measure(waves, params)
    print(f"\n{'sound again':<49} mel error dB   convergence   onsets: recall  precision   off by ms (median, p95)   CPU ms a window")
    griffin_lim = replace(params.vocoder, kind="griffin_lim")
    for iterations in (8, 16, 32, 64):
        measure.print(f"Griffin-Lim, {iterations} iterations", vocoder(replace(griffin_lim, iterations=iterations)))
    for size_px in (64, 128, 256):
        measure.print(f"Griffin-Lim, 32, image of {size_px} px", vocoder(replace(griffin_lim, iterations=32)), size_px)
    measure.print("librosa's Griffin-Lim, 32, our mel inversion", librosas)
    measure.print("librosa's Griffin-Lim and mel inversion, 32", all_librosa)
    try:
        pretrained = load_params(ROOT / "pipeline" / "presets" / "landscape.yaml").vocoder
        measure.print("SpeechT5's HiFi-GAN", vocoder(pretrained))
    except WeightsError as error:
        print(f"SpeechT5's HiFi-GAN                               not computed: {error} (here: --fetch)")


class Measure:
    """Compares sound made again with the true one."""

    def __init__(self, waves: Sequence[Tensor], params: Params) -> None:
        self.waves, self.audio = waves, params.audio
        self.floor, self.ceiling = params.audio_images.db_floor, params.audio_images.db_ceiling
        self.true = [mel_db(wave, params.audio) for wave in waves]
        self.grays = [gray_from_mel(mel, self.floor, self.ceiling) for mel in self.true]
        self.onsets = [onsets_sec(wave.numpy(), params.audio) for wave in waves]

    def print(self, name: str, back: Back, size_px: int | None = None) -> None:
        """One row; the images go through `size_px` and back first."""
        grays = [through_image(gray, size_px) for gray in self.grays]
        back(grays[0])
        started = time.process_time()
        made = [back(gray) for gray in grays]
        each_ms = (time.process_time() - started) / len(made) * 1000
        sounds = [torch.from_numpy(float_waveform(wave) if wave.dtype == np.int16 else wave) for wave in made]
        errors = [mel_error(mel_db(sound, self.audio), true, self.floor, self.ceiling)
                  for sound, true in zip(sounds, self.true, strict=True)]
        apart = [convergence(sound, wave, self.audio) for sound, wave in zip(sounds, self.waves, strict=True)]
        hits = pooled([partners(true, onsets_sec(sound.numpy(), self.audio)) for true, sound in zip(self.onsets, sounds, strict=True)])
        print(f"{name:<49} {np.mean(errors):12.3f} {np.mean(apart):13.3f} {hits.recall:17.3f} {hits.precision:10.3f}"
              f" {hits.median_ms:18.1f} {hits.p95_ms:5.1f} {each_ms:16.1f}")


def mel_error(mel: Tensor, true: Tensor, floor: float, ceiling: float) -> float:
    """Mean |difference| in dB over the bins above the floor."""
    heard = true > floor
    return float((mel.clamp(floor, ceiling) - true.clamp(floor, ceiling)).abs()[heard].mean())


def convergence(sound: Tensor, true: Tensor, audio: AudioParams) -> float:
    """Spectral convergence of the short-time Fourier transforms' magnitudes."""
    window = torch.hann_window(audio.win_length)
    made, wanted = (torch.stft(wave, audio.n_fft, audio.hop_length, audio.win_length, window, return_complex=True).abs()
                    for wave in (sound, true))
    return float((made - wanted).norm() / wanted.norm())


def through_image(gray: np.ndarray, size_px: int | None) -> np.ndarray:
    """The gray mel after its way through an RGB image of `size_px`; None: as it is."""
    return gray if size_px is None else gray_from_rgb(rgb_from_gray(gray, size_px), (gray.shape[0], gray.shape[1]))


def step_name(size_px: int | None) -> str:
    return "8 bits" if size_px is None else f"8 bits, resized to {size_px} px and back"


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two lists of onsets."""

    recall: float
    precision: float
    median_ms: float
    p95_ms: float


def onsets_sec(wave: np.ndarray, audio: AudioParams) -> np.ndarray:
    """librosa's onsets, to 5 ms."""
    return librosa.onset.onset_detect(y=wave, sr=audio.sample_rate_hz, hop_length=ONSET_HOP, units="time")


def partners(true: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distance in seconds to the nearest of the others: of each true onset, of each made one (inf without any)."""
    if not len(true) or not len(made):
        return np.full(len(true), np.inf), np.full(len(made), np.inf)
    apart = np.abs(true[:, None] - made[None])
    return apart.min(axis=1), apart.min(axis=0)


def pooled(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> Agreement:
    """Over all windows."""
    true, made = (np.concatenate(side) for side in zip(*pairs, strict=True))
    near = true[true <= TOLERANCE_SEC] * 1000
    return Agreement(float((true <= TOLERANCE_SEC).mean()), float((made <= TOLERANCE_SEC).mean()), float(np.median(near)),
                     float(np.percentile(near, 95)))


def read_sounds(folder: Path, rate_hz: int, most: int) -> tuple[list[np.ndarray], str]:
    """(waveforms float32 [S] of 1.6 s and more, as the decode stage would leave them; where they are from)."""
    import av

    files = sorted(path for path in folder.glob("*/*") if path.is_file())
    sounds = []
    for path in files[::max(1, -(-len(files) // most))]:
        with av.open(str(path)) as container:
            seconds = min(float(container.duration or 0) / av.time_base, 10.0)
            heard = bool(container.streams.audio)
        if heard and seconds >= 1.7:
            sounds.append(float_waveform(to_int16(read_waveform(path, 0.0, 0.0, seconds, rate_hz))[0]))
    return (sounds, str(folder)) if sounds else ([formula(i, rate_hz) for i in range(12)], f"sounds from a formula, as {folder} has none")


def formula(variant: int, rate_hz: int) -> np.ndarray:
    """4.8 s of struck and blown things: bursts of noise, decaying chords, a glide, a hiss."""
    random, seconds = np.random.default_rng(variant), np.arange(round(4.8 * rate_hz)) / rate_hz
    since = seconds % random.uniform(0.4, 1.2)
    chord = sum(np.sin(2 * np.pi * hz * seconds) for hz in random.uniform(120, 3000, 4)) / 4
    wave = 0.3 * np.exp(-random.uniform(4, 20) * since) * (chord + random.uniform(0, 1) * random.standard_normal(len(seconds)))
    wave += 0.1 * np.sin(2 * np.pi * (200 * seconds + random.uniform(0, 200) * seconds**2)) + 0.001 * random.standard_normal(len(seconds))
    return np.clip(wave, -1, 1).astype(np.float32)


if __name__ == "__main__":
    main()
