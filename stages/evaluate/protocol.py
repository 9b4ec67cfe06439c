"""Protocols as data: what is measured, on how many windows of what size and rate, against what, by which extractors.

A protocol is a file `protocols/<name>.yaml`; its name stands in front of every figure measured by it, so that a number means one
thing. Two figures with the same name of two protocols are different figures.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import yaml

from pipeline.errors import ParamsError
from pipeline.params import ClipParams
from pipeline.params_evaluate import PROTOCOLS, protocol_names
from pipeline.params_reader import build, require

Reference = Literal["test", "train"]
Resize = Literal["none", "bilinear_antialiased", "bicubic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Protocol:
    """One way of measuring."""

    name: str
    """Of its file."""
    about: str
    """Whose it is, and what in it is published and what is assumed."""
    size_px: int | None
    """Side of the frames before any extractor; null: as they are."""
    resize: Resize
    """How larger frames come to `size_px`; none: frames of another size cannot be measured by this protocol."""
    fps: int | None
    """Rate of the frames; null: any."""
    num_frames: int | None
    """Frames of a window; null: any."""
    samples: int
    """Samples of a task; a figure of fewer says so."""
    reference: int
    """Most windows of the reference."""
    references: tuple[Reference, ...]
    """test: held-out sources; train: the clips learnt from, in figures named `..._to_train`."""
    extractors: tuple[str, ...]
    """By name (stages/evaluate/extractors)."""
    measures: tuple[str, ...]
    """By name (stages/evaluate/measures.py)."""
    replicates: int
    """Redrawn sets behind each interval; 0: no intervals."""

    def __post_init__(self) -> None:
        require(self.size_px is None or self.size_px >= 8, "protocol.size_px", self.size_px, "8 or more, or null")
        require(self.samples >= 2 and self.reference >= 2, "protocol.samples", min(self.samples, self.reference), "2 or more")
        require(bool(self.references), "protocol.references", "empty", f"one or more of {', '.join(get_args(Reference))}")
        require(self.replicates >= 0, "protocol.replicates", self.replicates, "0 or more")

    def mismatch(self, clip: ClipParams) -> str:
        """Why windows of this shape cannot be measured by this protocol, "" when they can: 'needs X; do Y'."""
        if self.fps is not None and clip.fps != self.fps:
            return f"needs {self.fps} frames a second, clip.fps is {clip.fps}; no frame is invented or dropped"
        if self.num_frames is not None and clip.num_frames != self.num_frames:
            return f"needs windows of {self.num_frames} frames, clip.num_frames is {clip.num_frames}"
        if self.size_px is None or clip.frame_size_px == self.size_px:
            return ""
        if clip.frame_size_px < self.size_px:
            return f"needs frames of {self.size_px} px, clip.frame_size_px is {clip.frame_size_px}; none is enlarged"
        return "" if self.resize != "none" else f"needs frames of {self.size_px} px as they are, clip.frame_size_px is {clip.frame_size_px}"


def load_protocol(name: str) -> Protocol:
    """The protocol of that name.

    Raises:
        ParamsError: there is none, or its file is not one.
    """
    if name not in protocol_names():
        raise ParamsError(f'there is no protocol "{name}"; there are: {", ".join(protocol_names())}')
    try:
        values = yaml.safe_load((PROTOCOLS / f"{name}.yaml").read_text(encoding="utf-8"))
        return build(Protocol, {"name": name, **values}, "protocol")
    except ParamsError as error:
        raise ParamsError(f"stages/evaluate/protocols/{name}.yaml: {str(error).removeprefix('params.yaml: ')}") from None
