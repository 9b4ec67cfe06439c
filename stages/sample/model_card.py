"""The README.md of an exported model: what it does, what it learnt from, how good it was measured to be, and whose weights are in it."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import torch

from pipeline.contracts.clips import read_clips
from pipeline.contracts.outputs import SUCCESS, identity, read_success
from pipeline.look import metrics_table
from stages.dit import TrainedDiT
from stages.sample.trained import Parts, open_dit

TRAINED = ("decode", "audio_images", "klvae", "autoencoder", "latents", "dit")
MEASURED = ("klvae", "autoencoder", "dit", "sample", "evaluate")
LICENCES = {
    "stabilityai/sd-vae-ft-mse": "MIT",
    "madebyollin/taesd": "MIT",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "CreativeML OpenRAIL-M, with restrictions of use that pass on to what is made from it",
    "microsoft/speecht5_hifigan": "MIT",
    "openai/clip-vit-large-patch14": "MIT",
}
"""Of the pretrained parts that the presets name."""


def model_card(data: Path, parts: Parts) -> str:
    """The card of the networks in a project's data/."""
    dit, settings = open_dit(parts, torch.device("cpu")), parts.settings
    records = {name: read_success(data / name) for name in TRAINED}
    window = settings.clip
    lines = [
        "---", "library_name: mmldm", "tags: [mm-ldm, sounding-video, audio-to-video, video-to-audio, diffusion]", "---", "",
        "# A joint generator of video and sound", "",
        "An MM-LDM (Multi-Modal Latent Diffusion Model for Sounding Video Generation), exported from a training of the project `mmldm`. "
        f"It makes windows of {window.num_frames} frames of {window.frame_size_px} x {window.frame_size_px} px at {window.fps} a second, "
        f"with their sound ({window.window_sec:g} s at {settings.audio.sample_rate_hz} Hz).", "",
        "```sh", "mmldm generate --model THIS_FOLDER --task svg --out clip.mp4", "```", "",
        "All weights are safetensors; every file is checked against the hashes in `model_index.json` before it is used.", "",
        "## What it can do", "", f"Tasks: {', '.join(f'`{task}`' for task in dit.params.tasks)}. {_asked_by(dit)}", "",
        "## What it learnt from", "", *_data_summary(data), "",
        "## Parts", "", "| part | parameters |", "|---|---|", *_sizes(parts), "",
        f"DiT: width {dit.params.hidden_size}, depth {dit.params.depth}, {dit.params.prediction.replace('_', ' ')}, "
        f"{dit.params.train.steps} steps of {dit.params.train.batch_size * dit.params.train.grad_accumulation}. "
        f"z_a {_shape(dit.statistics.audio_shape)}, z_v {_shape(dit.statistics.video_shape)}; mean and deviation of each channel are in "
        "`dit/config.json`.", "",
        f"Hash of the settings of everything trained: `{params_hash(records)}`. "
        f"Made with {', '.join(f'{name} {version}' for name, version in _versions(records))}.", "",
        "## How good", "", *_metrics(data), "",
        "## Licences", "", *_licences(records, parts)]
    return "\n".join(lines) + "\n"


def params_hash(records: Mapping[str, Mapping[str, object]]) -> str:
    """sha256 of the settings by which the stages were run, from their records."""
    return hashlib.sha256(json.dumps({name: record["params"] for name, record in records.items()}, sort_keys=True).encode()).hexdigest()


def _asked_by(dit: TrainedDiT) -> str:
    if dit.params.context == "text":
        return "What is made can be asked for by a text (`--text`)."
    return f"Classes (`--class`): {', '.join(dit.class_names)}." if dit.class_names else "It knows no classes and no texts."


