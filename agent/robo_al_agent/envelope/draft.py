"""`robo-al-agent envelope`: a first envelope, from what a driver declares; nothing is connected.

**Acceleration and jerk.** A position may come from velocities that are added up at the robot's rate
f: from one command to the next the velocity then goes from -v to v, which is an acceleration of
2 v f, and the acceleration goes from -2 v f to 2 v f, which is a jerk of 4 v f^2. With smaller
limits most proposals of such a task are refused, so these are what is written: they allow whatever
the velocity allows. Who only commands smooth positions can do with much less.
"""

import json
from pathlib import Path

from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Joint, RobotSpec

VELOCITY = {"rad": 1.0, "m": 0.25, "%": 100.0}
"""unit/s, by unit: slow enough for a person to step back."""
START_DISTANCE = {"rad": 0.1, "m": 0.02, "%": 5.0}
"""By unit: what a servo sags, and what one command moves it."""
TRACKING_ERROR = {"rad": 0.3, "m": 0.05, "%": 30.0}
"""By unit: three times what a servo lags at `VELOCITY`."""
READINGS = 5
"""Readings that may be missed before a sample is too old."""

_HEAD = """\
# What {name} may do, from what its driver declares: nothing was measured.
# Look at each value, and adapt it to your arm, before anything moves.
#
# position      lowest and highest command; here all that the device takes. Lead the joint by hand
#               to where a table, a cable or its stop is near, and read the place there with
#               `robo-al-agent check AGENT.yaml`.
# velocity      of the commands, in a second. Begin slowly; raise it to what your task commands.
"""
_HEAD_MOTION = """\
# acceleration  of the commands: 2 * velocity * rate ({rate:g} Hz), a turn at full speed from one
#               command to the next, as a task that commands velocities has it. A task of smooth
#               positions can do with a tenth; the arm's manual says what its gears stand.
# jerk          of the commands: 4 * velocity * rate^2, for the same reason.
"""
_HEAD_EFFORT = """\
# effort        as measured while it moves; here all that the device measures. Look at the efforts
#               of the first rollouts, and write twice the largest.
"""
_HEAD_REST = """\
# duration      s, of a rollout: as long as you are willing to watch.
{places}# sample_age    s, of the newest reading while it moves; beyond: safe stop. Here
#               {readings} periods, and 0.1 at least.
# missed_deadlines  in a row while it moves; beyond: safe stop. More only where `check` measures
#               that this computer is slow.
"""
_HEAD_PLACES = """\
# start_distance  from where a joint is measured to the first command: what a servo sags.
# tracking_error  from where a joint is commanded to where it is measured, while it moves;
#               beyond: safe stop. Write twice the largest of the first rollouts.
"""
_HEAD_UNITS = """\
#               Each joint has its own two, for the joints have several units.
"""


def draft(spec: RobotSpec) -> str:
    """Return the text of an envelope for a robot.

    Raises:
        SetupError: a joint has no finite range, or a unit that positions do not have.
    """
    boundless = [j.name for j in spec.joints if not abs(j.low) + abs(j.high) < float("inf")]
    if boundless:
        raise SetupError(
            f"{spec.name}: {', '.join(boundless)}: the driver gives no finite range; let its "
            "describe() give low and high of each joint"
        )
    of_motion = spec.command == "position"
    for joint in spec.joints:
        if of_motion and joint.unit not in VELOCITY:
            units = ", ".join(VELOCITY)
            raise SetupError(
                f"{spec.name}: joint {joint.name} has the unit {joint.unit!r}, not one of {units}: "
                "nothing is known of what is slow for it; write its envelope by hand"
            )
    head = _HEAD.format(name=" ".join(spec.name.split()))
    places = ""
    if of_motion:
        head += _HEAD_MOTION.format(rate=spec.rate)
        head += _HEAD_EFFORT if any(joint.effort is not None for joint in spec.joints) else ""
        places = _HEAD_PLACES + (_HEAD_UNITS if len(_units(spec)) > 1 else "")
    head += _HEAD_REST.format(places=places, readings=READINGS)
    joints = [_joint(joint, spec) for joint in spec.joints]
    return "\n".join([head + "joints:", *joints, *_whole(spec), ""])


def write_draft(spec: RobotSpec, path: Path) -> None:
    """Write an envelope for a robot to a file that is not there yet.

    Raises:
        SetupError: there is one, it cannot be written, or `draft` refuses.
    """
    text = draft(spec)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise SetupError(
            f"{path}: is there already, and stays as it is; give another file by --out"
        ) from None
    except OSError as error:
        raise SetupError(f"{path}: {error.strerror}; give another file by --out") from None


def _joint(joint: Joint, spec: RobotSpec) -> str:
    """Return the line of one joint."""
    if spec.command == "action":
        velocity = (joint.high - joint.low) * spec.rate  # from any command to any other
    else:
        velocity = min(VELOCITY[joint.unit], joint.velocity)
    entries = {
        "name": json.dumps(joint.name),
        "unit": json.dumps(joint.unit),
        "position": f"[{_number(joint.low)}, {_number(joint.high)}]",
        "velocity": _number(velocity),
    }
    if spec.command == "position":
        entries["acceleration"] = _number(2 * velocity * spec.rate)
        entries["jerk"] = _number(4 * velocity * spec.rate**2)
        if joint.effort is not None:
            entries["effort"] = _number(joint.effort)
        if len(_units(spec)) > 1:
            entries["start_distance"] = _number(START_DISTANCE[joint.unit])
            entries["tracking_error"] = _number(TRACKING_ERROR[joint.unit])
    line = "  - {" + ", ".join(f"{key}: {value}" for key, value in entries.items()) + "}"
    return line.replace(" start_distance:", "\n     start_distance:")


def _whole(spec: RobotSpec) -> list[str]:
    """Return the lines of what holds for all joints."""
    lines = ["duration: 20"]
    units = _units(spec)
    if spec.command == "position" and len(units) == 1:
        lines.append(f"start_distance: {_number(START_DISTANCE[units[0]])}")
        lines.append(f"tracking_error: {_number(TRACKING_ERROR[units[0]])}")
    lines.append(f"sample_age: {_number(max(0.1, READINGS / spec.rate))}")
    return [*lines, "missed_deadlines: 3"]


def _units(spec: RobotSpec) -> list[str]:
    """Return the units that the joints have, each once."""
    return list(dict.fromkeys(joint.unit for joint in spec.joints))


def _number(value: float) -> str:
    """Return a number as YAML has it, to the last bit."""
    whole = float(value).is_integer() and abs(value) < 1e9
    return repr(int(value)) if whole else repr(float(value))
