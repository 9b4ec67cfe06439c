"""What happens in one clip: when its events are, how big things are, of which colour; all drawn from one seed.

Units: a length of 1 is the side of the picture, x to the right, y down; times in seconds of the clip.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

Richness = Literal["plain", "rich"]

INTERVAL_SEC = (0.55, 0.9)
"""Between two events: two or three of them in a window of 1.6 s, and few enough that a wrong pairing rarely fits by chance."""
RICH_JITTER = 0.2
"""Rich rhythms: each interval differs from the clip's own by up to this share."""
RICH_INTERVAL_SEC = (0.5, 0.9)
RISE_SEC = 0.03
DIM_SEC = 0.2
"""Lamp and shower: time to full strength, and the time constant of the decay."""

Colour = tuple[float, float, float]
BACKGROUNDS: tuple[Colour, ...] = ((34, 38, 52), (24, 46, 48), (52, 34, 40), (46, 44, 30), (30, 30, 30), (40, 28, 58))
OBJECTS: tuple[Colour, ...] = ((250, 176, 72), (244, 112, 96), (120, 208, 120), (96, 180, 248), (240, 224, 160), (216, 140, 232))


@dataclass(frozen=True, slots=True)
class Scene:
    """One clip's content. `events_sec` begins before 0 and ends after the clip, so that every moment lies between two events."""

    kind: str
    seed: int
    events_sec: np.ndarray
    size: float
    """0 small (high pitch) to 1 big (low pitch)."""
    shift: tuple[float, float]
    """Displacement of the whole scene."""
    colour: Colour
    background: Colour

    def events_within(self, clip_sec: float) -> list[float]:
        """Event times inside the clip."""
        return [float(time) for time in self.events_sec if 0 <= time < clip_sec]

    def phase(self, times_sec: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where each moment lies between its two events.

        Returns:
            (share of the interval gone by, 0 to 1; length of the interval in seconds), both of the shape of `times_sec`.
        """
        before = np.searchsorted(self.events_sec, times_sec, side="right") - 1
        interval = np.diff(self.events_sec)[before]
        return (times_sec - self.events_sec[before]) / interval, interval

    def strength(self, times_sec: np.ndarray) -> np.ndarray:
        """Strength of lamp or shower, 0 to 1: a sharp rise at each event, then a decay."""
        before = np.searchsorted(self.events_sec, times_sec, side="right") - 1
        flares = [flare(times_sec - self.events_sec[np.maximum(before - back, 0)]) for back in (0, 1)]
        return np.maximum(*flares)


def flare(since_sec: np.ndarray) -> np.ndarray:
    """One flare, `since_sec` after its begin."""
    return np.clip(since_sec / RISE_SEC, 0, 1) * np.exp(-np.maximum(since_sec - RISE_SEC, 0) / DIM_SEC)


def draw_scene(kind: str, seed: int, clip_sec: float, richness: Richness) -> Scene:
    """Draw the free factors of one clip.

    Plain: interval, phase and size, everything else the same in every clip of every kind. Rich: the rhythm, the place, the
    colour of the object and of the background vary as well, by the same law in every kind, so that none of them tells the class.
    """
    rng = np.random.default_rng(seed)
    interval, phase, size = rng.uniform(*INTERVAL_SEC), rng.uniform(), rng.uniform()
    count = int(np.ceil((clip_sec + 4) / RICH_INTERVAL_SEC[0]))
    intervals = np.full(count, interval)
    shift, colour, background = (0.0, 0.0), OBJECTS[0], BACKGROUNDS[0]
    if richness == "rich":
        if kind != "pendulum":  # a pendulum keeps its time
            intervals = np.clip(intervals * rng.uniform(1 - RICH_JITTER, 1 + RICH_JITTER, count), *RICH_INTERVAL_SEC)
        shift = (rng.uniform(-0.04, 0.04), rng.uniform(-0.05, 0.02))
        colour, background = OBJECTS[rng.integers(len(OBJECTS))], BACKGROUNDS[rng.integers(len(BACKGROUNDS))]
    # The third event is the first in the clip: the tails of the two before reach into it.
    events = np.cumsum(intervals) - intervals[:3].sum() + phase * intervals[2]
    return Scene(kind=kind, seed=seed, events_sec=events, size=size, shift=shift, colour=colour, background=background)