def _data_summary(data: Path) -> list[str]:
    clips = read_clips(data / "inventory")
    rows = ["| class | clips | of them held out | minutes |", "|---|---|---|---|"]
    for name, members in clips.groupby("class_name"):
        rows.append(f"| {name} | {len(members)} | {(members['split'] == 'test').sum()} | {members['duration_sec'].sum() / 60:.1f} |")
    captions = int((clips["caption"] != "").sum())
    return [f"{len(clips)} clips of {clips['source_sha256'].nunique()} videos, {clips['duration_sec'].sum() / 3600:.2f} hours"
            + (f", {captions} with a caption" if captions else "") + ". Held-out clips were measured on and not trained on.", "", *rows]


def _sizes(parts: Parts) -> Iterator[str]:
    from safetensors import safe_open

    for name in ("klvae", "autoencoder", "dit"):
        count = 0
        for path in sorted(getattr(parts, name).glob("*.safetensors")):
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 (no mapping)
                    count += int(torch.Size(file.get_slice(key).get_shape()).numel())
        yield f"| {name} | {count / 1e6:.2f}M |"


def _versions(records: Mapping[str, Mapping[str, object]]) -> list[tuple[str, str]]:
    versions = records["dit"]["versions"]
    assert isinstance(versions, dict)
    return [(name, versions[name]) for name in ("python", "torch", "diffusers", "transformers") if name in versions]


def _metrics(data: Path) -> list[str]:
    """Every figure that was measured on these very networks; distances to the training set aside, which reward memorising."""
    measured = {stage: json.loads((data / stage / "metrics.json").read_text()) for stage in MEASURED if _is_of_these_networks(data, stage)}
    rows = [f"| {stage} | {name} | {value:.4g} |" for stage, values in measured.items() if stage != "evaluate"
            for name, value in _flat(values)]
    lines = ["Measured by the stages of the project on held-out clips.", "", "| stage | figure | value |", "|---|---|---|", *rows]
    if "evaluate" in measured:
        shown = {name: value for name, value in measured["evaluate"].items() if "_to_train" not in name}
        lines += ["", "Samples. `_local`: distances between features of classifiers trained on the same data set, which stand beside no "
                  "published figure; a floor is the same figure of real clips, or of pictures beside another clip's sound.",
                  "", "```", *metrics_table(shown), "```"]
    return lines if measured else ["Not measured."]


def _is_of_these_networks(data: Path, stage: str) -> bool:
    if not (data / stage / SUCCESS).is_file() or not (data / stage / "metrics.json").is_file():
        return False
    made_from = {"sample": ("dit",), "evaluate": ("sample",)}.get(stage, ())
    inputs = read_success(data / stage)["inputs"]
    assert isinstance(inputs, dict)
    return all(inputs[name] == identity(data / name) and (name == "dit" or _is_of_these_networks(data, name)) for name in made_from)


def _flat(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} ")
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", float(value)


def _licences(records: Mapping[str, Mapping[str, object]], parts: Parts) -> list[str]:
    klvae, decoder = (_params(records, name) for name in ("klvae", "autoencoder"))
    named = [("KL-VAE", None if klvae["mode"] == "scratch" else klvae["pretrained"]["source"]),
             ("start of the signal decoder", decoder["signal_decoder"]["pretrained"]["source"]),
             ("vocoder", parts.settings.vocoder.pretrained.source if parts.settings.vocoder.kind != "griffin_lim" else None),
             ("text encoder", parts.settings.text_encoder.source)]
    rows = [f"| {part} | {_shown_source(source)} | {LICENCES.get(source, 'not known here; see where it came from')} |"
            for part, source in named if source]
    own = "All else was trained from random weights on the clips above; what may be done with it depends on the rights to those clips. "
    table = ["Made from these weights of others:", "", "| part | weights | licence |", "|---|---|---|", *rows, ""] if rows else []
    return [*table, own + "The code of the project is under the MIT licence."]


def _params(records: Mapping[str, Mapping[str, object]], stage: str) -> dict:  # type: ignore[type-arg]
    params = records[stage]["params"]
    assert isinstance(params, dict)
    return params[stage]


def _shown_source(source: str) -> str:
    """A hub id as it is; of a folder on this machine nothing but that it was one."""
    return f"`{source}`" if source in LICENCES or (source.count("/") == 1 and not Path(source).exists()) else "a local folder"


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
