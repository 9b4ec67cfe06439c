"""Settings of a training and of a pretrained part: the two that several sections of params.yaml hold."""

from dataclasses import dataclass
from typing import Literal

from pipeline.params_reader import require

Precision = Literal["fp32", "bf16", "fp16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PretrainedParams:
    """One pretrained part: a hub id with a pinned revision, or a local folder."""

    source: str | None
    """Hub id (`owner/name`) or local folder; null: none."""
    revision: str | None
    """Commit of the hub repository; required for a hub id."""
    subfolder: str | None
    """Folder inside the source that holds config.json."""
    sha256: str | None
    """Hash of the weights file; checked when given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainParams:
    """One run of the training loop (`pipeline/training.py`)."""

    steps: int
    batch_size: int
    """Items of one batch, shared by all processes, before accumulation."""
    grad_accumulation: int
    """Batches per optimizer step."""
    learning_rate: float
    lr_schedule: Literal["constant", "cosine"]
    """After the warm-up: constant, or cosine to zero at the last step."""
    warmup_steps: int
    weight_decay: float
    grad_clip: float
    """Largest norm of the gradient."""
    ema_decay: float
    """Decay of the averaged weights; 0: none."""
    precision: Precision
    gradient_checkpointing: bool
    """Compute each block's activations a second time in the backward pass: a third more time, a fraction of the memory."""
    compile: bool
    """torch.compile of each block; on a CPU it needs a C++ compiler."""
    channels_last: bool
    """Convolutions with the channel as the last axis in memory, as GPUs like it."""
    log_every: int
    checkpoint_every: int

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "grad_accumulation", "log_every", "checkpoint_every"):
            require(getattr(self, name) >= 1, f"train.{name}", getattr(self, name), "1 or more")
        require(self.learning_rate > 0, "train.learning_rate", self.learning_rate, "more than 0")
        require(self.grad_clip > 0, "train.grad_clip", self.grad_clip, "more than 0")
        require(0 <= self.ema_decay < 1, "train.ema_decay", self.ema_decay, "0 to less than 1")
        require(0 <= self.warmup_steps <= self.steps, "train.warmup_steps", self.warmup_steps, f"0 to train.steps ({self.steps})")


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmStartParams:
    """Where trainings begin: the folder of an earlier output of the same stage, or null: random weights. `mmldm retrain` fills it in."""

    klvae: str | None
    autoencoder: str | None
    dit: str | None
