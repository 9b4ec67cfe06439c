"""Synchformer: by how many seconds sound and picture are out of step, one of 21 classes from -2 to +2 s (Iashin et al. 2024).

Legend: b crops, s = 14 segments of a crop, d width. A segment is 0.64 s (16 frames at 25 a second, 10,240 samples at 16 kHz), the next one
begins 0.32 s later; a crop of 14 is 4.8 s. As av-benchmark asks it: the first and the last 14 segments of a clip. The weights are those of
the experiment 24-01-04T16-39-21 (trained on AudioSet), in the form of MMAudio's release v0.1, which holds tensors alone. Licence: MIT, that
of its repository (v-iashin/Synchformer); the weights have none of their own.
"""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
import torchaudio
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as pictures

from pipeline.contracts.window_sets import Window
from stages.evaluate.extractors.audio_spectrogram_transformer import MEL_BANDS, MEL_COLUMNS, SpectrogramTransformer
from stages.evaluate.extractors.audio_spectrogram_transformer import MOMENTS as HEARD_MOMENTS
from stages.evaluate.extractors.extractor import InputContract
from stages.evaluate.extractors.motionformer import FRAMES, INPUT_PX, Motionformer
from stages.evaluate.extractors.motionformer import MOMENTS as SEEN_MOMENTS
from stages.evaluate.extractors.published import PublishedExtractor
from stages.evaluate.extractors.sound import cut_or_padded, resampled
from stages.evaluate.extractors.weights import filled, load_state
from stages.evaluate.shuffled_pairs import PARTNERS

FPS, RATE_HZ = 25, 16000
SEGMENT_SAMPLES = FRAMES * RATE_HZ // FPS
SEGMENTS = 14
MIN_SEC = (SEGMENTS + 1) * FRAMES / 2 / FPS
MEL_MEAN, MEL_STD = -4.2677393, 4.5689974
OFFSETS_SEC = np.linspace(-2, 2, 21)
"""Of each class; above zero the sound comes early."""
UNUSED = ("vfeat_extractor.patch_embed.",)
"""Patches of single frames: in the file, and never called."""
PUBLISHED: Mapping[str, int] = {"width": 768, "depth": 12, "heads": 12, "head_depth": 3, "head_heads": 8}
"""Sizes of the published network."""


class Synchformer(PublishedExtractor):
    """21 logits of a window's first and last 4.8 s, which may be the same; of picture and sound together, not of each."""

    name = "synchformer"
    where = "synchformer_state_dict.pth of MMAudio's release v0.1 (Synchformer 24-01-04T16-39-21)"
    modality = "joint"
    metrics = ()
    batch_size = 2 * PARTNERS  # wrong pairs come sorted by picture: two pictures a batch
    contract = InputContract(min_sec=MIN_SEC)
    input = ("frames at 25 a second (repeated or left out), shorter side to 224 (bicubic, antialiased), middle square, [-1, 1]; sound at "
             "16 kHz, log-mel of 128 bands; 21 logits of the first and of the last 4.8 s")

    sizes: ClassVar[Mapping[str, int]] = PUBLISHED

    def open(self) -> nn.Module:
        state = load_state(self.file, self.entry(), inside="model")
        return filled(SynchformerNetwork(**self.sizes), state, self.entry(), self.file, UNUSED)

    def __call__(self, windows: list[Window]) -> Tensor:
        seen: dict[bytes, Tensor] = {}
        logits = []
        for window in windows:
            frames, fps = torch.from_numpy(window.frames), frame_rate(window, self.sample_rate_hz)
            picture = window.frames.tobytes()
            if picture not in seen:
                seen[picture] = self.network.see(video_segments(frames.to(self.device), fps))          # (segments, 8, d)
            waveform = torch.from_numpy(window.waveform).float() / 32768
            heard = self.network.hear(audio_segments(waveform, self.sample_rate_hz, len(frames), fps).to(self.device))
            logits.append(self.network(*(torch.stack([part[:SEGMENTS], part[-SEGMENTS:]]) for part in (seen[picture], heard))))
        return torch.stack(logits)                                                                     # (b, 2, 21)


