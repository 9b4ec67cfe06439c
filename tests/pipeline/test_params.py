"""params.yaml at the door: pytest tests/pipeline/test_params.py"""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.errors import ParamsError
from pipeline.params import load_params, parse_params
from pipeline.params_reader import to_values

TASKS = "svg, v, a, a2v, v2a, i2a, audio_continuation, video_continuation, long"
TINY = Path(__file__).resolve().parents[1] / "presets" / "tiny.yaml"


def edited(**changes: Any) -> dict[str, Any]:
    """The tiny preset with values replaced: section__key=value; a value of `...` removes the key."""
    values = copy.deepcopy(yaml.safe_load(TINY.read_text()))
    for path, value in changes.items():
        *sections, key = path.split("__")
        place = values
        for section in sections:
            place = place[section]
        if value is ...:
            del place[key]
        else:
            place[key] = value
    return values


def test_what_is_read_is_what_was_written() -> None:
    assert to_values(load_params(TINY)) == yaml.safe_load(TINY.read_text())


@pytest.mark.parametrize(("changes", "said"), [
    ({"dit__dept": 3}, 'dit has no key "dept"; did you mean "depth"?'),
    ({"dti": {}}, 'the file has no key "dti"; did you mean "dit"?'),
    ({"dit__depth": ...}, "dit.depth is missing, expected a whole number"),
    ({"klvae__train": ...}, "klvae.train is missing, expected a section of keys"),
    ({"dit": 3}, "dit is 3, expected a section of keys"),
])
def test_unknown_and_missing_keys_are_named(changes: dict[str, Any], said: str) -> None:
    assert message(edited(**changes)) == f"params.yaml: {said}"


@pytest.mark.parametrize(("changes", "said"), [
    ({"dit__depth": 2.5}, "dit.depth is 2.5, expected a whole number"),
    ({"dit__depth": True}, "dit.depth is true, expected a whole number"),
    ({"seed": "7"}, 'seed is the text "7", expected a whole number'),
    ({"audio__f_min_hz": "low"}, 'audio.f_min_hz is the text "low", expected a number'),
    ({"dit__train__learning_rate": "1e-4"}, 'dit.train.learning_rate is the text "1e-4", expected a number'),
    ({"inventory__allow_silent": 0}, "inventory.allow_silent is 0, expected true or false"),
    ({"compute__device": "gpu"}, 'compute.device is the text "gpu", expected one of auto, cpu, cuda'),
    ({"sample__tasks": "svg"}, 'sample.tasks is the text "svg", expected a list, each one of ' + TASKS),
    ({"sample__tasks": ["svg", "t2v"]}, 'sample.tasks[1] is the text "t2v", expected one of ' + TASKS),
    ({"retrain__incoming": "../elsewhere"}, "retrain.incoming is ../elsewhere, expected a folder in data/, such as data/incoming"),
    ({"retrain__gate__min_gain": 2}, "retrain.gate.min_gain is 2.0, expected 0 to less than 1"),
    ({"retrain__gate__better": [{"metric": "svg/fad_local", "better": "more"}]},
     'retrain.gate.better[0].better is the text "more", expected one of lower, higher'),
    ({"data__raw": None}, "data.raw is null, expected text"),
])
def test_wrong_types_say_what_was_got_and_what_is_expected(changes: dict[str, Any], said: str) -> None:
    assert message(edited(**changes)) == f"params.yaml: {said}"


