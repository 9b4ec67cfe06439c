"""params.yaml, typed and checked at the door: one frozen class per section, a line of meaning under each field.

Units are suffixes (`_sec`, `_hz`, `_px`); choices are `Literal`s; derived sizes are properties, never second parameters.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from pipeline.errors import ParamsError
from pipeline.params_reader import build

Precision = Literal["fp32", "bf16", "fp16"]


def require(condition: bool, key: str, got: object, expected: str) -> None:
    """Raise the one-line error of a value that has the right type and cannot work."""
    if not condition:
        raise ParamsError(f"params.yaml: {key} is {got}, expected {expected}")


@dataclass(frozen=True, kw_only=True, slots=True)
class DataParams:
    raw: str
    """The folder of videos with sound, `<class>/<file>`; relative to the project or absolute."""

    def __post_init__(self) -> None:
        require(bool(self.raw.strip()), "data.raw", repr(self.raw), "the path of a folder <class>/<file>")
        require(not self.raw.startswith("~"), "data.raw", self.raw, f"a path without ~: {Path(self.raw).expanduser()}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ComputeParams:
    """Where and how wide it runs; changes no result's meaning, so no stage is re-run for it."""

    device: Literal["auto", "cpu", "cuda"]
    """`auto` takes CUDA where there is one."""
    num_threads: int
    """Threads of a torch operation; 0: every core."""

    def __post_init__(self) -> None:
        require(self.num_threads >= 0, "compute.num_threads", self.num_threads, "0 (all cores) or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class DemoDataParams:
    kinds: tuple[Literal["bounce", "pendulum", "lamp", "clack", "rain"], ...]
    """Kinds of event to write, one class each."""
    clips_per_kind: int
    """Source videos of each kind."""
    clip_sec: float
    """Length of one source video, seconds."""
    fps: int
    """Frames per second of the written mp4."""
    size_px: int
    """Side of the square picture of the written mp4."""
    richness: Literal["plain", "rich"]
    """`plain`: two to four free factors a class, one background; `rich`: colours, places and rhythms vary more."""

    def __post_init__(self) -> None:
        require(len(self.kinds) >= 1, "demo_data.kinds", list(self.kinds), "at least one kind")
        require(len(set(self.kinds)) == len(self.kinds), "demo_data.kinds", list(self.kinds), "each kind once")
        require(self.clips_per_kind >= 2, "demo_data.clips_per_kind", self.clips_per_kind, "2 or more (one to train on, one held out)")
        require(self.fps >= 1, "demo_data.fps", self.fps, "1 or more")
        require(self.size_px >= 32 and self.size_px % 2 == 0, "demo_data.size_px", self.size_px, "an even number, 32 or more (H.264)")


@dataclass(frozen=True, kw_only=True, slots=True)
class InventoryParams:
    test_share: float
    """Share of the sources of each class held out for evaluation, 0 to 0.5."""
    allow_silent: bool
    """Accept clips whose every sample is zero (they are counted either way)."""
    max_rejected_share: float
    """More rejected files than this share stop the run, 0 to 1."""

    def __post_init__(self) -> None:
        require(0 < self.test_share <= 0.5, "inventory.test_share", self.test_share, "more than 0, at most 0.5")
        require(0 <= self.max_rejected_share <= 1, "inventory.max_rejected_share", self.max_rejected_share, "0 to 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipParams:
    frame_size_px: int
    """Side of the square frames and audio images, H = W."""
    fps: int
    """Frames per second after decoding."""
    num_frames: int
    """Frames of a window, F."""
    window_stride: int
    """Frames between the starts of two windows of one clip; the paper takes every start (1)."""
    fit: Literal["pad", "crop"]
    """`pad`: resize to fit, centred black padding; `crop`: fill, centred cut."""
    max_sec: float
    """Longest clip cut from a source, seconds."""

    def __post_init__(self) -> None:
        require(self.frame_size_px >= 16, "clip.frame_size_px", self.frame_size_px, "16 or more")
        require(self.fps >= 1, "clip.fps", self.fps, "1 or more")
        require(self.num_frames >= 2, "clip.num_frames", self.num_frames, "2 or more")
        require(self.window_stride >= 1, "clip.window_stride", self.window_stride, "1 or more")
        require(self.max_sec >= self.window_sec, "clip.max_sec", self.max_sec, f"at least one window ({self.window_sec:g} s)")

    @property
    def window_sec(self) -> float:
        """Length of a window in seconds."""
        return self.num_frames / self.fps


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioParams:
    """Mel settings; the paper presets' are those that `transformers.SpeechT5HifiGan` inverts."""

    sample_rate_hz: int
    n_fft: int
    win_length: int
    """Window of the short-time Fourier transform, samples."""
    hop_length: int
    """Samples between two columns of the mel."""
    n_mels: int
    f_min_hz: float
    f_max_hz: float

    def __post_init__(self) -> None:
        require(self.sample_rate_hz >= 4000, "audio.sample_rate_hz", self.sample_rate_hz, "4000 or more")
        require(1 <= self.win_length <= self.n_fft, "audio.win_length", self.win_length, f"1 to audio.n_fft ({self.n_fft})")
        require(1 <= self.hop_length <= self.win_length, "audio.hop_length", self.hop_length, f"1 to audio.win_length ({self.win_length})")
        require(1 <= self.n_mels <= self.n_fft // 2, "audio.n_mels", self.n_mels, f"1 to half of audio.n_fft ({self.n_fft // 2})")
        require(
            0 <= self.f_min_hz < self.f_max_hz <= self.sample_rate_hz / 2,
            "audio.f_max_hz",
            self.f_max_hz,
            f"more than audio.f_min_hz ({self.f_min_hz:g}) and at most half of the sample rate ({self.sample_rate_hz / 2:g})",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeParams:
    reader: Literal["auto", "decord", "pyav"]
    """`auto`: decord where it is present and right for the file, PyAV otherwise."""
    num_workers: int
    """Worker processes; 0: every core."""
    shard_bytes: int
    """Size at which a new shard is begun."""

    def __post_init__(self) -> None:
        require(self.num_workers >= 0, "decode.num_workers", self.num_workers, "0 (all cores) or more")
        require(self.shard_bytes >= 1_000_000, "decode.shard_bytes", self.shard_bytes, "1000000 or more")


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
class VocoderParams:
    """From a mel back to a waveform."""

    kind: Literal["griffin_lim", "speecht5_hifigan"]
    """`griffin_lim` needs no weights; `speecht5_hifigan` is the pretrained HiFi-GAN."""
    iterations: int
    """Rounds of Griffin-Lim."""
    pretrained: PretrainedParams

    def __post_init__(self) -> None:
        require(self.iterations >= 1, "vocoder.iterations", self.iterations, "1 or more")
        require(
            self.kind == "griffin_lim" or self.pretrained.source is not None,
            "vocoder.pretrained.source",
            "null",
            f"a hub id or a local folder, as vocoder.kind is {self.kind}",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class AudioImagesParams:
    db_floor: float
    """Level of the mel (dB, 20 log10 of its magnitude) that becomes gray 0."""
    db_ceiling: float
    """Level that becomes gray 255."""
    num_report_windows: int
    """Windows whose round-trip loss is measured."""

    def __post_init__(self) -> None:
        require(
            self.db_floor < self.db_ceiling,
            "audio_images.db_floor",
            self.db_floor,
            f"less than audio_images.db_ceiling ({self.db_ceiling:g})",
        )
        require(self.num_report_windows >= 1, "audio_images.num_report_windows", self.num_report_windows, "1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainParams:
    """One run of the training loop (`pipeline/training.py`)."""

    steps: int
    batch_size: int
    """Items of one step on one process, before accumulation."""
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
class KLLatentParams:
    """Shape of the KL-VAE's latent, shared by every stage after it."""

    factor: int
    """Down-sampling of the KL-VAE, f."""
    channels: int

    def __post_init__(self) -> None:
        require(self.factor >= 1 and self.factor & (self.factor - 1) == 0, "kl_latent.factor", self.factor, "a power of two")
        require(self.channels >= 1, "kl_latent.channels", self.channels, "1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class KLVAEParams:
    mode: Literal["scratch", "pretrained"]
    """Train from scratch on this data, or take `pretrained` as it is."""
    pretrained: PretrainedParams
    block_channels: tuple[int, ...]
    """`scratch`: channels of each resolution; one fewer halvings than entries."""
    layers_per_block: int
    kl_weight: float
    train: TrainParams

    def __post_init__(self) -> None:
        require(
            self.mode == "scratch" or self.pretrained.source is not None,
            "klvae.pretrained.source",
            "null",
            f"a hub id or a local folder, as klvae.mode is {self.mode}",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeParams:
    batch_size: int
    """Images per pass of the KL-VAE."""
    shard_bytes: int

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "encode.batch_size", self.batch_size, "1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderParams:
    """Audio or video encoder (paper 3.1)."""

    base_channels: int
    channel_mult: tuple[int, ...]
    """One entry per resolution; one fewer halvings than entries."""
    num_res_blocks: int
    head_dim: int
    """Channels of an attention head."""
    latent_channels: int

    def __post_init__(self) -> None:
        for mult in self.channel_mult:
            require(
                self.base_channels * mult % self.head_dim == 0,
                "autoencoder.*_encoder.head_dim",
                self.head_dim,
                f"a divisor of every width ({self.base_channels} x {mult} = {self.base_channels * mult})",
            )

    @property
    def factor(self) -> int:
        """Down-sampling, f_a or f_v."""
        return 2 ** (len(self.channel_mult) - 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProjectorParams:
    base_channels: int
    channel_mult: tuple[int, ...]
    num_res_blocks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadsParams:
    classification: bool
    contrastive: bool
    hidden_channels: int
    contrastive_dim: int
    temperature: float
    """First value of the learnable temperature of the contrastive loss."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SignalDecoderParams:
    """The shared U-Net that decodes KL-VAE latents of frames and audio images (diffusers UNet2DConditionModel)."""

    pretrained: PretrainedParams
    """Stable Diffusion's U-Net to start from; source null: random."""
    block_channels: tuple[int, ...]
    attention: tuple[bool, ...]
    """Cross-attention at each resolution, finest first."""
    layers_per_block: int
    num_heads: int
    """Heads of every attention (Stable Diffusion 1.5: 8)."""
    feature_channels: int
    """Width of the residual blocks that turn a latent into features for each input block of the U-Net."""
    num_prompt_tokens: int
    """Tokens of the learnable prompt of each modality; 0: none (table 5)."""
    class_embedding: bool
    """A learnable token of the class in the context."""
    semantic_context: bool
    """The other modality's semantic feature as tokens in the context."""
    pooled_latent: bool
    """The latent, pooled, added to the time embedding."""
    prediction: Literal["epsilon", "v_prediction", "sample"]
    zero_terminal_snr: bool
    terminal_share: float
    """Share of the training's timesteps that are the last one, pure noise: all that decoding in one step needs. Paper: 0."""
    coarse_channels: int
    """Width of the regression decode of the whole window that the U-Net refines; 0: none (the paper)."""
    coarse_depth: int
    """Transformer blocks of the regression decode."""
    sampler: Literal["ddim", "dpm_solver"]
    inference_steps: int
    guidance_scale: float
    """Classifier-free guidance when decoding; 1: none."""

    def __post_init__(self) -> None:
        require(
            len(self.attention) == len(self.block_channels),
            "autoencoder.signal_decoder.attention",
            list(self.attention),
            f"one entry per resolution ({len(self.block_channels)})",
        )
        for channels in self.block_channels:
            require(
                self.num_heads >= 1 and channels % self.num_heads == 0,
                "autoencoder.signal_decoder.num_heads",
                self.num_heads,
                f"a divisor of {channels}",
            )
        require(self.num_prompt_tokens >= 0, "autoencoder.signal_decoder.num_prompt_tokens", self.num_prompt_tokens, "0 or more")
        require(
            self.prediction != "epsilon" or not self.zero_terminal_snr,
            "autoencoder.signal_decoder.prediction",
            self.prediction,
            "v_prediction or sample, as zero_terminal_snr is true (from pure noise, its noise says nothing of the signal)",
        )
        require(0 <= self.terminal_share <= 1, "autoencoder.signal_decoder.terminal_share", self.terminal_share, "0 to 1")
        steps = self.inference_steps
        require(1 <= steps <= 1000, "autoencoder.signal_decoder.inference_steps", steps, "1 to 1000")
        # diffusers' DDIM walks in strides of 1000 // steps and stops short of the signal where that leaves a rest.
        require(self.sampler != "ddim" or 1000 % steps == 0, "autoencoder.signal_decoder.inference_steps", steps,
                "a divisor of 1000 with sampler ddim")


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorParams:
    base_channels: int
    channel_mult: tuple[int, ...]
    full_attention_max_px: int
    """Cross-modal full attention at maps of this side or smaller; temporal attention at larger ones."""
    fake_combination: Literal["printed", "published"]
    """Fifth fake: <a, v_i, v_i> as the paper prints, or <a, v_j, v_i> as the authors' code."""
    start_step: int
    """Step of the autoencoder's training at which the adversarial losses begin."""
    every_steps: int
    """Adversarial losses at the steps that this divides; 1: every step (the paper)."""
    max_items: int
    """Windows of a batch that are decoded to images and judged; 0: all (the paper)."""

    def __post_init__(self) -> None:
        require(self.every_steps >= 1, "autoencoder.discriminator.every_steps", self.every_steps, "1 or more")
        require(self.max_items >= 0, "autoencoder.discriminator.max_items", self.max_items, "0 (all) or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderLossParams:
    """Weights of the sum, Eq. 3; 0 switches a part off."""

    kl: float
    """Of the divergence summed over a latent's elements."""
    classification: float
    contrastive: float
    adversarial: float
    coarse: float
    """Weight of the regression decode's squared error (not in the paper)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderParams:
    video_input: Literal["key_frames", "all_frames"]
    """What the video encoder sees: `num_key_frames` evenly spaced frames (the paper), or every frame."""
    num_key_frames: int
    video_convolution: Literal["full", "factorised"]
    """3-D residual blocks of the video encoder: 3x3x3 twice, or 1x3x3 then 3x1x1 (a quarter of the cost)."""
    video_readout: Literal["content_frame", "every_frame"]
    """z_v is read off the learnable content frame alone (the paper), or off it and every frame (learns motion in minutes)."""
    num_target_frames: int
    """Frames that one training step decodes, i < j < ..."""
    condition_dropout: float
    """Probability that prompt and features are dropped in training, for guidance."""
    audio_encoder: EncoderParams
    video_encoder: EncoderParams
    audio_projector: ProjectorParams
    video_projector: ProjectorParams
    semantic_channels: int
    """Channels of s_a and s_v, and of the cross-attention's context."""
    heads: HeadsParams
    signal_decoder: SignalDecoderParams
    discriminator: DiscriminatorParams
    loss: AutoencoderLossParams
    train: TrainParams

    def __post_init__(self) -> None:
        require(0 <= self.condition_dropout < 1, "autoencoder.condition_dropout", self.condition_dropout, "0 to less than 1")
        require(
            self.num_target_frames >= 2,
            "autoencoder.num_target_frames",
            self.num_target_frames,
            "2 or more (the discriminator takes a pair)",
        )
        require(self.num_key_frames >= 1, "autoencoder.num_key_frames", self.num_key_frames, "1 or more")
        require(
            (self.heads.classification and self.loss.classification > 0) or not self.signal_decoder.class_embedding,
            "autoencoder.signal_decoder.class_embedding",
            "true",
            "false, as the classification head, whose prediction supplies the class when decoding, is off or has weight 0",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class LatentsParams:
    batch_size: int
    """Windows per pass of the encoders."""
    shard_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DiTParams:
    hidden_size: int
    depth: int
    num_heads: int
    mlp_ratio: float
    audio_patch_size: int
    video_patch_size: int
    context: Literal["none", "class"]
    """`class`: the class enters as a context token."""
    prediction: Literal["epsilon", "v_prediction"]
    zero_terminal_snr: bool
    a2v_share: float
    """Share of the training samples that get z_a as condition (paper 3.3)."""
    v2a_share: float
    condition_dropout: float
    """Probability that the class of an svg sample is withheld, for guidance; a condition latent always takes the class's place."""
    train: TrainParams

    def __post_init__(self) -> None:
        require(
            self.hidden_size % self.num_heads == 0, "dit.num_heads", self.num_heads, f"a divisor of dit.hidden_size ({self.hidden_size})"
        )
        require(self.hidden_size % 4 == 0, "dit.hidden_size", self.hidden_size, "a multiple of 4 (2-D sin-cos positions)")
        require(self.depth >= 1, "dit.depth", self.depth, "1 or more")
        require(not (self.zero_terminal_snr and self.prediction == "epsilon"), "dit.prediction", self.prediction,
                "v_prediction, as dit.zero_terminal_snr is true (at pure noise the noise says nothing of the latent)")
        require(0 <= self.condition_dropout < 1, "dit.condition_dropout", self.condition_dropout, "0 to less than 1")
        require(
            self.a2v_share >= 0 and self.v2a_share >= 0 and self.a2v_share + self.v2a_share <= 1,
            "dit.a2v_share",
            self.a2v_share,
            f"shares of 0 or more that sum to at most 1 (dit.v2a_share is {self.v2a_share})",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleParams:
    tasks: tuple[Literal["svg", "a2v", "v2a"], ...]
    num_samples: int
    """Samples of each task."""
    sampler: Literal["ddim", "dpm_solver"]
    steps: int
    guidance_scale: float
    """phi of Eq. 9; 1: no guidance."""
    batch_size: int

    def __post_init__(self) -> None:
        require(len(self.tasks) >= 1, "sample.tasks", list(self.tasks), "at least one of svg, a2v, v2a")
        require(self.num_samples >= 1, "sample.num_samples", self.num_samples, "1 or more")
        require(1 <= self.steps <= 1000, "sample.steps", self.steps, "1 to 1000")
        require(self.batch_size >= 1, "sample.batch_size", self.batch_size, "1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateParams:
    max_windows: int
    """Most held-out windows that samples are compared with, and most reconstructions to measure."""
    max_train_windows: int
    """Most training windows that the local classifiers see, spread over the clips; held in memory at 64 px."""
    min_samples: int
    """Fewest samples (and held-out windows) for which a distance is given; with fewer it is reported as not computed."""
    i3d: PretrainedParams
    """I3D as TorchScript for fvd_i3d and kvd_i3d: a local file or folder, or the hub id `flateon/FVD-I3D-torchscript`; null: left out."""
    classifier_train: TrainParams
    """The local audio and video classifiers whose features give fvd_local, kvd_local, fad_local."""
    event_tolerance_sec: float
    """How near in time a sound and a motion event count as together."""

    def __post_init__(self) -> None:
        require(self.max_windows >= 2, "evaluate.max_windows", self.max_windows, "2 or more")
        require(self.max_train_windows >= 2, "evaluate.max_train_windows", self.max_train_windows, "2 or more")
        require(self.min_samples >= 2, "evaluate.min_samples", self.min_samples, "2 or more (a covariance needs two)")
        require(self.event_tolerance_sec > 0, "evaluate.event_tolerance_sec", self.event_tolerance_sec, "more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ReportParams:
    num_examples: int
    """Samples and real clips of each task shown on the page."""

    def __post_init__(self) -> None:
        require(self.num_examples >= 1, "report.num_examples", self.num_examples, "1 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """The whole of params.yaml, and what only two sections together can get wrong."""

    seed: int
    data: DataParams
    compute: ComputeParams
    demo_data: DemoDataParams
    inventory: InventoryParams
    clip: ClipParams
    audio: AudioParams
    decode: DecodeParams
    vocoder: VocoderParams
    audio_images: AudioImagesParams
    kl_latent: KLLatentParams
    klvae: KLVAEParams
    encode: EncodeParams
    autoencoder: AutoencoderParams
    latents: LatentsParams
    dit: DiTParams
    sample: SampleParams
    evaluate: EvaluateParams
    report: ReportParams

    def __post_init__(self) -> None:
        size, factor = self.clip.frame_size_px, self.kl_latent.factor
        require(size % factor == 0, "clip.frame_size_px", size, f"a multiple of kl_latent.factor ({factor})")
        if self.klvae.mode == "scratch":
            expected = 2 ** (len(self.klvae.block_channels) - 1)
            require(
                factor == expected,
                "kl_latent.factor",
                factor,
                f"{expected}, as klvae.block_channels has {len(self.klvae.block_channels)} entries",
            )
        ae = self.autoencoder
        require(
            ae.num_key_frames <= self.clip.num_frames,
            "autoencoder.num_key_frames",
            ae.num_key_frames,
            f"at most clip.num_frames ({self.clip.num_frames})",
        )
        require(
            ae.num_target_frames <= self.clip.num_frames,
            "autoencoder.num_target_frames",
            ae.num_target_frames,
            f"at most clip.num_frames ({self.clip.num_frames})",
        )
        for name, encoder, patch in (
            ("audio", ae.audio_encoder, self.dit.audio_patch_size),
            ("video", ae.video_encoder, self.dit.video_patch_size),
        ):
            require(
                size % (factor * encoder.factor) == 0,
                "clip.frame_size_px",
                size,
                f"a multiple of kl_latent.factor x autoencoder.{name}_encoder's down-sampling ({factor} x {encoder.factor})",
            )
            side = size // (factor * encoder.factor)
            require(patch >= 1 and side % patch == 0, f"dit.{name}_patch_size", patch, f"a divisor of the {name} latent's side ({side})")
        require(
            self.demo_data.clip_sec >= self.clip.window_sec,
            "demo_data.clip_sec",
            self.demo_data.clip_sec,
            f"at least one window, clip.num_frames / clip.fps ({self.clip.window_sec:g} s)",
        )
        for task, share in (("a2v", self.dit.a2v_share), ("v2a", self.dit.v2a_share)):
            require(task not in self.sample.tasks or share > 0, f"dit.{task}_share", share, f"more than 0, as sample.tasks has {task}")
        guided = self.dit.context == "class" and "svg" in self.sample.tasks and self.sample.guidance_scale != 1
        dropout = self.dit.condition_dropout
        require(not guided or dropout > 0, "dit.condition_dropout", dropout, "more than 0, as sample.guidance_scale is not 1")


def load_params(path: Path) -> Params:
    """Read and check a params file.

    Raises:
        ParamsError: one line with the key, what was got and what is expected.
    """
    return parse_params(read_yaml(path))


def parse_params(values: object) -> Params:
    """Check the content of a params file; see `load_params`."""
    return build(Params, values, "")


def read_yaml(path: Path) -> object:
    """The content of a YAML file; a missing or broken one is a `ParamsError`."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} not found; run from the project's folder, or write one with: mmldm preset use demo") from None
    except yaml.YAMLError as error:
        first_line = " ".join(str(error).split())
        raise ParamsError(f"{path} is not valid YAML: {first_line}") from None
