"""Clips to images, by any number of workers: pytest tests/stages/audio_images/test_run.py"""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.audio_image_shards import gray_array, read_audio_images
from pipeline.contracts.decoded import decoded_sample, float_waveform, read_decoded
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.windows import window_key, window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioImagesParams, AudioParams, ClipParams, PretrainedParams, VocoderParams
from pipeline.workers import Workers
from stages.audio_images import run
from stages.audio_images.windows import audio_image
from tests.shards import write_shards

CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=3, fit="pad", max_sec=10.0)
AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
IMAGES = AudioImagesParams(db_floor=-80.0, db_ceiling=10.0, num_report_windows=3)
VOCODER = VocoderParams(kind="griffin_lim", iterations=2,
                        pretrained=PretrainedParams(source=None, revision=None, subfolder=None, sha256=None))


@pytest.fixture(scope="module")
def decode(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven clips of 1.5 to 4.5 s; the first is shorter than a window, the last ends 100 samples before its last frame does."""
    folder, random = tmp_path_factory.mktemp("data") / "decode", np.random.default_rng(0)
    samples = []
    for i in range(7):
        num_frames = 15 + 5 * i
        waveform = (random.standard_normal(num_frames * 1600 - (100 if i == 6 else 0)) * 3000).astype(np.int16)
        samples.append(decoded_sample(np.zeros((num_frames, 32, 32, 3), np.uint8), waveform, {
            "clip_id": f"{i:016x}_000000", "class_id": i % 2, "class_name": "ab"[i % 2], "split": "test" if i == 2 else "train",
            "source_path": f"{i}.mp4", "start_sec": 0.0, "gain": 1.0, "reader": "pyav"}))
    with stage_output(folder, params={}, inputs={}, code=Path(__file__).parent) as work:
        write_shards(work, samples)
    return folder


def run_to(out: Path, decode: Path, workers: Workers, clip: ClipParams = CLIP) -> dict[str, bytes]:
    run(seed=7, clip=clip, audio=AUDIO, vocoder=VOCODER, audio_images=IMAGES, workers=workers, decode=decode, out=out)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def test_same_bytes_whoever_works(decode: Path, tmp_path: Path) -> None:
    alone = run_to(tmp_path / "one" / "audio_images", decode, Workers(1))
    assert {"_SUCCESS.json", "metrics.json", "test-000000.tar", "train-000000.tar"} <= set(alone)
    assert run_to(tmp_path / "two" / "audio_images", decode, Workers(2)) == alone
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        dask = Workers(dask_scheduler=cluster.scheduler_address)
        assert run_to(tmp_path / "dask" / "audio_images", decode, dask) == alone


def test_every_window_has_the_image_of_its_own_sound(decode: Path, tmp_path: Path) -> None:
    run_to(tmp_path / "audio_images", decode, Workers(1))
    images = {image["key"]: gray_array(image["gray"]) for image in read_audio_images(tmp_path / "audio_images")}
    expected = {}
    for sample in read_decoded(decode):
        for start in range(0, len(sample["frames"]) - CLIP.num_frames + 1, CLIP.window_stride):
            sound = window_waveform(float_waveform(sample["waveform"]), start, CLIP, AUDIO)
            expected[window_key(sample["key"], start)] = audio_image(torch.from_numpy(sound), AUDIO, IMAGES)
    assert set(images) == set(expected) and len(images) > 20
    for key, gray in expected.items():
        np.testing.assert_array_equal(images[key], gray, err_msg=key)


def test_clips_shorter_than_a_window_are_told(decode: Path, tmp_path: Path) -> None:
    long = ClipParams(frame_size_px=32, fps=10, num_frames=64, window_stride=3, fit="pad", max_sec=10.0)
    with pytest.raises(DataError, match=r"holds a window of 6.4 s; lower clip.num_frames or add longer videos"):
        run_to(tmp_path / "audio_images", decode, Workers(1), long)