@pytest.mark.parametrize(("changes", "said"), [
    ({"clip__frame_size_px": 36}, "clip.frame_size_px is 36, expected a multiple of kl_latent.factor (8)"),
    ({"clip__frame_size_px": 24}, "clip.frame_size_px is 24, expected a multiple of kl_latent.factor x autoencoder.audio_encoder's"),
    ({"dit__num_heads": 3}, "dit.num_heads is 3, expected a divisor of dit.hidden_size (32)"),
    ({"autoencoder__audio_encoder__head_dim": 5}, "autoencoder.*_encoder.head_dim is 5, expected a divisor of every width (16 x 1 = 16)"),
    ({"autoencoder__num_key_frames": 17}, "autoencoder.num_key_frames is 17, expected at most clip.num_frames (16)"),
    ({"encode__flips": False}, "autoencoder.flip_share is 0.5, expected 0, or encode.flips true"),
    ({"klvae__audio_share": 1.0}, "klvae.audio_share is 1.0, expected a share that leaves both audio images and frames in a batch of 8"),
    ({"autoencoder__num_target_frames": 17}, "autoencoder.num_target_frames is 17, expected at most clip.num_frames (16)"),
    ({"klvae__block_channels": [8, 16]}, "kl_latent.factor is 8, expected 2, as klvae.block_channels has 2 entries"),
    ({"klvae__mode": "pretrained"}, "klvae.pretrained.source is null, expected a hub id or a local folder"),
    ({"klvae__mode": "finetune_decoder"}, "klvae.pretrained.source is null, expected a hub id or a local folder"),
    ({"klvae__loss__lpips": -1.0}, "klvae.loss.lpips is -1.0, expected 0 or more"),
    ({"encode__batch_size": -1}, "encode.batch_size is -1, expected 0 (as many as have room) or more"),
    ({"klvae__loss__adversarial": 0.5, "klvae__discriminator__num_layers": 4}, "clip.frame_size_px is 32, expected 48 or more, as"),
    ({"vocoder__kind": "speecht5_hifigan"}, "vocoder.pretrained.source is null, expected a hub id or a local folder"),
    ({"dit__audio_patch_size": 3}, "dit.audio_patch_size is 3, expected a divisor of the audio latent's side (2)"),
    ({"dit__prediction": "epsilon"}, "dit.prediction is epsilon, expected v_prediction, as dit.zero_terminal_snr is true"),
    ({"dit__a2v_share": 0.9, "dit__v2a_share": 0.2}, "dit.a2v_share is 0.9, expected shares of 0 or more that sum to at most 1"),
    ({"flow__gpu": 0}, "flow.gpu is 0, expected 1 or more"),
    ({"flow__database": "postgresql://me:secret@host/runs"}, "flow.database is an address with a password in it, expected one without"),
    ({"flow__database": "mysql://host/runs"}, "flow.database is mysql://host/runs, expected postgresql://user@host:port/name, or null"),
    ({"flow__alerts__webhook": "https://chat.example.org/hooks/secret"},
     "flow.alerts.webhook is another text, expected $VARIABLE or block/NAME that holds it, or null (no secret"),
    ({"flow__alerts__mail_to": "me"}, "flow.alerts.mail_to is 'me', expected one address, name@host"),
    ({"flow__alerts__smtp_user": "me"}, "flow.alerts.smtp_password is None, expected given with alerts.smtp_user, or both null"),
    ({"dit__min_snr_gamma": 5.0}, "dit.min_snr_gamma is 5.0, expected 0, as dit.zero_terminal_snr is true"),
    ({"dit__prediction": "flow"}, "dit.zero_terminal_snr is true, expected false, as dit.prediction is flow"),
    ({"dit__positions": "rope", "dit__num_heads": 32}, "dit.positions is rope, expected sincos, or heads of a multiple of 4 channels"),
    ({"dit__task_mix": "video"}, "dit.a2v_share is 0.2, expected 0, as dit.task_mix is video"),
    ({"sample__tasks": ["long"], "dit__continuation_share": 0.0},
     "sample.tasks is ['long'], expected tasks that dit is trained for: svg, v, a, a2v, v2a, i2a (the others"),
    ({"sample__tasks": ["svg", "svg"]}, "sample.tasks is ['svg', 'svg'], expected each task once"),
    ({"sample__long_windows": 1}, "sample.long_windows is 1, expected 2 or more"),
    ({"dit__continuation_share": 0.1, "dit__train__batch_size": 1}, "dit.train.batch_size is 1, expected 2 or more"),
    ({"sample__sampler": "heun"}, "sample.sampler is heun, expected one of ddim, dpm_solver, unipc, as dit.prediction is v_prediction"),
    ({"sample__guidance_scale": -1.0}, "sample.guidance_scale is -1.0, expected 0 to 50"),
    ({"sample__guidance_interval": [0.7, 0.2]}, "sample.guidance_interval is [0.7, 0.2], expected two numbers from 0 to 1, the smaller"),
    ({"sample__guidance_rescale": 2.0}, "sample.guidance_rescale is 2.0, expected 0 to 1"),
    ({"audio__f_max_hz": 9000.0}, "audio.f_max_hz is 9000.0, expected more than audio.f_min_hz (80) and at most half of the sample rate"),
    ({"clip__max_sec": 1.0}, "clip.max_sec is 1.0, expected at least one window (1.6 s)"),
    ({"demo_data__clip_sec": 1.0}, "demo_data.clip_sec is 1.0, expected at least one window"),
    ({"seed": -7}, "seed is -7, expected 0 to 4611686018427387904"),
    ({"seed": 10**20}, "seed is 100000000000000000000, expected 0 to 4611686018427387904"),
    ({"evaluate__protocols": ["demo", "mm_ldm"]},
     "evaluate.protocols is ['demo', 'mm_ldm'], expected some of cmmd, demo, mm-diffusion, mm-ldm-256, mm-ldm-64"),
    ({"retrain__gate__not_worse": [{"metric": "mm-ldm-256/svg/fvd_local", "better": "lower"}]},
     "retrain.gate is mm-ldm-256/svg/fvd_local, expected figures of evaluate.protocols (demo)"),
    ({"sample__tasks": ["svg"], "retrain__gate__at_most": [{"metric": "demo/i2a/memorised_pixels", "limit": 0.1}]},
     "retrain.gate is demo/i2a/memorised_pixels, expected figures of sample.tasks (svg)"),
    ({"retrain__gate__better": [{"metric": "svg/fvd_local", "better": "higher"}]},
     "retrain.gate is fvd_local with better: higher, expected better: lower for it"),
    ({"demo_data__kinds": []}, "demo_data.kinds is [], expected at least one kind"),
    ({"dit__train__steps": 0}, "dit.train.steps is 0, expected 1 or more"),
    ({"sample__tasks": ["a2v"], "dit__a2v_share": 0.0}, "dit.a2v_share is 0.0, expected more than 0, as sample.tasks has a2v"),
    ({"autoencoder__loss__classification": 0.0}, "autoencoder.signal_decoder.class_embedding is true, expected false"),
    ({"autoencoder__signal_decoder__inference_steps": 1001}, "autoencoder.signal_decoder.inference_steps is 1001, expected 1 to 1000"),
    ({"autoencoder__signal_decoder__audio_guidance_scale": 2.0, "autoencoder__condition_dropout": 0.0},
     "autoencoder.condition_dropout is 0.0, expected more than 0, as the signal decoder is guided"),
    ({"inventory__source_pattern": "(?P<source>["}, "inventory.source_pattern is (?P<source>[, expected a regular expression with a group"),
    ({"inventory__source_pattern": "([a-z]+)_"}, "inventory.source_pattern is ([a-z]+)_, expected a regular expression with a group (?P<"),
    ({"inventory__labels": "labels.txt"}, "inventory.labels is 'labels.txt', expected a file .csv or .parquet, or null"),
    ({"inventory__labels": "../labels.csv"}, "inventory.labels is ../labels.csv, expected a path relative to data.raw, of a file that"),
    ({"inventory__labels": "/data/labels.csv"}, "inventory.labels is /data/labels.csv, expected a path relative to data.raw"),
    ({"data__raw": "~/videos"}, "data.raw is ~/videos, expected a path without ~: "),
    ({"data__raw": "  "}, "data.raw is '  ', expected the path of a folder <class>/<file>"),
])
def test_impossible_combinations_name_both_numbers(changes: dict[str, Any], said: str) -> None:
    assert message(edited(**changes)).startswith(f"params.yaml: {said}")


