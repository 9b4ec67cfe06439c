"""Captions through CLIP's text encoder: its own hidden states, whole or refused, each caption once whatever happens."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pipeline.contracts.captions import read_captions
from pipeline.contracts.outputs import Work
from pipeline.errors import WeightsError
from pipeline.params import PretrainedParams
from stages.latents import TextEncoder, load_text_encoder
from stages.latents import text as text_module
from stages.latents.text import cache_captions

CPU = torch.device("cpu")


def named(folder: Path) -> PretrainedParams:
    return PretrainedParams(source=str(folder), revision=None, subfolder=None, sha256=None)


def test_a_text_is_the_last_hidden_states_of_its_padded_tokens(text_encoder: Path) -> None:
    found = load_text_encoder(named(text_encoder), CPU).embed(["rain", "wind"])
    assert found.shape == (2, 12, 8) and found.dtype == np.float16
    start, end, r, a, i, n = 52, 53, 17, 0, 8, 26 + 13  # the last letter of a word is another token
    model = CLIPTextModel.from_pretrained(text_encoder)
    states = model(input_ids=torch.tensor([[start, r, a, i, n, *[end] * 7]])).last_hidden_state
    assert np.allclose(found[0], states[0].detach().numpy(), atol=2e-3)


def test_a_long_text_is_cut_and_the_company_of_a_text_changes_nothing_but_rounding(text_encoder: Path) -> None:
    encoder = load_text_encoder(named(text_encoder), CPU)
    long = encoder.embed(["abcdefghijklmnop"])
    assert long.shape == (1, 12, 8)
    assert np.allclose(encoder.embed(["x"] * 40 + ["abcdefghijklmnop"])[-1], long[0], atol=2e-3)


def test_the_text_half_of_a_whole_clip_will_do(text_encoder: Path, tmp_path: Path) -> None:
    text = CLIPTextConfig.from_pretrained(text_encoder)
    vision = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 8, "patch_size": 4}
    whole = CLIPModel(CLIPConfig(text_config=text.to_dict(), vision_config=vision))
    whole.save_pretrained(tmp_path)
    CLIPTokenizer.from_pretrained(text_encoder).save_pretrained(tmp_path)
    encoder = load_text_encoder(named(tmp_path), CPU)
    weights = whole.state_dict()
    for name, weight in encoder.model.state_dict().items():
        assert torch.equal(weight, weights[name if name in weights else f"text_model.{name}"]), name
    encoder.save(tmp_path / "text")
    assert np.array_equal(load_text_encoder(named(tmp_path / "text"), CPU).embed(["rain"]), encoder.embed(["rain"]))


def test_missing_weights_a_missing_tokenizer_and_a_foreign_one_are_refused(text_encoder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(text_encoder, folder)
    weights = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in weights.items() if "k_proj" not in name}, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WeightsError, match=r"latents.text_encoder: .* does not hold CLIP's text encoder \(2 of its weights are missing"):
        load_text_encoder(named(folder), CPU)
    shutil.copy(text_encoder / "model.safetensors", folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(WeightsError, match=r"the tokenizer in .* cannot be read .*; fetch the folder anew"):
        load_text_encoder(named(folder), CPU)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(WeightsError, match=r"knows \d+ tokens, the network 54; tokenizer.json is missing or of another model"):
        load_text_encoder(named(folder), CPU)
    with pytest.raises(WeightsError, match=r"latents.text_encoder.source is nowhere, which is neither a folder here nor a hub id"):
        load_text_encoder(replace(named(folder), source="nowhere"), CPU)


def test_after_a_kill_what_was_embedded_is_not_embedded_again(text_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = load_text_encoder(named(text_encoder), CPU)
    texts = {f"{i:016x}_000000": word for i, word in enumerate(["rain", "wind", "fire", "rain", "sea"])}
    works = []
    for name in ("whole", "killed"):
        (tmp_path / name / "out").mkdir(parents=True)
        (tmp_path / name / "scratch").mkdir()
        works.append(Work(tmp_path / name / "out", tmp_path / name / "scratch", {}))
    monkeypatch.setattr(text_module, "PART", 2)
    assert cache_captions(works[0], texts, encoder) == 4
    embed, asked = TextEncoder.embed, []

    def watched(self: TextEncoder, some: list[str]) -> np.ndarray:
        asked.append(some)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return embed(self, some)

    monkeypatch.setattr(TextEncoder, "embed", watched)
    with pytest.raises(KeyboardInterrupt):
        cache_captions(works[1], texts, encoder)
    cache_captions(works[1], texts, encoder)
    assert asked == [["fire", "rain"], ["sea", "wind"], ["sea", "wind"]]
    for name in ("captions.parquet", "captions.npy"):
        assert (works[0].folder / name).read_bytes() == (works[1].folder / name).read_bytes()
    assert read_captions(works[1].folder).rows == {key: ["fire", "rain", "sea", "wind"].index(text) for key, text in texts.items()}
