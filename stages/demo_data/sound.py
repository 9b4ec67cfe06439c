"""A scene as sound: each kind in its own part of the spectrum, each event a sharp edge in the mel."""

from collections.abc import Callable

import numpy as np

from stages.demo_data.scene import Scene

SAMPLE_RATE_HZ = 48_000
"""Short AAC blocks (21 ms) at this rate, so that little of a sound leaks to before its event."""
ATTACK_SEC = 0.0005
LOUDNESS_DB = 60.0
"""Lamp and shower: from full strength to nothing."""
PEAK = 0.8


def make_sound(scene: Scene, clip_sec: float) -> np.ndarray:
    """Waveform float32 [round(clip_sec * SAMPLE_RATE_HZ)], mono, in [-1, 1]."""
    times = np.arange(round(clip_sec * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (PEAK * SOUND[scene.kind](scene, times)).astype(np.float32)


def sound_bounce(scene: Scene, times: np.ndarray) -> np.ndarray:
    """Thud: low partials close together, the lowest rings longest."""
    pitch = pitch_hz(scene.size, 280, 110)
    return strikes(scene, times, pitch, [(1, 0.5, 0.05), (1.5, 0.3, 0.04), (2.1, 0.2, 0.03), (3.0, 0.1, 0.02)])


def sound_pendulum(scene: Scene, times: np.ndarray) -> np.ndarray:
    """Tick: short and high, a metallic cluster."""
    pitch = pitch_hz(scene.size, 4700, 2800)
    return strikes(scene, times, pitch, [(ratio, 0.25, 0.016) for ratio in (1, 1.13, 1.27, 1.42, 1.58)])


def sound_clack(scene: Scene, times: np.ndarray) -> np.ndarray:
    """Clack: wood, between thud and tick."""
    pitch = pitch_hz(scene.size, 1400, 750)
    return strikes(scene, times, pitch, [(1, 0.4, 0.025), (1.24, 0.25, 0.025), (1.56, 0.2, 0.02), (1.9, 0.15, 0.02)])


def sound_lamp(scene: Scene, times: np.ndarray) -> np.ndarray:
    """A steady tone whose loudness (in dB) is the lamp's brightness."""
    pitch = pitch_hz(scene.size, 850, 400)
    tone = sum(0.45 / partial**0.8 * np.sin(2 * np.pi * partial * pitch * times) for partial in range(1, 7))
    return gain(scene.strength(times)) * tone


def sound_rain(scene: Scene, times: np.ndarray) -> np.ndarray:
    """Noise whose loudness (in dB) is the shower's strength; bigger streaks sound darker."""
    noise = np.fft.rfft(np.random.default_rng(scene.seed + 2).standard_normal(len(times)))
    hz = np.fft.rfftfreq(len(times), 1 / SAMPLE_RATE_HZ)
    colour = (hz / 600) ** 2 / (1 + (hz / 600) ** 2) / (1 + (hz / pitch_hz(scene.size, 7500, 3500)) ** 4)
    hiss = np.fft.irfft(noise * colour, len(times))
    return gain(scene.strength(times)) * 0.3 * hiss / hiss.std()


SOUND: dict[str, Callable[[Scene, np.ndarray], np.ndarray]] = {
    "bounce": sound_bounce, "pendulum": sound_pendulum, "lamp": sound_lamp, "clack": sound_clack, "rain": sound_rain,
}


def strikes(scene: Scene, times: np.ndarray, pitch: float, partials: list[tuple[float, float, float]]) -> np.ndarray:
    """The same strike at every event: partials (ratio to the pitch, weight, seconds to 1/e), each a sine that dies away."""
    since = np.arange(round(12 * max(decay for *_, decay in partials) * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    strike = sum(weight * np.sin(2 * np.pi * ratio * pitch * since) * np.exp(-since / decay) for ratio, weight, decay in partials)
    strike = strike * (1 - np.exp(-since / ATTACK_SEC))
    waveform = np.zeros(len(times))
    for event in scene.events_sec:
        first = round(event * SAMPLE_RATE_HZ)
        begin, end = max(first, 0), min(first + len(strike), len(waveform))
        if begin < end:
            waveform[begin:end] += strike[begin - first:end - first]
    return waveform


def gain(strength: np.ndarray) -> np.ndarray:
    """Amplitude of a strength in [0, 1]: linear in dB, and exactly 0 at 0."""
    floor = 10 ** (-LOUDNESS_DB / 20)
    return (10 ** (LOUDNESS_DB * (strength - 1) / 20) - floor) / (1 - floor)


def pitch_hz(size: float, small: float, big: float) -> float:
    """Pitch of a thing, evenly spread over octaves from `small` (size 0) to `big` (size 1)."""
    return small * (big / small) ** size
