"""ImageBind embeddings of picture and sound in one space (Girdhar et al. 2023): how well a sound belongs to a picture, not whether in time.

Legend: b batch, n tokens, d width. Written here are the seeing and the hearing tower of imagebind_huge, with the names of its published
weights; the other senses' weights are passed over. Licence of the weights: CC-BY-NC-SA 4.0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional as F

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.extractor import InputContract, stack_frames, stack_waveforms
from stages.evaluate.extractors.frames import CLIP_MEAN, CLIP_STD, normalised, short_side_cropped
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import resampled
from stages.evaluate.extractors.weights import filled, load_state

RATE_HZ, MEL_BANDS, MEL_COLUMNS, MEL_MEAN, MEL_STD = 16000, 128, 204, -4.268, 9.138
CLIP_SEC = 2.0
"""What the network hears and sees at once; a shorter window fills a part of it, as in its authors' program."""
NUM_FRAMES = 2
OTHERS = tuple(f"modality_{part}.{sense}." for part in ("preprocessors", "trunks", "heads", "postprocessors")
               for sense in ("text", "depth", "thermal", "imu"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tower:
    """Sizes of one tower."""

    width: int
    depth: int
    heads: int


HUGE = {"vision": Tower(width=1280, depth=32, heads=16), "audio": Tower(width=768, depth=12, heads=12)}
EMBEDDING = 1024


class ImageBind(PublishedExtractor):
    """Two rows a window: picture and sound, of unit length; their product is the published cosine."""

    name = "imagebind"
    where = "imagebind_huge.pth of ImageBind"
    modality = "pair"
    metrics = ()
    batch_size = 8
    contract = InputContract(min_frames=2, min_sec=0.5, max_sec=CLIP_SEC)
    input = ("first and last frame, shorter side to 224 (bilinear), middle square, CLIP's normalisation; sound at 16 kHz, 128 mel bands, "
             "204 columns, zeros behind what is shorter than 2 s; 1024 features of unit length")

    sizes: ClassVar[Mapping[str, Tower]] = HUGE

    def open(self) -> nn.Module:
        state = load_state(self.file, self.entry())
        return filled(ImageBindNetwork(self.sizes, EMBEDDING), state, self.entry(), self.file, (*OTHERS, "modality_postprocessors."))

    def __call__(self, windows: list[Window]) -> Tensor:
        videos = vision_input(stack_frames(windows).to(self.device))
        sound = audio_input(resampled(stack_waveforms(windows), self.sample_rate_hz, RATE_HZ)).to(self.device)
        return F.normalize(torch.stack([self.network.see(videos), self.network.hear(sound)], dim=1), dim=2)


class ImageBindNetwork(nn.Module):
    """The towers of picture and sound."""

    def __init__(self, sizes: Mapping[str, Tower], embedding: int) -> None:
        super().__init__()
        vision, audio = sizes["vision"], sizes["audio"]
        self.modality_preprocessors = nn.ModuleDict({"vision": VisionTokens(vision.width), "audio": AudioTokens(audio.width)})
        self.modality_trunks = nn.ModuleDict({"vision": Trunk(vision, normalised_first=True, bias_kv=False),
                                              "audio": Trunk(audio, normalised_first=False, bias_kv=True)})
        self.modality_heads = nn.ModuleDict({name: nn.Sequential(
            nn.LayerNorm(tower.width, eps=1e-6), nn.Identity(), nn.Linear(tower.width, embedding, bias=False))
            for name, tower in (("vision", vision), ("audio", audio))})

    def see(self, x: Tensor) -> Tensor:
        """float32 [b, 3, 2, 224, 224] -> [b, 1024]."""
        return self._through("vision", x)

    def hear(self, x: Tensor) -> Tensor:
        """float32 [b, 1, 128, 204] -> [b, 1024]."""
        return self._through("audio", x)

    def _through(self, sense: str, x: Tensor) -> Tensor:
        return self.modality_heads[sense](self.modality_trunks[sense](self.modality_preprocessors[sense](x))[:, 0])


class Tokens(nn.Module):
    """Patches of what comes in, a class token before them, learned positions."""

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embedding_helper = nn.ParameterDict({"pos_embed": torch.zeros(1, 1 + count, width)})

    def with_class(self, patches: Tensor) -> Tensor:
        """[b, n, d] -> [b, 1 + n, d]."""
        return torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1) + self.pos_embedding_helper["pos_embed"]


class VisionTokens(Tokens):
    """16 x 16 patches over two frames."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 16 * 16)
        self.rgbt_stem = nn.ModuleDict({"proj": nn.Sequential(nn.Identity(), nn.Conv3d(3, width, (2, 14, 14), (2, 14, 14), bias=False))})

    def forward(self, x: Tensor) -> Tensor:
        return self.with_class(self.rgbt_stem["proj"](x).flatten(2).transpose(1, 2))


class AudioTokens(Tokens):
    """12 x 19 overlapping patches of the mel image."""

    def __init__(self, width: int) -> None:
        super().__init__(width, 12 * 19)
        self.rgbt_stem = nn.ModuleDict({"proj": nn.Conv2d(1, width, 16, 10, bias=False), "norm_layer": nn.LayerNorm(width)})

    def forward(self, x: Tensor) -> Tensor:
        return self.with_class(self.rgbt_stem["norm_layer"](self.rgbt_stem["proj"](x).flatten(2).transpose(1, 2)))


class Trunk(nn.Module):
    """Pre-normalised transformer."""

    def __init__(self, tower: Tower, normalised_first: bool, bias_kv: bool) -> None:
        super().__init__()
        first = nn.LayerNorm(tower.width, eps=1e-6) if normalised_first else nn.Identity()
        self.pre_transformer_layer = nn.Sequential(first)
        self.blocks = nn.Sequential(*(Block(tower, bias_kv) for _ in range(tower.depth)))

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, d] -> [b, n, d]."""
        return self.blocks(self.pre_transformer_layer(x))


class Block(nn.Module):
    """Attention (of sound: with a learned key and value beside the tokens') and a perceptron of four times the width."""

    def __init__(self, tower: Tower, bias_kv: bool) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(tower.width, tower.heads, add_bias_kv=bias_kv, batch_first=True)
        self.norm_1, self.norm_2 = nn.LayerNorm(tower.width, eps=1e-6), nn.LayerNorm(tower.width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(tower.width, 4 * tower.width), "fc2": nn.Linear(4 * tower.width, tower.width)})

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm_1(x)
        x = x + self.attn(y, y, y, need_weights=False)[0]
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm_2(x))))


def vision_input(frames: Tensor) -> Tensor:
    """uint8 [b, f, h, w, 3] -> float32 [b, 3, 2, 224, 224]: first and last frame. Of a square the three crops of the program are one."""
    ends = frames[:, [0, -1]].float() / 255
    return normalised(short_side_cropped(ends, 224), CLIP_MEAN, CLIP_STD)


def audio_input(waveform: Tensor) -> Tensor:
    """float32 [b, s] at 16 kHz -> float32 [b, 1, 128, 204]."""
    images = []
    for wave in waveform:
        bank = torchaudio.compliance.kaldi.fbank((wave - wave.mean())[None], htk_compat=True, sample_frequency=RATE_HZ, use_energy=False,
                                                 window_type="hanning", num_mel_bins=MEL_BANDS, dither=0.0, frame_length=25, frame_shift=10)
        image = F.pad(bank.T, (0, max(0, MEL_COLUMNS - len(bank))))[:, :MEL_COLUMNS]
        images.append((image - MEL_MEAN) / MEL_STD)
    return torch.stack(images)[:, None]
