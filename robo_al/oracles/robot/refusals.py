"""What of a robot's envelope refuses a candidate, and what a person can do about it."""

from collections.abc import Mapping

from robo_al.types import Refusal
from robo_al_agent.envelope.rules import Violation

_SMALLER = "propose smaller motions (explorer.scale of the random explorer)"
_SMOOTHER = "propose smoother motions (explorer.beta of the random explorer)"
_RAISE = "raise `{rule}` of joint {joint} in the envelope at the robot"
_WIDEN = "widen `position` of joint {joint} in the envelope at the robot"

REMEDIES: Mapping[str, str] = {
    "position": f"{_WIDEN}, or {_SMALLER}",
    "stop": f"it could not stop in time: {_WIDEN}, or {_SMALLER}",
    "start_distance": "raise `start_distance` in the envelope at the robot, or let the first "
    "command be nearer to the start",
    "velocity": f"{_RAISE}, or {_SMALLER}",
    "acceleration": f"{_RAISE} (a task that commands velocities needs 2 * velocity * commands a "
    f"second), or {_SMOOTHER}",
    "jerk": f"{_RAISE} (a task that commands velocities needs 4 * velocity * the square of the "
    f"commands a second), or {_SMOOTHER}",
    "duration": "raise `duration` in the envelope at the robot, or lower rollout_steps",
    "workspace": f"widen `model.workspace` in the envelope at the robot, or {_SMALLER}",
    "self_collision": "lower the margin of `model.self_collision` in the envelope at the robot, "
    f"or {_SMALLER}",
}
"""By the envelope's rule."""
_SYMMETRIC = {"start_distance", "velocity", "acceleration", "jerk"}
"""Rules that limit the size of a number, whatever its sign."""


def refusal(violation: Violation) -> Refusal:
    """Return a violation of the envelope as a campaign tells it."""
    rule, joint, excess = violation.rule, violation.joint, float("inf")
    if violation.value is not None and violation.limit is not None:
        value = abs(violation.value) if rule in _SYMMETRIC else violation.value
        excess = abs(value - violation.limit)
    words = "stopping place" if rule == "stop" else rule.replace("_", " ")
    limit = words if joint is None else f"{words} of joint {joint}"
    remedy = REMEDIES.get(rule, "let it propose numbers that can be sent")
    return Refusal(limit, violation.message, excess, remedy.format(rule=rule, joint=joint))
