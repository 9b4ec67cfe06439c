"""The door that other stages use: encode, decode, save and load."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from pipeline.contracts.outputs import stage_output
from pipeline.errors import DataError, WeightsError
from stages.autoencoder.model import WEIGHTS, Autoencoder, MultiModalAutoencoder, load, save

CPU = torch.device("cpu")


def exact(network: MultiModalAutoencoder) -> Autoencoder:
    """Decoding in float32, so that equality can be asked for."""
    network.params = replace(network.params, train=replace(network.params.train, precision="fp32"))
    return Autoencoder(network, CPU)


def test_decode_gives_the_audio_image_and_every_frame(network: MultiModalAutoencoder) -> None:
    autoencoder = exact(network)
    audio_moments, video_moments = autoencoder.encode(torch.randn(3, 16, 4, 4, 4), torch.randn(3, 4, 4, 4))
    assert audio_moments.shape == video_moments.shape == (3, 8, 2, 2)
    audio, video = autoencoder.decode(audio_moments[:, :4], video_moments[:, :4], seeds=[1, 2, 3])
    assert audio.shape == (3, 4, 4, 4) and video.shape == (3, 16, 4, 4, 4)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_a_windows_decode_depends_on_its_own_seed_and_latent_alone(network: MultiModalAutoencoder, guidance: float) -> None:
    autoencoder = exact(network)
    torch.manual_seed(0)
    z_a, z_v = torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2)
    audio, video = autoencoder.decode(z_a, z_v, seeds=[11, 12, 13], steps=2, guidance=guidance)
    alone = autoencoder.decode(z_a[1:2], z_v[1:2], seeds=[12], steps=2, guidance=guidance)
    assert torch.allclose(alone[0], audio[1:2], atol=1e-4) and torch.allclose(alone[1], video[1:2], atol=1e-4)
    other = autoencoder.decode(z_a[1:2], z_v[1:2], seeds=[99], steps=2, guidance=guidance)
    assert not torch.allclose(other[1], alone[1], atol=1e-3)


def test_sub_batches_change_nothing(network: MultiModalAutoencoder, monkeypatch: pytest.MonkeyPatch) -> None:
    autoencoder = exact(network)
    z_a, z_v = torch.randn(5, 4, 2, 2), torch.randn(5, 4, 2, 2)
    whole = autoencoder.decode(z_a, z_v, seeds=list(range(5)))
    monkeypatch.setattr("stages.autoencoder.model.CPU_PASS_PLACES", 2 * 17 * 16)  # two windows a pass
    parts = autoencoder.decode(z_a, z_v, seeds=list(range(5)))
    assert torch.allclose(whole[0], parts[0], atol=1e-4) and torch.allclose(whole[1], parts[1], atol=1e-4)


@pytest.mark.parametrize("room", [3, 1])
def test_a_gpu_without_room_takes_fewer_windows_at_once(network: MultiModalAutoencoder, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """The memory of a GPU stands in as a network that refuses more than `room` windows; the results are those of one pass."""
    autoencoder = exact(network)
    z_a, z_v = torch.randn(7, 4, 2, 2), torch.randn(7, 4, 2, 2)
    whole = autoencoder.decode(z_a, z_v, seeds=list(range(7)), guidance=(1.5, 3.0), steps=2)
    decode, tried = network.decode, []

    def crowded(z_a: torch.Tensor, *given: Any, **named: Any) -> tuple[torch.Tensor, torch.Tensor]:
        tried.append(len(z_a))
        if len(z_a) > room:
            raise torch.OutOfMemoryError
        return decode(z_a, *given, **named)

    monkeypatch.setattr(network, "decode", crowded)
    monkeypatch.setattr(autoencoder, "_windows_per_pass", lambda asked, guided: autoencoder.room or asked)
    parts = autoencoder.decode(z_a, z_v, seeds=list(range(7)), guidance=(1.5, 3.0), steps=2)
    assert tried == ([7, 3, 3, 1] if room == 3 else [7, 3, 1, 1, 1, 1, 1, 1, 1])
    assert torch.allclose(whole[0], parts[0], atol=1e-4) and torch.allclose(whole[1], parts[1], atol=1e-4)
    room = 0
    with pytest.raises(DataError, match="no room to decode one window"):
        autoencoder.decode(z_a[:1], z_v[:1], seeds=[0])


def test_the_class_is_predicted_when_not_given(network: MultiModalAutoencoder) -> None:
    autoencoder = exact(network)
    z_a, z_v = torch.randn(1, 4, 2, 2), torch.randn(1, 4, 2, 2)
    predicted = network.class_of(*network.semantics(z_a, z_v))
    by_itself = autoencoder.decode(z_a, z_v, seeds=[0])[1]
    assert torch.equal(autoencoder.decode(z_a, z_v, seeds=[0], class_id=predicted)[1], by_itself)
    assert not torch.equal(autoencoder.decode(z_a, z_v, seeds=[0], class_id=1 - predicted)[1], by_itself)


def saved(network: MultiModalAutoencoder, tmp_path: Path) -> Path:
    with stage_output(tmp_path / "autoencoder", params={}, inputs={}, code=Path(__file__).parent) as work:
        save(work.folder, network)
    return tmp_path / "autoencoder"


def test_load_gives_back_what_was_saved(network: MultiModalAutoencoder, tmp_path: Path) -> None:
    before = exact(network)
    after = load(saved(network, tmp_path))
    video, audio = torch.randn(2, 16, 4, 4, 4), torch.randn(2, 4, 4, 4)
    assert torch.allclose(before.encode(video, audio)[1], after.encode(video, audio)[1], atol=1e-5)
    z = before.encode(video, audio)[0][:, :4]
    assert torch.allclose(before.decode(z, z, seeds=[0, 1])[0], after.decode(z, z, seeds=[0, 1])[0], atol=1e-5)
    assert after.class_names == ("bounce", "lamp")


def test_weights_of_another_shape_are_one_line(network: MultiModalAutoencoder, tmp_path: Path) -> None:
    folder = saved(network, tmp_path)
    weights = load_file(folder / WEIGHTS)
    name = "audio_encoder.content"
    save_file({**weights, name: weights[name][:2].contiguous()}, folder / WEIGHTS)
    with pytest.raises(WeightsError, match=rf"{name}.*mmldm check, then: dvc repro"):
        load(folder)
