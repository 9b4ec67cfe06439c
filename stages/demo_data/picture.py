"""A scene as frames: analytic shapes with soft edges, so that nothing flickers and every event lies between frames as it falls.

Legend: f frames, h = w = side of the picture in pixels, n rain streaks.
"""

from collections.abc import Callable

import numpy as np

from stages.demo_data.scene import INTERVAL_SEC, Scene

FLOOR = 0.9
"""Height of the floor, the same in every scene."""
MAX_RISE = 0.5
"""A ball that stays up for the longest plain interval rises so far; gravity follows from it."""
GRAVITY = 8 * MAX_RISE / INTERVAL_SEC[1] ** 2
MAX_ROD = 0.55
"""Length of the pendulum of the longest plain interval; the others follow by the law of the pendulum, L ~ T^2."""
PIVOT_Y = 0.08
SWING_REACH = 0.32
"""A long pendulum swings so far to each side; a short one up to `SWING_LIMIT` (its angle doesn't change its period)."""
SWING_LIMIT = np.sin(np.deg2rad(60.0))
CLACK_TRAVEL = 0.16
NUM_STREAKS = 9
FALL_PER_SEC = 1.3
RAIN_PATTERN = 5
"""Seed of the places of the streaks, the same in every clip: they are no factor to learn."""
DIM = 0.22
"""Brightness of a lamp that is off, so that its size is seen."""


def draw_frames(scene: Scene, num_frames: int, fps: int, size_px: int) -> np.ndarray:
    """Frames uint8 [f, size_px, size_px, 3], RGB in [0, 255], frame i at i / fps seconds."""
    times = np.arange(num_frames) / fps
    canvas = Canvas(num_frames, size_px, scene)
    DRAW[scene.kind](canvas, scene, times)
    return canvas.frames()


