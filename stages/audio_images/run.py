"""The stage: every window of every clip to a gray PNG, and the loss of each step of the round trip."""

import json
from pathlib import Path

import numpy as np
import torch

from pipeline.contracts.audio_image_shards import write_audio_image
from pipeline.contracts.decoded import META, WAVEFORM, float_waveform, read_decoded
from pipeline.contracts.outputs import stage_output, write_text
from pipeline.contracts.shards import ShardWriter
from pipeline.contracts.windows import mel_columns, window_samples, window_starts, window_waveform
from pipeline.errors import DataError
from pipeline.params import AudioImagesParams, AudioParams, ClipParams, VocoderParams
from pipeline.progress import Progress
from pipeline.seeds import derive_seed
from pipeline.stage import Summary
from stages.audio_images.image import gray_from_mel, gray_from_rgb, mel_from_gray, rgb_from_gray
from stages.audio_images.mel import mel_db
from stages.audio_images.vocoder import Vocoder

SHARD_BYTES = 100_000_000  # a gray PNG is about 5 kB, so a shard holds some 20,000 windows


def run(*, seed: int, clip: ClipParams, audio: AudioParams, vocoder: VocoderParams, audio_images: AudioImagesParams,
        decode: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary."""
    sections = {"clip": clip, "audio": audio, "vocoder": vocoder, "audio_images": audio_images, "seed": seed}
    with stage_output(out, params=sections, inputs={"decode": decode}, code=Path(__file__).parent) as work:
        clips = read_decoded(decode, fields=(WAVEFORM, META))
        report = RoundTrip(seed, clip, audio, vocoder, audio_images, num_clips=len(clips))
        progress = Progress("audio_images", len(clips), "clips")
        windows = 0
        with ShardWriter(work.folder, SHARD_BYTES) as writer:
            for sample in clips:
                waveform = float_waveform(sample["waveform"])
                num_frames = round(len(waveform) / audio.sample_rate_hz * clip.fps)
                starts = window_starts(num_frames, clip)
                for start in starts:
                    piece = torch.from_numpy(window_waveform(waveform, start, clip, audio))
                    gray = audio_image(piece, audio, audio_images)
                    meta = {"clip_id": sample["key"], "start_frame": start, "class_id": sample["meta"]["class_id"],
                            "split": sample["meta"]["split"], "db_floor": audio_images.db_floor,
                            "db_ceiling": audio_images.db_ceiling, "mel_size": list(gray.shape)}
                    write_audio_image(writer, gray, meta)
                if starts:
                    report.consider(sample["key"], torch.from_numpy(window_waveform(waveform, starts[0], clip, audio)))
                windows += len(starts)
                progress.advance()
        if windows == 0:
            raise DataError(f"no clip of {decode} holds a window of {clip.window_sec:g} s; lower clip.num_frames or add longer videos")
        losses = report.means()
        write_text(work.folder / "metrics.json", json.dumps(losses, indent=1) + "\n")
        work.counts.update(clips=len(clips), windows=windows)
    return {"clips": len(clips), "windows": windows, "mel": f"{audio.n_mels}x{mel_columns(clip, audio)}", "out": str(out),
            **{name: f"{value:.3g}" for name, value in losses.items()}}


def audio_image(waveform: torch.Tensor, audio: AudioParams, audio_images: AudioImagesParams) -> np.ndarray:
    """Gray mel image uint8 [n_mels, columns] of a window's waveform float32 [s] in [-1, 1]."""
    return gray_from_mel(mel_db(waveform, audio), audio_images.db_floor, audio_images.db_ceiling)


class RoundTrip:
    """Measures on a seeded choice of windows what each step of mel -> image -> sound loses.

    `floored_share`, `clipped_share`: bins under db_floor (silence, mostly) and over db_ceiling. `*_db`: mean absolute error
    of the mel in dB over the bins above the floor, after 8 bits, after the resize to the frame's size and back, and of the
    mel of the sound made again.
    """

    def __init__(self, seed: int, clip: ClipParams, audio: AudioParams, vocoder: VocoderParams, images: AudioImagesParams,
                 num_clips: int) -> None:
        self.seed, self.clip, self.audio, self.images = seed, clip, audio, images
        self.share = images.num_report_windows / max(num_clips, 1)
        self.vocoder = Vocoder(audio, vocoder, num_samples=window_samples(clip, audio), db_floor=images.db_floor,
                               db_ceiling=images.db_ceiling)
        self.rows: list[dict[str, float]] = []

    def consider(self, key: str, waveform: torch.Tensor) -> None:
        """Measure this window if the draw of its own seed says so (or none was measured yet)."""
        if self.rows and derive_seed(self.seed, "audio_images", key) % 10_000 >= self.share * 10_000:
            return
        floor, ceiling = self.images.db_floor, self.images.db_ceiling
        true = mel_db(waveform, self.audio)
        gray = gray_from_mel(true, floor, ceiling)
        resized = gray_from_rgb(rgb_from_gray(gray, self.clip.frame_size_px), gray.shape)
        sound = torch.from_numpy(float_waveform(self.vocoder.waveform(resized)))
        heard = true > floor

        def error(mel: torch.Tensor) -> float:
            difference = (mel.clamp(floor, ceiling) - true.clamp(floor, ceiling)).abs()[heard]
            return float(difference.mean()) if heard.any() else 0.0

        self.rows.append({
            "floored_share": float((true < floor).float().mean()),
            "clipped_share": float((true > ceiling).float().mean()),
            "quantised_error_db": error(mel_from_gray(gray, floor, ceiling)),
            "resized_error_db": error(mel_from_gray(resized, floor, ceiling)),
            "resynthesised_error_db": error(mel_db(sound, self.audio)),
        })

    def means(self) -> dict[str, float]:
        """Mean of every figure over the measured windows, six digits."""
        return {"num_windows": len(self.rows),
                **{name: float(f"{np.mean([row[name] for row in self.rows]):.6g}") for name in self.rows[0]}} if self.rows else {}
