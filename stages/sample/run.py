"""The sample stage: plan, generate, decode, write; finished batches survive a kill."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import cast

import torch

from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import write_lossless, write_samples
from pipeline.contracts.windows import window_samples
from pipeline.params import AudioParams, ClipParams, ComputeParams, SampleParams, VocoderParams
from pipeline.progress import Progress, say
from pipeline.training import pick_device
from stages import autoencoder as autoencoder_stage
from stages import dit as dit_stage
from stages import klvae as klvae_stage
from stages.audio_images import Vocoder
from stages.dit import NULL_CLASS, TrainedDiT
from stages.sample.decoding import Decoder
from stages.sample.held_out import HeldOutWindows, Shown
from stages.sample.mux import display_scale, write_mp4
from stages.sample.plan import RECONSTRUCTION, Planned, make_plan
from stages.sample.samplers import Sampling
from stages.sample.tasks import Request, Task, generate


def run(*, seed: int, compute: ComputeParams, clip: ClipParams, audio: AudioParams, vocoder: VocoderParams, sample: SampleParams,
        dit: Path, latents: Path, autoencoder: Path, klvae: Path, decode: Path, audio_images: Path, out: Path) -> Mapping[str, object]:
    """Sample every task and write mp4s with sound, lossless sidecars and `samples.parquet`."""
    sections = {"seed": seed, "clip": clip, "audio": audio, "vocoder": vocoder, "sample": sample}
    inputs = {"dit": dit, "latents": latents, "autoencoder": autoencoder, "klvae": klvae, "decode": decode, "audio_images": audio_images}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        device = pick_device(compute)
        windows = HeldOutWindows(latents, decode, audio_images, clip, audio)
        model = dit_stage.load(dit, device)
        sound = Vocoder(audio, vocoder, num_samples=window_samples(clip, audio), db_floor=windows.db_floor, db_ceiling=windows.db_ceiling,
                        device=device)
        decoder = Decoder(autoencoder_stage.load(autoencoder, device), klvae_stage.load(klvae, device), sound, windows.mel_size)
        plan = make_plan(seed, sample, len(model.class_names), windows.table)
        say("sample", f"{len(plan)} samples: {', '.join((*sample.tasks, RECONSTRUCTION))} | {sample.sampler}, {sample.steps} steps, "
                      f"guidance {sample.guidance_scale:g} | {dit} -> {out}")
        progress = Progress("sample", len(plan), "samples")
        for folder in ("mp4", "lossless"):
            (work.folder / folder).mkdir(exist_ok=True)
        for batch in batches(plan, sample.batch_size):
            if not all(path.is_file() for planned in batch for path in paths(work.folder, planned)):
                for planned, shown in zip(batch, make(batch, model, decoder, windows, sample), strict=True):
                    mp4, lossless = paths(work.folder, planned)
                    write_lossless(lossless, shown.frames, shown.waveform, shown.gray)
                    write_mp4(mp4, shown.frames, clip.fps, shown.waveform, audio.sample_rate_hz, display_scale(shown.frames))
            progress.advance(len(batch), batch[0].task)
        write_samples(work.folder, [row(planned, sample, windows, model) for planned in plan])
        work.counts.update({task: len(list(group)) for task, group in groupby(planned.task for planned in plan)})
        return {**work.counts, "out": out}


def batches(plan: list[Planned], batch_size: int) -> Iterator[list[Planned]]:
    """Runs of one task, at most `batch_size` long."""
    for _, group in groupby(plan, key=lambda planned: planned.task):
        members = list(group)
        yield from (members[i : i + batch_size] for i in range(0, len(members), batch_size))


def paths(folder: Path, planned: Planned) -> tuple[Path, Path]:
    """(mp4, lossless sidecar) of a sample."""
    return folder / "mp4" / f"{planned.sample_id}.mp4", folder / "lossless" / f"{planned.sample_id}.npz"


def make(batch: list[Planned], model: TrainedDiT, decoder: Decoder, windows: HeldOutWindows, sample: SampleParams) -> Iterator[Shown]:
    """Generate and decode a batch of one task; a condition is shown as it really is, not as the networks would decode it."""
    task, seeds = batch[0].task, [planned.seed for planned in batch]
    places = [planned.window for planned in batch if planned.window is not None]
    audio, video = windows.latents_of(places) if places else (None, None)
    if task != RECONSTRUCTION:
        request = Request(cast(Task, task), seeds, torch.tensor([planned.class_id for planned in batch]), audio, video)
        audio, video = generate(model, request, Sampling.of(sample))
    assert audio is not None and video is not None
    for planned, made in zip(batch, decoder.decode(audio, video, seeds), strict=True):
        if task in ("a2v", "v2a"):
            assert planned.window is not None
            real = windows.shown(planned.window)
            yield Shown(made.frames, real.waveform, real.gray) if task == "a2v" else Shown(real.frames, made.waveform, made.gray)
        else:
            yield made


def row(planned: Planned, sample: SampleParams, windows: HeldOutWindows, model: TrainedDiT) -> dict[str, object]:
    """A sample's line of `samples.parquet`."""
    window = None if planned.window is None else windows.table.iloc[planned.window]
    generated = planned.task != RECONSTRUCTION
    mp4, lossless = paths(Path(), planned)
    return {
        "sample_id": planned.sample_id, "task": planned.task, "seed": planned.seed, "class_id": planned.class_id,
        "class_name": "" if planned.class_id == NULL_CLASS else model.statistics.class_names[planned.class_id],
        "condition_clip_id": "" if window is None else str(window["clip_id"]),
        "condition_start_frame": -1 if window is None else int(window["start_frame"]),
        "sampler": sample.sampler if generated else "", "steps": sample.steps if generated else 0,
        "guidance_scale": sample.guidance_scale if generated else 1.0, "mp4": mp4.as_posix(), "lossless": lossless.as_posix()}
