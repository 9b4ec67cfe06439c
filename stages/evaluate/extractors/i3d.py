"""I3D logits under two named protocols that published FVD and KVD stand on; the resize decides tens of points between them."""

import torch
from torch import Tensor, nn

from pipeline.contracts.window_sets import Window
from pipeline.errors import WeightsError
from stages.evaluate.extractors.extractor import InputContract, stack_frames
from stages.evaluate.extractors.frames import short_side_cropped
from stages.evaluate.extractors.inception_i3d import InceptionI3d
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.weights import filled, load_state

INPUT_PX = 224


class I3DStyleGANV(PublishedExtractor):
    """I3D as TorchScript, called as the metrics of StyleGAN-V call it; within 0.1% of the TensorFlow original (their own comparison).

    The network itself scales [0, 255] to [-1, 1] and resizes to 224 x 224.
    """

    name = "i3d_styleganv"
    where = "i3d_torchscript.pt, in the hub repository flateon/FVD-I3D-torchscript"
    modality = "video"
    metrics = ("fvd", "kvd")
    batch_size = 8
    contract = InputContract(min_frames=10)
    input = "frames, resized to 224 x 224 inside the network (StyleGAN-V), aspect not kept; 400 logits"

    def open(self) -> nn.Module:
        try:
            return torch.jit.load(self.file, map_location=self.device)
        except RuntimeError as error:
            raise WeightsError(f"params.yaml: {self.entry()}: {self.file} is not TorchScript ({str(error).splitlines()[0]}); "
                               "fetch i3d_torchscript.pt") from None

    def __call__(self, windows: list[Window]) -> Tensor:
        videos = stack_frames(windows).permute(0, 4, 1, 2, 3)  # (b, 3, f, h, w)
        return self.network(videos.float().to(self.device), rescale=True, resize=True, return_features=True)


class I3DTats(PublishedExtractor):
    """I3D as TATS and MM-Diffusion use it: shorter side to 224, middle square, [-1, 1].

    MM-Diffusion's program loads every video at 64 x 64 before that, whatever its size: its published figures need the protocol's `size_px`
    of 64. The two programs differ where frames are no squares (the TATS of today stretches them); ours always are.
    """

    name = "i3d_tats"
    where = "i3d_pretrained_400.pt of TATS"
    modality = "video"
    metrics = ("fvd", "kvd")
    batch_size = 8
    contract = InputContract(min_frames=10)
    input = "frames / 255, shorter side to 224 (bilinear), middle square, to [-1, 1] (TATS, MM-Diffusion); 400 logits, mean over time"

    def open(self) -> nn.Module:
        return filled(InceptionI3d(), load_state(self.file, self.entry()), self.entry(), self.file)

    def __call__(self, windows: list[Window]) -> Tensor:
        return self.network(tats_input(stack_frames(windows).to(self.device)))


def tats_input(frames: Tensor) -> Tensor:
    """uint8 [b, f, h, w, 3] -> float32 [b, 3, f, 224, 224] in [-1, 1]."""
    return (short_side_cropped(frames.float() / 255, INPUT_PX) - 0.5) * 2
