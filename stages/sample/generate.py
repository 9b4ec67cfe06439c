"""mmldm generate (python -m stages.sample.generate): samples for one's own use, without DVC.

    mmldm generate --class rain --out rain.mp4
    mmldm generate --task a2v --condition some.mp4 --out clip.mp4 --seed 7 --steps 20 --count 4
    mmldm generate --task long --windows 40 --out long.mp4 --model my_model

Writes the mp4 (H.264, AAC), beside it the lossless sidecar .npz, and a line each in the folder's samples.parquet. A file that
conditions a sample goes through the code that decoded the training data (condition.py).
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from pipeline.contracts.samples import add_samples, require_room_for_samples, write_lossless
from pipeline.errors import DataError
from pipeline.params import ComputeParams, load_params
from pipeline.progress import Progress, human_seconds, say
from pipeline.quiet import silence_tools
from pipeline.stage import mistakes_in_one_line, prepare_torch
from pipeline.training import pick_device
from stages.dit import NULL_CLASS
from stages.sample.asked import Asked, class_ids, lossless_path, out_paths, parse, require_possible, sample_params
from stages.sample.condition import Condition, read_condition, read_still
from stages.sample.long import LongWriter, continued_windows
from stages.sample.mux import display_scale, write_mp4
from stages.sample.samplers import Sampling, network_steps
from stages.sample.shown import Shown, as_shown
from stages.sample.tasks import CONTINUING, OF_PICTURE, OF_SOUND, Request
from stages.sample.tasks import generate as generate_latents
from stages.sample.trained import Networks, Parts, Settings, embed_text, exported_parts, open_dit, open_networks, project_parts

SILENT = 64
"""Steps of 16 bits between a sound's lowest and highest sample, under which it is silence that a codec has been through (-60 dB)."""


def main() -> None:
    """The command line; prints the paths of what was made."""
    silence_tools()
    asked = parse()
    with mistakes_in_one_line("generate"):
        compute = ComputeParams(device="auto", num_threads=0, num_workers=1, dask_scheduler=None)
        if asked.model is None:
            params = load_params(Path("params.yaml"))
            parts, compute = project_parts(Path("data"), params), params.compute
        else:
            parts = exported_parts(asked.model)
        if asked.device is not None:
            compute = replace(compute, device=asked.device)
        prepare_torch(compute)
        for path in generate(asked, parts, pick_device(compute)):
            print(path)


def generate(asked: Asked, parts: Parts, device: torch.device) -> list[Path]:
    """Make and write what is asked for, and return the mp4s.

    Raises:
        UserError: it cannot be done; told before the large networks are loaded.
    """
    started, settings = time.monotonic(), parts.settings
    sample = sample_params(asked, settings.sample)
    dit = open_dit(parts, device)
    require_possible(asked, sample, dit.params, dit.class_names)
    paths, folder = out_paths(asked), asked.out.parent
    require_room_for_samples(folder)
    condition = None if asked.condition is None else condition_of(asked, asked.condition, settings)
    text = None if asked.text is None else embed_text(parts, asked.text, device)
    say("generate", f"{asked.count} x {asked.task} | {sample.sampler}, {sample.steps} steps, guidance {sample.guidance_scale:g} | "
                    f"{device.type} | {asked.model or 'data'} -> {asked.out}")
    maker = Maker(open_networks(parts, dit, device), settings, Sampling.of(sample), condition)
    classes = class_ids(asked, dit)
    request = maker.request(asked, classes, text)
    progress = Progress("generate", len(paths), "samples")
    for first in range(0, len(paths), sample.batch_size):
        rows = slice(first, first + sample.batch_size)
        if asked.task == "long":
            maker.write_long(paths[rows], request.rows(rows), sample.long_windows)
        else:
            maker.write(paths[rows], request.rows(rows))
        add_samples(folder, [{
            "sample_id": path.stem, "task": asked.task, "seed": seed, "class_id": class_id,
            "class_name": "" if class_id == NULL_CLASS else dit.class_names[class_id], "text": asked.text or "",
            "condition_clip_id": str(asked.condition or ""),
            "condition_start_frame": -1 if condition is None else round(condition.start_sec * settings.clip.fps), "sampler": sample.sampler,
            "steps": sample.steps, "guidance_scale": sample.guidance_scale, "mp4": path.name, "lossless": lossless_path(path).name,
        } for path, seed, class_id in zip(paths[rows], request.seeds[rows], classes[rows], strict=True)])
        progress.advance(len(paths[rows]))
    say("generate", f"done in {human_seconds(time.monotonic() - started)} | {paths[0]}" + (f" to {paths[-1].name}" if paths[1:] else ""))
    return paths


