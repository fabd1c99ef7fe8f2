"""Where a robot may be in space: a box for one of its frames, and clear of itself.

Axes: N paths, T steps, M configurations, B bodies, P pairs, J joints.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.envelope.rules import TOLERANCE, Violation, apart
from robo_al_agent.geometry.collision import SelfCollision
from robo_al_agent.geometry.kinematics import Kinematics
from robo_al_agent.robot import Array

RESOLUTION = 0.02
"""rad or m that a joint moves at most between two looks."""
_PIECE = 256
"""Steps that are looked at together, so that memory stays small."""


@dataclass(frozen=True)
class Clash:
    """What of a configuration is not allowed."""

    rule: str
    """`workspace` or `self_collision`."""
    what: str
    """`frame tip`, `bodies base and wrist`."""
    quantity: str
    """`z`, `distance`."""
    value: float
    limit: float

    def violation(self, seconds: float) -> Violation:
        """Say it, with when."""
        words = f"{self.quantity} {apart(self.value, self.limit)} m, limit {self.limit!r}"
        message = f"{self.what} at {seconds:.6g} s: {words}"
        return Violation(self.rule, message, None, seconds, self.value, self.limit)


@dataclass(frozen=True)
class Workspace:
    """A box that a point of the robot stays in."""

    frame: str
    """Its name."""
    body: int
    """That it is fixed to."""
    point: Array
    """[3] in the body's frame."""
    low: Array
    """[3] m, in the model's world."""
    high: Array
    """[3] m."""

    def positions(self, places: Array, turns: Array) -> Array:
        """Return where the point is: [M, 3] m."""
        return np.asarray(places[self.body] + turns[self.body] @ self.point)


class Space:
    """Judges configurations.

    Args:
        kinematics: of the robot.
        workspace: None where there is no limit.
        collision: None where it is not looked at.
        margin: m, the smallest free space between two bodies.
    """

    def __init__(
        self,
        kinematics: Kinematics,
        workspace: Workspace | None,
        collision: SelfCollision | None,
        margin: float,
    ) -> None:
        self._kinematics, self._margin = kinematics, margin
        self._workspace, self._collision = workspace, collision

    def refused(self, positions: Array) -> NDArray[np.bool_]:
        """Return which configurations [M, J] are not allowed: [M]."""
        poses = self._kinematics.poses(positions)
        allowed = np.ones(len(positions), bool)
        if self._workspace is not None:
            point = self._workspace.positions(*poses)
            low, high = self._workspace.low - TOLERANCE, self._workspace.high + TOLERANCE
            allowed &= ((point >= low) & (point <= high)).all(axis=1)
        if self._collision is not None:
            free = self._collision.distances(*poses)
            allowed &= (free >= self._margin - TOLERANCE).all(axis=0)
        return ~allowed

    def clash(self, positions: Array) -> Clash:
        """Return why a configuration [J] is refused: what is worst of the first that applies."""
        poses = self._kinematics.poses(positions[None])
        if self._workspace is not None:
            box, point = self._workspace, self._workspace.positions(*poses)[0]
            beyond = np.maximum(box.low - point, point - box.high)
            axis = int(beyond.argmax())
            if not beyond[axis] <= TOLERANCE:
                limit = (box.low if point[axis] < box.low[axis] else box.high)[axis]
                what = f"frame {box.frame}"
                return Clash("workspace", what, "xyz"[axis], float(point[axis]), float(limit))
        assert self._collision is not None, "only what is refused is asked about"
        free = self._collision.distances(*poses)[:, 0]
        nearest = int(free.argmin())
        what = "bodies {} and {}".format(*self._collision.names[nearest])
        return Clash("self_collision", what, "distance", float(free[nearest]), self._margin)

    def first_clashes(self, path: Array, ends: NDArray[np.int64]) -> list[tuple[int, float, Clash]]:
        """Return the first clash of each path that has one.

        Args:
            path: [N, 1 + T, J] the command before the first, which is not looked at, and T more.
            ends: [N] number of steps that are to be looked at.

        Returns:
            Path, step (from 0, at the command before the first; with a fraction between two) and
            clash of each.
        """
        steps = path.shape[1] - 1
        asked = np.flatnonzero(np.arange(steps) < ends[:, None])  # n T + t
        found: dict[int, tuple[int, float, Clash]] = {}
        for begin in range(0, len(asked), _PIECE):
            piece = asked[begin : begin + _PIECE]
            n, t = np.divmod(piece[~np.isin(piece // steps, list(found))], steps)
            if not len(n):
                continue
            rows, fractions, looks = _between(path[n, t], path[n, t + 1])
            for look in np.flatnonzero(self.refused(looks)):
                row, candidate = rows[look], int(n[rows[look]])
                if candidate not in found:
                    step = float(t[row] + fractions[look])
                    found[candidate] = (candidate, step, self.clash(looks[look]))
        return list(found.values())


def _between(begins: Array, ends: Array) -> tuple[NDArray[np.int64], Array, Array]:
    """Return looks on the way of each of R steps [R, J]: row [M], fraction up to 1 [M], [M, J]."""
    counts = np.ceil(np.abs(ends - begins).max(axis=1) / RESOLUTION).astype(np.int64).clip(1)
    rows = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    fractions = number / counts[rows]
    looks = ends[rows] - (1 - fractions)[:, None] * (ends - begins)[rows]
    return rows, fractions, looks
