"""DeSync as a figure: what the network says in seconds, beside wrong pairs, or a reason. `pytest tests/stages/evaluate/test_desync.py`"""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.contracts.window_sets import Window
from pipeline.params import ExtractorsParams, PretrainedParams
from stages.evaluate import desync
from stages.evaluate.evaluation import Group
from stages.evaluate.extractors.catalogue import Catalogue
from stages.evaluate.extractors.extractor import InputContract
from stages.evaluate.extractors.synchformer import Synchformer, SynchformerNetwork
from stages.evaluate.figures import Figure, NotComputable
from stages.evaluate.folders import Folders, evaluate_folders
from stages.evaluate.protocol import load_protocol
from stages.evaluate.windows import Paired
from tests.stages.evaluate.listed import AUDIO, CLIP, Listed, evaluation

LONG = dataclasses.replace(CLIP, num_frames=48)
CPU = torch.device("cpu")
NOTHING = ExtractorsParams(**dict.fromkeys((field.name for field in dataclasses.fields(ExtractorsParams)), None))
SMALL = {"width": 8, "depth": 1, "heads": 2, "head_depth": 1, "head_heads": 2}


class Planted:
    """Hears which window a sound is of: in step beside its own picture, `wrong` classes away beside another's."""

    __module__ = Synchformer.__module__  # features are known by the code that takes them
    name, version, modality, metrics, scale, batch_size = Synchformer.name, "1", "joint", (), 1.0, 4
    contract, device, weights, input = InputContract(), CPU, "", ""

    def __init__(self, own: tuple[int, int], wrong: tuple[int, int]) -> None:
        """Args:
            own: class of the first and of the last 4.8 s of a true pair.
        """
        self.own, self.wrong, self.released = own, wrong, 0

    def __call__(self, windows: list[Window]) -> Tensor:
        logits = torch.zeros(len(windows), 2, 21)
        for row, window in zip(logits, windows, strict=True):
            for part, answer in zip(row, self.own if window.frames.flat[0] == window.waveform[0] else self.wrong, strict=True):
                part[answer] = 1.0
        return logits

    def release(self) -> None:
        self.released += 1


def marked(count: int) -> Listed:
    """Windows whose picture and sound carry the same number."""
    return Listed([Window(f"w{i}", i % 2, np.full((48, 4, 4, 3), i, np.uint8), np.full(76800, i, np.int16)) for i in range(count)])


def measured(extractor: Planted, *tasks: str) -> dict[str, Figure]:
    whole = evaluation(clip=LONG, extractors=[extractor])
    for task in tasks:
        desync.measure(whole, Group(task, marked(8)))
    assert not whole.figures.missing
    return {figure.task: figure for figure in whole.figures.found}


def test_the_figure_is_the_mean_distance_from_zero_of_both_ends_beside_that_of_wrong_pairs() -> None:
    extractor = Planted(own=(10, 12), wrong=(0, 15))
    found = measured(extractor, "real", "svg", "a2v")
    for figure in found.values():
        assert figure.name == "desync_synchformer" and figure.extractor == "synchformer"
        assert figure.value == pytest.approx(0.2), "0 s and 0.4 s"
        assert figure.floor == pytest.approx(1.5), "-2 s and 1 s: the sign does not count"
        assert figure.floor_kind == "picture beside the sound of another source"
        assert figure.low == pytest.approx(0.2) and figure.num_samples == 8 and figure.valid
    assert extractor.released == 3, "the network is given back"


def test_a_network_that_tells_real_pairs_from_wrong_ones_only_the_wrong_way_round_is_not_valid_here() -> None:
    for figure in measured(Planted(own=(0, 0), wrong=(10, 10)), "real", "svg").values():
        assert not figure.valid and figure.note.startswith("not valid here: real clips in their true pairs are not below real clips in")
        assert (figure.value, figure.floor) == (2.0, 0.0)


@pytest.mark.parametrize(("answer", "seconds"), [(10, 0.0), (3, 1.4), (20, 2.0)])
def test_a_network_that_always_gives_one_class_gives_its_seconds(answer: int, seconds: float, tmp_path: Path) -> None:
    network = SynchformerNetwork(**SMALL)
    with torch.no_grad():
        network.transformer.off_head.weight.zero_()
        network.transformer.off_head.bias.zero_()[answer] = 1.0
    file = tmp_path / "synchformer_state_dict.pth"
    torch.save(network.state_dict(), file)
    small = type("Small", (Synchformer,), {"sizes": SMALL, "__module__": Synchformer.__module__})(file, CPU, AUDIO.sample_rate_hz)
    whole = evaluation(clip=LONG, extractors=[small])
    desync.measure(whole, Group("real", marked(2)))
    (figure,) = whole.figures.found
    assert figure.value == figure.floor == pytest.approx(seconds) and figure.weights == small.weights and len(figure.weights) == 64
    assert not figure.valid, "it tells nothing apart"


