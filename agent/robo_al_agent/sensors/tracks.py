"""Keeps the readings of a sensor of numbers while a rollout or a recording runs."""

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.robot import Array
from robo_al_agent.sensor import Frame, Measurement

Kept: TypeAlias = tuple[dict[str, Any], NDArray[Any]]
"""What is said of a sensor's readings in one result, and an array of a row each."""


class Track(Protocol):
    """Keeps the readings of one sensor while a rollout or a recording runs."""

    def add(self, reading: Measurement | Frame) -> None:
        """Keep one more; called by the sensor's thread, raises `DriverError` where it cannot."""

    def end(self) -> Kept:
        """Return what was kept; returns at once."""


class Numbers:
    """Readings of numbers: rows of the time (ns) and what was measured, [N, 1 + S].

    Args:
        width: S.
        most: bytes; what comes later is left out.
    """

    def __init__(self, width: int, most: int) -> None:
        self._rows: list[Array] = []
        self._width = 1 + width
        self._most = most // (8 * self._width)
        self._cut = False

    def add(self, reading: Measurement | Frame) -> None:
        """See `Track`."""
        assert isinstance(reading, Measurement)
        if len(self._rows) < self._most:
            time_ns = np.array([reading.time_ns], float)  # exact up to 2^53 ns: 104 days
            self._rows.append(np.concatenate([time_ns, reading.values]))
        else:
            self._cut = True

    def end(self) -> Kept:
        """See `Track`."""
        rows = self._rows[:]
        return {"cut": self._cut}, np.array(rows, np.float64).reshape(len(rows), self._width)
