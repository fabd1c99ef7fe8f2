"""The envelope's rules once more, by other means: what the agent accepts, this must accept too.

Plain Python over the numbers of the YAML file, in exact fractions where a value is near its limit;
bodies are placed, and distances of their true shapes computed, by MuJoCo. It shares no code with
the agent, and gets as slack what doubles cannot tell apart.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import yaml

SLACK = Fraction(1, 10**9)
"""Of a limit's size: the tolerance that the agent states."""
LOOK = 0.02
"""rad or m between two looks at the bodies."""
CLOSE = 1e-6
"""m, to which MuJoCo's distances are exact."""
ULP = 2.0**-52


class Checker:
    """Says why something is not allowed, or nothing.

    Args:
        path: the envelope's YAML.
    """

    def __init__(self, path: Path) -> None:
        self.limits: dict[str, Any] = yaml.safe_load(path.read_text())
        self.names = [joint["name"] for joint in self.limits["joints"]]
        self.bodies = None
        if "model" in self.limits:
            self.bodies = Bodies(path.parent, self.limits["model"], self.names)

    def reason(self, positions: Any, period: Any, start: Any, joints: Any) -> str | None:
        """Return what is wrong with a trajectory, in no particular order."""
        if list(joints) != self.names or not isinstance(period, float | int):
            return "joints or period"
        if not isinstance(positions, np.ndarray) or str(positions.dtype) != "float64":
            return "array"
        if positions.ndim != 2 or positions.shape[1] != len(self.names) or not len(positions):
            return "shape"
        path: list[list[float]] = [start.tolist(), *positions.tolist()]
        wrong = self._numbers(path, period)
        for j, joint in enumerate(self.limits["joints"]):
            wrong = wrong or self._joint(joint, [row[j] for row in path], period)
        return wrong or (self.bodies.reason(path) if self.bodies else None)

    def _numbers(self, path: list[list[float]], period: float) -> str | None:
        """Return what no number may be."""
        for row in path:
            for value in row:
                if not -1e300 < value < 1e300 or 0 < abs(value) < 2.2e-308:
                    return "number"
        if not 1e-90 < period < 1e90:
            return "period"
        steps, limit = len(path) - 1, self.limits["duration"]
        if period * steps < 0.999 * limit:
            return None
        return "duration" if Fraction(period) * steps > Fraction(limit) * (1 + SLACK) else None

    def _joint(self, joint: dict[str, Any], path: list[float], h: float) -> str | None:
        """Return what is wrong with the positions of one joint, the start first."""
        low, high = joint["position"]
        largest = max(map(abs, path))
        room = float(SLACK) * max(abs(low), abs(high))
        most = (
            joint.get("start_distance", self.limits.get("start_distance")) * (1 + float(SLACK))
            + ULP * largest
        )
        if not abs(path[1] - path[0]) <= most:
            return "start_distance"
        for k in range(1, len(path)):
            p3, p2 = path[k], path[k - 1]
            p1, p0 = path[max(k - 2, 0)], path[max(k - 3, 0)]
            if not low - room <= p3 <= high + room:
                return "position"
            v = (p3 - p2) / h
            rest = p3 + v * abs(v) / 2 / joint["acceleration"]
            rounding = 8 * ULP * (largest + abs(v) / joint["acceleration"] * largest / h)
            if not low - room - rounding <= rest <= high + room + rounding:
                return "stop"
            for order, name, value, weights in (
                (1, "velocity", v, (1, -1, 0, 0)),
                (2, "acceleration", (p3 - 2 * p2 + p1) / h**2, (1, -2, 1, 0)),
                (3, "jerk", (p3 - 3 * p2 + 3 * p1 - p0) / h**3, (1, -3, 3, -1)),
            ):
                limit, rounding = joint[name], 8 * ULP * largest / h**order
                if abs(value) < limit * 0.999999 - rounding:
                    continue
                if abs(value) > limit * 1.000001 + rounding:
                    return name
                commands = (p3, p2, p1, p0)
                exact = sum(w * Fraction(p) for w, p in zip(weights, commands, strict=True))
                allowed = Fraction(limit) * (1 + SLACK) + Fraction(rounding)
                if abs(exact) > allowed * Fraction(h) ** order:
                    return name
        return None


class Bodies:
    """A box for a site, and pairs of geoms that keep their distance, by MuJoCo."""

    def __init__(self, folder: Path, settings: dict[str, Any], joints: Sequence[str]) -> None:
        self._model = mujoco.MjModel.from_xml_path(str(folder / settings["file"]))
        self._data = mujoco.MjData(self._model)
        self._address = [int(self._model.joint(name).qposadr[0]) for name in joints]
        self._box = settings.get("workspace")
        self._clear = settings.get("self_collision")
        self._pairs = list(self._find_pairs()) if self._clear else []

    def _find_pairs(self) -> Any:
        model = self._model
        weld, parent = model.body_weldid, model.body_parentid
        allowed = [set(pair) for pair in self._clear.get("allowed_collisions", [])]
        for g in range(model.ngeom):
            for f in range(g):
                b, c = int(model.geom_bodyid[g]), int(model.geom_bodyid[f])
                same = weld[b] == weld[c]
                above = weld[parent[weld[b]]] == weld[c] or weld[parent[weld[c]]] == weld[b]
                names = {model.body(b).name, model.body(c).name}
                if not same and not above and names not in allowed:
                    yield f, g

    def reason(self, path: list[list[float]]) -> str | None:
        """Return what is wrong on the way through commands, the start first."""
        for before, after in zip(path, path[1:], strict=False):
            farthest = max(abs(b - a) for a, b in zip(before, after, strict=True))
            looks = max(1, math.ceil(farthest / LOOK))
            for look in range(1, looks + 1):
                part = look / looks
                wrong = self._pose(
                    [a * (1 - part) + b * part for a, b in zip(before, after, strict=True)]
                )
                if wrong:
                    return wrong
        return None

    def _pose(self, joints: list[float]) -> str | None:
        for address, value in zip(self._address, joints, strict=True):
            self._data.qpos[address] = value
        mujoco.mj_kinematics(self._model, self._data)
        if self._box:
            place = self._data.site(self._box["frame"]).xpos.tolist()
            for value, low, high in zip(place, self._box["low"], self._box["high"], strict=True):
                if not low - 2e-9 <= value <= high + 2e-9:
                    return "workspace"
        for f, g in self._pairs:
            free = mujoco.mj_geomDistance(self._model, self._data, f, g, 1.0, None)
            if free < self._clear["margin"] - CLOSE:
                return "self_collision"
        return None