class Canvas:
    """Coverage of the object's colour over the background, composed at the end."""

    def __init__(self, num_frames: int, size_px: int, scene: Scene) -> None:
        self.size_px, self.scene = size_px, scene
        self.axis = ((np.arange(size_px) + 0.5) / size_px).astype(np.float32)
        self.cover = np.zeros((num_frames, size_px, size_px), np.float32)         # (f, h, w)

    def add(self, cover: np.ndarray, brightness: np.ndarray | float = 1.0) -> None:
        """Lay a shape over what is there; cover [f, h, w] in [0, 1], brightness a number or one per frame."""
        level = np.asarray(brightness, np.float32).reshape(-1, 1, 1)
        self.cover += cover * (level - self.cover)

    def soft(self, inside: np.ndarray) -> np.ndarray:
        """Coverage of a pixel whose centre lies `inside` (a length) within the edge."""
        return np.clip(inside * self.size_px + 0.5, 0, 1)

    def disc(self, x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
        """Coverage [f, h, w] of a disc with centres x, y [f]."""
        dx2 = (self.axis[None, :] - _column(x)) ** 2                               # (f, w)
        dy2 = (self.axis[None, :] - _column(y)) ** 2                               # (f, h)
        return self.soft(radius - np.sqrt(dy2[:, :, None] + dx2[:, None, :]))      # (f, h, w)

    def rod(self, x: np.ndarray, y: np.ndarray, to_x: np.ndarray, to_y: np.ndarray, width: float) -> np.ndarray:
        """Coverage [f, h, w] of a straight rod between two points, each [f]."""
        length = np.hypot(to_x - x, to_y - y)
        ux, uy = _cube((to_x - x) / length), _cube((to_y - y) / length)
        px, py = self.axis[None, None, :] - _cube(x), self.axis[None, :, None] - _cube(y)
        along = np.clip(px * ux + py * uy, 0, _cube(length))
        return self.soft(width / 2 - np.hypot(px - along * ux, py - along * uy))

    def frames(self) -> np.ndarray:
        """Compose: background with a lighter floor, the object's colour over it."""
        colour, background = np.asarray(self.scene.colour, np.float32), np.asarray(self.scene.background, np.float32)
        below = self.soft(self.axis - FLOOR)[:, None, None]
        back = background * (1 + 0.6 * below) * np.ones((1, self.size_px, 1), np.float32)   # (h, w, 3)
        picture = back + self.cover[..., None] * (colour - back)                   # (f, h, w, 3)
        return np.rint(np.clip(picture, 0, 255)).astype(np.uint8)


def draw_bounce(canvas: Canvas, scene: Scene, times: np.ndarray) -> None:
    """A ball in free flight between its landings: rise = g T^2 / 2 * u (1 - u)."""
    radius = _between(scene.size, 0.13, 0.19)
    gone, interval = scene.phase(times)
    rise = GRAVITY * interval**2 / 2 * gone * (1 - gone)
    canvas.add(canvas.disc(np.full_like(times, 0.5 + scene.shift[0]), FLOOR - radius - rise, radius))


def draw_pendulum(canvas: Canvas, scene: Scene, times: np.ndarray) -> None:
    """A bob whose turning points are the events; its angle follows a cosine between them."""
    radius = _between(scene.size, 0.12, 0.16)
    gone, interval = scene.phase(times)
    index = np.searchsorted(scene.events_sec, times, side="right")
    length = MAX_ROD * (interval / INTERVAL_SEC[1]) ** 2
    swing = np.arcsin(np.minimum(SWING_REACH / length, SWING_LIMIT))
    angle = swing * np.cos(np.pi * gone) * np.where(index % 2 == 0, 1, -1)
    pivot_x, pivot_y = np.full_like(times, 0.5 + scene.shift[0]), np.full_like(times, PIVOT_Y)
    x, y = pivot_x + length * np.sin(angle), pivot_y + length * np.cos(angle)
    canvas.add(canvas.rod(pivot_x, pivot_y, x, y, width=0.04), brightness=0.5)
    canvas.add(canvas.disc(x, y, radius))


def draw_lamp(canvas: Canvas, scene: Scene, times: np.ndarray) -> None:
    """A disc in the middle as bright as its tone is loud."""
    radius = _between(scene.size, 0.18, 0.36)
    x, y = np.full_like(times, 0.5 + scene.shift[0]), np.full_like(times, 0.46 + scene.shift[1])
    canvas.add(canvas.disc(x, y, radius), brightness=DIM + (1 - DIM) * scene.strength(times))


def draw_clack(canvas: Canvas, scene: Scene, times: np.ndarray) -> None:
    """Two balls that swing apart and back, as those of Newton's cradle do; they touch at the events."""
    radius = _between(scene.size, 0.12, 0.16)
    gone, _ = scene.phase(times)
    half_gap = CLACK_TRAVEL * np.sin(np.pi * gone)
    middle, y = 0.5 + scene.shift[0], np.full_like(times, 0.5 + scene.shift[1])
    for side in (-1, 1):
        canvas.add(canvas.disc(middle + side * (radius + half_gap), y, radius))


def draw_rain(canvas: Canvas, scene: Scene, times: np.ndarray) -> None:
    """Upright streaks that fall at one speed; the stronger the shower, the more of them are there."""
    rng = np.random.default_rng(RAIN_PATTERN)
    width, length = _between(scene.size, 0.045, 0.07), _between(scene.size, 0.18, 0.3)
    x = (np.arange(NUM_STREAKS) + 0.5) / NUM_STREAKS + scene.shift[0]
    start, threshold = rng.permutation(NUM_STREAKS) / NUM_STREAKS, rng.permutation(NUM_STREAKS) / NUM_STREAKS
    span = FLOOR + length
    y = (start * span + times[:, None] * FALL_PER_SEC) % span                      # (f, n) lower end
    there = np.clip((scene.strength(times)[:, None] - threshold * 0.8) / 0.15, 0, 1)   # (f, n)
    across = canvas.soft(width / 2 - np.abs(canvas.axis - x[:, None]))             # (n, w)
    down = canvas.soft(np.minimum(canvas.axis - (y[..., None] - length), np.minimum(y[..., None], FLOOR) - canvas.axis))  # (f, n, h)
    cover = np.einsum("fn,fnh,nw->fhw", there, down, across, optimize=True)
    canvas.add(np.clip(cover, 0, 1).astype(np.float32))


DRAW: dict[str, Callable[[Canvas, Scene, np.ndarray], None]] = {
    "bounce": draw_bounce, "pendulum": draw_pendulum, "lamp": draw_lamp, "clack": draw_clack, "rain": draw_rain,
}


def _between(share: float, low: float, high: float) -> float:
    return low + share * (high - low)


def _column(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None]


def _cube(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)[:, None, None]