def condition_of(asked: Asked, path: Path, settings: Settings) -> Condition:
    """The window of the user's file, and a line about which one it is.

    Raises:
        DataError: it cannot serve the task.
    """
    clip, task = settings.clip, asked.task
    if not path.is_file():
        raise DataError(f"--condition is {path}, where there is no file; name a video, a sound or a picture")
    picture = read_still(path, clip)
    if picture is not None:
        if task != "i2a":
            raise DataError(f"{path} is a still picture, which is for --task i2a; --task {task} needs a video or a sound")
        return picture
    short = replace(clip, num_frames=2) if task == "i2a" else clip  # of a video, i2a takes one frame
    found = read_condition(path, short, settings.audio, settings.audio_images, picture=task in (*OF_PICTURE, "long"),
                           sound=task in (*OF_SOUND, "long"), start_sec=asked.start_sec, last=task in CONTINUING)
    if task == "i2a" and found.frames is not None:
        found = replace(found, frames=found.frames[:1].repeat(clip.num_frames, axis=0))
    begin_sec, end_sec = found.start_sec, found.start_sec + clip.window_sec
    what = f"the frame at {begin_sec:.2f} s" if task == "i2a" else f"{begin_sec:.2f} to {end_sec:.2f} s"
    say("generate", f"{path}: {found.length_sec:.2f} s, of which {what} is the condition (--start)")
    if found.waveform is not None and int(found.waveform.max()) - int(found.waveform.min()) < SILENT:
        say("generate", f"{path}: there is no sound in that stretch but silence")
    return found


@dataclass(frozen=True, slots=True)
class Maker:
    """All that turns a request into files."""

    networks: Networks
    settings: Settings
    sampling: Sampling
    condition: Condition | None

    def request(self, asked: Asked, classes: list[int], text: torch.Tensor | None) -> Request:
        """What the network is asked for, all samples together."""
        count, given = asked.count, self.condition
        audio = None if given is None or given.gray is None else self.networks.encoder.audio(given.gray).expand(count, -1, -1, -1)
        video = None if given is None or given.frames is None else self.networks.encoder.video(given.frames).expand(count, -1, -1, -1)
        task = "svg" if asked.task == "long" and given is None else asked.task
        return Request(task, [asked.seed + i for i in range(count)], torch.tensor(classes), audio, video,
                       None if text is None else text.expand(count, -1, -1))

    def write(self, paths: list[Path], request: Request) -> None:
        """One window each."""
        clip, rate_hz = self.settings.clip, self.settings.audio.sample_rate_hz
        for path, shown in zip(paths, self.make(request), strict=True):
            write_lossless(lossless_path(path), shown.frames, shown.waveform, shown.gray)
            write_mp4(path, shown.frames, clip.fps, shown.waveform, rate_hz, display_scale(shown.frames))

    def make(self, request: Request) -> Iterator[Shown]:
        """Every sample as it is seen and heard; what was given is shown as it really is."""
        progress = Progress("generate", network_steps(self.sampling), "steps")
        audio, video = generate_latents(self.networks.dit, request, self.sampling, progress.advance)
        for made in self.networks.decoder.decode(audio, video, request.seeds):
            yield as_shown(request.task, made, None if self.condition is None else self.condition.beside(made))

    def write_long(self, paths: list[Path], first: Request, num_windows: int) -> None:
        """Many windows each."""
        clip, audio, decoder = self.settings.clip, self.settings.audio, self.networks.decoder
        progress = Progress("generate", num_windows * network_steps(self.sampling), "steps")
        with ExitStack() as files:
            writers = [files.enter_context(LongWriter(path, lossless_path(path), num_windows, decoder.vocoder, clip, audio))
                       for path in paths]
            for windows in continued_windows(self.networks.dit, decoder, first, self.sampling, num_windows, progress.advance):
                for writer, (frames, gray) in zip(writers, windows, strict=True):
                    writer.add(frames, gray)


if __name__ == "__main__":
    main()
