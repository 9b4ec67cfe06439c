"""mmldm export (python -m stages.sample.export): the trained networks as one folder that needs neither this data nor DVC.

    mmldm export --out my_model
    mmldm generate --model my_model --out clip.mp4      # there, or on another machine
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.commands import export_parser
from pipeline.contracts.outputs import write_text
from pipeline.errors import DataError
from pipeline.params import PretrainedParams, load_params
from pipeline.params_reader import to_values
from pipeline.progress import say
from pipeline.quiet import silence_tools
from pipeline.stage import mistakes_in_one_line
from stages.audio_images.hifigan import load_hifigan
from stages.latents import load_text_encoder
from stages.sample.model_card import model_card
from stages.sample.package import CARD, INDEX, SETTINGS, write_index
from stages.sample.samplers import make_scheduler
from stages.sample.trained import Parts, Settings, open_dit, project_parts

NOTHING = PretrainedParams(source=None, revision=None, subfolder=None, sha256=None)


def main() -> None:
    """The command line."""
    silence_tools()
    chosen = export_parser().parse_args()
    with mistakes_in_one_line("export"):
        params = load_params(Path("params.yaml"))
        export(Path("data"), project_parts(Path("data"), params), chosen.out, force=chosen.force)


def export(data: Path, parts: Parts, out: Path, *, force: bool) -> None:
    """Write `out` whole or not at all.

    Args:
        data: the project's data/, for the model card.
        force: an earlier export there is replaced; anything else never.

    Raises:
        DataError: something lies at `out`.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        if not (out / INDEX).is_file():
            raise DataError(f"{out} exists and is no exported model; choose another --out")
        if not force:
            raise DataError(f"{out} holds an exported model; choose another --out, or replace it with --force")
    work = out.absolute().with_name(f".{out.absolute().name}.tmp")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}); choose another --out") from None
    components = _write_parts(work, parts)
    write_text(work / SETTINGS, json.dumps(to_values(_portable(parts.settings)), indent=1) + "\n")
    write_text(work / CARD, model_card(data, parts))
    write_index(work, components)
    old = work.with_name(f"{work.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        out.rename(old)
    work.rename(out)
    shutil.rmtree(old, ignore_errors=True)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    say("export", f"{out}: {', '.join(components)} | {size / 2**20:.0f} MiB | use it with: mmldm generate --model {out} --out clip.mp4")


def _write_parts(work: Path, parts: Parts) -> dict[str, list[str]]:
    """Write every part, and say for each its library and class."""
    cpu, settings = torch.device("cpu"), parts.settings
    for name in ("klvae", "autoencoder", "dit"):
        source = getattr(parts, name)
        (work / name).mkdir()
        for path in [source / "config.json", *sorted(source.glob("*.safetensors"))]:
            shutil.copyfile(path, work / name / path.name)
    _forget_pretrained(work / "autoencoder" / "config.json")
    dit = open_dit(parts, cpu)
    scheduler = make_scheduler(settings.sample.sampler, dit.params.prediction, dit.params.zero_terminal_snr)
    scheduler.save_pretrained(work / "scheduler")
    image_class = json.loads((work / "klvae" / "config.json").read_text())["_class_name"]
    components = {"klvae": ["diffusers", image_class], "autoencoder": ["stages.autoencoder", "MultiModalAutoencoder"],
                  "dit": ["stages.dit", "JointDiT"], "scheduler": ["diffusers", type(scheduler).__name__]}
    if settings.vocoder.kind == "speecht5_hifigan":
        load_hifigan(settings.audio, settings.vocoder.pretrained).save_pretrained(work / "vocoder")  # type: ignore[operator]
        components["vocoder"] = ["transformers", "SpeechT5HifiGan"]
    if dit.params.context == "text":
        load_text_encoder(settings.text_encoder, cpu).save(work / "text_encoder")
        components["text_encoder"] = ["transformers", "CLIPTextModel"]
    return components


def _portable(settings: Settings) -> Settings:
    """The settings with pretrained parts named by their place in the folder."""
    has_weights, reads_texts = settings.vocoder.kind == "speecht5_hifigan", settings.text_encoder.source is not None
    return replace(settings, vocoder=replace(settings.vocoder, pretrained=replace(NOTHING, source="vocoder" if has_weights else None)),
                   text_encoder=replace(NOTHING, source="text_encoder" if reads_texts else None))


def _forget_pretrained(config: Path) -> None:
    """What the signal decoder began with is in its weights; where that lay is nobody's business."""
    values = json.loads(config.read_text())
    values["params"]["signal_decoder"]["pretrained"] = to_values(NOTHING)
    write_text(config, json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
