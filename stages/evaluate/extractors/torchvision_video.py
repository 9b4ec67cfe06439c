"""Two video classifiers out of torchvision, trained on Kinetics-400: a convolutional and an attention one, both freely downloadable."""

from collections.abc import Callable
from typing import ClassVar

from einops import rearrange
from torch import Tensor, nn
from torchvision.models.video import MViT_V2_S_Weights, R3D_18_Weights, mvit_v2_s, r3d_18

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.extractor import InputContract, stack_frames
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.weights import filled, load_state


class TorchvisionVideo(PublishedExtractor):
    """The layer before the last of a torchvision classifier, its own preset in front."""

    modality = "video"
    metrics = ("fvd",)
    batch_size = 8
    preset: ClassVar[nn.Module]

    build: ClassVar[Callable[[], nn.Module]]
    last: ClassVar[str]
    """Name of the layer that tells the classes, which is taken away."""

    def open(self) -> nn.Module:
        network = filled(type(self).build(), load_state(self.file, self.entry()), self.entry(), self.file)
        setattr(network, self.last, nn.Identity())
        return network

    def __call__(self, windows: list[Window]) -> Tensor:
        return self.network(self.preset(rearrange(stack_frames(windows), "b f h w c -> b f c h w").to(self.device)))


class R3D18(TorchvisionVideo):
    """ResNet of 18 layers with 3-D convolutions (Tran et al. 2018), 512 features."""

    name = "r3d_18"
    where = "r3d_18-b3b3357e.pth of torchvision"
    contract = InputContract(min_frames=4)
    preset = R3D_18_Weights.KINETICS400_V1.transforms()
    input = "frames stretched to 128 x 171, middle 112 x 112, normalised (torchvision's preset); 512 features before the classes"

    build, last = staticmethod(r3d_18), "fc"


class MViTV2S(TorchvisionVideo):
    """Multiscale vision transformer, small (Li et al. 2022), 768 features."""

    name = "mvit_v2_s"
    where = "mvit_v2_s-ae3be167.pth of torchvision"
    contract = InputContract(num_frames=16)
    preset = MViT_V2_S_Weights.KINETICS400_V1.transforms()
    input = "frames, shorter side to 256, middle 224 x 224, normalised (torchvision's preset); 768 features before the classes"

    build, last = staticmethod(mvit_v2_s), "head"
