"""How far a robot's bodies are from each other, by capsules that enclose them.

Too much is refused and never too little: a cylinder keeps its sides and grows round ends, a box
grows round. Floors and walls (planes of the world) count as parts of what stands still.

The closest points of two segments a0 + s u and b0 + t v are where the gradient vanishes inside the
unit square of (s, t), or else on one of its four edges; the smallest of the five distances is taken
(compare Ericson 2005, "Real-Time Collision Detection", section 5.1.9).

Axes: M configurations, B bodies, C capsules, P pairs.
"""

from collections.abc import Sequence

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.geometry.kinematics import Kinematics
from robo_al_agent.robot import Array


class SelfCollision:
    """Distances between bodies that are not neighbours.

    Bodies between which nothing moves count as one, and neighbours are those, parent and child,
    between which the joints of one body move.

    Args:
        kinematics: of the robot.
        allowed: pairs of names of bodies that may touch.

    Raises:
        SetupError: a shape cannot be enclosed, a name is unknown, or nothing is left to compare.
    """

    def __init__(self, kinematics: Kinematics, allowed: Sequence[tuple[str, str]]) -> None:
        model = kinematics.model
        where = f"{model.source}: self_collision"
        for name in [name for pair in allowed for name in pair]:
            kinematics.index(name)
        if model.unusable:
            raise SetupError(f"{where}: " + "; ".join(model.unusable))
        compared = _Compared(kinematics, allowed)
        capsules = [item for item in model.capsules if kinematics.present[item.body]]
        self._planes = [item for item in model.planes if kinematics.present[item.body]]
        if any(compared.moves(plane.body) for plane in self._planes):
            raise SetupError(f"{where}: a plane is fixed to a body that moves")
        bodies = [item.body for item in capsules]
        self._pairs = [
            (i, j) for j in range(len(bodies)) for i in range(j) if compared(bodies[i], bodies[j])
        ]
        self._grounds = [
            (i, j)
            for i in range(len(bodies))
            for j, plane in enumerate(self._planes)
            if compared(bodies[i], plane.body)
        ]
        if not self._pairs and not self._grounds:
            raise SetupError(
                f"{where}: {len(capsules)} collision shapes, no two of them on bodies that are not "
                "neighbours: give the model shapes, or leave self_collision out"
            )
        self._bodies = np.array(bodies)
        self._starts = np.array([item.start for item in capsules])[:, None, :, None]
        self._ends = np.array([item.end for item in capsules])[:, None, :, None]
        self._radii = np.array([item.radius for item in capsules])
        names = [body.name for body in model.bodies]
        touching = [(bodies[i], bodies[j]) for i, j in self._pairs]
        touching += [(bodies[i], self._planes[j].body) for i, j in self._grounds]
        self.names = [(names[first], names[second]) for first, second in touching]
        """The bodies of each pair [P]."""

    def distances(self, places: Array, turns: Array) -> Array:
        """Return the free space between the shapes of each pair; negative where they overlap.

        Args:
            places: [B, M, 3] of the bodies (m).
            turns: [B, M, 3, 3] their rotations.

        Returns:
            [P, M] m.
        """
        place, turn = places[self._bodies], turns[self._bodies]
        starts = place + (turn @ self._starts)[..., 0]
        ends = place + (turn @ self._ends)[..., 0]
        i, j = np.array(self._pairs, int).reshape(-1, 2).T
        between = segment_distance(starts[i], ends[i], starts[j], ends[j])
        free = [between - (self._radii[i] + self._radii[j])[:, None]]
        for capsule, index in self._grounds:
            plane = self._planes[index]
            normal = turns[plane.body, 0] @ plane.normal
            point = places[plane.body, 0] + turns[plane.body, 0] @ plane.point
            heights = np.stack([starts[capsule] - point, ends[capsule] - point]) @ normal
            free.append(heights.min(axis=0, keepdims=True) - self._radii[capsule])
        return np.concatenate(free)


class _Compared:
    """Says which bodies are compared: not one with itself, neighbours, or what is allowed."""

    def __init__(self, kinematics: Kinematics, allowed: Sequence[tuple[str, str]]) -> None:
        self._names = [body.name for body in kinematics.model.bodies]
        self._allowed = {frozenset(pair) for pair in allowed}
        self._groups: list[int] = []
        """For each body the one that stands for all that moves with it; 0 stands still."""
        self._above: list[int] = []
        """For each body the group that its group moves in."""
        for index, body in enumerate(kinematics.model.bodies):
            fixed = index > 0 and not body.joints
            self._groups.append(self._groups[body.parent] if fixed else index)
            above = self._groups[body.parent] if index else -1
            self._above.append(self._above[body.parent] if fixed else above)

    def moves(self, body: int) -> bool:
        return self._groups[body] != 0

    def __call__(self, first: int, second: int) -> bool:
        groups = self._groups[first], self._groups[second]
        return (
            groups[0] != groups[1]
            and self._above[first] != groups[1]
            and self._above[second] != groups[0]
            and frozenset((self._names[first], self._names[second])) not in self._allowed
        )


def segment_distance(a0: Array, a1: Array, b0: Array, b1: Array) -> Array:
    """Return the distances [...] of segments from a0 to a1 and b0 to b1 [..., 3], or points."""
    u, v, w = a1 - a0, b1 - b0, a0 - b0
    uu, vv, uv = _dot(u, u), _dot(v, v), _dot(u, v)
    uw, vw = _dot(u, w), _dot(v, w)
    zero, one = np.zeros_like(uu), np.ones_like(uu)
    determinant = uu * vv - uv * uv
    candidates = [
        (_ratio(uv * vw - vv * uw, determinant), _ratio(uu * vw - uv * uw, determinant)),
        (zero, _ratio(vw, vv)),
        (one, _ratio(vw + uv, vv)),
        (_ratio(-uw, uu), zero),
        (_ratio(uv - uw, uu), one),
    ]
    squares = [
        _dot(gap, gap) for s, t in candidates for gap in [w + s[..., None] * u - t[..., None] * v]
    ]
    return np.asarray(np.sqrt(np.min(squares, axis=0)))


def _dot(a: Array, b: Array) -> Array:
    return np.asarray(np.einsum("...i,...i->...", a, b))


def _ratio(above: Array, below: Array) -> Array:
    """Return a quotient put into [0, 1]; any number is right where the divisor is 0."""
    positive = below > 0
    return np.where(positive, np.clip(above / np.where(positive, below, 1), 0, 1), 0)
