"""Every published extractor by name, and what one that is not here needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pipeline.errors import AbsentWeights, ParamsError
from pipeline.params import ClipParams, ExtractorsParams, PretrainedParams
from pipeline.pretrained import resolve
from stages.evaluate.extractors.audioclip import AudioCLIP, AudioCLIPAsPublished
from stages.evaluate.extractors.clap import CLAP
from stages.evaluate.extractors.extractor import Modality
from stages.evaluate.extractors.i3d import I3DStyleGANV, I3DTats
from stages.evaluate.extractors.imagebind import ImageBind
from stages.evaluate.extractors.panns import PANNs
from stages.evaluate.extractors.pe_av import PEAV
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.synchformer import Synchformer
from stages.evaluate.extractors.torchvision_video import R3D18, MViTV2S
from stages.evaluate.extractors.vggish import VGGish
from stages.evaluate.extractors.videomae import VideoMAE

LOCAL = "local"
PUBLISHED: Mapping[str, type[PublishedExtractor]] = {kind.name: kind for kind in (
    I3DStyleGANV, I3DTats, VideoMAE, R3D18, MViTV2S, VGGish, CLAP, AudioCLIP, AudioCLIPAsPublished, PANNs, PEAV, ImageBind,
    Synchformer)}


@dataclass(frozen=True, slots=True)
class AbsentExtractor:
    """One that a protocol names and that cannot be had."""

    name: str
    modality: Modality
    metrics: tuple[str, ...]
    """Distances that it would give."""
    reason: str
    """'needs X; get it by Y'."""


class Catalogue:
    """Looks each extractor up once, whatever number of protocols name it."""

    def __init__(self, params: ExtractorsParams, clip: ClipParams, sample_rate_hz: int, device: torch.device) -> None:
        self.params, self.clip, self.sample_rate_hz, self.device = params, clip, sample_rate_hz, device
        self._known: dict[str, PublishedExtractor | AbsentExtractor] = {}

    def published(self, names: Sequence[str]) -> tuple[list[PublishedExtractor], list[AbsentExtractor]]:
        """The published extractors among `names`, and why others are absent; "local" is passed over.

        Raises:
            ParamsError: there is no extractor of a name.
            WeightsError: what an entry of params.yaml leads to is something else; nothing is put in its place.
        """
        for name in names:
            if name not in PUBLISHED and name != LOCAL:
                raise ParamsError(f'there is no extractor "{name}"; there are: {LOCAL}, {", ".join(sorted(PUBLISHED))}')
            if name != LOCAL and name not in self._known:
                self._known[name] = self._look_up(PUBLISHED[name])
        known = [self._known[name] for name in names if name != LOCAL]
        return ([found for found in known if isinstance(found, PublishedExtractor)],
                [found for found in known if isinstance(found, AbsentExtractor)])

    def _look_up(self, kind: type[PublishedExtractor]) -> PublishedExtractor | AbsentExtractor:
        pretrained: PretrainedParams | None = getattr(self.params, kind.key or kind.name)
        reason = kind.contract.mismatch(self.clip)
        if not reason and pretrained is None:
            reason = f"needs {kind.where}; set {kind.entry()} to its source: a local file or folder, a URL, or a hub id"
        if not reason and pretrained is not None:
            try:
                return kind(resolve(pretrained, kind.entry()), self.device, self.sample_rate_hz)
            except AbsentWeights as error:
                reason = f"needs {kind.where}: {error}"
        return AbsentExtractor(kind.name, kind.modality, kind.metrics, reason)
