"""The sections of params.yaml that give networks their sizes: KL-VAE, autoencoder, DiT (`pipeline/params.py` has the others)."""

from dataclasses import dataclass
from typing import Literal

from pipeline.params_reader import require
from pipeline.params_training import PretrainedParams, TrainParams


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
class KLVAELossParams:
    """Weights beside the L1 error of the pixels, which has 1; 0 switches a part off."""

    mse: float
    """Of the squared error of the pixels (not in the paper)."""
    lpips: float
    """Of the perceptual distance; its backbone is `klvae.lpips`, without which the part is off."""
    adversarial: float
    """Of the hinge loss against the patch discriminator, beside its adaptive weight (VQGAN Eq. 7)."""
    kl: float
    """Of the divergence summed over a latent, per number of an image; with a fixed encoder a constant."""

    def __post_init__(self) -> None:
        for name in ("mse", "lpips", "adversarial", "kl"):
            require(getattr(self, name) >= 0, f"klvae.loss.{name}", getattr(self, name), "0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class PatchDiscriminatorParams:
    """PatchGAN, used when klvae.loss.adversarial is more than 0."""

    base_channels: int
    num_layers: int
    """Convolutions between the first and the last; 3: each logit sees 70 px."""
    start_step: int
    """Step of the training at which the adversarial losses begin."""

    def __post_init__(self) -> None:
        require(self.base_channels >= 1, "klvae.discriminator.base_channels", self.base_channels, "1 or more")
        require(self.num_layers >= 1, "klvae.discriminator.num_layers", self.num_layers, "1 or more")
        require(self.start_step >= 0, "klvae.discriminator.start_step", self.start_step, "0 or more")

    @property
    def min_side_px(self) -> int:
        """Smallest image that gives a logit."""
        return 3 * 2**self.num_layers


@dataclass(frozen=True, kw_only=True, slots=True)
class KLVAEParams:
    mode: Literal["scratch", "pretrained", "finetune_decoder"]
    """Train from scratch on this data; take `pretrained` as it is; or train its decoder alone on this data (the paper)."""
    pretrained: PretrainedParams
    """AutoencoderKL or AutoencoderTiny, as diffusers saves them."""
    lpips: PretrainedParams
    """VGG16 of torchvision (a file, or `timm/vgg16.tv_in1k`) for the perceptual distance, as loss and as metric; source null: none."""
    block_channels: tuple[int, ...]
    """`scratch`: channels of each resolution; one fewer halvings than entries."""
    layers_per_block: int
    audio_share: float
    """Share of audio images in each batch of the training, the rest are frames; 0.5: as many (the paper presets)."""
    loss: KLVAELossParams
    discriminator: PatchDiscriminatorParams
    train: TrainParams

    def __post_init__(self) -> None:
        require(
            self.mode == "scratch" or self.pretrained.source is not None,
            "klvae.pretrained.source",
            "null",
            f"a hub id or a local folder, as klvae.mode is {self.mode}",
        )
        batch = self.train.batch_size
        require(0 < round(batch * self.audio_share) < batch, "klvae.audio_share", self.audio_share,
                f"a share that leaves both audio images and frames in a batch of {batch} (klvae.train.batch_size)")
        start = self.discriminator.start_step
        require(
            not self.loss.adversarial or start < self.train.steps,
            "klvae.discriminator.start_step",
            start,
            f"less than klvae.train.steps ({self.train.steps}), or klvae.loss.adversarial 0",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodeParams:
    batch_size: int
    """Images per pass of the KL-VAE on a GPU; 0: as many as have room. A CPU takes what is quickest there."""
    flips: bool
    """Encode every frame mirrored left to right too, for training with flips (the paper's autoencoder)."""
    shard_bytes: int

    def __post_init__(self) -> None:
        require(self.batch_size >= 0, "encode.batch_size", self.batch_size, "0 (as many as have room) or more")


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
    audio_guidance_scale: float
    """Classifier-free guidance when decoding the audio image; 1: none."""
    video_guidance_scale: float
    """The same for frames; both are decoded in one batch."""

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
    flip_share: float
    """Probability that a window's frames are mirrored left to right in training; more than 0 needs encode.flips. Published: 0.5."""
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
        require(0 <= self.flip_share <= 1, "autoencoder.flip_share", self.flip_share, "0 to 1")
        require(0 <= self.condition_dropout < 1, "autoencoder.condition_dropout", self.condition_dropout, "0 to less than 1")
        require(
            self.num_target_frames >= 2,
            "autoencoder.num_target_frames",
            self.num_target_frames,
            "2 or more (the discriminator takes a pair)",
        )
        require(self.num_key_frames >= 1, "autoencoder.num_key_frames", self.num_key_frames, "1 or more")
        guided = self.signal_decoder.audio_guidance_scale != 1 or self.signal_decoder.video_guidance_scale != 1
        require(
            not guided or self.condition_dropout > 0,
            "autoencoder.condition_dropout",
            self.condition_dropout,
            "more than 0, as the signal decoder is guided (audio_guidance_scale, video_guidance_scale)",
        )
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
    text_encoder: PretrainedParams
    """CLIP's text encoder and tokenizer, for dit.context: text; source null: no captions are cached. What a clip's caption is comes from
    inventory.labels, else from the name of its class."""


Task = Literal["svg", "v", "a", "a2v", "v2a", "i2a", "audio_continuation", "video_continuation", "long"]
"""What can be generated; `stages/sample/tasks.py` says what each one is given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DiTParams:
    hidden_size: int
    depth: int
    num_heads: int
    mlp_ratio: float
    audio_patch_size: int
    video_patch_size: int
    context: Literal["none", "class", "text"]
    """`class`: the class enters as a context token; `text`: the caption's embeddings do (published AudioSet settings: 77 of CLIP)."""
    positions: Literal["sincos", "rope"]
    """Fixed 2-D sin-cos vectors added to the tokens (the paper), or queries and keys turned by row and column (axial RoPE)."""
    qk_norm: bool
    """RMS-normalised queries and keys; keeps large networks stable at high learning rates. Paper: none."""
    task_mix: Literal["svg", "video", "audio"]
    """What is generated: both together, or one modality alone (the rows MM-LDM-v and MM-LDM-a of the paper's table)."""
    prediction: Literal["epsilon", "v_prediction", "flow"]
    """The noise (Eq. 8), the velocity of Salimans and Ho, or that of a rectified flow (straight lines from noise to latents)."""
    zero_terminal_snr: bool
    timesteps: Literal["uniform", "logit_normal"]
    """How training draws t: evenly (the paper), or more often in the middle (Esser et al. 2024)."""
    min_snr_gamma: float
    """Min-SNR weighting of the loss (Hang et al. 2023, gamma 5); 0: none, as printed."""
    a2v_share: float
    """Share of the training samples that get z_a as condition (paper 3.3)."""
    v2a_share: float
    continuation_share: float
    """Share of each batch that gets the window before as condition, through a branch as large as the network; 0: no such branch."""
    previous_dropout: float
    """Of those, the share that gets the sound alone (audio continuation), and the share that gets the picture alone. Published: 0.2."""
    condition_dropout: float
    """Probability that class or text of an svg sample is withheld, for guidance; a condition latent always takes their place."""
    train: TrainParams

    def __post_init__(self) -> None:
        require(
            self.hidden_size % self.num_heads == 0, "dit.num_heads", self.num_heads, f"a divisor of dit.hidden_size ({self.hidden_size})"
        )
        require(self.hidden_size % 4 == 0, "dit.hidden_size", self.hidden_size, "a multiple of 4 (2-D sin-cos positions)")
        require(self.depth >= 1, "dit.depth", self.depth, "1 or more")
        require(not (self.zero_terminal_snr and self.prediction == "epsilon"), "dit.prediction", self.prediction,
                "v_prediction, as dit.zero_terminal_snr is true (at pure noise the noise says nothing of the latent)")
        require(not (self.zero_terminal_snr and self.prediction == "flow"), "dit.zero_terminal_snr", "true",
                "false, as dit.prediction is flow (whose last step is pure noise by itself)")
        require(self.min_snr_gamma >= 0, "dit.min_snr_gamma", self.min_snr_gamma, "0 (off) or more")
        require(not (self.zero_terminal_snr and self.min_snr_gamma), "dit.min_snr_gamma", self.min_snr_gamma,
                "0, as dit.zero_terminal_snr is true (the step of pure noise would have no weight)")
        head_dim = self.hidden_size // self.num_heads
        require(self.positions != "rope" or head_dim % 4 == 0, "dit.positions", "rope",
                f"sincos, or heads of a multiple of 4 channels (dit.hidden_size / dit.num_heads is {head_dim})")
        require(0 <= self.condition_dropout < 1, "dit.condition_dropout", self.condition_dropout, "0 to less than 1")
        require(
            self.a2v_share >= 0 and self.v2a_share >= 0 and self.a2v_share + self.v2a_share <= 1,
            "dit.a2v_share",
            self.a2v_share,
            f"shares of 0 or more that sum to at most 1 (dit.v2a_share is {self.v2a_share})",
        )
        require(0 <= self.continuation_share < 1, "dit.continuation_share", self.continuation_share, "0 to less than 1")
        require(not self.continuation_share or self.train.batch_size >= 2, "dit.train.batch_size", self.train.batch_size,
                "2 or more, as dit.continuation_share is not 0")
        require(0 <= self.previous_dropout <= 0.5, "dit.previous_dropout", self.previous_dropout, "0 to 0.5 (for sound and for picture)")
        if self.task_mix != "svg":
            for name in ("a2v_share", "v2a_share", "continuation_share"):
                require(getattr(self, name) == 0, f"dit.{name}", getattr(self, name), f"0, as dit.task_mix is {self.task_mix}")

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What a network of these params is trained for."""
        if self.task_mix != "svg":
            return ("v",) if self.task_mix == "video" else ("a",)
        tasks: list[Task] = ["svg", "v", "a"]
        tasks += ["a2v"] if self.a2v_share else []
        tasks += ["v2a", "i2a"] if self.v2a_share else []
        if self.continuation_share:
            tasks += ["long"]
            tasks += ["audio_continuation", "video_continuation"] if self.previous_dropout else []
        return tuple(tasks)
