"""Which way each metric goes: python -m tests.benchmarks.directions [--clips FOLDER] [--networks data/local_features]

Real clips are damaged more and more (blur, noise, frames out of order; noise in the sound; sound moved against the picture), and every
metric is printed at each strength beside whether it moves the right way at every step. Then true pairs of picture and sound are told from
wrong ones: value, floor and effect size, on clips of the demo and on the real ones. The networks are the local ones, with random weights
unless a finished local_features folder is named.
"""

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import resample_poly

from pipeline.contracts.decoded import float_waveform
from pipeline.contracts.window_sets import Window
from pipeline.errors import DataError
from pipeline.params import AudioImagesParams, AudioParams, ClipParams, DemoDataParams
from stages.demo_data.dataset import write_set
from stages.evaluate.av_align import MIN_FLOW_PX, audio_onsets, flow_of, iou, motion_peaks
from stages.evaluate.events import SoundingClip, synchrony
from stages.evaluate.extractors.local import LocalExtractor
from stages.evaluate.frechet import frechet_distance
from stages.evaluate.mmd import polynomial_mmd
from stages.evaluate.reconstruction import psnr_db, ssim
from stages.evaluate.shares import Shares, effect_size, shares
from stages.evaluate.shuffled_pairs import strangers
from stages.local_features import LocalNetwork, Modality, load
from stages.sample.condition import read_condition
from tests.benchmarks.material import REAL_CLIPS
from tests.benchmarks.tables import print_table

