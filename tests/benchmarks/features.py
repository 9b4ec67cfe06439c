"""Features of many clips streamed from shards: peak memory of 256 windows and of 2,048, and windows a second beside reading alone.

    python -m tests.benchmarks.features [--sizes 256 2048] [--px 256]

The promise: memory does not grow with the number of windows. Each size runs in a process of its own. The network is an I3D with random
weights where --i3d is given (hours on a CPU), otherwise the local one, so that the streaming and not the network is what is measured.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from pipeline.contracts.decoded import decoded_sample
from pipeline.contracts.outputs import stage_output
from pipeline.contracts.window_sets import RealWindows, sources_of, spread
from pipeline.params import AudioParams, ClipParams
from stages.evaluate.extractors.extractor import Extractor
from stages.evaluate.extractors.i3d import I3DTats
from stages.evaluate.extractors.inception_i3d import InceptionI3d
from stages.evaluate.extractors.local import LocalExtractor
from stages.evaluate.features import FeatureStore
from stages.local_features import LocalNetwork
from tests.shards import write_shards

CLIP_FRAMES = 100
AUDIO = AudioParams(sample_rate_hz=16000, n_fft=1024, win_length=1024, hop_length=256, n_mels=80, f_min_hz=80.0, f_max_hz=7600.0)


def clip_params(px: int) -> ClipParams:
    return ClipParams(frame_size_px=px, fps=10, num_frames=16, window_stride=1, fit="pad", max_sec=10.0)


def write_clips(decode: Path, windows: int, px: int) -> None:
    """Clips of 10 s, noise at every pixel, as many as give `windows` windows."""
    count = -(-windows // (CLIP_FRAMES - 15))
    with stage_output(decode, params={}, inputs={}, code=Path(__file__)) as work:
        def samples():  # type: ignore[no-untyped-def]
            for i in range(count):
                random = np.random.default_rng(i)
                yield decoded_sample(random.integers(0, 256, (CLIP_FRAMES, px, px, 3), dtype=np.uint8),
                                     random.integers(-9000, 9000, CLIP_FRAMES * 1600).astype(np.int16),
                                     {"clip_id": f"{i:016x}_000000", "class_id": 0, "class_name": "a", "split": "test",
                                      "source_path": f"a/{i}.mp4", "start_sec": 0.0, "reader": "pyav", "gain": 1.0})
        write_shards(work, samples())


def measured(decode: Path, windows: int, px: int, i3d: bool) -> dict[str, float]:
    """Peak memory in MB above that of the libraries, and windows a second."""
    clip = clip_params(px)
    torch.manual_seed(0)
    if i3d:
        torch.save(InceptionI3d().state_dict(), decode.parent / "i3d_pretrained_400.pt")
        extractor: Extractor = I3DTats(decode.parent / "i3d_pretrained_400.pt", torch.device("cpu"), 16000)
    else:
        extractor = LocalExtractor(LocalNetwork("video", 2), torch.device("cpu"), 16000)
    chosen = RealWindows(decode, "test", spread(sources_of(decode, "test"), windows, clip, 1), clip, AUDIO)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    for i in range(min(len(chosen), 256)):
        _ = chosen[i]
    read = min(len(chosen), 256) / (time.perf_counter() - started)
    started = time.perf_counter()
    taken = FeatureStore(decode.parent / f"out{windows}", decode.parent / f"scratch{windows}").of(extractor, chosen)
    return {"windows": len(taken.values), "mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
            "per_sec": len(chosen) / (time.perf_counter() - started), "read_per_sec": read}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 2048])
    parser.add_argument("--px", type=int, default=256)
    parser.add_argument("--i3d", action="store_true")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.one:
        print(json.dumps(measured(chosen.one, chosen.sizes[0], chosen.px, chosen.i3d)))
        return
    print(f"{'windows':>8}{'peak MB':>10}{'windows/s':>12}{'reading alone':>15}")
    with tempfile.TemporaryDirectory() as room:
        decode = Path(room) / "decode"
        write_clips(decode, max(chosen.sizes), chosen.px)
        for size in chosen.sizes:
            command = [sys.executable, "-m", "tests.benchmarks.features", "--one", str(decode), "--sizes", str(size),
                       "--px", str(chosen.px)]
            done = subprocess.run([*command, *(["--i3d"] if chosen.i3d else [])], capture_output=True, text=True, check=True)
            found = json.loads(done.stdout)
            print(f"{found['windows']:>8}{found['mb']:>10.0f}{found['per_sec']:>12.1f}{found['read_per_sec']:>15.1f}")


if __name__ == "__main__":
    main()
