"""The dit stage on a handful of latents whose sound and picture belong together.

    pytest tests/stages/dit/test_train.py
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.contracts.captions import read_captions, write_captions
from pipeline.contracts.latents import LatentStatistics, latent_sample, write_statistics
from pipeline.contracts.outputs import stage_output
from pipeline.errors import DataError, ParamsError, WeightsError
from pipeline.params import ComputeParams, DiTParams, load_params
from stages.dit import NULL_CLASS, load, run
from stages.dit.data import batch_indices, draw, mean, open_posteriors
from stages.dit.objective import DiTLoss
from stages.dit.pairs import ContinuedWindows, following_pairs
from stages.sample.samplers import Sampling
from stages.sample.tasks import Request, generate
from tests.shards import write_shards

PARAMS = Path(__file__).parents[3] / "params.yaml"
AUDIO, VIDEO, TEXT = (2, 1, 2), (3, 2, 2), (4, 6)
CLIP = load_params(PARAMS).clip
CPU = ComputeParams(device="cpu", num_threads=1, num_workers=1, dask_scheduler=None)


def write_latents(folder: Path, splits: str = "train test", *, captioned: bool = False) -> Path:
    """32 and 16 windows; z_v is the opposite of z_a, so that either tells the other, and so does the caption where there is one."""
    rng = np.random.default_rng(0)
    statistics = LatentStatistics(AUDIO, VIDEO, (5.0,) * 2, (2.0,) * 2, (-5.0,) * 3, (2.0,) * 3, ("left", "right"),
                                  TEXT if captioned else ())
    texts = {}
    with stage_output(folder, params={}, inputs={}, code=folder.parent) as work:
        samples = []
        for i in range(48):
            value = 5 + 2 * rng.choice([-1, 1]) + 0.3 * rng.normal()
            audio = np.concatenate([np.full(AUDIO, value), np.full(AUDIO, -8)]).astype(np.float16)
            video = np.concatenate([np.full(VIDEO, -value), np.full(VIDEO, -8)]).astype(np.float16)
            meta = {"clip_id": f"clip{i:02d}", "start_frame": 0, "class_id": int(value > 5), "split": "train" if i < 32 else "test"}
            texts[str(meta["clip_id"])] = "up" if value > 5 else "down"
            if str(meta["split"]) in splits:
                samples.append(latent_sample(audio, video, meta))
        write_shards(work, samples)
        write_statistics(work.folder, statistics)
        if captioned:
            np.save(work.scratch / "part.npy", rng.normal(size=(2, *TEXT)).astype(np.float16))
            write_captions(work.folder, texts, ["down", "up"], [work.scratch / "part.npy"], TEXT)
    return folder


def tiny(**changes: object) -> DiTParams:
    dit = load_params(PARAMS).dit
    train = replace(dit.train, steps=250, batch_size=32, grad_accumulation=1, learning_rate=2e-3, warmup_steps=10, ema_decay=0.9,
                    precision="fp32", log_every=25, checkpoint_every=125)
    sizes = {"hidden_size": 32, "depth": 2, "num_heads": 2, "audio_patch_size": 1, "video_patch_size": 1}
    return replace(dit, **{**sizes, "context": "class", "prediction": "v_prediction", "zero_terminal_snr": True, "a2v_share": 0.2,
                           "v2a_share": 0.2, "train": train, **changes})


@pytest.fixture(scope="module")
def latents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_latents(tmp_path_factory.mktemp("data") / "latents")


@pytest.fixture(scope="module")
def trained(latents: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("out") / "dit"
    run(seed=1, compute=CPU, clip=CLIP, dit=tiny(), latents=latents, out=out)
    return out


def test_loss_falls_and_the_conditions_are_heard(trained: Path) -> None:
    held_out = json.loads((trained / "metrics.json").read_text())["held_out"]
    first = json.loads((trained / "train.jsonl").read_text().splitlines()[0])
    assert held_out["loss"] < 0.6 * first["dit/loss"]
    assert held_out["a2v_video"] < 0.5 * held_out["a2v_video_shuffled"]
    assert held_out["v2a_audio"] < 0.5 * held_out["v2a_audio_shuffled"]


def test_a_warm_start_begins_where_the_earlier_network_is(trained: Path, latents: Path, tmp_path: Path) -> None:
    few = tiny(train=replace(tiny().train, steps=2, warmup_steps=0, learning_rate=1e-6, checkpoint_every=2, log_every=1))
    run(seed=1, compute=CPU, clip=CLIP, dit=few, latents=latents, out=tmp_path / "dit", warm_start=str(trained))
    before, after = (json.loads((folder / "metrics.json").read_text())["held_out"]["loss"] for folder in (trained, tmp_path / "dit"))
    assert after == pytest.approx(before, rel=0.01)
    with pytest.raises(WeightsError, match=r"warm_start\.dit is /nowhere, which holds no \.safetensors; run: dvc pull, or set it to null"):
        run(seed=1, compute=CPU, clip=CLIP, dit=few, latents=latents, out=tmp_path / "none", warm_start="/nowhere")
    (tmp_path / "damaged").mkdir()
    weights = next(trained.glob("*.safetensors"))
    (tmp_path / "damaged" / weights.name).write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(WeightsError, match=rf"{weights.name} is damaged \(.*\); run: mmldm check"):
        run(seed=1, compute=CPU, clip=CLIP, dit=few, latents=latents, out=tmp_path / "none", warm_start=str(tmp_path / "damaged"))


def test_generated_pictures_follow_the_given_sound(trained: Path) -> None:
    """After training, z_v of a2v is the opposite of its own z_a, and not of another sample's."""
    dit = load(trained, torch.device("cpu"))
    given = torch.tensor([7.0, 3.0, 7.0, 3.0, 3.0, 7.0]).view(-1, 1, 1, 1).expand(-1, *AUDIO)
    _, video = generate(dit, Request("a2v", list(range(6)), torch.full((6,), NULL_CLASS), audio=given), Sampling("ddim", 10, 1.5))
    made = video.mean(dim=(1, 2, 3))
    own, another = ((made + sound.mean(dim=(1, 2, 3))).square().mean() for sound in (given, given.flip(0)))
    assert own < 0.25 * another


