"""The stage: read the training windows once, train both networks, write them."""

import json
from pathlib import Path

from safetensors.torch import save_file

from pipeline.contracts.clips import class_names, read_clips
from pipeline.contracts.outputs import atomic_path, stage_output, write_text
from pipeline.contracts.window_sets import RealWindows, sources_of, spread
from pipeline.errors import DataError
from pipeline.params import AudioParams, ClipParams, ComputeParams, LocalFeaturesParams
from pipeline.progress import say
from pipeline.stage import Summary
from stages.local_features.networks import CONFIG, MODALITIES
from stages.local_features.train import load_training_inputs, train_network


def run(*, seed: int, clip: ClipParams, audio: AudioParams, compute: ComputeParams, local_features: LocalFeaturesParams, decode: Path,
        inventory: Path, out: Path) -> Summary:
    """Write `out` (see the package's docstring) and return the closing summary.

    Raises:
        DataError: an input is absent or older than the params, or there is no training window.
    """
    sections = {"seed": seed, "clip": clip, "audio": audio, "local_features": local_features}
    with stage_output(out, params=sections, inputs={"decode": decode, "inventory": inventory}, code=Path(__file__).parent) as work:
        num_classes = len(class_names(read_clips(inventory)))
        places = spread(sources_of(decode, "train"), local_features.max_windows, clip, seed)
        if not places:
            raise DataError(f"{decode} holds no training window of {clip.num_frames} frames; add clips of {clip.window_sec:g} s or more, "
                            "or lower clip.num_frames")
        learned = "classes and corruptions" if num_classes > 1 else "views of one clip (there is one class) and corruptions"
        say("local_features", f"{len(places)} training windows | to learn: {learned}")
        inputs = load_training_inputs(RealWindows(decode, "train", places, clip, audio), audio.sample_rate_hz)
        for modality in MODALITIES:
            network = train_network(modality, inputs, num_classes, local_features.train, seed=seed, compute=compute, work=work)
            with atomic_path(work.folder / f"{modality}.safetensors") as temporary:
                save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, temporary)
        config = {"num_classes": num_classes, "sample_rate_hz": audio.sample_rate_hz, "windows": len(places), "learned": learned}
        write_text(work.folder / CONFIG, json.dumps(config, indent=1, sort_keys=True) + "\n")
        work.counts.update(windows=len(places), classes=num_classes)
    return {"windows": work.counts["windows"], "classes": work.counts["classes"], "out": str(out)}
