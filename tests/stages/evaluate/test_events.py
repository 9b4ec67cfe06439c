"""Synchrony: right on real clips, at its floor on wrong pairs, silent where nothing happens. `pytest tests/stages/evaluate`"""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import resample_poly
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from pipeline.params import AudioImagesParams, AudioParams, DemoDataParams, PretrainedParams, VocoderParams
from stages.audio_images.image import gray_from_rgb, rgb_from_gray
from stages.audio_images.vocoder import Vocoder
from stages.audio_images.windows import audio_image
from stages.demo_data.dataset import write_set
from stages.evaluate.events import KINDS, SoundingClip, SynchronyScore, audio_events, match, synchrony, video_events

FPS, RATE, NUM_FRAMES, NUM_SAMPLES = 10, 16_000, 16, 25_600
DEMO = DemoDataParams(kinds=("bounce", "pendulum", "lamp", "clack", "rain"), clips_per_kind=8, clip_sec=3.2, fps=20, size_px=96,
                      richness="rich")
AUDIO = AudioParams(sample_rate_hz=RATE, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
GRIFFIN_LIM = VocoderParams(kind="griffin_lim", iterations=32,
                            pretrained=PretrainedParams(source=None, revision=None, subfolder=None, sha256=None))


def window(path: Path, true_sec: np.ndarray, start: int, kind: str) -> SoundingClip:
    """16 frames of 64 x 64 at 10 fps and their 1.6 s of sound at 16 kHz, read back from the mp4."""
    with av.open(str(path)) as container:
        pictures = [frame.to_image() for frame in container.decode(container.streams.video[0])]
    with av.open(str(path)) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(container.streams.audio[0])])
    frames = np.stack([np.asarray(p.resize((64, 64), Image.Resampling.BILINEAR)) for p in pictures[::2][start:start + NUM_FRAMES]])
    first = start * RATE // FPS
    times = true_sec - start / FPS
    waveform = resample_poly(sound, 1, 3)[first:first + NUM_SAMPLES].astype(np.float32)
    return SoundingClip(frames=frames, waveform=waveform, kind=kind, source=path.name,
                        true_sec=times[(times >= 0) & (times < NUM_FRAMES / FPS)])


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[SoundingClip]:
    folder = tmp_path_factory.mktemp("demo")
    true: dict[str, list[float]] = {}
    for row in write_set(3, DEMO, folder):
        true.setdefault(str(row["source_path"]), []).append(float(str(row["time_sec"])))
    rng = np.random.default_rng(0)
    return [window(folder / name, np.array(times), int(rng.integers(0, 17)), name.split("/")[0]) for name, times in true.items()]


def score(clips: list[SoundingClip]) -> SynchronyScore:
    return synchrony(clips, fps=FPS, sample_rate=RATE, tolerance_sec=0.1, seed=7)


def test_real_clips_are_in_step_and_shuffled_ones_are_not(clips: list[SoundingClip]) -> None:
    result = score(clips)
    assert min(result.matched.recall.pooled, result.matched.precision.pooled) >= 0.95
    assert max(result.floor.recall.pooled, result.floor.precision.pooled) <= 0.4
    assert result.num_video_events >= 60


@pytest.mark.parametrize("kind", KINDS)
def test_both_detectors_find_the_true_events_of_each_kind(clips: list[SoundingClip], kind: str) -> None:
    result = score([clip for clip in clips if clip.kind == kind])
    for truth in (result.video_truth, result.audio_truth):
        assert truth is not None and min(truth.recall.pooled, truth.precision.pooled) >= 0.95


def test_onsets_survive_the_way_through_the_audio_image(clips: list[SoundingClip]) -> None:
    images = AudioImagesParams(db_floor=-80.0, db_ceiling=10.0, num_report_windows=1)
    vocoder = Vocoder(AUDIO, GRIFFIN_LIM, num_samples=NUM_SAMPLES, db_floor=images.db_floor, db_ceiling=images.db_ceiling)

    def again(clip: SoundingClip) -> SoundingClip:
        gray = audio_image(torch.from_numpy(clip.waveform), AUDIO, images)
        wave = vocoder.waveform(gray_from_rgb(rgb_from_gray(gray, 64), gray.shape))
        return replace(clip, waveform=wave.astype(np.float32) / 32768)

    result = score([again(clip) for clip in clips[::2]])
    assert min(result.matched.recall.pooled, result.matched.precision.pooled) >= 0.95


