"""Sources without files."""

from typing import Any

from stages.inventory.accepted import Source
from stages.inventory.listing import Candidate
from stages.inventory.measured import Measured

PLAIN: dict[str, Any] = {
    "container": "mov,mp4", "video_codec": "h264", "audio_codec": "aac", "frames": 1, "hidden_frames": 0, "video_start_sec": 0.0,
    "audio_start_sec": 0.0, "width_px": 2, "height_px": 2, "rotation_deg": 0, "size_changes": False, "variable_rate": False,
    "video_streams": 1, "audio_streams": 1, "audio_rate_hz": 16000, "audio_channels": 1, "audio_layout": "mono", "audio_peak": 1.0,
    "audio_rms": 1.0, "loudness_lufs": None, "full_scale_share": 0.0, "black_share": 0.0, "picture_change": 255.0, "picture_hashes": b"",
    "sound_words": b"", "reader": "decord", "reader_because": "",
}


def made_up(name: str, seconds: float, split: str = "", **measured: Any) -> Source:
    """A source of class "a" whose sha256 is its name; `measured` changes fields of PLAIN."""
    found = Measured(**{**PLAIN, "video_end_sec": seconds, "audio_end_sec": seconds, **measured})
    return Source(Candidate(f"a/{name}.mp4", "a", split), name, 1, found, [(0.0, seconds)])
