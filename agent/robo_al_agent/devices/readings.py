"""What of a driver's reading is believed: new, finite, of the right shape and the right clock."""

from dataclasses import replace

import numpy as np

from robo_al_agent.robot import Array, Fault, RobotSpec, Sample

RESOLUTION = 0.04
"""Seconds at the rate of rest, so 0.002 rad, by which the reading of a joint at rest may differ
from the one before: a servo's tick is 0.0015 rad."""


def wrong_reading(spec: RobotSpec, sample: Sample, last: int | None, now_ns: int) -> Fault | None:
    """Return why a reading cannot be used.

    Args:
        spec: of the robot.
        sample: the reading.
        last: sequence number of the one before, or None.
        now_ns: monotonic time after it came.
    """
    malformed = _malformed(spec, sample)
    if malformed is not None:
        return Fault("reading", malformed)
    if sample.time_ns > now_ns:
        told = "the reading's time is later than now: it is to be of `time.monotonic_ns()`"
        return Fault("reading", told)
    if sample.sequence == last:
        told = f"the reading is stale: its sequence number stays {sample.sequence}"
        return Fault("stale", told)
    return None


def too_old(sample: Sample, limit: float, now_ns: int) -> Fault | None:
    """Return that a reading is older than a limit (s), if it is, with the device that it is of."""
    age = (now_ns - sample.time_ns) / 1e9
    if age <= limit:
        return None
    whose = f"{sample.device}: " if sample.device else ""
    return Fault("stale", f"{whose}the reading is {age:.3g} s old; limit {limit:g}")


def _malformed(spec: RobotSpec, sample: Sample) -> str | None:
    if not isinstance(sample, Sample):
        return f"read returned a {type(sample).__name__}; a Sample is needed"
    joints, sensors = (len(spec.joints),), (len(spec.sensors),)
    parts = (sample.positions, sample.velocities, sample.efforts)
    if not all(isinstance(part, np.ndarray) for part in (*parts, sample.sensors)):
        return "the driver's reading is to be made of NumPy arrays"
    if any(part.shape != joints for part in parts) or sample.sensors.shape != sensors:
        return "the driver's reading has another shape than its description"
    if not all(np.isfinite(part).all() for part in (*parts, sample.sensors)):
        return "the driver's reading is not finite"
    return None


def own(sample: Sample) -> Sample:
    """Return a reading in arrays of its own: a driver may fill the same ones again and again."""
    return replace(
        sample,
        positions=sample.positions.copy(),
        velocities=sample.velocities.copy(),
        efforts=sample.efforts.copy(),
        sensors=sample.sensors.copy(),
    )


def measured_rates(before: Sample, after: Sample, limits: Array) -> Array:
    """Return how fast each joint moves [J], by the larger of two measures.

    Neither is believed alone: some devices do not measure velocities, and a position that is read
    once more by chance shows none.

    Args:
        before: a reading.
        after: a later one.
        limits: [J] rates (unit/s) below which the joints are at rest.
    """
    seconds = max((after.time_ns - before.time_ns) / 1e9, 1e-3)
    moved = np.maximum(np.abs(after.positions - before.positions) - RESOLUTION * limits, 0)
    rates: Array = np.maximum(moved / seconds, np.abs(after.velocities))
    return rates