def test_a_killed_training_goes_on_and_ends_with_the_same_bytes(latents: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = tiny(train=replace(tiny().train, steps=9, warmup_steps=0, log_every=3, checkpoint_every=3))
    arguments = {"seed": 1, "compute": CPU, "clip": CLIP, "dit": short, "latents": latents}
    run(**arguments, out=tmp_path / "whole/dit")
    forward, calls = DiTLoss.forward, []

    def killed_in_the_eighth_step(self: DiTLoss, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        calls.append(len(batch))
        if len(calls) == 8:
            raise KeyboardInterrupt
        return forward(self, batch)

    monkeypatch.setattr(DiTLoss, "forward", killed_in_the_eighth_step)
    with pytest.raises(KeyboardInterrupt):
        run(**arguments, out=tmp_path / "cut/dit")
    run(**arguments, out=tmp_path / "cut/dit")
    assert len(calls) == 8 + 3  # from the checkpoint of step 6
    for path in (tmp_path / "whole/dit").iterdir():
        assert path.read_bytes() == (tmp_path / "cut/dit" / path.name).read_bytes(), path.name


def test_trained_network_comes_back_with_its_settings(trained: Path) -> None:
    dit = load(trained, torch.device("cpu"))
    assert dit.params == tiny()
    assert dit.class_names == ("left", "right")
    assert not dit.network.training and dit.diffusion.prediction == "v_prediction"
    audio, video = dit.scale.normalise(torch.full((1, *AUDIO), 7.0), torch.full((1, *VIDEO), -5.0))
    assert (audio == 1).all() and (video == 0).all()
    assert (dit.scale.denormalise(audio, video)[0] == 7).all()


@pytest.mark.parametrize("changes", [
    {"prediction": "flow", "zero_terminal_snr": False, "timesteps": "logit_normal"},
    {"prediction": "epsilon", "zero_terminal_snr": False, "min_snr_gamma": 5.0, "positions": "rope", "qk_norm": True},
], ids=["flow", "epsilon"])
def test_every_kind_of_training_learns_to_listen(latents: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    run(seed=1, compute=CPU, clip=CLIP, dit=tiny(**changes), latents=latents, out=tmp_path / "dit")
    held_out = json.loads((tmp_path / "dit/metrics.json").read_text())["held_out"]
    assert held_out["a2v_video"] < 0.6 * held_out["a2v_video_shuffled"]
    assert held_out["v2a_audio"] < 0.6 * held_out["v2a_audio_shuffled"]


def test_a_text_is_read_in_training_and_in_sampling(tmp_path: Path) -> None:
    latents = write_latents(tmp_path / "latents", captioned=True)
    dit = tiny(context="text", train=replace(tiny().train, steps=100, checkpoint_every=100))
    run(seed=1, compute=CPU, clip=CLIP, dit=dit, latents=latents, out=tmp_path / "dit")
    held_out = json.loads((tmp_path / "dit/metrics.json").read_text())["held_out"]
    assert held_out["loss"] < 0.8 * held_out["loss_text_shuffled"]
    text = torch.from_numpy(read_captions(latents).embeddings[[0, 1]].copy())  # "down", "up"
    audio, video = generate(load(tmp_path / "dit", torch.device("cpu")),
                            Request("svg", [1, 2], torch.full((2,), NULL_CLASS), text=text), Sampling("ddim", 20, 2.0))
    assert audio[0].mean() < 5 < audio[1].mean() and video[0].mean() > -5 > video[1].mean()


def test_a_text_without_embedded_captions_is_refused(latents: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dit.context is text, and data/latents holds no embedded captions; set latents.text_encoder"):
        run(seed=1, compute=CPU, clip=CLIP, dit=tiny(context="text"), latents=latents, out=tmp_path / "dit")


def write_continuing_latents(folder: Path) -> Path:
    """Clips of two windows, the second the opposite of the first."""
    rng = np.random.default_rng(0)
    with stage_output(folder, params={}, inputs={}, code=folder.parent) as work:
        samples = []
        for i in range(48):
            sign = rng.choice([-1, 1])
            for start in (0, CLIP.num_frames):
                value = 5 + 2 * sign * (1 if start == 0 else -1)
                audio = np.concatenate([np.full(AUDIO, value), np.full(AUDIO, -8)]).astype(np.float16)
                video = np.concatenate([np.full(VIDEO, -value), np.full(VIDEO, -8)]).astype(np.float16)
                meta = {"clip_id": f"clip{i:02d}", "start_frame": start, "class_id": 0, "split": "train" if i < 32 else "test"}
                samples.append(latent_sample(audio, video, meta))
        write_shards(work, samples)
        write_statistics(work.folder, LatentStatistics(AUDIO, VIDEO, (5.0,) * 2, (2.0,) * 2, (-5.0,) * 3, (2.0,) * 3, ("left", "right")))
    return folder


def test_a_continuation_hears_what_came_before(tmp_path: Path) -> None:
    latents = write_continuing_latents(tmp_path / "latents")
    dit = tiny(continuation_share=0.5, train=replace(tiny().train, steps=150, checkpoint_every=150))
    run(seed=1, compute=CPU, clip=CLIP, dit=dit, latents=latents, out=tmp_path / "dit")
    held_out = json.loads((tmp_path / "dit/metrics.json").read_text())["held_out"]
    assert held_out["continuation"] < 0.5 * held_out["continuation_shuffled"]
    assert load(tmp_path / "dit", torch.device("cpu")).params.tasks[-3:] == ("long", "audio_continuation", "video_continuation")


def test_without_windows_that_follow_each_other_continuation_is_refused(latents: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no training clip holds two windows in a row .* set dit.continuation_share to 0"):
        run(seed=1, compute=CPU, clip=CLIP, dit=tiny(continuation_share=0.2), latents=latents, out=tmp_path / "dit")


def test_pairs_are_windows_of_one_clip_end_to_start() -> None:
    keys = [f"a_1-{start:04d}" for start in (0, 4, 8, 12)] + ["b-0002", "b-0010", "c-0008"]
    assert following_pairs(keys, 8) == [(0, 2), (1, 3), (4, 5)]


def test_a_batch_begins_with_its_continuations(tmp_path: Path) -> None:
    posteriors = open_posteriors(write_continuing_latents(tmp_path / "latents"), "train")
    continued = ContinuedWindows(posteriors, following_pairs(posteriors.keys, CLIP.num_frames))
    batch = continued.batch_at(3, batch_size=10, share=0.3, seed=1)
    assert len(batch["audio"]) == 10 and len(batch["previous_audio"]) == len(batch["previous_video"]) == 3
    before, after = mean(batch["previous_audio"]), mean(batch["audio"][:3])
    torch.testing.assert_close(after - 5, -(before - 5))
    other = continued.batch_at(4, 10, 0.3, 1)
    assert not torch.equal(other["audio"], batch["audio"])


@pytest.mark.parametrize("task_mix", ["video", "audio"])
def test_a_training_of_one_modality_names_that_one_alone(latents: Path, tmp_path: Path, task_mix: str) -> None:
    alone = tiny(task_mix=task_mix, a2v_share=0.0, v2a_share=0.0, train=replace(tiny().train, steps=50, checkpoint_every=50))
    run(seed=1, compute=CPU, clip=CLIP, dit=alone, latents=latents, out=tmp_path / "dit")
    held_out = json.loads((tmp_path / "dit/metrics.json").read_text())["held_out"]
    assert held_out["loss"] == held_out[task_mix] < 0.9
    assert set(held_out) == {"loss", task_mix, *(f"loss_t0{i}00" for i in (1, 3, 5, 7, 9))}


def test_two_runs_leave_the_same_bytes(latents: Path, tmp_path: Path) -> None:
    short = tiny(train=replace(tiny().train, steps=4, warmup_steps=0))
    for name in ("a", "b"):
        run(seed=1, compute=CPU, clip=CLIP, dit=short, latents=latents, out=tmp_path / name / "dit")
    files = sorted(path.name for path in (tmp_path / "a/dit").iterdir())
    assert "dit.safetensors" in files and "curves.csv" in files
    assert all((tmp_path / "a/dit" / name).read_bytes() == (tmp_path / "b/dit" / name).read_bytes() for name in files)


def test_every_window_is_seen_once_before_any_comes_again() -> None:
    seen = [i for step in range(7) for i in batch_indices(10, 4, step, seed=3)]
    assert sorted(seen[:10]) == sorted(seen[10:20]) == list(range(10))
    assert seen[:10] != seen[10:20]
    assert batch_indices(3, 8, 2, seed=3) == batch_indices(3, 8, 2, seed=3)


def test_shared_batch_have_the_posteriors_mean_and_deviation() -> None:
    torch.manual_seed(0)
    moments = torch.tensor([2.0, 2 * np.log(0.5)]).view(1, 2, 1, 1).expand(50_000, 2, 1, 1).half()
    drawn = draw(moments)
    assert float(drawn.mean()) == pytest.approx(2, abs=0.02) and float(drawn.std()) == pytest.approx(0.5, abs=0.02)
    assert (mean(moments) == 2).all()


def test_no_held_out_windows_is_said_in_one_line(tmp_path: Path) -> None:
    latents = write_latents(tmp_path / "latents", splits="train")
    with pytest.raises(DataError, match="no windows of the test split"):
        run(seed=1, compute=CPU, clip=CLIP, dit=tiny(), latents=latents, out=tmp_path / "dit")


def test_weights_of_another_size_are_refused(trained: Path, tmp_path: Path) -> None:
    other = tmp_path / "dit"
    other.mkdir()
    for path in trained.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    config = json.loads((other / "config.json").read_text())
    config["params"]["hidden_size"] = 64
    (other / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError, match=r"dit\.safetensors does not fit .* then: dvc repro"):
        load(other, torch.device("cpu"))


def test_noise_cannot_be_predicted_at_zero_snr() -> None:
    with pytest.raises(ParamsError, match=r"dit\.prediction is epsilon, expected v_prediction"):
        tiny(prediction="epsilon", zero_terminal_snr=True)