@pytest.mark.parametrize("written", ["1e-08", "1E-8", "1.0e-8", "0.00000001"])
def test_a_small_number_is_read_however_it_is_written(written: str, tmp_path: Path) -> None:
    """YAML 1.1 takes 1e-08, as `dvc exp run -S` writes it, for text."""
    path = tmp_path / "params.yaml"
    path.write_text(TINY.read_text().replace("kl: 1.0e-4", f"kl: {written}"))
    assert load_params(path).autoencoder.loss.kl == 1e-8


def test_every_message_is_one_line() -> None:
    assert "\n" not in message(edited(dit__nonsense=1))


def test_absent_and_broken_files_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="not found; run from the project's folder"):
        load_params(tmp_path / "params.yaml")
    (tmp_path / "params.yaml").write_text("dit: [1, 2\nseed: 3\n")
    with pytest.raises(ParamsError, match=r"is not valid YAML: .*line 2") as caught:
        load_params(tmp_path / "params.yaml")
    assert "\n" not in str(caught.value)
    (tmp_path / "params.yaml").write_text("")
    with pytest.raises(ParamsError, match="the file is null, expected a section of keys"):
        load_params(tmp_path / "params.yaml")


def message(values: object) -> str:
    with pytest.raises(ParamsError) as caught:
        parse_params(values)
    return str(caught.value)


def test_demo_clips_may_be_short_where_they_are_not_what_is_learnt_from() -> None:
    parse_params(edited(demo_data__clip_sec=1.0, data__raw="videos"))


def test_a_key_that_stands_twice_is_refused_with_both_lines(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(TINY.read_text() + "seed: 8\n")
    last, first = len(path.read_text().splitlines()), 1 + TINY.read_text().splitlines().index("seed: 7")
    with pytest.raises(ParamsError, match=rf'is not valid YAML: "seed" stands twice in a section \(lines {first} and {last}\); remove one'):
        load_params(path)


def test_text_that_is_not_utf8_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes(b"seed: \xff")
    with pytest.raises(ParamsError, match=r"params\.yaml is not valid YAML: byte 6 is not UTF-8$"):
        load_params(tmp_path / "params.yaml")
