"""The envelope's rules for single steps, and the first that a path breaks.

See `envelope` for the definitions. Axes: N paths, T steps, J joints.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.robot import Array

TOLERANCE = 1e-9
"""By how much of its size a limit is taken as larger, for rounding."""
CATCHING_UP = 1.5
"""Times its limit that a joint's velocity may be measured at, with `MEASURED` added."""
MEASURED = {"rad": 0.2, "m": 0.05, "%": 20.0, "1": float("inf")}
"""unit/s, by unit: what motors make of small steps by their own acceleration, and jitter."""
SMALLEST = float(np.finfo(np.float64).tiny)
"""Numbers nearer to 0 are denormal: lost precision, measured or planned by nobody."""


@dataclass(frozen=True)
class Violation:
    """What of a rollout is not allowed, and when."""

    rule: str
    """`velocity`, `workspace`, `malformed` ..."""
    message: str
    """In words: `joint elbow_flex at 0.34 s: velocity 2.31 rad/s, limit 2.0`."""
    joint: str | None = None
    seconds: float | None = None
    """From the start of the rollout."""
    value: float | None = None
    """None where it is not finite."""
    limit: float | None = None

    def __str__(self) -> str:
        return self.message


@dataclass(frozen=True)
class Bounds:
    """The numbers of an envelope that single steps are held against; arrays are [J]."""

    names: tuple[str, ...]
    units: tuple[str, ...]
    low: Array
    high: Array
    velocities: Array
    accelerations: Array
    jerks: Array
    start_distances: Array
    duration: float

    @property
    def measured_velocities(self) -> Array:
        """Largest velocities (unit/s) that may be measured while it moves: with a margin."""
        margins = np.array([MEASURED[unit] for unit in self.units])
        limits: Array = CATCHING_UP * self.velocities + margins
        return limits


@dataclass(frozen=True)
class _Rule:
    """One rule, applied to all steps of all joints."""

    name: str
    quantity: str
    values: Array
    """[N, T, J]"""
    low: Array | None
    """[J]; None: the size of a value is limited, by `high`."""
    high: Array
    """[J]"""
    per: str = ""
    """What the unit is divided by."""

    def broken(self) -> NDArray[np.bool_]:
        """Return where a value is not inside, as nan never is: [N, T, J]."""
        low = -self.high if self.low is None else self.low
        slack = TOLERANCE * np.maximum(np.abs(low), np.abs(self.high))
        inside: NDArray[np.bool_] = self.values >= low - slack
        inside &= self.values <= self.high + slack
        return ~inside

    def violation(self, index: tuple[int, int, int], bounds: Bounds, seconds: float) -> Violation:
        """Say what is wrong at an index n, t, j."""
        value, j = float(self.values[index]), index[2]
        limit = float(self.high[j])
        if self.low is not None and value < self.low[j]:
            limit = float(self.low[j])
        words = f"{self.quantity} {apart(value, limit)}"
        if self.name == "duration":
            message = f"at {seconds:.6g} s: {words} s, limit {limit!r}"
            return Violation(self.name, message, None, seconds, value, limit)
        name, unit = bounds.names[j], f" {bounds.units[j]}{self.per}"
        words += "" if unit == " 1" else unit
        message = f"joint {name} at {seconds:.6g} s: {words}"
        finite = value if np.isfinite(value) else None
        if self.name == "number":
            return Violation("number", f"{message} is no number to send", name, seconds, finite)
        return Violation(self.name, f"{message}, limit {limit!r}", name, seconds, finite, limit)


def apart(value: float, limit: float) -> str:
    """Return a number with as few digits as show that it is not the limit."""
    texts = (f"{value:.{digits}g}" for digits in range(3, 18))
    return next((text for text in texts if float(text) != limit), repr(value))


def first_broken(
    bounds: Bounds, path: Array, period: float, first_step: int
) -> tuple[NDArray[np.int64], list[Violation | None]]:
    """Return for each path the step [N] of its first violation, T where there is none, and it.

    Args:
        bounds: what it is held against.
        path: [N, 3 + T, J] three commands that were allowed, or the start thrice; then T new ones.
        period: s between two commands.
        first_step: number of the first new one, from 1; its step here is 0.
    """
    with np.errstate(all="ignore"):
        rules = list(_rules(bounds, path, period, first_step))
        broken = np.stack([rule.broken() for rule in rules], axis=2)  # [N, T, R, J]
    shape = broken.shape
    flat = broken.reshape(shape[0], int(np.prod(shape[1:])))
    steps, violations = np.full(shape[0], shape[1]), list[Violation | None]([None] * shape[0])
    for n in np.flatnonzero(flat.any(axis=1)):
        t, r, j = (int(i) for i in np.unravel_index(int(flat[n].argmax()), shape[1:]))
        steps[n] = t
        violations[n] = rules[r].violation((int(n), t, j), bounds, (first_step + t) * period)
    return steps, violations


def _rules(bounds: Bounds, path: Array, period: float, first_step: int) -> Iterator[_Rule]:
    """Yield the rules in the order in which they are told where several are broken at once."""
    positions, none = path[:, 3:], np.zeros(path.shape[2])
    velocities = np.diff(path, axis=1) / period  # [N, 2 + T, J]
    accelerations = np.diff(velocities, axis=1) / period
    jerks = np.diff(accelerations, axis=1) / period
    velocities, accelerations = velocities[:, 2:], accelerations[:, 1:]
    usual = np.isfinite(positions) & ((np.abs(positions) >= SMALLEST) | (positions == 0))
    yield _Rule("number", "command", np.where(usual, 0, positions), none, none)
    yield _Rule("position", "position", positions, bounds.low, bounds.high)
    away = np.zeros_like(positions)
    away[:, 0] = positions[:, 0] - path[:, 2] if first_step == 1 else 0
    yield _Rule("start_distance", "distance from the start", away, None, bounds.start_distances)
    for name, values, limit, per in (
        ("velocity", velocities, bounds.velocities, "/s"),
        ("acceleration", accelerations, bounds.accelerations, "/s^2"),
        ("jerk", jerks, bounds.jerks, "/s^3"),
    ):
        yield _Rule(name, name, values, None, limit, per)
    stops = positions + velocities * np.abs(velocities) / (2 * bounds.accelerations)
    yield _Rule("stop", "stops only at", stops, bounds.low, bounds.high)
    steps = first_step + np.arange(positions.shape[1], dtype=np.float64)
    seconds = np.broadcast_to((steps * period)[:, None], positions.shape)
    yield _Rule("duration", "duration", seconds, none, bounds.duration + none)
