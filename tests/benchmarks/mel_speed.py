"""Speed of the way from sound to audio image, on one thread: python -m tests.benchmarks.mel_speed

Each row is timed against bare torchaudio on the same windows, in turns and in CPU time, so that a busy machine matters little.
Real time counts 1.6 s a window, though windows overlap; the last rows are all that a worker does for a clip, PNG included.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torchaudio

from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.windows import first_sample, window_samples, window_starts
from pipeline.params import load_params
from stages.audio_images.image import gray_from_mel
from stages.audio_images.mel import mel_db, window_mels_db
from stages.audio_images.windows import ClipSound, clip_samples

PRESET = Path(__file__).parents[2] / "pipeline" / "presets" / "landscape.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sec", type=float, default=10.0, help="length of the clip (10: the longest that the presets cut)")
    parser.add_argument("--stride", type=int, default=1, help="frames between two windows (1: the paper's)")
    parser.add_argument("--rounds", type=int, default=30, help="how often each row is timed; the median counts")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    params = load_params(PRESET)
    clip, audio, images = params.clip, params.audio, params.audio_images
    sound = some_sound(arguments.sec, audio.sample_rate_hz)
    starts = [s for s in window_starts(round(arguments.sec * clip.fps), clip) if s % arguments.stride == 0]
    first, size = torch.tensor([first_sample(start, clip, audio) for start in starts]), window_samples(clip, audio)
    wave = torch.from_numpy(float_waveform(sound))
    windows = [wave[begin:begin + size] for begin in first.tolist()]
    whole = ClipSound("0" * 16 + "_000000", sound, starts, {"class_id": 0, "split": "train"}, clip, audio, images)
    bare = torchaudio.transforms.MelSpectrogram(
        audio.sample_rate_hz, audio.n_fft, audio.win_length, audio.hop_length, f_min=audio.f_min_hz, f_max=audio.f_max_hz,
        n_mels=audio.n_mels, power=1.0, norm="slaney", mel_scale="slaney")
    rows: dict[str, Callable[[], object]] = {
        "torchaudio MelSpectrogram, window by window": lambda: [bare(window) for window in windows],
        "mel in dB, window by window": lambda: [mel_db(window, audio) for window in windows],
        "mel in dB, a clip's windows together": lambda: window_mels_db(wave, first, size, audio),
        "... and 8-bit gray": lambda: gray_from_mel(window_mels_db(wave, first, size, audio), images.db_floor, images.db_ceiling),
        "... and PNG with its meta (a worker's whole work)": lambda: clip_samples(whole),
    }
    seconds = {name: median for name, median in zip(rows, time_in_turns(list(rows.values()), arguments.rounds), strict=True)}
    rival = next(iter(seconds.values()))
    print(f"{len(starts)} windows of {clip.window_sec:g} s of a clip of {arguments.sec:g} s, one thread, median of {arguments.rounds}")
    print(f"{'':<50} {'ms/window':>9} {'windows/s':>9} {'x real time':>11} {'x torchaudio':>12}")
    for name, taken in seconds.items():
        each = taken / len(starts)
        print(f"{name:<50} {each * 1000:9.3f} {1 / each:9.0f} {clip.window_sec / each:11.0f} {rival / taken:12.2f}")


def some_sound(sec: float, rate_hz: int) -> np.ndarray:
    """int16: a rising tone, bursts of noise and a faint hiss, so that the PNG has something to hold."""
    time_sec, random = np.arange(round(sec * rate_hz)) / rate_hz, np.random.default_rng(0)
    tone = 0.2 * np.sin(2 * np.pi * (200 * time_sec + 120 * time_sec**2))
    bursts = np.exp(-8 * (time_sec % 0.7)) * 0.3 * random.standard_normal(len(time_sec))
    return np.clip((tone + bursts + 0.002 * random.standard_normal(len(time_sec))) * 32767, -32768, 32767).astype(np.int16)


def time_in_turns(works: list[Callable[[], object]], rounds: int) -> list[float]:
    """Median CPU seconds of each work; one round runs every work once."""
    for work in works:
        work()
    taken = np.empty((rounds, len(works)))
    for turn in taken:
        for i, work in enumerate(works):
            begin = time.process_time()
            work()
            turn[i] = time.process_time() - begin
    return [float(value) for value in np.median(taken, axis=0)]


if __name__ == "__main__":
    main()
