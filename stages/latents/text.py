"""Captions to the tokens that the DiT reads: CLIP's text encoder, once per distinct caption (published AudioSet settings: 77 x 768)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.contracts.captions import write_captions
from pipeline.contracts.outputs import Work, atomic_path
from pipeline.errors import WeightsError
from pipeline.params import PretrainedParams
from pipeline.pretrained import open_transformers, quiet_transformers, resolve
from pipeline.progress import Progress

BATCH = 32
PART = 1024
"""Captions of one file of unfinished work; what a kill can cost."""


class TextEncoder:
    """CLIP's text transformer and its tokenizer, frozen."""

    def __init__(self, model: Any, tokenizer: Any, device: torch.device) -> None:
        self.model, self.tokenizer, self.device = model.to(device).requires_grad_(False), tokenizer, device

    @property
    def shape(self) -> tuple[int, int]:
        """Tokens of a text (CLIP: 77; longer ones are cut), width of a token."""
        return int(self.model.config.max_position_embeddings), int(self.model.config.hidden_size)

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """float16 [n, tokens, width]: the last hidden states, those of the padding included, as Stable Diffusion takes them."""
        parts = []
        for first in range(0, len(texts), BATCH):
            tokens = self.tokenizer(list(texts[first : first + BATCH]), padding="max_length", truncation=True, max_length=self.shape[0],
                                    return_tensors="pt")
            parts.append(self.model(input_ids=tokens["input_ids"].to(self.device)).last_hidden_state.cpu())
        return torch.cat(parts).to(torch.float16).numpy()

    def save(self, folder: Path) -> None:
        """Write weights (safetensors), config and tokenizer; `load_text_encoder` reads them."""
        with quiet_transformers():
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)


def load_text_encoder(pretrained: PretrainedParams, device: torch.device, entry: str = "latents.text_encoder") -> TextEncoder:
    """The text encoder that `latents.text_encoder` names: `transformers.CLIPTextModel` (also out of a whole CLIP) and its tokenizer.

    Raises:
        WeightsError: it is not at hand, damaged, or something else.
    """
    folder = resolve(pretrained, entry)
    model = open_transformers("CLIPTextModel", folder, entry, "CLIP's text encoder", ", or set dit.context to class")
    try:
        with quiet_transformers() as transformers:
            tokenizer = transformers.CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        known = len(tokenizer)  # where its files are missing transformers makes one that knows nothing
    except Exception as error:  # tokenizers raises plain exceptions
        raise WeightsError(f"params.yaml: {entry}: the tokenizer in {folder} cannot be read ({' '.join(str(error).split())[:120]}); "
                           "fetch the folder anew") from None
    if known != model.config.vocab_size:
        raise WeightsError(f"params.yaml: {entry}: the tokenizer in {folder} knows {known} tokens, the network {model.config.vocab_size}; "
                           "tokenizer.json is missing or of another model, fetch the folder anew")
    return TextEncoder(model, tokenizer, device)


def captions_of(clips: pd.DataFrame) -> dict[str, str]:
    """Text by clip_id of rows of `clips.parquet`: the caption; of a clip without one the name of its class, in words."""
    named = clips["class_name"].str.replace("_", " ")
    return dict(zip(clips["clip_id"], clips["caption"].where(clips["caption"] != "", named), strict=True))


def cache_captions(work: Work, texts: Mapping[str, str], encoder: TextEncoder) -> int:
    """Embed every distinct caption and write `captions.parquet` and `captions.npy`; goes on where a killed run was.

    Args:
        texts: captions by clip_id.

    Returns:
        Number of distinct captions.
    """
    distinct = sorted(set(texts.values()))
    progress, parts = Progress("latents", len(distinct), "captions"), []
    for first in range(0, len(distinct), PART):
        part, some = work.scratch / f"captions-{first:08d}.npy", distinct[first : first + PART]
        if not part.is_file():
            with atomic_path(part) as temporary, temporary.open("wb") as file:
                np.save(file, encoder.embed(some), allow_pickle=False)
        parts.append(part)
        progress.advance(len(some))
    write_captions(work.folder, dict(texts), distinct, parts, encoder.shape)
    return len(distinct)
