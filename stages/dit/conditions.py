"""Which condition a training sample gets (paper 3.3).

One network learns four distributions:

    svg     audio and video, given a class    no condition latent (or given a text, by `dit.context`)
    null    audio and video                   no condition latent, no class: Eq. 9's unconditional prediction
    a2v     video, given audio                z_a as condition
    v2a     audio, given video                z_v as condition

and, where a share of continuations is asked for, what comes next: both modalities given both of the window before, or its sound
or its picture alone, through a branch of its own (`continuation.py`) and without a class.

A condition latent takes the class's place: what a user's own file brings is sound or picture, not a class. The
conditioned modality's noisy latent comes from the condition by the forward process, as the others' does, and Eq. 8 is
taken over both modalities in every sample, as printed: that part is soon near zero and teaches the network to read the condition.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.params import DiTParams
from pipeline.shared_batch import own_rows
from stages.dit.model import NULL_CLASS


@dataclass(frozen=True, slots=True)
class Conditions:
    """What the network is told about a batch."""

    audio: Tensor
    """z_a [b, c, h, w] or zeros, the null latent 0_a."""
    video: Tensor
    class_id: Tensor
    """int64 [b], NULL_CLASS where none."""
    text: Tensor | None = None
    """Embeddings [b, tokens, width], zeros where none; None: the network reads no text."""

    def rows(self, part: slice) -> "Conditions":
        """Those of some of the samples."""
        return Conditions(self.audio[part], self.video[part], self.class_id[part], None if self.text is None else self.text[part])


def draw_conditions(audio_latents: Tensor, video_latents: Tensor, class_id: Tensor, params: DiTParams,
                    text: Tensor | None = None) -> Conditions:
    """Draw each sample's task: `a2v_share` and `v2a_share` of them get a condition latent, never both; the others their class or text.

    Args:
        audio_latents, video_latents: clean, normalised [b, c, h, w].
        class_id: int64 [b].
        params: the shares, and `condition_dropout`, the chance that class and text of an svg sample are withheld.
        text: embeddings [b, tokens, width], of a network that reads them.
    """
    def draw(count: int) -> Tensor:
        return torch.rand(count, device=class_id.device)

    task = own_rows(draw, len(class_id))
    a2v, v2a = task < params.a2v_share, task >= 1 - params.v2a_share
    dropped = own_rows(draw, len(class_id)) < params.condition_dropout
    untold = a2v | v2a | dropped
    return Conditions(audio=audio_latents * a2v.view(-1, 1, 1, 1), video=video_latents * v2a.view(-1, 1, 1, 1),
                      class_id=class_id.masked_fill(untold, NULL_CLASS), text=None if text is None else text * ~untold.view(-1, 1, 1))


def drop_previous(audio: Tensor, video: Tensor, dropout: float) -> tuple[Tensor, Tensor]:
    """z_a and z_v [b, c, h, w] of the window before, with the picture withheld from a share of the samples and the sound from
    another: they learn to continue a sound, or a picture, alone (published settings: 0.2 each)."""
    drawn = own_rows(lambda count: torch.rand(count, device=audio.device), len(audio))
    no_video, no_audio = drawn < dropout, drawn >= 1 - dropout
    return audio * ~no_audio.view(-1, 1, 1, 1), video * ~no_video.view(-1, 1, 1, 1)
