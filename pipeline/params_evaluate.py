"""The sections `local_features` and `evaluate`: what the samples are measured with."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.params_reader import require
from pipeline.params_training import PretrainedParams, TrainParams

PROTOCOLS = Path(__file__).resolve().parents[1] / "stages/evaluate/protocols"
"""A file of each protocol, by its name."""


def protocol_names() -> list[str]:
    """Names of the protocols that there are."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalFeaturesParams:
    max_windows: int
    """Most training windows that the local networks see, spread over the clips; held in memory at 64 px."""
    train: TrainParams
    """The two networks whose features give fvd_local, kvd_local, fad_local."""

    def __post_init__(self) -> None:
        require(self.max_windows >= 2, "local_features.max_windows", self.max_windows, "2 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExtractorsParams:
    """Published networks by the name of the extractor, each a hub id with its commit, a URL with its hash, or a local file; null: not here.

    A protocol names those that it uses; the figures of one that is not here are listed as not computed.
    """

    i3d_styleganv: PretrainedParams | None
    """I3D as TorchScript (i3d_torchscript.pt)."""
    i3d_tats: PretrainedParams | None
    """I3D as a state dict (i3d_pretrained_400.pt)."""
    videomae: PretrainedParams | None
    """VideoMAE V2 ViT-g finetuned on Something-Something V2, of the content-debiased FVD."""
    r3d_18: PretrainedParams | None
    mvit_v2_s: PretrainedParams | None
    vggish: PretrainedParams | None
    """torchvggish's file."""
    clap: PretrainedParams | None
    """A folder of ClapModel."""
    audioclip: PretrainedParams | None
    """AudioCLIP-Full-Training.pt; of audioclip_mmdiffusion too."""
    panns: PretrainedParams | None
    """Cnn14_16k."""
    pe_av: PretrainedParams | None
    """A folder of PeAudioVideoModel; needs the package timm."""
    imagebind: PretrainedParams | None
    """imagebind_huge.pth (CC-BY-NC-SA 4.0)."""
    synchformer: PretrainedParams | None
    """synchformer_state_dict.pth, of DeSync."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateParams:
    protocols: tuple[str, ...]
    """Ways of measuring, each a file in stages/evaluate/protocols: demo, mm-ldm-256, ..."""
    max_windows: int
    """Most windows of any set, whatever the protocol wants: held-out ones, those learnt from, samples of a task."""
    min_samples: int
    """Fewest samples (and reference windows) for which a distance is given; with fewer it is reported as not computed."""
    extractors: ExtractorsParams
    event_tolerance_sec: float
    """How near in time a sound and a motion event count as together."""

    def __post_init__(self) -> None:
        require(bool(self.protocols) and len(set(self.protocols)) == len(self.protocols), "evaluate.protocols", list(self.protocols),
                "one or more, none of them twice")
        for name in self.protocols:
            require(name in protocol_names(), "evaluate.protocols", list(self.protocols), f"some of {', '.join(protocol_names())}")
        require(self.max_windows >= 2, "evaluate.max_windows", self.max_windows, "2 or more")
        require(self.min_samples >= 2, "evaluate.min_samples", self.min_samples, "2 or more (a covariance needs two)")
        require(self.event_tolerance_sec > 0, "evaluate.event_tolerance_sec", self.event_tolerance_sec, "more than 0")
