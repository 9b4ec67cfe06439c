"""The sample stage: plan, generate, decode, write; finished batches survive a kill."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from pipeline.contracts.outputs import stage_output, write_text
from pipeline.contracts.samples import read_lossless, write_lossless, write_samples
from pipeline.contracts.windows import window_samples
from pipeline.params import AudioParams, ClipParams, ComputeParams, SampleParams, Task, VocoderParams
from pipeline.progress import Progress, say
from pipeline.training import pick_device
from stages import autoencoder as autoencoder_stage
from stages import dit as dit_stage
from stages import klvae as klvae_stage
from stages.audio_images import Vocoder
from stages.dit import NULL_CLASS, TrainedDiT
from stages.sample.decoding import Decoder
from stages.sample.encoding import Encoder
from stages.sample.held_out import HeldOutWindows
from stages.sample.long import LongWriter, continued_windows
from stages.sample.mux import display_scale, write_mp4
from stages.sample.plan import RECONSTRUCTION, Planned, make_plan
from stages.sample.samplers import Sampling
from stages.sample.seams import continuation_seams, long_seams
from stages.sample.shown import Shown, as_shown, still
from stages.sample.tasks import CONTINUING, OF_PICTURE, OF_SOUND, Request, generate


def run(*, seed: int, compute: ComputeParams, clip: ClipParams, audio: AudioParams, vocoder: VocoderParams, sample: SampleParams,
        dit: Path, latents: Path, autoencoder: Path, klvae: Path, decode: Path, audio_images: Path, out: Path) -> Mapping[str, object]:
    """Sample every task and write mp4s with sound, lossless sidecars and `samples.parquet`."""
    sections = {"seed": seed, "clip": clip, "audio": audio, "vocoder": vocoder, "sample": sample}
    inputs = {"dit": dit, "latents": latents, "autoencoder": autoencoder, "klvae": klvae, "decode": decode, "audio_images": audio_images}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        device = pick_device(compute)
        model = dit_stage.load(dit, device)
        windows = HeldOutWindows(latents, decode, audio_images, clip, audio, texts=model.params.context == "text")
        sound = Vocoder(audio, vocoder, num_samples=window_samples(clip, audio), db_floor=windows.db_floor, db_ceiling=windows.db_ceiling,
                        device=device)
        coder, images = autoencoder_stage.load(autoencoder, device), klvae_stage.load(klvae, device)
        maker = Maker(model, Decoder(coder, images, sound, windows.mel_size), Encoder(coder, images, clip.frame_size_px), windows,
                      sample, clip, audio)
        plan = make_plan(seed, sample, len(model.class_names), windows.table, texts=windows.captions is not None)
        say("sample", f"{len(plan)} samples: {', '.join((*sample.tasks, RECONSTRUCTION))} | {sample.sampler}, {sample.steps} steps, "
                      f"guidance {sample.guidance_scale:g} | {dit} -> {out}")
        progress = Progress("sample", len(plan), "samples")
        for folder in ("mp4", "lossless"):
            (work.folder / folder).mkdir(exist_ok=True)
        for batch in batches(plan, sample.batch_size):
            if not all(path.is_file() for planned in batch for path in paths(work.folder, planned)):
                maker.write(work.folder, batch)
            progress.advance(len(batch), batch[0].task)
        write_samples(work.folder, [row(planned, sample, windows, model) for planned in plan])
        write_text(work.folder / "metrics.json", json.dumps(maker.seams(work.folder, plan), indent=1) + "\n")
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


@dataclass(frozen=True, slots=True)
class Maker:
    """All that turns planned samples into files."""

    model: TrainedDiT
    decoder: Decoder
    encoder: Encoder
    windows: HeldOutWindows
    sample: SampleParams
    clip: ClipParams
    audio: AudioParams

    def write(self, folder: Path, batch: list[Planned]) -> None:
        """Generate, decode and write a batch of one task."""
        if batch[0].task == "long":
            self._write_long(folder, batch)
            return
        for planned, shown in zip(batch, self.make(batch), strict=True):
            mp4, lossless = paths(folder, planned)
            write_lossless(lossless, shown.frames, shown.waveform, shown.gray)
            write_mp4(mp4, shown.frames, self.clip.fps, shown.waveform, self.audio.sample_rate_hz, display_scale(shown.frames))

    def make(self, batch: list[Planned]) -> Iterator[Shown]:
        """A batch of one task; a condition is shown as it really is, not as the networks would decode it."""
        task, seeds = batch[0].task, [planned.seed for planned in batch]
        places = [planned.window for planned in batch if planned.window is not None]
        audio, video = self.windows.latents_of(places) if places else (None, None)
        if task == "i2a":
            video = torch.stack([self.encoder.video(still(self.windows.shown(place).frames)) for place in places])
        if task != RECONSTRUCTION:
            audio, video = generate(self.model, self.request(batch, audio, video), Sampling.of(self.sample))
        assert audio is not None and video is not None
        for planned, made in zip(batch, self.decoder.decode(audio, video, seeds), strict=True):
            yield as_shown(task, made, None if planned.window is None else self.windows.shown(planned.window))

    def request(self, batch: list[Planned], audio: Tensor | None, video: Tensor | None) -> Request:
        """What the network is asked for; a task of sound gets no picture, and the other way round."""
        task = cast(Task, batch[0].task)
        return Request(task, [planned.seed for planned in batch], torch.tensor([planned.class_id for planned in batch]),
                       audio if task in OF_SOUND else None, video if task in OF_PICTURE else None,
                       self.windows.texts_of([planned.told for planned in batch]))

    def _write_long(self, folder: Path, batch: list[Planned]) -> None:
        first = Request("svg", [planned.seed for planned in batch], torch.tensor([planned.class_id for planned in batch]),
                        text=self.windows.texts_of([planned.told for planned in batch]))
        with ExitStack() as files:
            writers = [files.enter_context(LongWriter(*paths(folder, planned), self.sample.long_windows, self.decoder.vocoder, self.clip,
                                                      self.audio)) for planned in batch]
            for windows in continued_windows(self.model, self.decoder, first, Sampling.of(self.sample), self.sample.long_windows):
                for writer, (frames, gray) in zip(writers, windows, strict=True):
                    writer.add(frames, gray)

    def seams(self, folder: Path, plan: list[Planned]) -> dict[str, Mapping[str, float]]:
        """By task, how well windows join (`seams.py`); "real": of held-out clips, what a join can be at best."""
        found: dict[str, Mapping[str, float]] = {}
        pairs = self.windows.pairs_in_a_row()
        if pairs and any(planned.task in CONTINUING for planned in plan):
            shown = ((self.windows.shown(first), self.windows.shown(second)) for first, second in pairs)
            found["real"] = continuation_seams(((a.frames, a.gray), (b.frames, b.gray)) for a, b in shown)
        for task, group in groupby(plan, key=lambda planned: planned.task):
            if task == "long":
                sidecars = [paths(folder, planned)[1] for planned in group]
                found[task] = long_seams(sidecars, self.clip.num_frames, self.windows.mel_size[1])
            elif task in CONTINUING:
                found[task] = continuation_seams(self._before_and_after(folder, planned) for planned in group)
        return found

    def _before_and_after(self, folder: Path, planned: Planned) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
        assert planned.window is not None
        before, (frames, _, gray) = self.windows.shown(planned.window), read_lossless(paths(folder, planned)[1])
        return (before.frames, before.gray), (frames, gray)


def row(planned: Planned, sample: SampleParams, windows: HeldOutWindows, model: TrainedDiT) -> dict[str, object]:
    """A sample's line of `samples.parquet`."""
    window = None if planned.window is None else windows.table.iloc[planned.window]
    generated = planned.task != RECONSTRUCTION
    mp4, lossless = paths(Path(), planned)
    return {
        "sample_id": planned.sample_id, "task": planned.task, "seed": planned.seed, "class_id": planned.class_id,
        "class_name": "" if planned.class_id == NULL_CLASS else model.statistics.class_names[planned.class_id],
        "text": windows.text_of(planned.told), "condition_clip_id": "" if window is None else str(window["clip_id"]),
        "condition_start_frame": -1 if window is None else int(window["start_frame"]),
        "sampler": sample.sampler if generated else "", "steps": sample.steps if generated else 0,
        "guidance_scale": sample.guidance_scale if generated else 1.0, "mp4": mp4.as_posix(), "lossless": lossless.as_posix()}