@pytest.mark.parametrize(("clip", "entry", "reason"), [
    (CLIP, None, "is undefined under 4.8 s, windows have 1.6 s; events, av_align and beats are for short ones"),
    (LONG, None, "needs synchformer_state_dict.pth of MMAudio's release v0.1 (Synchformer 24-01-04T16-39-21); "
                 "set evaluate.extractors.synchformer to its source: a local file or folder, a URL, or a hub id"),
])
def test_short_windows_and_absent_weights_have_a_reason_and_no_figure(clip, entry, reason: str) -> None:  # type: ignore[no-untyped-def]
    _, absent = Catalogue(NOTHING, clip, AUDIO.sample_rate_hz, CPU).published([Synchformer.name])
    whole = evaluation(clip=clip, absent=absent)
    desync.measure(whole, Group("svg", marked(2)))
    assert not whole.figures.found
    assert [(figure.name, figure.not_computed) for figure in whole.figures.missing] == [("desync_synchformer", reason)]


def test_weights_that_cannot_be_fetched_are_told_with_the_entry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    source = PretrainedParams(source="http://127.0.0.1:9/synchformer_state_dict.pth", revision=None, subfolder=None, sha256="8aff082f")
    _, (absent,) = Catalogue(dataclasses.replace(NOTHING, synchformer=source), LONG, 16000, CPU).published([Synchformer.name])
    assert absent.reason.startswith("needs synchformer_state_dict.pth of MMAudio's release v0.1")
    assert "set evaluate.extractors.synchformer.source to a local file" in absent.reason and "\n" not in absent.reason


def test_folders_of_long_videos_have_a_desync(tmp_path: Path, make_clip, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    for folder in ("generated", "reference"):
        for i in range(4):
            make_clip(tmp_path / folder / f"{i}.mp4", 5.0, 10, (32, 32), event_sec=1 + 0.5 * i, tone_hz=300 + 50 * i)
    torch.save(SynchformerNetwork(**SMALL).state_dict(), tmp_path / "synchformer_state_dict.pth")
    monkeypatch.setattr(Synchformer, "sizes", SMALL)
    source = PretrainedParams(source=str(tmp_path / "synchformer_state_dict.pth"), revision=None, subfolder=None, sha256=None)
    protocol = dataclasses.replace(load_protocol("demo"), extractors=(Synchformer.name,), measures=("desync",), replicates=20)
    folders = Folders(generated=tmp_path / "generated", reference=tmp_path / "reference", floor=None, halved=True, train=None)
    entries = dataclasses.replace(NOTHING, synchformer=source)
    figures = evaluate_folders(folders, protocol, entries, tmp_path / "out", CPU)
    assert [figure.task for figure in figures.found] == ["real", "svg"] and not figures.missing
    assert all(0 <= figure.value <= 2 and figure.floor is not None and figure.num_frames == 50 for figure in figures.found)
    assert evaluate_folders(folders, protocol, entries, tmp_path / "out", CPU).found == figures.found


def test_a_protocol_without_the_network_says_where_to_name_it() -> None:
    whole = evaluation(clip=LONG)
    desync.measure(whole, Group("svg", marked(2)))
    assert whole.figures.missing[0].not_computed == "needs the network; add synchformer to the extractors of protocol demo"


@pytest.mark.parametrize("task", ["v", "a", "i2a"])
def test_tasks_of_one_modality_have_no_desync(task: str) -> None:
    whole = evaluation(clip=LONG, extractors=[Planted((0, 0), (0, 0))])
    desync.measure(whole, Group(task, marked(2)))
    assert not whole.figures.found and not whole.figures.missing


def test_one_source_alone_has_a_figure_and_no_floor() -> None:
    whole = evaluation(clip=LONG, extractors=[Planted((9, 9), (0, 0))])
    desync.measure(whole, Group("svg", Listed(marked(2).windows, ["one", "one"])))
    (figure,) = whole.figures.found
    assert figure.value == pytest.approx(0.2) and figure.floor is None


def test_classes_are_21_offsets_from_minus_two_to_two_seconds() -> None:
    logits = np.eye(21)[:, None].repeat(2, 1)
    assert desync.offsets(logits).each.tolist() == pytest.approx(np.abs(np.linspace(-2, 2, 21)).tolist())


def test_logits_that_are_not_finite_are_no_figure() -> None:
    logits = np.zeros((3, 2, 21))
    logits[1, 1, 4] = np.nan
    with pytest.raises(NotComputable, match="needs finite features"):
        desync.offsets(logits)


def test_pairs_are_the_picture_of_one_and_the_sound_of_the_other_with_an_address_of_both() -> None:
    windows = marked(3)
    paired = Paired(windows, np.array([[0, 1], [2, 0]]))
    assert [(window.frames.flat[0], window.waveform[0], window.name) for window in paired] == [
        (0, 1, "w0 beside the sound of w1"), (2, 0, "w2 beside the sound of w0")]
    assert paired.names == ["w0 beside the sound of w1", "w2 beside the sound of w0"] == paired.addresses
    assert paired.class_ids == [0, 0] and paired.origins == [("w0", 0.0), ("w2", 0.0)] and len(paired) == 2
