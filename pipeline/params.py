"""params.yaml, typed and checked at the door: one frozen class per section, a line of meaning under each field.

Units are suffixes (`_sec`, `_hz`, `_px`); choices are `Literal`s; derived sizes are properties, never second parameters.
"""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import yaml

from pipeline.errors import ParamsError
from pipeline.params_evaluate import EvaluateParams, ExtractorsParams, LocalFeaturesParams
from pipeline.params_flow import AlertParams, FlowParams
from pipeline.params_networks import (
    AutoencoderLossParams,
    AutoencoderParams,
    DiscriminatorParams,
    DiTParams,
    EncodeParams,
    EncoderParams,
    HeadsParams,
    KLLatentParams,
    KLVAELossParams,
    KLVAEParams,
    LatentsParams,
    PatchDiscriminatorParams,
    ProjectorParams,
    SignalDecoderParams,
    Task,
)
from pipeline.params_reader import build, require
from pipeline.params_retrain import GateLimitParams, GateMetricParams, GateParams, RetrainParams
from pipeline.params_training import Precision, PretrainedParams, TrainParams, WarmStartParams
from pipeline.seeds import MAX_SEED

__all__ = [
    "SAMPLERS",
    "AlertParams",
    "AudioImagesParams",
    "AudioParams",
    "AutoencoderLossParams",
    "AutoencoderParams",
    "ClipParams",
    "ComputeParams",
    "DataParams",
    "DecodeParams",
    "DemoDataParams",
    "DiTParams",
    "DiscriminatorParams",
    "EncodeParams",
    "EncoderParams",
    "EvaluateParams",
    "ExtractorsParams",
    "FlowParams",
    "GateLimitParams",
    "GateMetricParams",
    "GateParams",
    "HeadsParams",
    "InventoryParams",
    "KLLatentParams",
    "KLVAELossParams",
    "KLVAEParams",
    "LatentsParams",
    "LocalFeaturesParams",
    "Params",
    "PatchDiscriminatorParams",
    "Precision",
    "PretrainedParams",
    "ProjectorParams",
    "ReportParams",
    "RetrainParams",
    "SampleParams",
    "Sampler",
    "SignalDecoderParams",
    "Task",
    "TrainParams",
    "VocoderParams",
    "WarmStartParams",
    "load_params",
    "parse_params",
    "parse_yaml",
    "read_yaml",
]


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
    num_workers: int
    """Worker processes over files and clips; 0: every core. The bytes do not depend on it."""
    dask_scheduler: str | None
    """`tcp://host:port` of a Dask cluster that works instead of local processes; null: none."""

    def __post_init__(self) -> None:
        require(self.num_threads >= 0, "compute.num_threads", self.num_threads, "0 (all cores) or more")
        require(self.num_workers >= 0, "compute.num_workers", self.num_workers, "0 (all cores) or more")
        address = self.dask_scheduler
        require(address is None or re.fullmatch(r"(tcp|tls)://[^/\s]+:\d+", address) is not None, "compute.dask_scheduler", address,
                "tcp://host:port (or tls://), or null")


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
    labels: str | None
    """Table in data.raw, .csv or .parquet, with the columns path, class, split, caption; null: each file's folder is its class."""
    source_pattern: str | None
    """Regular expression that finds in a file's path what it was cut from, as the group `source`: such files share their split. null: none.
    (Where it lies in several places: groups `source_a`, `source_b`, ...)"""
    near_duplicates: bool
    """Copies of a recording (encoded anew, resized, cut) share their split; found by picture and sound."""

    def __post_init__(self) -> None:
        require(0 < self.test_share <= 0.5, "inventory.test_share", self.test_share, "more than 0, at most 0.5")
        require(0 <= self.max_rejected_share <= 1, "inventory.max_rejected_share", self.max_rejected_share, "0 to 1")
        if self.source_pattern is not None:
            require(_names_a_source(self.source_pattern), "inventory.source_pattern", self.source_pattern,
                    "a regular expression with a group (?P<source>...), or null")
        if self.labels is not None:
            path = PurePosixPath(self.labels)
            require(path.suffix.lower() in (".csv", ".parquet"), "inventory.labels", repr(self.labels), "a file .csv or .parquet, or null")
            # Inside of data.raw it is tracked with the videos, so that an edit of it runs the inventory again.
            inside = not path.is_absolute() and ".." not in path.parts
            require(inside, "inventory.labels", self.labels, "a path relative to data.raw, of a file that lies in it")


