"""What is done for memory and speed changes no result: pytest tests/pipeline/test_training_options.py"""

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from pipeline.contracts.outputs import Work
from pipeline.errors import TrainingError
from pipeline.params import load_params
from pipeline.training import Phase, train
from pipeline.training_options import compile_blocks, recompute_activations, repeated_blocks, set_memory_format
from stages.autoencoder.discriminator import Discriminator
from stages.autoencoder.model import MultiModalAutoencoder, Shapes
from stages.autoencoder.objectives import DiscriminatorObjective, GeneratorObjective, Judge
from stages.dit.model import JointDiT
from stages.klvae.model import KLVAE, build_scratch

TINY = load_params(Path(__file__).parents[1] / "presets/tiny.yaml")
CPU = torch.device("cpu")
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")


def moved(network: nn.Module) -> nn.Module:
    """With its zero-initialised layers moved, so that every path has a gradient."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return network


def adversarial() -> tuple[list[nn.Module], Callable[[], Tensor]]:
    """Autoencoder, discriminator and KL-VAE, and the sum of both phases' losses on one batch."""
    torch.manual_seed(0)
    model = moved(MultiModalAutoencoder(TINY.autoencoder, Shapes(4, 4, 16, ("bounce", "lamp"))))
    discriminator = moved(Discriminator(TINY.autoencoder.discriminator, 32))
    klvae = moved(KLVAE(build_scratch(TINY.klvae, TINY.kl_latent))).requires_grad_(False)
    generator = GeneratorObjective(model, Judge(discriminator, klvae))
    critic = DiscriminatorObjective(discriminator, "printed")

    def loss() -> Tensor:
        torch.manual_seed(1)
        batch = {"video": torch.randn(4, 16, 8, 4, 4), "audio": torch.randn(4, 8, 4, 4), "class_id": torch.arange(4) % 2,
                 "step": torch.tensor(10)}
        made = generator(batch)
        return made["loss"] + critic(made)["loss"]

    return [model, discriminator, klvae], loss


def transformer() -> tuple[list[nn.Module], Callable[[], Tensor]]:
    torch.manual_seed(0)
    network = moved(JointDiT(TINY.dit, (4, 2, 2), (4, 2, 2), 2))

    def loss() -> Tensor:
        torch.manual_seed(1)
        audio, video = network(torch.randn(3, 4, 2, 2), torch.randn(3, 4, 2, 2), torch.tensor([1, 500, 999]))
        return audio.square().mean() + video.square().mean()

    return [network], loss


NETWORKS = {"autoencoder": adversarial, "dit": transformer}
OPTIONS: dict[str, Callable[[list[nn.Module]], object]] = {
    "gradient_checkpointing": recompute_activations,
    "channels_last": lambda networks: set_memory_format(networks, channels_last=True),
}


def gradients(networks: list[nn.Module]) -> Iterator[tuple[str, Tensor]]:
    for i, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            if parameter.grad is not None:
                yield f"{i}.{name}", parameter.grad


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", NETWORKS)
def test_losses_and_gradients_are_those_of_a_plain_training(name: str, option: str) -> None:
    plain_networks, plain_loss = NETWORKS[name]()
    expected = plain_loss()
    expected.backward()
    networks, loss = NETWORKS[name]()
    OPTIONS[option](networks)
    found = loss()
    found.backward()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    wanted = dict(gradients(plain_networks))
    assert wanted and wanted.keys() == dict(gradients(networks)).keys()
    for key, gradient in gradients(networks):
        torch.testing.assert_close(gradient, wanted[key], rtol=1e-3, atol=1e-5, msg=lambda text, key=key: f"{key}: {text}")


def test_recomputing_keeps_less_for_the_backward_pass() -> None:
    def kept(option: Callable[[list[nn.Module]], object] | None) -> int:
        networks, loss = adversarial()
        if option is not None:
            option(networks)
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss()
        return total

    assert kept(recompute_activations) < 0.5 * kept(None)


def test_every_network_has_blocks_to_work_on() -> None:
    for make in NETWORKS.values():
        for network in make()[0]:
            assert next(repeated_blocks([network]), None) is not None, type(network).__name__


class Fit(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = moved(Discriminator(dataclasses.replace(TINY.autoencoder.discriminator, channel_mult=(1,)), 8))

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        return {"loss": self.net(batch["x"]).square().mean()}


@pytest.mark.parametrize("options", [
    *([name] for name in OPTIONS), pytest.param(["compile", "gradient_checkpointing"], marks=[needs_compiler, pytest.mark.slow])])
def test_a_training_with_options_ends_as_without_and_its_weights_lie_as_usual(options: list[str], tmp_path: Path) -> None:
    def trained(folder: Path, **changes: Any) -> nn.Module:
        folder.mkdir()
        params = dataclasses.replace(TINY.dit.train, steps=5, checkpoint_every=5, ema_decay=0.5, **changes)
        return train("dit", params, [Phase("dit", Fit())], lambda step: {"x": torch.rand(2, 3, 3, 8, 8)}, seed=1,
                     compute=dataclasses.replace(TINY.compute, device="cpu"), work=Work(folder, folder, {}))

    plain, other = trained(tmp_path / "plain").state_dict(), trained(tmp_path / "options", **dict.fromkeys(options, True)).state_dict()
    assert plain.keys() == other.keys()
    for name, value in other.items():
        torch.testing.assert_close(value, plain[name], rtol=1e-3, atol=1e-4)
        assert value.is_contiguous(), name


def test_no_compiler_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(TrainingError, match=r"dit.train.compile is true, and there is no C\+\+ compiler"):
        compile_blocks([transformer()[0][0]], "dit", CPU)
