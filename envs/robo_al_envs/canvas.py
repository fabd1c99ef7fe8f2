"""Small pictures of planar tasks: shapes by their distance functions, edges antialiased."""

import numpy as np
from numpy.typing import NDArray

SIZE = 480
COLOURS = {
    "ground": (246, 246, 242),
    "dark": (52, 58, 64),
    "body": (120, 134, 150),
    "arm": (24, 100, 171),
    "goal": (55, 178, 77),
    "lava": (240, 101, 58),
}

Point = tuple[float, float]


class Canvas:
    """A square picture of the plane around the origin, x to the right and y up.

    Args:
        width: of what is seen, in metres.
    """

    def __init__(self, width: float) -> None:
        self._scale = width / SIZE
        centres = ((np.arange(SIZE) + 0.5) * self._scale - width / 2).astype(np.float32)
        self._x, self._y = centres[None, :], -centres[:, None]
        self._pixels = np.empty((SIZE, SIZE, 3), np.float32)
        self._pixels[:] = COLOURS["ground"]

    def disc(self, centre: Point, radius: float, colour: str) -> None:
        """Fill a disc."""
        self._fill(np.hypot(self._x - centre[0], self._y - centre[1]) - radius, colour)

    def line(self, start: Point, end: Point, radius: float, colour: str) -> None:
        """Fill a line of twice the radius with round ends."""
        along, up = end[0] - start[0], end[1] - start[1]
        x, y = self._x - start[0], self._y - start[1]
        share = np.clip((x * along + y * up) / max(along**2 + up**2, 1e-12), 0, 1)
        self._fill(np.hypot(x - share * along, y - share * up) - radius, colour)

    def box(self, low: Point, high: Point, colour: str) -> None:
        """Fill the rectangle between two corners."""
        across = np.maximum(low[0] - self._x, self._x - high[0])
        above = np.maximum(low[1] - self._y, self._y - high[1])
        self._fill(np.maximum(across, above), colour)

    def pixels(self) -> NDArray[np.uint8]:
        """Return the picture [480, 480, 3]."""
        return self._pixels.round().astype(np.uint8)

    def _fill(self, distance: NDArray[np.floating], colour: str) -> None:
        """Blend a colour in where the distance to a shape is negative, half a pixel softly."""
        cover = np.clip(0.5 - distance / self._scale, 0, 1)
        rows, columns = cover.any(1).nonzero()[0], cover.any(0).nonzero()[0]
        if len(rows) == 0:
            return
        window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        patch, share = self._pixels[window], cover[window][..., None].astype(np.float32)
        patch += share * (np.array(COLOURS[colour], np.float32) - patch)
