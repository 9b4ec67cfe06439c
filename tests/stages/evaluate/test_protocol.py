"""Protocols as data: each can be read, names what exists, and says for which windows it is."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from pipeline import params_evaluate
from pipeline.contracts.window_sets import Window
from pipeline.errors import ParamsError
from pipeline.params import ClipParams
from pipeline.params_evaluate import PROTOCOLS, protocol_names
from pipeline.preset import NAMES, preset_params
from stages.evaluate import protocol as protocols
from stages.evaluate.extractors.catalogue import LOCAL, PUBLISHED
from stages.evaluate.measures import MEASURES
from stages.evaluate.protocol import load_protocol
from stages.evaluate.windows import Resized
from tests.stages.evaluate.listed import Listed

CLIP = ClipParams(frame_size_px=256, fps=10, num_frames=16, window_stride=1, fit="pad", max_sec=10.0)


@pytest.mark.parametrize("name", protocol_names())
def test_every_protocol_names_extractors_and_measures_that_exist(name: str) -> None:
    protocol = load_protocol(name)
    assert set(protocol.extractors) <= {LOCAL, *PUBLISHED} and set(protocol.measures) <= set(MEASURES)
    assert len(protocol.about) > 80, "whose it is, and what in it is assumed"


def test_the_protocols_of_the_field_are_there_and_every_preset_asks_for_some() -> None:
    assert {"mm-ldm-256", "mm-ldm-64", "mm-diffusion", "cmmd", "demo"} <= set(protocol_names())
    for name in NAMES:
        params = preset_params(name)
        fitting = [protocol for protocol in params.evaluate.protocols if not load_protocol(protocol).mismatch(params.clip)]
        assert fitting, f"{name}: no protocol of evaluate.protocols is for its windows"
    assert not any(load_protocol(name).mismatch(CLIP) for name in preset_params("landscape").evaluate.protocols)


@pytest.mark.parametrize(("name", "change", "says"), [
    ("mm-diffusion", {"fps": 4}, "needs 10 frames a second, clip.fps is 4"),
    ("cmmd", {}, "needs windows of 18 frames, clip.num_frames is 16"),
    ("mm-ldm-256", {"frame_size_px": 64}, "needs frames of 256 px, clip.frame_size_px is 64; none is enlarged"),
    ("mm-ldm-256", {"frame_size_px": 512}, "needs frames of 256 px as they are"),
])
def test_windows_of_another_shape_are_named_with_both_numbers(name: str, change: dict[str, int], says: str) -> None:
    assert load_protocol(name).mismatch(dataclasses.replace(CLIP, **change)).startswith(says)


def test_a_protocol_with_a_wrong_field_names_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PROTOCOLS / "demo.yaml").read_text().replace("replicates", "replicate")
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setattr(params_evaluate, "PROTOCOLS", tmp_path)
    monkeypatch.setattr(protocols, "PROTOCOLS", tmp_path)
    with pytest.raises(ParamsError, match=r'protocols/mine\.yaml: protocol has no key "replicate"; did you mean "replicates"'):
        load_protocol("mine")


@pytest.mark.parametrize("resize", ["bilinear_antialiased", "bicubic"])
def test_frames_come_to_the_size_of_a_protocol_by_the_resize_that_it_names(resize) -> None:  # type: ignore[no-untyped-def]
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 48, 3), dtype=np.uint8)
    windows = Listed([Window("w", 0, frames, np.zeros(10, np.int16))])
    small = Resized(windows, 16, resize)
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).double()
    antialias = resize == "bilinear_antialiased"
    expected = F.interpolate(images, size=(16, 16), mode="bilinear" if antialias else "bicubic", antialias=antialias)
    assert np.abs(small[0].frames.astype(float) - expected.clamp(0, 255).permute(0, 2, 3, 1).numpy()).max() <= 0.51, "rounded to 8 bits"
    assert small.addresses != windows.addresses and resize in small.addresses[0] and small.names == windows.names
