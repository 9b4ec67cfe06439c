"""Files added, removed, renamed: each stage works on what is new alone, and leaves what a fresh run leaves."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pipeline.contracts.outputs import stage_output
from pipeline.contracts.shards import ShardReader
from pipeline.params import AudioImagesParams, AudioParams, ClipParams, ComputeParams, EncodeParams, load_params
from pipeline.workers import Workers
from stages import audio_images, encode
from stages.decode import decode
from stages.inventory import inventory
from stages.klvae.model import build_scratch

MakeClip = Callable[..., Path]
ROOT = Path(__file__).resolve().parents[2]
CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=8, fit="pad", max_sec=4.0)
AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)
STAGES = ("inventory", "decode", "audio_images", "encode")


def ingest(data: Path) -> dict[str, dict[str, object]]:
    """The closing summaries of inventory, decode, audio_images and encode on `data/raw`."""
    params = load_params(ROOT / "tests" / "presets" / "tiny.yaml")
    if not (data / "klvae").exists():
        torch.manual_seed(0)
        with stage_output(data / "klvae", params={}, inputs={}, code=ROOT / "stages" / "klvae") as work:
            build_scratch(params.klvae, params.kl_latent).save_pretrained(work.folder)
    folders = {name: data / name for name in STAGES}
    summaries = {"inventory": inventory.run(seed=7, clip=CLIP, inventory=params.inventory, workers=Workers(1), source=data / "raw",
                                            out=folders["inventory"])}
    summaries["decode"] = dict(decode.run(
        clip=CLIP, sample_rate_hz=AUDIO.sample_rate_hz, decode=params.decode, workers=Workers(1), source=data / "raw",
        inventory=folders["inventory"], out=folders["decode"]))
    summaries["audio_images"] = dict(audio_images.run(
        seed=7, clip=CLIP, audio=AUDIO, vocoder=params.vocoder,
        audio_images=AudioImagesParams(db_floor=-80.0, db_ceiling=10.0, num_report_windows=2),
        workers=Workers(1), decode=folders["decode"], out=folders["audio_images"]))
    summaries["encode"] = dict(encode.run(
        compute=ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None), clip=CLIP,
        encode=EncodeParams(batch_size=32, flips=False, shard_bytes=1_000_000), decode=folders["decode"],
        audio_images=folders["audio_images"], klvae=data / "klvae", out=folders["encode"]))
    return summaries


def files(data: Path) -> dict[str, bytes]:
    return {str(path.relative_to(data)): path.read_bytes() for name in STAGES for path in sorted((data / name).rglob("*"))}


@pytest.fixture
def raw(tmp_path: Path, make_clip: MakeClip) -> Path:
    for i in range(10):
        make_clip(tmp_path / "data" / "raw" / f"class_{i % 2}" / f"{i}.mp4", 2.4, tone_hz=300 + 40 * i)
    return tmp_path / "data" / "raw"


def test_a_new_file_costs_its_own_size_and_a_removed_one_disappears(raw: Path, tmp_path: Path, make_clip: MakeClip) -> None:
    data = raw.parent
    ingest(data)
    # A new class comes first in the alphabet, so that every class_id moves too.
    make_clip(raw / "a_new_class" / "new.mp4", 2.4, tone_hz=900)
    (raw / "class_1" / "3.mp4").rename(raw / "class_1" / "renamed.mp4")
    (raw / "class_0" / "4.mp4").unlink()
    summaries = ingest(data)
    assert [(summaries[name]["made"], summaries[name]["taken over"]) for name in STAGES[1:]] == [(1, 9)] * 3

    fresh = tmp_path / "fresh"
    shutil.copytree(raw, fresh / "raw")
    ingest(fresh)
    assert files(data) == files(fresh)
    meta = {sample["meta"]["source_path"]: sample["meta"] for sample in ShardReader(data / "decode", fields=("meta.json",))}
    assert "class_0/4.mp4" not in meta and "class_1/3.mp4" not in meta
    assert meta["class_1/renamed.mp4"]["class_id"] == 2


def test_a_change_that_reaches_the_pictures_decodes_all_again(raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = raw.parent
    ingest(data)
    monkeypatch.setattr(f"{__name__}.CLIP", ClipParams(frame_size_px=32, fps=10, num_frames=16, window_stride=8, fit="crop", max_sec=4.0))
    summaries = ingest(data)
    assert "taken over" not in summaries["decode"]
    assert summaries["audio_images"]["taken over"] == 10  # the sound is the same
    assert "taken over" not in summaries["encode"]
