"""What of a sensor's readings is believed: new, finite, of the right shape and the right clock."""

from typing import Any

import numpy as np

from robo_al_agent.robot import Fault
from robo_al_agent.sensor import Frame, Measurement, SensorSpec


def wrong_description(spec: SensorSpec) -> str | None:
    """Return why a sensor cannot be as it says it is."""
    if not isinstance(spec, SensorSpec):
        return f"returned a {type(spec).__name__}; a SensorSpec is needed"
    if not 0 < spec.rate < np.inf:
        return f"its rate is {spec.rate} Hz"
    if bool(spec.numbers) == (spec.frame is not None):
        return "it has either numbers or a frame"
    if len({one.name for one in spec.numbers}) < len(spec.numbers):
        return "two of its numbers have the same name"
    if not all(one.name and one.unit for one in spec.numbers):
        return "each of its numbers needs a name and a unit"
    return None


def wrong_measurement(
    spec: SensorSpec, reading: Any, last: Measurement | Frame | None, now_ns: int
) -> Fault | None:
    """Return why a sensor's reading cannot be used.

    Args:
        spec: of the sensor.
        reading: what it returned.
        last: the one before.
        now_ns: monotonic time after it came.
    """
    kind = Measurement if spec.frame is None else Frame
    if not isinstance(reading, kind):
        return Fault("reading", f"read returned a {type(reading).__name__}, no {kind.__name__}")
    found = reading.values if isinstance(reading, Measurement) else reading.pixels
    shape = (len(spec.numbers),) if spec.frame is None else (*spec.frame, 3)
    dtype = np.float64 if spec.frame is None else np.uint8
    if not isinstance(found, np.ndarray) or found.shape != shape or found.dtype != dtype:
        told = f"{getattr(found, 'dtype', type(found).__name__)} of shape {np.shape(found)}"
        return Fault("reading", f"read returned {told}; {np.dtype(dtype)} of shape {shape}")
    if spec.frame is None and not np.isfinite(found).all():
        return Fault("reading", "its reading is not finite")
    if reading.time_ns > now_ns:
        return Fault("reading", "its time is later than now: it is of `time.monotonic_ns()`")
    if last is not None and reading.time_ns <= last.time_ns:
        return Fault("stale", "its time stamp does not move: the same reading came again")
    return None
