"""One long file, and many tiny ones: python -m tests.benchmarks.ingest_extremes [--hours 2] [--tiny 5000]

Both are made here: a 160x90 film at 10 frames a second with a tone, and copies of one clip of two seconds as files of other content.
inventory, decode and audio_images run over each; `times real time` is the length of the material over the time taken.
"""

import argparse
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from tests.benchmarks.material import other_content, say_load, scratch
from tests.benchmarks.project import Project
from tests.benchmarks.tables import print_table
from tests.conftest import write_clip

STAGES = ("inventory", "decode", "audio_images")
TINY_SEC = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=2.0, help="length of the long film; 0: leave it out")
    parser.add_argument("--tiny", type=int, default=5000, help="number of tiny files; 0: leave them out")
    parser.add_argument("--size", type=int, default=64, help="side of the written pictures, pixels")
    arguments = parser.parse_args()
    say_load()
    rows: list[tuple[object, ...]] = []
    shape: dict[str, object] = {"frame_size_px": arguments.size}
    with scratch() as folder:
        if arguments.hours:
            # A second, short one, as something has to be held out.
            write_film(folder / "film" / "class" / "long.mp4", arguments.hours * 3600)
            write_clip(folder / "film" / "class" / "short.mp4", 10.0)
            project = Project(folder / "project_film", folder / "film", clip=shape)
            rows += ingest(f"one file of {arguments.hours:g} h", project, arguments.hours * 3600)
        if arguments.tiny:
            one = write_clip(folder / "one.mp4", TINY_SEC, 10, (96, 64))
            other_content([one], folder / "tiny", arguments.tiny)
            project = Project(folder / "project_tiny", folder / "tiny", clip=shape)
            rows += ingest(f"{arguments.tiny} files of {TINY_SEC:g} s", project, arguments.tiny * TINY_SEC)
    print_table(("material", "stage", "seconds", "times real time", "peak RSS, MB", "peak PSS, MB"), rows)


def ingest(name: str, project: Project, seconds: float) -> list[tuple[object, ...]]:
    """A row for each stage."""
    rows: list[tuple[object, ...]] = []
    for stage in STAGES:
        usage = project.stage(stage, memory=True)
        rows.append((name, stage, usage.wall_sec, seconds / usage.wall_sec, usage.peak_rss_mb, usage.peak_pss_mb))
    return rows


def write_film(path: Path, seconds: float, fps: int = 10, rate_hz: int = 16000) -> None:
    """A bar that wanders over 160x90 pixels, and a tone that rises by the minute."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"preset": "ultrafast", "g": "100"})
        video.width, video.height, video.pix_fmt = 160, 90, "yuv420p"
        audio = container.add_stream("mp2", rate=rate_hz, layout="mono")
        moments = np.arange(rate_hz) / rate_hz
        for second in range(round(seconds)):
            for i in range(second * fps, (second + 1) * fps):
                picture = np.full((90, 160), 40, np.uint8)
                picture[:, i % 144:i % 144 + 16] = 200
                frame = av.VideoFrame.from_ndarray(picture, format="gray8").reformat(format="yuv420p")
                frame.time_base, frame.pts = Fraction(1, fps), i
                container.mux(video.encode(frame))
            wave = np.round(8000 * np.sin(2 * np.pi * (200 + second // 60) * moments)).astype(np.int16)
            sound = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
            sound.sample_rate, sound.time_base, sound.pts = rate_hz, Fraction(1, rate_hz), second * rate_hz
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


if __name__ == "__main__":
    main()
