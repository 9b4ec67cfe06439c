"""The stage: train the local classifiers, then measure every task's samples against held-out windows."""

import time
from pathlib import Path

from pipeline.contracts.outputs import stage_output
from pipeline.contracts.samples import read_samples
from pipeline.params import AudioParams, ClipParams, ComputeParams, EvaluateParams
from pipeline.progress import human_seconds, say
from pipeline.stage import Summary
from stages.evaluate.figures import write_figures
from stages.evaluate.measure import GENERATED, Measure
from stages.evaluate.windows import SampleWindows


def run(*, seed: int, clip: ClipParams, audio: AudioParams, compute: ComputeParams, evaluate: EvaluateParams, decode: Path,
        audio_images: Path, sample: Path, demo_data: Path, inventory: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary.

    Raises:
        DataError: an input is absent or older than the params, or there is no training window.
        WeightsError: `evaluate.i3d` is set and cannot be used.
    """
    sections = {"seed": seed, "clip": clip, "audio": audio, "evaluate": evaluate}
    inputs: dict[str, Path | str] = {"decode": decode, "audio_images": audio_images, "sample": sample, "demo_data": demo_data,
                                     "inventory": inventory}
    with stage_output(out, params=sections, inputs=inputs, code=Path(__file__).parent) as work:
        rows = read_samples(sample)
        measure = Measure(seed, clip, audio, compute, evaluate, decode=decode, inventory=inventory, demo_data=demo_data, work=work)
        say("evaluate", f"{len(rows)} samples | reference {len(measure.reference)} held-out windows, "
                        f"floor {len(measure.floor)} of other sources")
        measure.held_out()
        for task, group in sorted(rows.groupby("task"), key=lambda pair: str(pair[0])):
            started = time.monotonic()
            if str(task) not in (*GENERATED, "reconstruction"):
                say("evaluate", f"{task!s}: {len(group)} samples are longer than a window; their seams are in {sample / 'metrics.json'}")
                continue
            samples = SampleWindows(sample, group.head(evaluate.max_windows), clip, audio)
            if task == "reconstruction":
                measure.reconstructions(samples, audio_images)
            else:
                measure.samples(str(task), samples)
            say("evaluate", f"{task}: {len(samples)} samples measured in {human_seconds(time.monotonic() - started)}")
        write_figures(work.folder, measure.figures)
        work.counts.update(figures=len(measure.figures.found), not_computed=len(measure.figures.missing), samples=len(rows))
    return {"figures": work.counts["figures"], "not computed": work.counts["not_computed"], "out": str(out)}
