"""What LeRobot's numbers mean: the parameter `joints` of the driver `lerobot`."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, FiniteFloat
from pydantic.dataclasses import dataclass as validated

from robo_al_agent.drivers.feetech_registers import MULTI_TURN
from robo_al_agent.drivers.parameters import checked_entries
from robo_al_agent.errors import DriverError, SetupError


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class LeRobotJoint:
    """One entry of the parameter `joints`."""

    scale: Literal["degrees", "range_0_100", "range_m100_100", "radians"]
    """What LeRobot's number is: LeRobot's own words, and `radians`. The two ranges go from `low` to
    `high`, which then are the ends of the joint's calibrated range."""
    low: FiniteFloat
    """Smallest position (rad, or `unit`)."""
    high: FiniteFloat
    """Largest position (rad, or `unit`)."""
    zero: FiniteFloat = 0.0
    """Position at LeRobot's 0 (rad), for degrees and radians."""
    direction: Literal[1, -1] = 1
    """-1 where LeRobot's number falls as the position grows, for degrees and radians."""

    unit: Literal["rad", "m", "%"] = "rad"
    """Of positions; a gripper's, by its range, may be in m or in % of its opening."""

    @property
    def _line(self) -> tuple[float, float]:
        """Position at LeRobot's 0, and rad of one unit of its number."""
        span = self.high - self.low
        if self.scale == "range_0_100":
            return self.low, span / 100
        if self.scale == "range_m100_100":
            return (self.low + self.high) / 2, span / 200
        return self.zero, self.direction * (math.radians(1) if self.scale == "degrees" else 1.0)

    def position(self, number: float) -> float:
        """Return the position (rad) that LeRobot's number stands for."""
        offset, unit = self._line
        return offset + unit * number

    def number(self, position: float) -> float:
        """Return LeRobot's number of a position (rad)."""
        offset, unit = self._line
        return (position - offset) / unit

    def check_span(self, name: str, span: float) -> None:
        """Compare the limits with the calibrated range (rad): LeRobot and the servos clip to it.

        Raises:
            SetupError: the limits do not fit.
        """
        if self.unit != "rad":
            return  # what a share of the range comes to in it, only the user knows
        if self.scale == "degrees":
            furthest = max(abs(self.number(end)) for end in (self.low, self.high))
            if math.radians(furthest) > span / 2 + 0.01:
                told = f"low or high is {furthest:.1f} degrees from the middle of the"
                most = f"calibrated range, which ends at {math.degrees(span / 2):.1f}"
                raise SetupError(f"joints.{name}: {told} {most}")
        elif abs(self.high - self.low - span) > 0.05 * span:
            told = f"high - low is {self.high - self.low:.3f} rad, the calibrated range {span:.3f}"
            raise SetupError(f"joints.{name}: {told}: LeRobot's number is a share of that range")


def checked_joints(joints: Mapping[str, Any]) -> dict[str, LeRobotJoint]:
    """Return the parameter `joints`, checked.

    Raises:
        SetupError: naming every entry that cannot be used.
    """
    checked = checked_entries("joints", {"joint": LeRobotJoint}, joints)
    for name, joint in checked.items():
        if joint.low >= joint.high:
            raise SetupError(f"joints.{name}: low {joint.low} is not below high {joint.high}")
        if joint.unit != "rad" and joint.scale in ("degrees", "radians"):
            raise SetupError(f"joints.{name}: unit {joint.unit} needs a scale that is a range")
    return checked


def need_one_turn(name: str, bus: Any) -> None:
    """Refuse Feetech motors that count turns, which LeRobot leaves as they are.

    Args:
        name: of the robot.
        bus: LeRobot's, connected; None where the robot has none.

    Raises:
        DriverError: naming the joints.
    """
    tables = getattr(bus, "model_ctrl_table", {})
    models = {joint: one.model for joint, one in getattr(bus, "motors", {}).items()}
    asked = [joint for joint, model in models.items() if "Phase" in tables.get(model, {})]
    phases = bus.sync_read("Phase", asked, normalize=False) if asked else {}
    turning = [joint for joint, phase in phases.items() if int(phase) & MULTI_TURN]
    if turning:
        told = "multi-turn feedback is on (phase, register 18, BIT4, value 16)"
        mend = "clear it by `robo-al-agent setup feetech PORT --fix`, and calibrate anew"
        raise DriverError(f"{name}: {', '.join(turning)}: {told}; {mend}")