class SynchformerNetwork(nn.Module):
    """Both feature networks, and the transformer that compares what they found."""

    def __init__(self, width: int, depth: int, heads: int, head_depth: int, head_heads: int) -> None:
        super().__init__()
        self.vfeat_extractor, self.afeat_extractor = Motionformer(width, depth, heads), SpectrogramTransformer(width, depth, heads)
        self.vproj, self.aproj = nn.Linear(width, width), nn.Linear(width, width)
        self.transformer = SyncTransformer(width, head_depth, head_heads)

    def see(self, x: Tensor) -> Tensor:
        """float32 [segments, 3, 16, 224, 224] in [-1, 1] -> [segments, 8, d]."""
        return self.vfeat_extractor(x)

    def hear(self, x: Tensor) -> Tensor:
        """float32 [segments, 128, 66] -> [segments, 6, d]."""
        return self.afeat_extractor(x)

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """seen [b, 14, 8, d], heard [b, 14, 6, d] -> logits [b, 21]."""
        return self.transformer(self.vproj(seen).flatten(1, 2), self.aproj(heard).flatten(1, 2))


class SyncTransformer(nn.Module):
    """All moments of picture and sound in one sequence, each behind a token of its own; the first token's end gives the class."""

    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.OFF_tok, self.MOD_tok = (nn.Parameter(torch.zeros(1, 1, width)) for _ in range(2))
        self.vis_in_lnorm, self.aud_in_lnorm, self.ln_f = (nn.LayerNorm(width) for _ in range(3))
        places = 2 + SEGMENTS * (SEEN_MOMENTS + HEARD_MOMENTS)
        self.pos_emb_cfg = nn.ParameterDict({"pos_emb": torch.zeros(1, places, width)})
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.off_head = nn.Linear(width, len(OFFSETS_SEC))

    def forward(self, seen: Tensor, heard: Tensor) -> Tensor:
        """[b, 112, d] and [b, 84, d] -> [b, 21]."""
        first, middle = (token.expand(len(seen), -1, -1) for token in (self.OFF_tok, self.MOD_tok))
        x = torch.cat([first, self.vis_in_lnorm(seen), middle, self.aud_in_lnorm(heard)], dim=1)   # (b, 198, d)
        return self.off_head(self.ln_f(self.blocks(x + self.pos_emb_cfg["pos_emb"])[:, 0]))


class Block(nn.Module):
    """Attention and a perceptron of four times the width, each behind a normalisation."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln1, self.ln2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({name: nn.Linear(width, width) for name in ("key", "query", "value", "proj")})
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """[b, n, d] -> the same."""
        normed = self.ln1(x)
        query, key, value = (rearrange(self.attn[name](normed), "b n (h c) -> b h n c", h=self.heads) for name in ("query", "key", "value"))
        x = x + self.attn["proj"](rearrange(F.scaled_dot_product_attention(query, key, value), "b h n c -> b n (h c)"))
        return x + self.mlp(self.ln2(x))


def frame_rate(window: Window, sample_rate_hz: int) -> int:
    """Frames a second; a window's sound lasts as long as its frames, to a sample."""
    return round(len(window.frames) * sample_rate_hz / len(window.waveform))


def frames_shown(num_frames: int, fps: int) -> Tensor:
    """Which of the frames is seen at each moment of 25 a second, int64 [num_frames * 25 // fps].

    As ffmpeg's filter `fps` has it: a frame appears at the moment that is nearest to its time (of two, the later one) and stays.
    """
    return ((2 * torch.arange(num_frames * FPS // fps) + 1) * fps - 1) // (2 * FPS)


def video_segments(frames: Tensor, fps: int) -> Tensor:
    """uint8 [f, h, w, 3] -> float32 [segments, 3, 16, 224, 224] in [-1, 1]."""
    small = pictures.resize(frames.permute(0, 3, 1, 2), [INPUT_PX], InterpolationMode.BICUBIC, antialias=True)
    small = pictures.center_crop(small, [INPUT_PX])[frames_shown(len(frames), fps).to(frames.device)]   # (25 a second, 3, 224, 224)
    return rearrange(small.unfold(0, FRAMES, FRAMES // 2), "s c h w f -> s c f h w").float() / 127.5 - 1


def audio_segments(waveform: Tensor, rate_hz: int, num_frames: int, fps: int) -> Tensor:
    """float32 [samples] in [-1, 1) of so many frames -> float32 [segments, 128, 66]; as many as `video_segments` gives."""
    sound = cut_or_padded(resampled(waveform[None], rate_hz, RATE_HZ), num_frames * RATE_HZ // fps)[0]
    mel = torchaudio.transforms.MelSpectrogram(RATE_HZ, n_fft=1024, win_length=400, hop_length=160, n_mels=MEL_BANDS)
    columns = torch.log(mel(sound.unfold(0, SEGMENT_SAMPLES, SEGMENT_SAMPLES // 2)) + 1e-6)     # (segments, 128, 65)
    # The published program fills the last column before it normalises: with what stands for a loud moment.
    return (F.pad(columns, (0, MEL_COLUMNS - columns.shape[2])) - MEL_MEAN) / (2 * MEL_STD)
