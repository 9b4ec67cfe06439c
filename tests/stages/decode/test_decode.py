"""From the inventory to shards: pytest tests/stages/decode/test_decode.py"""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.contracts.clips import read_clips
from pipeline.contracts.decoded import float_waveform, read_decoded
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams, DecodeParams, load_params
from pipeline.workers import Workers
from stages.decode import clip_reader
from stages.decode.audio import read_waveform
from stages.decode.decode import run
from stages.inventory import inventory

MakeClip = Callable[..., Path]
TINY = Path(__file__).resolve().parents[2] / "presets" / "tiny.yaml"
CLIP = ClipParams(frame_size_px=64, fps=10, num_frames=16, window_stride=2, fit="pad", max_sec=4.0)
AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, make_clip: MakeClip) -> Path:
    """raw/ with two classes, one source longer than clip.max_sec, and its inventory/."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(12):
        make_clip(folder / "raw" / f"class_{i % 2}" / f"{i}.mp4", 6.5 if i == 3 else 3.2, event_sec=1.0, tone_hz=300 + 40 * i)
    inventory.run(seed=7, clip=CLIP, inventory=replace(load_params(TINY).inventory, test_share=0.2),
                  workers=Workers(1), source=folder / "raw", out=folder / "inventory")
    return folder


def decode_to(out: Path, data: Path, *, num_workers: int = 1, reader: str = "auto") -> dict[str, object]:
    params = DecodeParams(reader=reader, shard_bytes=1_000_000)  # type: ignore[arg-type]
    return run(clip=CLIP, sample_rate_hz=AUDIO.sample_rate_hz, decode=params, workers=Workers(num_workers),
               source=data / "raw", inventory=data / "inventory", out=out)


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.name != "_SUCCESS.json"}


def test_a_worker_loads_only_what_it_works_with() -> None:
    """Half of the time until the first frame went into scipy and pandas, which none of its code calls."""
    loaded = subprocess.run([sys.executable, "-c", "import stages.decode.clip_reader, sys; print(*sys.modules)"],
                            capture_output=True, text=True, check=True).stdout.split()
    assert "torch" in loaded and not {"scipy", "pandas", "pyarrow"} & set(loaded)


def test_flash_and_click_come_together(data: Path, tmp_path: Path) -> None:
    decode_to(tmp_path / "decode", data)
    samples = list(read_decoded(tmp_path / "decode"))
    assert [sample["key"] for sample in samples] == read_clips(data / "inventory")["clip_id"].tolist()
    assert len(samples) == 13
    for sample in samples:
        frames, wave = sample["frames"], float_waveform(sample["waveform"])
        assert frames.shape[1:] == (64, 64, 3) and len(wave) == len(frames) * 1600
        if sample["meta"]["start_sec"] == 0:
            bright = np.flatnonzero(frames[:, 20:44].mean(axis=(1, 2, 3)) > 200)
            assert bright.tolist() == [10, 11]
            assert np.flatnonzero(np.abs(wave) > 0.3)[0] / 16000 == pytest.approx(1.0, abs=0.02)


def test_same_bytes_whatever_the_number_of_workers_and_the_reader(data: Path, tmp_path: Path) -> None:
    decode_to(tmp_path / "one", data, num_workers=1)
    decode_to(tmp_path / "two", data, num_workers=2)
    assert shards(tmp_path / "one") == shards(tmp_path / "two")
    assert len(shards(tmp_path / "one")) > 3  # several shards, so that their order was at stake
    decode_to(tmp_path / "pyav", data, reader="pyav")
    for a, b in zip(read_decoded(tmp_path / "one"), read_decoded(tmp_path / "pyav"), strict=True):
        assert np.array_equal(a["frames"], b["frames"]) and np.array_equal(a["waveform"], b["waveform"])


def test_interrupted_run_keeps_whole_shards_and_ends_with_the_same_bytes(data: Path, tmp_path: Path) -> None:
    decode_to(tmp_path / "undisturbed" / "decode", data)
    last = data / "raw" / read_clips(data / "inventory")["source_path"].iloc[-1]
    last.rename(last.with_suffix(".away"))
    try:
        with pytest.raises(DataError, match=f"{last.name} is gone since the inventory; run: dvc repro inventory"):
            decode_to(tmp_path / "decode", data)
    finally:
        last.with_suffix(".away").rename(last)
    assert not (tmp_path / "decode").exists()
    summary = decode_to(tmp_path / "decode", data)
    assert summary["taken over"]
    assert shards(tmp_path / "decode") == shards(tmp_path / "undisturbed" / "decode")
    assert (tmp_path / "decode" / "_SUCCESS.json").read_bytes() == (tmp_path / "undisturbed" / "decode" / "_SUCCESS.json").read_bytes()


def test_changed_source_is_noticed(data: Path, tmp_path: Path) -> None:
    path = data / "raw" / read_clips(data / "inventory")["source_path"].iloc[0]
    original = path.read_bytes()
    path.write_bytes(original[:-1] + b"?")
    try:
        with pytest.raises(DataError, match=r"changed \(sha256 .* since the inventory; run: dvc repro inventory"):
            decode_to(tmp_path / "decode", data)
    finally:
        path.write_bytes(original)


def overwrite(path: Path) -> None:
    """Other bytes under the same size and time."""
    times, content = path.stat(), path.read_bytes()
    path.write_bytes(content[:-1] + b"?")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.mark.parametrize(("touch", "message"), [
    (overwrite, r"changed \(sha256 .* since the inventory"), (Path.unlink, "is gone since the inventory"),
    (lambda path: os.utime(path), "was touched 3 times while it was read")], ids=["overwritten", "removed", "touched"])
def test_a_source_that_changes_while_it_is_read_is_noticed(
    touch: Callable[[Path], None], message: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = data / "raw" / read_clips(data / "inventory")["source_path"].iloc[0]
    original = path.read_bytes()

    def touched_meanwhile(*args: object) -> np.ndarray:
        touch(path)
        return read_waveform(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(clip_reader, "read_waveform", touched_meanwhile)
    try:
        with pytest.raises(DataError, match=message):
            decode_to(tmp_path / "decode", data)
    finally:
        path.write_bytes(original)


def test_a_source_that_only_got_another_link_is_read_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = data / "raw" / read_clips(data / "inventory")["source_path"].iloc[0]

    def linked_meanwhile(*args: object) -> np.ndarray:
        if not (tmp_path / "link").exists():
            os.link(path, tmp_path / "link")
        return read_waveform(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(clip_reader, "read_waveform", linked_meanwhile)
    assert decode_to(tmp_path / "decode", data)["clips"] == 13


def test_inventory_must_be_whole(tmp_path: Path, data: Path) -> None:
    with pytest.raises(DataError, match="dvc repro inventory"):
        run(clip=CLIP, sample_rate_hz=AUDIO.sample_rate_hz, decode=DecodeParams(reader="auto", shard_bytes=1_000_000),
            workers=Workers(1), source=data / "raw", inventory=tmp_path / "inventory", out=tmp_path / "decode")
