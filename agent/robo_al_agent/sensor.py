"""The contract of a sensor, on one screen: a device that is read and takes no commands.

A sensor is constructed with the parameters that its entry of `sensors:` in AGENT.yaml gives it, as
keyword arguments, and touches no device before `connect`. It is called from one thread, which is
its own: `read` may wait for the next reading, for `call_seconds` at most. Whatever goes wrong is a
`DriverError` (or any exception); what was not measured now is never returned as if it had been.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from robo_al_agent.robot import Array, Sensor


@dataclass(frozen=True)
class SensorSpec:
    """What a sensor says of itself, before it is connected or after."""

    rate: float
    """Readings a second (Hz)."""
    numbers: tuple[Sensor, ...] = ()
    """What a reading is made of: names and units."""
    frame: tuple[int, int] | None = None
    """Height and width of a camera's frames; None: it is no camera."""
    call_seconds: float = 1.0
    """Within which `read` returns or raises, also when the device is dead."""
    connect_seconds: float = 10.0
    """Within which `connect` and `close` do."""


@dataclass(frozen=True)
class Measurement:
    """One reading of a sensor of numbers."""

    time_ns: int
    """`time.monotonic_ns()` of this machine when it was taken."""
    values: Array
    """[S] finite, in the units of `SensorSpec.numbers`."""


@dataclass(frozen=True)
class Frame:
    """One reading of a camera."""

    time_ns: int
    """`time.monotonic_ns()` of this machine when it was taken."""
    pixels: NDArray[np.uint8]
    """[H, W, 3] blue, green, red: as OpenCV has them."""


@runtime_checkable
class SensorDriver(Protocol):
    """Reads a sensor."""

    def describe(self) -> SensorSpec:
        """Say what it measures; may be called before `connect`, and does not change."""

    def connect(self) -> None:
        """Connect; called again after something went wrong and `close`."""

    def read(self) -> Measurement | Frame:
        """Wait for the next reading and return it; raises where there is none."""

    def close(self) -> None:
        """Free what was connected; may be called twice."""