def test_blurred_pale_and_noisy_pictures_are_still_read(clips: list[SoundingClip]) -> None:
    rng = np.random.default_rng(1)

    def worn(clip: SoundingClip) -> SoundingClip:
        soft = gaussian_filter(clip.frames.astype(np.float32), (0.5, 2, 2, 0))
        pale = 60 + 0.6 * (soft - 60) + rng.normal(0, 6, soft.shape)
        return replace(clip, frames=np.clip(pale, 0, 255).astype(np.uint8))

    truth = score([worn(clip) for clip in clips]).video_truth
    assert truth is not None and min(truth.recall.pooled, truth.precision.pooled) >= 0.95


def test_late_sound_scores_like_a_wrong_one(clips: list[SoundingClip]) -> None:
    late = [replace(clip, waveform=np.roll(clip.waveform, round(0.25 * RATE))) for clip in clips]
    assert max(score(late).matched.recall.pooled, score(late).matched.precision.pooled) < 0.3


def test_clicking_all_the_time_lifts_the_floor_with_the_score(clips: list[SoundingClip]) -> None:
    clicks = np.zeros(NUM_SAMPLES, np.float32)
    clicks[::round(0.16 * RATE)] = 1.0
    result = score([replace(clip, waveform=clicks) for clip in clips])
    assert result.matched.recall.pooled > 0.9 and result.floor.recall.pooled > 0.9
    assert result.matched.precision.pooled < 0.5


def test_nothing_happens_where_nothing_happens(clips: list[SoundingClip]) -> None:
    rng = np.random.default_rng(2)
    for clip in clips[::4]:
        still = np.repeat(clip.frames[:1], NUM_FRAMES, axis=0) + rng.normal(0, 4, clip.frames.shape)
        assert len(video_events(np.clip(still, 0, 255).astype(np.uint8), FPS, clip.kind)) == 0
        assert len(video_events(np.full_like(clip.frames, 40), FPS, clip.kind)) == 0
    for waveform in (np.zeros(NUM_SAMPLES), rng.normal(0, 0.1, NUM_SAMPLES), 0.3 * np.sin(0.2 * np.arange(NUM_SAMPLES))):
        assert len(audio_events(waveform, RATE)) == 0


def test_a_click_is_heard_when_it_is() -> None:
    waveform = np.zeros(NUM_SAMPLES)
    waveform[[8000, 16000]] = 0.5
    assert np.abs(audio_events(waveform, RATE) - [0.5, 1.0]).max() < 0.025


def test_match_uses_each_time_once_and_finds_the_most_pairs() -> None:
    assert match(np.array([0.5]), np.array([0.45, 0.55]), 0.1).tolist() == [[0, 0]]
    assert match(np.array([0.1, 0.2]), np.array([0.15, 0.29]), 0.1).tolist() == [[0, 0], [1, 1]]
    assert len(match(np.array([]), np.array([0.3]), 0.1)) == 0
    rng = np.random.default_rng(4)
    for _ in range(200):
        a, b = np.sort(rng.uniform(0, 1.6, rng.integers(1, 9))), np.sort(rng.uniform(0, 1.6, rng.integers(1, 9)))
        near = csr_array(np.abs(a[:, None] - b) <= 0.1)
        assert len(match(a, b, 0.1)) == (maximum_bipartite_matching(near) >= 0).sum()


def test_score_is_pooled_over_events_and_needs_no_truth() -> None:
    def clip(clicks: list[float], source: str = "one") -> SoundingClip:
        frames = np.full((NUM_FRAMES, 64, 64, 3), 30, np.uint8)
        frames[6:, 20:44, 20:44] = 200  # a lamp that lights up between frames 5 and 6
        waveform = np.zeros(NUM_SAMPLES, np.float32)
        waveform[[round(time * RATE) for time in clicks]] = 0.5
        return SoundingClip(frames=frames, waveform=waveform, kind="lamp", source=source)

    result = score([clip([0.55]), clip([0.55, 1.0]), clip([1.0])])
    assert result.matched.recall.pooled == pytest.approx(2 / 3) and result.matched.precision.pooled == pytest.approx(2 / 4)
    assert result.video_truth is None and result.audio_truth is None
    assert np.isnan(score([clip([0.55])]).floor.recall.pooled)  # one clip has no other to borrow a sound from
