"""What a driver says of its robot: complete, the same twice, and in the units of the contract."""

import math
from typing import get_args

import numpy as np

from robo_al_agent.conformance.subject import Check
from robo_al_agent.driver import RobotDriver
from robo_al_agent.robot import Joint, RobotSpec, WatchdogKind

STEPS = {"rad": 0.1, "m": 0.02, "%": 4.0, "1": 0.1}
"""How far a joint is moved at most, by its unit."""
FASTEST = 2000.0
"""Hz. Above it no agent in Python commands, and no driver here has been asked to."""
LARGEST = {"rad": 4 * math.pi, "m": 20.0}
"""Of a limit's absolute value: what is beyond is most likely in degrees or millimetres."""
QUICKEST = {"rad": 100.0, "m": 50.0}
"""Of a limit of velocity (unit/s), likewise."""
OTHER_UNIT = {"rad": "degrees", "m": "millimetres"}


def methods(check: Check) -> None:
    """Every method of the contract is there."""
    for name in sorted(set(vars(RobotDriver)) & set(dir(RobotDriver))):
        if not name.startswith("_"):
            check.method = name
            check.need(callable(getattr(check.driver, name, None)), "there is no such method")


def description(check: Check) -> None:
    """`describe` is complete before `connect`, and says the same twice."""
    need = check.need
    with check.trying("describe"):
        spec = check.driver.describe()
        need(isinstance(spec, RobotSpec), f"returned a {type(spec).__name__}; a RobotSpec")
        need(spec == check.driver.describe(), "says something else when asked again")
    need(spec.joints, "no joints")
    for kind in ("joints", "sensors"):
        names = [thing.name for thing in getattr(spec, kind)]
        need(all(names), f"{kind} without a name: {names}")
        need(len(set(names)) == len(names), f"{kind} of the same name: {names}")
    for joint in spec.joints:
        _joint(check, joint)
    for name in ("rate", "stop_seconds"):
        value = getattr(spec, name)
        need(math.isfinite(value) and value > 0, f"{name} is {value}; finite and above 0")
    most = f"rate is {spec.rate:g} Hz; give the commands a second that the device is made for"
    need(spec.rate <= FASTEST, f"{most}, at most {FASTEST:g}")
    kinds = get_args(WatchdogKind)
    need(spec.watchdog in kinds, f"watchdog {spec.watchdog!r}; one of {', '.join(kinds)}")
    after = spec.watchdog_seconds
    honest = after is None if spec.watchdog == "none" else after is not None and after > 0
    need(honest, f"watchdog {spec.watchdog!r} with watchdog_seconds {after}")
    check.spec = spec
    check.low = np.array([joint.low for joint in spec.joints])
    check.width = np.array([joint.high for joint in spec.joints]) - check.low
    most_moved = np.array([STEPS[joint.unit] for joint in spec.joints])
    check.step = np.minimum(0.04 * check.width, most_moved)


def _joint(check: Check, joint: Joint) -> None:
    """Limits are finite, in order, and of a size that their unit makes likely."""
    need, at = check.need, f"joint {joint.name}: "
    finite = math.isfinite(joint.low) and math.isfinite(joint.high)
    need(finite, f"{at}limits [{joint.low}, {joint.high}] are not finite")
    need(joint.low < joint.high, f"{at}low {joint.low} is not below high {joint.high}")
    need(joint.unit in STEPS, f"{at}unit {joint.unit!r}; one of {', '.join(STEPS)}")
    need(joint.velocity > 0, f"{at}velocity {joint.velocity}; above 0")
    measured = joint.effort is None or joint.effort > 0
    need(measured, f"{at}effort {joint.effort}; above 0, or None where none is measured")
    if joint.unit not in OTHER_UNIT:
        return
    other, largest = OTHER_UNIT[joint.unit], LARGEST[joint.unit]
    small = max(abs(joint.low), abs(joint.high)) <= largest
    limits = f"limits [{joint.low:g}, {joint.high:g}] {joint.unit}"
    need(small, f"{at}{limits} go beyond {largest:.3g} {joint.unit}: are they {other}?")
    slow = joint.velocity <= QUICKEST[joint.unit] or math.isinf(joint.velocity)
    speed = f"velocity {joint.velocity:g} {joint.unit}/s"
    need(slow, f"{at}{speed} is above {QUICKEST[joint.unit]:g}: is it {other} per second?")
