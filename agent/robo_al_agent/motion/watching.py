"""What a robot in motion is held against at each reading: age, tracking, velocity, effort."""

import numpy as np

from robo_al_agent.devices.readings import too_old
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.robot import Array, Fault, OutcomeKind, RobotSpec, Sample

KINDS: dict[str, OutcomeKind] = {
    "estop": "ESTOP",
    "tracking_error": "TOLERANCE_VIOLATED",
    "not_at_start": "TOLERANCE_VIOLATED",
    "effort": "ABORTED_SAFETY",
    "measured_velocity": "ABORTED_SAFETY",
}
"""How a rollout ends that a fault of a certain code ends."""


def kind_of(fault: Fault) -> OutcomeKind:
    """Return how a rollout ends that this fault ends."""
    return KINDS.get(fault.code, "FAULTED")


def deviation(
    spec: RobotSpec, envelope: Envelope, sample: Sample, target: Array | None, now_ns: int
) -> Fault | None:
    """Return what is wrong with a reading.

    Args:
        spec: of the robot.
        envelope: with the limits.
        sample: the reading.
        target: [J] the command that was sent last, or None before the first.
        now_ns: monotonic time after the reading came.
    """
    old = too_old(sample, envelope.sample_age, now_ns)
    if old is not None:
        return old
    if spec.command != "position":
        return None
    if target is not None:
        away = np.abs(sample.positions - target)
        fault = _beyond(spec, "tracking_error", away, envelope.tracking_errors)
        if fault is not None:
            return fault
    speeds, fastest = np.abs(sample.velocities), envelope.bounds.measured_velocities
    fault = _beyond(spec, "measured_velocity", speeds, fastest)
    return fault or _beyond(spec, "effort", np.abs(sample.efforts), envelope.effort)


def _beyond(spec: RobotSpec, code: str, values: Array, limits: Array) -> Fault | None:
    worst = int((values - limits).argmax())
    if values[worst] <= limits[worst]:
        return None
    what = code.replace("_", " ")
    told = f"joint {spec.joints[worst].name}: {what} {values[worst]:.3g}, limit {limits[worst]:g}"
    return Fault(code, told)
