"""Outputs of the stages before evaluate and report, written with the contracts' own writers: tiny, and each class plain to see and hear."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from pipeline.contracts.audio_image_shards import audio_image_sample
from pipeline.contracts.clips import write_clips
from pipeline.contracts.decoded import decoded_sample
from pipeline.contracts.events import write_events
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import write_lossless, write_samples
from pipeline.contracts.windows import window_samples, window_starts
from pipeline.params import AudioParams, ClipParams, ComputeParams, LocalFeaturesParams, TrainParams
from tests.shards import write_shards

CLIP = ClipParams(frame_size_px=32, fps=10, num_frames=10, window_stride=2, fit="pad", max_sec=10.0)
AUDIO = AudioParams(sample_rate_hz=8000, n_fft=256, win_length=256, hop_length=128, n_mels=20, f_min_hz=50.0, f_max_hz=3800.0)
MEL_SIZE = (20, 62)
CLIP_FRAMES = 14
HERE = Path(__file__).parent
CPU = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)
TRAIN = TrainParams(steps=50, batch_size=8, grad_accumulation=1, learning_rate=5e-3, lr_schedule="cosine", warmup_steps=5,
                    weight_decay=0.01, grad_clip=1.0, ema_decay=0.0, precision="fp32", log_every=10, checkpoint_every=50,
                    gradient_checkpointing=False, compile=False, channels_last=False)


def scene(class_id: int, variant: int, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A bar that moves across (even classes) or down (odd ones), with a tone of the class: frames and int16 waveform."""
    random = np.random.default_rng([class_id, variant])
    frames = np.full((num_frames, CLIP.frame_size_px, CLIP.frame_size_px, 3), 30, np.uint8)
    first = int(random.integers(0, 20))
    for i in range(num_frames):
        place = (first + 2 * i) % (CLIP.frame_size_px - 6)
        if class_id % 2 == 0:
            frames[i, :, place:place + 6] = (220, 80 + 10 * class_id, 60)
        else:
            frames[i, place:place + 6, :] = (60, 80, 220)
    time = np.arange(round(num_frames / CLIP.fps * AUDIO.sample_rate_hz)) / AUDIO.sample_rate_hz
    tone = np.sin(2 * np.pi * (300 + 900 * class_id) * time + random.uniform(0, 6)) + 0.05 * random.standard_normal(len(time))
    return frames, np.clip(tone * 9000, -32768, 32767).astype(np.int16)


@pytest.fixture(scope="session")
def text_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """CLIP's text encoder with random weights, 12 tokens of 8 numbers, and a tokenizer that knows single letters."""
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    ends = {"bos_token_id": len(vocabulary) - 2, "eos_token_id": len(vocabulary) - 1, "pad_token_id": len(vocabulary) - 1}
    folder = tmp_path_factory.mktemp("text_encoder")
    torch.manual_seed(0)
    config = CLIPTextConfig(vocab_size=len(vocabulary), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                            max_position_embeddings=12, **ends)
    CLIPTextModel(config).save_pretrained(folder)
    CLIPTokenizer(vocab={token: place for place, token in enumerate(vocabulary)}, merges=[], model_max_length=12).save_pretrained(folder)
    return folder


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Folders of the stages, as under data/."""

    root: Path
    clip: ClipParams
    audio: AudioParams
    demo_data: Path
    inventory: Path
    decode: Path
    audio_images: Path
    sample: Path
    train_local: Callable[["FinishedRun"], Path]

    @property
    def local_features(self) -> Path:
        """Trained for a moment when it is asked for, shared by all runs of equal clips."""
        return self.train_local(self)


@pytest.fixture(scope="session")
def local_features(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Factory: the finished stage for the clips of a run, trained once a session for each kind of clips."""
    folder = tmp_path_factory.mktemp("local_features")
    made: dict[tuple[object, ...], Path] = {}

    def make(key: tuple[object, ...], run: "FinishedRun") -> Path:
        if key not in made:
            from stages.local_features import run as train  # brings torch, which most stages' tests need not wait for

            out = folder / f"{len(made)}" / "local_features"
            train(seed=7, clip=run.clip, audio=run.audio, compute=CPU, local_features=LocalFeaturesParams(max_windows=32, train=TRAIN),
                  decode=run.decode, inventory=run.inventory, out=out)
            made[key] = out
        return made[key]

    return make


