"""Moments of a clip's images, in passes of any size: pytest tests/stages/encode/test_moments.py"""

import numpy as np
import pytest
import torch

from pipeline.contracts.moments import read_moments
from pipeline.errors import DataError
from pipeline.params import EncodeParams
from stages.encode.moments import Encoder
from stages.klvae import load as load_klvae
from stages.klvae.images import to_model_range
from stages.klvae.model import KLVAE
from tests.stages.encode.start import encode, finished_frames
from tests.stages.klvae.small import noise_images, small_kl


class SmallDevice(KLVAE):
    """A KL-VAE on a device that has room for `room` images."""

    room = 3

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        if len(images) > self.room:
            raise torch.OutOfMemoryError("no room")
        return super().encode(images)


def test_on_a_cpu_no_batch_size_changes_a_byte(finished_run, klvae, tmp_path) -> None:
    finished = finished_run(clips_per_class=2)
    folders = [tmp_path / f"{size}/encode" for size in (1, 3, 64, 0)]
    for size, folder in zip((1, 3, 64, 0), folders, strict=True):
        encode(finished, klvae, folder, EncodeParams(batch_size=size, flips=False, shard_bytes=10**6))
    for name in ("video", "audio"):
        found = [np.concatenate([clip[name] for clip in read_moments(folder)]) for folder in folders]
        assert all(found[0].tobytes() == other.tobytes() for other in found[1:]), name


def test_passes_are_halved_until_they_have_room_and_stay_so(capsys) -> None:
    images, network = noise_images(10), small_kl().eval()
    encoder = Encoder(SmallDevice(network), batch_size=0)
    moments = encoder.moments(images)
    assert "no room for more than 2 images at once" in capsys.readouterr().err and encoder.batch_size == 2
    with torch.no_grad():
        expected = KLVAE(network).encode(to_model_range(images)).numpy()
    np.testing.assert_allclose(moments.astype(np.float32), expected, atol=5e-3)
    with pytest.raises(DataError, match="cpu has no room for one image of 32 px; end other programs"):
        model = SmallDevice(network)
        model.room = 0
        Encoder(model, batch_size=0).moments(images)


def test_flipped_moments_are_those_of_the_mirrored_frames(finished_run, klvae, tmp_path) -> None:
    finished = finished_run(clips_per_class=2)
    for flips in (False, True):
        encode(finished, klvae, tmp_path / f"{flips}/encode", EncodeParams(batch_size=5, flips=flips, shard_bytes=10**6))
    clips = read_moments(tmp_path / "True/encode", flipped=True)
    frames = finished_frames(finished, clips[0]["key"])
    mirrored = np.ascontiguousarray(frames[:, :, ::-1])
    assert clips[0]["video_flipped"].tobytes() == Encoder(load_klvae(klvae), 0).moments(torch.from_numpy(mirrored)).tobytes()
    assert not np.array_equal(clips[0]["video_flipped"], clips[0]["video"])
    plain = read_moments(tmp_path / "False/encode")
    assert all(one["video"].tobytes() == other["video"].tobytes() for one, other in zip(plain, clips, strict=True))
    with pytest.raises(DataError, match=r"has no field video_flipped.npy, it has: .*run: dvc repro encode"):
        read_moments(tmp_path / "False/encode", flipped=True)


def test_moments_that_are_not_finite_are_refused() -> None:
    network = small_kl().eval()
    with torch.no_grad():
        network.encoder.conv_in.bias[0] = float("nan")
    with pytest.raises(DataError, match=r"moments that are not finite.*run: dvc repro klvae --force"):
        Encoder(KLVAE(network), 0).moments(noise_images(2))
