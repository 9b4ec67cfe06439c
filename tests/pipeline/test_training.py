"""The training loop: pytest tests/pipeline/test_training.py"""

import csv
import dataclasses
import json
import os
import sys

import pytest
import torch
from torch import nn

from pipeline.contracts.outputs import Work
from pipeline.errors import TrainingError
from pipeline.params import ComputeParams, TrainParams
from pipeline.training import Phase, _State, lr_factor, train, update_average

PARAMS = TrainParams(steps=10, batch_size=4, grad_accumulation=1, learning_rate=1e-2, lr_schedule="cosine", warmup_steps=2,
                     weight_decay=0.01, grad_clip=1.0, ema_decay=0.9, precision="fp32", log_every=3, checkpoint_every=5,
                     gradient_checkpointing=False, compile=False, channels_last=False)
COMPUTE = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)


class Denoiser(nn.Module):
    """Learns to undo noise that it draws itself; leaves its guess for the critic."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8))

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        guess = self.net(batch["x"] + 0.1 * torch.randn_like(batch["x"]))
        return {"loss": (guess - batch["x"]).square().mean(), "guess": guess.detach()}


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.net = nn.Linear(8, 1)

    def forward(self, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": (self.net(batch["guess"]) - self.net(batch["x"])).mean() + self.net.weight.square().sum()}


class PowerCut(RuntimeError):
    pass


def batch_at(step: int) -> dict[str, torch.Tensor]:
    return {"x": torch.randn(4, 8, generator=torch.Generator().manual_seed(step))}


def run(folder, params=PARAMS, cut_at: int | None = None, **kwargs):
    work = Work(folder / "out", folder / "scratch", {})
    for path in (work.folder, work.scratch):
        path.mkdir(parents=True, exist_ok=True)

    def maybe_cut(step: int) -> dict[str, torch.Tensor]:
        if step == cut_at:
            raise PowerCut
        return batch_at(step)

    phases = [Phase("generator", Denoiser()), Phase("critic", Critic(), start_step=4)]
    return train("test", params, phases, maybe_cut, seed=3, compute=COMPUTE, work=work, **kwargs), work


def test_resume_is_exact_with_two_optimizers(tmp_path) -> None:
    whole, undisturbed = run(tmp_path / "whole")
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", cut_at=8)
    resumed, again = run(tmp_path / "cut")
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    for name in ("train.jsonl", "curves.csv"):
        assert (undisturbed.folder / name).read_bytes() == (again.folder / name).read_bytes()


class Payload:
    def __reduce__(self):
        return os.mkdir, ("owned",)


@pytest.mark.parametrize("damage", ["a flipped bit", "cut off", "empty", "a pickle that runs a command"])
def test_a_damaged_checkpoint_begins_anew_and_runs_nothing(damage: str, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    whole, _ = run(tmp_path / "whole")
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", cut_at=8)
    path = tmp_path / "cut/scratch/checkpoint.pt"
    content = bytearray(path.read_bytes())
    weights = torch.load(path, weights_only=True)["average"]["net.0.weight"].numpy().tobytes()
    content[content.index(weights) + 5] ^= 1
    if damage == "a pickle that runs a command":
        torch.save({"step": Payload()}, path)
    else:
        path.write_bytes({"a flipped bit": content, "cut off": content[:len(content) // 2], "empty": b""}[damage])
    resumed, _ = run(tmp_path / "cut")
    assert "is damaged; the training begins anew" in capsys.readouterr().err
    assert not (tmp_path / "owned").exists()
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))


def test_fp16_on_a_cpu_is_fp32_and_says_so(tmp_path, capsys) -> None:
    half, _ = run(tmp_path / "half", dataclasses.replace(PARAMS, precision="fp16"))
    assert "fp32 (fp16 needs a GPU) on cpu" in capsys.readouterr().err
    plain, _ = run(tmp_path / "plain")
    assert all(torch.equal(a, b) for a, b in zip(half.state_dict().values(), plain.state_dict().values(), strict=True))


def test_a_checkpoint_holds_the_scale_of_fp16(tmp_path) -> None:
    """torch's own scaler on the CPU: two finite steps double its scale, a fresh one takes the doubled scale up."""
    module = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(module.parameters())
    log = tmp_path / "train.jsonl"
    log.write_text("")

    def state(scaler: torch.amp.GradScaler) -> _State:
        return _State([module], module, [optimizer], scaler, Work(tmp_path, tmp_path, {}))

    scaler = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    for _ in range(2):
        optimizer.zero_grad()
        scaler.scale(module(torch.ones(1, 2)).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert scaler.get_scale() == 8.0
    state(scaler).save(2, log)
    fresh = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2)
    assert state(fresh).load("test") == 2 and fresh.get_scale() == 8.0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="fp16 needs a GPU")