def _names_a_source(pattern: str) -> bool:
    try:
        return any(name.startswith("source") for name in re.compile(pattern).groupindex)
    except re.error:
        return False


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
    """`auto`: decord where it is present and right for the file, PyAV otherwise. `pyav`: for every file; the pictures are the same, and of
    H.264 it decodes only the frames that are needed, so that it takes about four fifths of the CPU time."""
    shard_bytes: int
    """Size at which a new shard is begun."""

    def __post_init__(self) -> None:
        require(self.shard_bytes >= 1_000_000, "decode.shard_bytes", self.shard_bytes, "1000000 or more")


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
    """Level of the mel (dB, 20 log10 of its magnitude) that becomes gray 0.

    Of the bins of 62 real clips that are no digital silence, 0.38% lie under -100 (about where the rounding to 16 bits lies) and 2.6% under
    -80. The demos take -80: between the two their made sounds hold what a codec left over, a quarter of the bins, not worth learning.
    """
    db_ceiling: float
    """Level that becomes gray 255. Over 10 lie 0.02% of the bins of real clips, over 20 none."""
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


Sampler = Literal["ddim", "dpm_solver", "unipc", "euler", "heun"]
SAMPLERS: dict[str, tuple[Sampler, ...]] = {
    "epsilon": ("ddim", "dpm_solver", "unipc"),
    "v_prediction": ("ddim", "dpm_solver", "unipc"),
    "flow": ("euler", "heun", "dpm_solver", "unipc"),
}
"""By `dit.prediction`, the samplers that can follow it."""
MAX_GUIDANCE = 50.0
"""Beyond it every sample is noise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleParams:
    tasks: tuple[Task, ...]
    """Of those that the DiT is trained for: svg, v, a, a2v, v2a, i2a, audio_continuation, video_continuation, long."""
    num_samples: int
    """Samples of each task but `long`."""
    num_long: int
    """Samples of `long`."""
    long_windows: int
    """Windows of a `long` sample, one continued by the next (paper: 10 of 16 frames)."""
    sampler: Sampler
    """`ddim` is the paper's; `euler` and `heun` (two calls of the network a step) are for dit.prediction flow."""
    steps: int
    guidance_scale: float
    """phi of Eq. 9; 1: no guidance."""
    guidance_interval: tuple[float, ...]
    """Where guidance acts, [from, to] as shares of the way: 0 the latents, 1 pure noise; [0, 1]: everywhere (the paper)."""
    guidance_rescale: float
    """Share by which the guided prediction gets the unguided one's deviation back (Lin et al. 2024: 0.7); 0: none."""
    batch_size: int

    def __post_init__(self) -> None:
        require(len(self.tasks) >= 1, "sample.tasks", list(self.tasks), "at least one, for instance svg")
        require(len(set(self.tasks)) == len(self.tasks), "sample.tasks", list(self.tasks), "each task once")
        require(self.num_long >= 1, "sample.num_long", self.num_long, "1 or more")
        require(self.long_windows >= 2, "sample.long_windows", self.long_windows, "2 or more")
        require(self.num_samples >= 1, "sample.num_samples", self.num_samples, "1 or more")
        require(1 <= self.steps <= 1000, "sample.steps", self.steps, "1 to 1000")
        require(0 <= self.guidance_scale <= MAX_GUIDANCE, "sample.guidance_scale", self.guidance_scale, f"0 to {MAX_GUIDANCE:g}")
        require(len(self.guidance_interval) == 2 and 0 <= self.guidance_interval[0] <= self.guidance_interval[-1] <= 1,
                "sample.guidance_interval", list(self.guidance_interval), "two numbers from 0 to 1, the smaller one first")
        require(0 <= self.guidance_rescale <= 1, "sample.guidance_rescale", self.guidance_rescale, "0 to 1")
        require(self.batch_size >= 1, "sample.batch_size", self.batch_size, "1 or more")


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
    flow: FlowParams
    demo_data: DemoDataParams
    inventory: InventoryParams
    clip: ClipParams
    audio: AudioParams
    decode: DecodeParams
    local_features: LocalFeaturesParams
    vocoder: VocoderParams
    audio_images: AudioImagesParams
    kl_latent: KLLatentParams
    klvae: KLVAEParams
    encode: EncodeParams
    autoencoder: AutoencoderParams
    latents: LatentsParams
    dit: DiTParams
    warm_start: WarmStartParams
    sample: SampleParams
    evaluate: EvaluateParams
    report: ReportParams
    retrain: RetrainParams

    def __post_init__(self) -> None:
        require(0 <= self.seed <= MAX_SEED, "seed", self.seed, f"0 to {MAX_SEED}")
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
        smallest = self.klvae.discriminator.min_side_px if self.klvae.loss.adversarial else 0
        require(size >= smallest, "clip.frame_size_px", size, f"{smallest} or more, as klvae.discriminator has its num_layers")
        ae = self.autoencoder
        require(self.encode.flips or not ae.flip_share, "autoencoder.flip_share", ae.flip_share, "0, or encode.flips true")
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
        demo = PurePosixPath("data/demo_data") in PurePosixPath(self.data.raw).parents
        require(
            not demo or self.demo_data.clip_sec >= self.clip.window_sec,
            "demo_data.clip_sec",
            self.demo_data.clip_sec,
            f"at least one window, clip.num_frames / clip.fps ({self.clip.window_sec:g} s)",
        )
        for task, share in (("a2v", self.dit.a2v_share), ("v2a", self.dit.v2a_share)):
            require(task not in self.sample.tasks or share > 0, f"dit.{task}_share", share, f"more than 0, as sample.tasks has {task}")
        for task in self.sample.tasks:
            require(task in self.dit.tasks, "sample.tasks", list(self.sample.tasks),
                    f"tasks that dit is trained for: {', '.join(self.dit.tasks)} (the others need dit.a2v_share, dit.v2a_share, "
                    f"dit.continuation_share or another dit.task_mix)")
        possible = SAMPLERS[self.dit.prediction]
        require(self.sample.sampler in possible, "sample.sampler", self.sample.sampler,
                f"one of {', '.join(possible)}, as dit.prediction is {self.dit.prediction}")
        named = self.latents.text_encoder.source
        require(self.dit.context != "text" or named is not None, "latents.text_encoder.source", "null",
                "a hub id or a local folder, as dit.context is text")
        guided = self.dit.context != "none" and "svg" in self.sample.tasks and self.sample.guidance_scale != 1
        dropout = self.dit.condition_dropout
        require(not guided or dropout > 0, "dit.condition_dropout", dropout, "more than 0, as sample.guidance_scale is not 1")
        self.retrain.gate.require_measured(self.evaluate.protocols, self.sample.tasks)


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
        return parse_yaml(path.read_text(encoding="utf-8"), str(path))
    except FileNotFoundError:
        raise ParamsError(f"{path} not found; run from the project's folder, or write one with: mmldm preset use demo") from None
    except UnicodeDecodeError as error:
        raise ParamsError(f"{path} is not valid YAML: byte {error.start} is not UTF-8") from None


def parse_yaml(text: str, name: str) -> object:
    """The content of a YAML text; a broken one is a `ParamsError`.

    Args:
        name: what the text is, for the error.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ParamsError(f"{name} is not valid YAML: {' '.join(str(error).split())}") from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-8 as a number, as YAML 1.2 and DVC do (`dvc exp run -S` writes numbers so); YAML 1.1 asks for 1.0e-8.

    Refuses a key that stands twice in a section, of which YAML would take the second without a word.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and lines.setdefault(key.value, key.start_mark.line + 1) != key.start_mark.line + 1:
                raise yaml.YAMLError(f'"{key.value}" stands twice in a section (lines {lines[key.value]} and {key.start_mark.line + 1}); '
                                     "remove one of them")
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+"), list("-+0123456789"))