CLIP = ClipParams(frame_size_px=64, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=10.0)
AUDIO = AudioParams(sample_rate_hz=16_000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
IMAGES = AudioImagesParams(db_floor=-80.0, db_ceiling=10.0, num_report_windows=1)
DEMO = DemoDataParams(kinds=("bounce", "pendulum", "lamp", "clack"), clips_per_kind=12, clip_sec=3.2, fps=20, size_px=96, richness="plain")
TOLERANCE_SEC = 0.1


def blurred(window: Window, sigma_px: float) -> Window:
    """Each frame softened."""
    frames = gaussian_filter(window.frames.astype(np.float32), (0, sigma_px, sigma_px, 0)) if sigma_px else window.frames
    return replace(window, frames=np.round(frames).astype(np.uint8))


def noisy(window: Window, deviation: float) -> Window:
    """Gray levels of noise on every pixel, the same pattern at every strength."""
    pattern = np.random.default_rng(len(window.name)).standard_normal(window.frames.shape)
    return replace(window, frames=np.clip(np.round(window.frames + deviation * pattern), 0, 255).astype(np.uint8))


def out_of_order(window: Window, swaps: float) -> Window:
    """So many pairs of neighbouring frames change places, those of a smaller number among them.

    A share of the frames in a random order is no scale: with untrained networks a quarter of them out of place was as far from
    the whole clips as all of them (fvd_local 0.039 and 0.049 on 62 real clips, 0.035 for a half).
    """
    pairs = np.random.default_rng(3).permutation(len(window.frames) // 2)[:int(swaps)]
    order = np.arange(len(window.frames))
    order[2 * pairs], order[2 * pairs + 1] = 2 * pairs + 1, 2 * pairs
    return replace(window, frames=window.frames[order])


def hissing(window: Window, share: float) -> Window:
    """White noise, so many times as loud as the sound."""
    wave = window.waveform.astype(np.float64)
    level = max(np.sqrt((wave**2).mean()), 30.0)
    pattern = np.random.default_rng(len(window.name)).standard_normal(len(wave))
    return replace(window, waveform=np.clip(wave + share * level * pattern, -32768, 32767).astype(np.int16))


@dataclass(frozen=True, slots=True)
class Damage:
    """One way of being wrong, at rising strengths; the first one is none."""

    name: str
    apply: Callable[[Window, float], Window]
    strengths: Sequence[float]
    modality: Modality


DAMAGES = (Damage("blur, px", blurred, (0, 1, 2, 4, 8), "video"), Damage("noise, gray levels", noisy, (0, 8, 16, 32, 64), "video"),
           Damage("pairs of frames swapped", out_of_order, (0, 2, 4, 8), "video"),
           Damage("noise in the sound", hissing, (0, 0.1, 0.3, 1, 3), "audio"))


def random_networks(seed: int = 0) -> dict[Modality, LocalNetwork]:
    """Untrained local networks, always the same."""
    torch.manual_seed(seed)
    return {"video": LocalNetwork("video", 4).eval(), "audio": LocalNetwork("audio", 4).eval()}


@torch.no_grad()
def by_damage(windows: Sequence[Window], damage: Damage, network: LocalNetwork) -> dict[str, list[float]]:
    """Every metric of the damaged modality at each strength, damaged windows against the same ones whole."""
    extractor = LocalExtractor(network, torch.device("cpu"), AUDIO.sample_rate_hz)
    found: dict[str, list[float]] = {}
    whole = extractor(list(windows)).double().numpy()
    for strength in damage.strengths:
        worse = [damage.apply(window, strength) for window in windows]
        features = extractor(worse).double().numpy()
        figures = ({"fad_local": frechet_distance(features, whole)} if damage.modality == "audio" else
                   {"fvd_local": frechet_distance(features, whole), "kvd_local": polynomial_mmd(features, whole),
                    "psnr_db": mean_of(psnr_db, worse, windows), "ssim": mean_of(ssim, worse, windows)})
        for name, value in figures.items():
            found.setdefault(name, []).append(value)
    return found


def mean_of(likeness: Callable[[np.ndarray, np.ndarray], float], made: Sequence[Window], true: Sequence[Window]) -> float:
    """Mean over windows of a likeness of their frames."""
    several = likeness is ssim
    return float(np.mean([likeness(a.frames if several else a.frames[None], b.frames if several else b.frames[None])
                          for a, b in zip(made, true, strict=True)]))


def moves_right(name: str, values: Sequence[float]) -> bool:
    """Whether a metric gets worse at every step: likenesses fall, distances rise."""
    steps = np.diff(values)
    return bool((steps < 0).all() if name in ("psnr_db", "ssim") else (steps > 0).all())


def pairs_of(windows: Sequence[Window], shift_sec: float = 0.0) -> tuple[Shares, Shares]:
    """AV-Align of windows in their true pairs and in wrong ones, the sound moved later by `shift_sec` (round the end)."""
    peaks = [motion_peaks(flow_of(window.frames), CLIP.fps, MIN_FLOW_PX) for window in windows]
    onsets = [audio_onsets(np.roll(float_waveform(window.waveform), round(shift_sec * AUDIO.sample_rate_hz)), AUDIO.sample_rate_hz)
              for window in windows]

    def scores(pairs: Sequence[tuple[int, int]]) -> Shares:
        values = [iou(onsets[j], peaks[i], CLIP.fps) for i, j in pairs]
        return shares([(0.0, 0.0) if value is None else (value, 1.0) for value in values])

    wrong = strangers([window.class_id for window in windows], [window.name for window in windows], seed=1)
    return scores([(i, i) for i in range(len(windows))]), scores(wrong.tolist())


def events_of(windows: Sequence[Window], shift_sec: float = 0.0) -> tuple[Shares, Shares]:
    """Recall of the demo's seen events by heard ones, likewise."""
    clips = [SoundingClip(window.frames, np.roll(float_waveform(window.waveform), round(shift_sec * AUDIO.sample_rate_hz)),
                          DEMO.kinds[window.class_id], window.name) for window in windows]
    score = synchrony(clips, fps=CLIP.fps, sample_rate=AUDIO.sample_rate_hz, tolerance_sec=TOLERANCE_SEC, seed=1)
    return score.matched.recall, score.floor.recall


def real_windows(folder: Path, most: int = 1000) -> list[Window]:
    """The first window of each real clip that is long enough, its folder as class."""
    windows, classes = [], sorted(path.name for path in folder.iterdir() if path.is_dir())
    for path in sorted(folder.rglob("*.*")):
        if path.suffix == ".csv" or len(windows) == most or path.parent == folder:
            continue
        try:
            found = read_condition(path, CLIP, AUDIO, IMAGES, picture=True, sound=True, start_sec=None, last=False)
        except DataError:
            continue
        assert found.frames is not None and found.waveform is not None
        windows.append(Window(path.relative_to(folder).as_posix(), classes.index(path.relative_to(folder).parts[0]), found.frames,
                              found.waveform))
    return windows


def demo_windows(folder: Path, demo: DemoDataParams = DEMO) -> list[Window]:
    """A window of each of a few clips of the demo."""
    windows = []
    for name in sorted({str(row["source_path"]) for row in write_set(5, demo, folder)}):
        with av.open(str(folder / name)) as container:
            pictures = [frame.to_image() for frame in container.decode(video=0)][::2]
        with av.open(str(folder / name)) as container:
            sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
        frames = np.stack([np.asarray(picture.resize((64, 64), Image.Resampling.BILINEAR)) for picture in pictures[4:20]])
        wave = resample_poly(sound, 1, 3)[6400:32_000]
        windows.append(Window(name, demo.kinds.index(name.split("/")[0]), frames, np.round(wave * 32767).astype(np.int16)))
    return windows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, default=REAL_CLIPS)
    parser.add_argument("--networks", type=Path, help="a finished local_features folder (untrained networks)")
    chosen = parser.parse_args()
    if not chosen.clips.is_dir():
        parser.error(f"--clips {chosen.clips} is no folder; name one of real clips")
    networks = load(chosen.networks) if chosen.networks else random_networks()
    real = real_windows(chosen.clips)
    print(f"{len(real)} windows of {chosen.clips}, networks {chosen.networks or 'untrained'}\n")
    rows: list[list[object]] = []
    for damage in DAMAGES:
        for name, values in by_damage(real, damage, networks[damage.modality]).items():
            rows.append([name, damage.name, " ".join(f"{value:.4g}" for value in values), "yes" if moves_right(name, values) else "NO"])
    with tempfile.TemporaryDirectory() as folder:
        demo = demo_windows(Path(folder))
    shifts = (0.0, 0.1, 0.2, 0.3)
    for name, measure, windows in (("event_recall", events_of, demo), ("av_align", pairs_of, demo), ("av_align", pairs_of, real)):
        values = [measure(windows, shift)[0].pooled for shift in shifts]
        whose = "demo" if windows is demo else "real clips"
        rows.append([name, f"sound late, s ({whose})", " ".join(f"{value:.3g}" for value in values),
                     "yes" if all(value < values[0] for value in values[1:]) else "NO"])
    print_table(["metric", "damage", "at rising strength", "right way"], rows)
    print()
    told: list[list[object]] = []
    for name, measure, windows in (("event_recall", events_of, demo), ("av_align", pairs_of, demo), ("av_align", pairs_of, real)):
        true, wrong = measure(windows)
        told.append([name, "demo" if windows is demo else "real clips", f"{true.pooled:.3f}", f"{wrong.pooled:.3f}",
                     f"{effect_size(true, wrong):.2f}"])
    print_table(["metric", "clips", "true pairs", "wrong pairs", "effect size"], told)


if __name__ == "__main__":
    main()