def test_an_fp16_training_learns_and_resumes_exactly(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "COMPUTE", dataclasses.replace(COMPUTE, device="cuda"))
    half = dataclasses.replace(PARAMS, precision="fp16")
    whole, undisturbed = run(tmp_path / "whole", half)
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", half, cut_at=8)
    resumed, _ = run(tmp_path / "cut", half)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True))
    losses = [json.loads(line)["generator/loss"] for line in (undisturbed.folder / "train.jsonl").read_text().splitlines()]
    assert losses[-1] < losses[0]


def test_log_has_losses_of_both_phases_and_plots_read_them(tmp_path) -> None:
    _, work = run(tmp_path, validate=lambda module: {"error": 0.5})
    lines = [json.loads(line) for line in (work.folder / "train.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [3, 5, 6, 9, 10]
    assert "critic/loss" not in lines[0] and "critic/loss" in lines[-1] and lines[1]["val/error"] == 0.5
    rows = list(csv.DictReader((work.folder / "curves.csv").open()))
    assert [float(row["generator/loss"]) for row in rows] == [line["generator/loss"] for line in lines]


def test_curves_can_be_watched_under_dvc_and_no_output_knows_of_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "by_hand")
    assert not (tmp_path / "dvclive").exists()
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    run(tmp_path / "by_dvc")
    undisturbed = bytes_of(tmp_path / "dvclive")
    rows = (tmp_path / "dvclive/test/plots/metrics/generator/loss.tsv").read_text().splitlines()
    assert rows[0] == "step\tloss" and [row.split("\t")[0] for row in rows[1:]] == ["3", "5", "6", "9", "10"]
    with pytest.raises(PowerCut):
        run(tmp_path / "cut", cut_at=7)
    run(tmp_path / "cut")
    assert bytes_of(tmp_path / "dvclive") == undisturbed
    assert bytes_of(tmp_path / "by_hand/out") == bytes_of(tmp_path / "by_dvc/out") == bytes_of(tmp_path / "cut/out")


def bytes_of(folder) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_not_a_number_stops_before_the_optimizer_moves(tmp_path) -> None:
    class Broken(Denoiser):
        def forward(self, batch):
            losses = super().forward(batch)
            return {"loss": losses["loss"] * (float("nan") if batch["x"].sum() == 0 else 1.0)}

    broken = Broken()
    work = Work(tmp_path, tmp_path, {})
    before = {}

    def batches(step: int):
        if step == 3:
            before.update({k: v.clone() for k, v in broken.state_dict().items()})
            return {"x": torch.zeros(4, 8)}
        return batch_at(step)

    with pytest.raises(TrainingError, match=r"generator's loss is not finite at step 3 .*Lower the learning_rate of test"):
        train("test", PARAMS, [Phase("generator", broken)], batches, seed=3, compute=COMPUTE, work=work)
    assert all(torch.equal(before[k], v) for k, v in broken.state_dict().items())


def test_a_gradient_that_is_not_a_number_stops_too(tmp_path) -> None:
    class Broken(Denoiser):
        def forward(self, batch):
            root = (self.net(batch["x"]) * 0).sum().abs().sqrt()  # its value is 0, its slope is not a number
            return {"loss": root}

    with pytest.raises(TrainingError, match=r"not finite at step 0 .*grad_norm nan"):
        train("test", PARAMS, [Phase("generator", Broken())], batch_at, seed=3, compute=COMPUTE, work=Work(tmp_path, tmp_path, {}))


def test_accumulated_batches_equal_one_large_batch(tmp_path) -> None:
    class Plain(Denoiser):
        def forward(self, batch):
            return {"loss": (self.net(batch["x"]) - batch["x"]).square().mean()}

    def trained(folder, accumulation, batches):
        folder.mkdir()
        params = dataclasses.replace(PARAMS, grad_accumulation=accumulation, ema_decay=0.0, steps=4, warmup_steps=0)
        return train("test", params, [Phase("g", Plain())], batches, seed=3, compute=COMPUTE, work=Work(folder, folder, {}))

    two = trained(tmp_path / "two", 2, batch_at)
    one = trained(tmp_path / "one", 1, lambda s: {"x": torch.cat([batch_at(2 * s)["x"], batch_at(2 * s + 1)["x"]])})
    for a, b in zip(two.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_learning_rate_warms_up_and_ends_near_zero() -> None:
    assert [lr_factor(s, PARAMS) for s in (0, 1, 2)] == [0.5, 1.0, 1.0]
    assert lr_factor(6, PARAMS) == pytest.approx(0.5) and lr_factor(9, PARAMS) < 0.05


def test_average_is_the_formula() -> None:
    average, module = nn.Linear(2, 2), nn.Linear(2, 2)
    expected = 0.9 * average.weight.detach() + 0.1 * module.weight.detach()
    update_average(average, module, decay=0.9)
    torch.testing.assert_close(average.weight.detach(), expected)