@pytest.fixture
def finished_run(tmp_path: Path, local_features: Callable[..., Path]) -> Callable[..., FinishedRun]:
    """Factory: `finished_run(class_names=("across", "down"), clips_per_class=8, samples_per_task=8, noise=0.0)`."""

    def make(class_names: tuple[str, ...] = ("across", "down"), clips_per_class: int = 8, samples_per_task: int = 8, noise: float = 0.0,
             num_frames: int = 10, tasks: tuple[str, ...] = ("svg", "a2v", "v2a", "reconstruction"),
             copies: bool = False) -> FinishedRun:
        root, clip = tmp_path / "data", replace(CLIP, num_frames=num_frames)
        run = FinishedRun(root, clip, AUDIO, *(root / name for name in ("demo_data", "inventory", "decode", "audio_images", "sample")),
                          train_local=partial(local_features, (class_names, clips_per_class, num_frames)))
        clips = [_clip_row(class_names, class_id, i, clips_per_class)
                 for class_id in range(len(class_names)) for i in range(clips_per_class)]
        clips.sort(key=lambda row: str(row["clip_id"]))
        rejected = [{"source_path": "broken.mp4", "reason": "unreadable", "detail": "moov atom not found"},
                    {"source_path": "mute.mp4", "reason": "no_audio", "detail": "no sound stream"}]
        with _stage(run.inventory) as work:
            write_clips(work.folder, clips, rejected)
        with _stage(run.demo_data) as work:
            write_events(work.folder, [])
        with _stage(run.decode) as work:
            samples = []
            for row in clips:
                frames, waveform = scene(int(str(row["class_id"])), int(float(str(row["start_sec"]))), CLIP_FRAMES)
                meta = {name: row[name] for name in ("clip_id", "class_id", "class_name", "split", "source_path", "start_sec", "reader")}
                samples.append(decoded_sample(frames, waveform, {**meta, "gain": 1.0}))
            write_shards(work, samples)
        with _stage(run.audio_images) as work:
            write_shards(work, (
                audio_image_sample(_gray(int(str(row["class_id"]))), {
                    "clip_id": row["clip_id"], "start_frame": start, "class_id": row["class_id"], "split": row["split"],
                    "db_floor": -80.0, "db_ceiling": 40.0, "mel_size": list(MEL_SIZE)})
                for row in clips for start in window_starts(CLIP_FRAMES, clip)))
        with _stage(run.sample) as work:
            _write_samples(work.folder, class_names, clips, tasks, samples_per_task, noise, clip, copies)
        return run

    return make


def _stage(out: Path):  # type: ignore[no-untyped-def]
    return stage_output(out, params={}, inputs={}, code=HERE)


def _clip_row(class_names: tuple[str, ...], class_id: int, i: int, clips_per_class: int) -> dict[str, object]:
    digits = f"{class_id:08x}{i:08x}"
    return {"clip_id": f"{digits}_000000", "source_path": f"{class_names[class_id]}/{i}.mp4", "source_sha256": digits * 4,
            "class_name": class_names[class_id], "class_id": class_id, "split": "test" if 2 * i >= clips_per_class else "train",
            "start_sec": float(i), "duration_sec": 1.4, "fps": 10.0, "width_px": 32, "height_px": 32, "audio_rate_hz": 8000,
            "audio_channels": 1, "reader": "pyav", "audio_offset_sec": 0.0, "caption": ""}


def _gray(class_id: int) -> np.ndarray:
    gray = np.zeros(MEL_SIZE, np.uint8)
    gray[-4 - 5 * (class_id % 3)] = 200
    return gray


def _write_samples(folder: Path, class_names: tuple[str, ...], clips: list[dict[str, object]], tasks: tuple[str, ...], count: int,
                   noise: float, clip: ClipParams, copies: bool) -> None:
    (folder / "lossless").mkdir()
    (folder / "mp4").mkdir()
    held_out = [row for row in clips if row["split"] == ("train" if copies else "test")]
    held_out = sorted(held_out, key=lambda row: (str(row["clip_id"])[8:], int(str(row["class_id"]))))
    rows: list[dict[str, object]] = []
    for task in tasks:
        for i in range(count):
            condition = held_out[i % len(held_out)]
            class_id = int(str(condition["class_id"]))
            variant = int(float(str(condition["start_sec"]))) + (1000 if task == "svg" and not copies else 0)
            frames, waveform = scene(class_id, variant, CLIP_FRAMES)
            frames, waveform = frames[:clip.num_frames], waveform[:window_samples(clip, AUDIO)]
            random = np.random.default_rng([i, len(task)])
            frames = np.clip(frames + noise * 60 * random.standard_normal(frames.shape), 0, 255).astype(np.uint8)
            waveform = np.clip(waveform + noise * 6000 * random.standard_normal(waveform.shape), -32768, 32767).astype(np.int16)
            name = f"{task}-{i:04d}"
            write_lossless(folder / "lossless" / f"{name}.npz", frames, waveform, _gray(class_id))
            (folder / "mp4" / f"{name}.mp4").write_bytes(b"an mp4 of " + name.encode())
            given = {"condition_clip_id": condition["clip_id"], "condition_start_frame": 0}
            nothing = {"condition_clip_id": "", "condition_start_frame": -1}
            rows.append({"sample_id": name, "task": task, "seed": i, "class_id": class_id, "class_name": class_names[class_id],
                         "text": "", **(nothing if task == "svg" else given), "sampler": "ddim", "steps": 20, "guidance_scale": 2.0,
                         "mp4": f"mp4/{name}.mp4", "lossless": f"lossless/{name}.npz"})
    write_samples(folder, rows)
