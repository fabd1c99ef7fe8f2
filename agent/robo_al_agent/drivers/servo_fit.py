"""Whether servos are set up for what their entries in AGENT.yaml say; nothing is written."""

from collections.abc import Sequence

from robo_al_agent.drivers.servo_motors import MotorState, Servo
from robo_al_agent.drivers.servo_registers import TURN, Family, Settings
from robo_al_agent.errors import DriverError

AT_ITS_END = 11
"""Ticks (1 degree) by which a motor may rest beyond its own limits: it leans on its stop."""


def need_fit(
    family: Family,
    port: str,
    motors: Sequence[Servo],
    settings: Sequence[Settings],
    states: Sequence[MotorState],
) -> None:
    """Refuse motors that are set up for something else than their entries.

    Raises:
        DriverError: all that is wrong, a line each, with what to set.
    """
    lines = []
    for motor, found, state in zip(motors, settings, states, strict=True):
        wrong = [one.message for one in family.wrong(found, motor.model)]
        if not wrong:  # else the ticks below mean something else
            wrong = [*_offset(family, motor, found), *_limits(motor, found, state.tick)]
        lines += [f"motor {motor.id}: {line}" for line in wrong]
    if lines:
        hint = f"see all of their settings by `robo-al-agent setup {family.name} {port}`"
        raise DriverError("\n  ".join([*lines, hint]))


def _offset(family: Family, motor: Servo, settings: Settings) -> list[str]:
    """Return what is wrong with a motor's homing offset.

    The encoder jumps from 4095 to 0 once a turn. Feetech shows (encoder - offset) modulo 4096, so
    the jump is shown at 0; Dynamixel, in position mode, shows encoder + offset, so it is shown at
    the offset. A joint whose travel has it inside would turn the other way round.
    """
    found, expected = settings["homing_offset"], motor.homing_offset
    shift = family.offset_sign * (found - expected)
    jump = 0 if family.offset_sign < 0 else found
    low, high = (tick + shift - jump for tick in motor.range)
    jumps = low // TURN != high // TURN
    told = "the encoder's jump from 4095 to 0 lies inside the joint's travel"
    if abs(found) > family.largest_offset:
        most = family.largest_offset
        return [f"homing offset {found}: position mode takes -{most} to {most}; set one of these"]
    if found != expected:
        return [
            f"homing offset {found}, and its entry says {expected}, with which zero, low and high "
            f"were measured{f'; {told} now' if jumps else ''}: set {expected} in the motor, or "
            f"measure the entry anew and say homing_offset: {found} there"
        ]
    if jumps:
        lowest, highest = motor.range
        middle = (lowest + highest) // 2
        centred = found + family.offset_sign * (TURN // 2 - middle)
        return [
            f"homing offset {found}: {told}, ticks {lowest} to {highest}; set {centred}, which "
            "puts its middle at 2048, and measure the entry anew"
        ]
    return []


def _limits(motor: Servo, settings: Settings, tick: int) -> list[str]:
    """Return where the motor's own limits would clip or drop a goal silently."""
    low, high = motor.range
    lowest, highest = settings["lowest"], settings["highest"]
    lines = []
    if low < lowest or high > highest:
        told = f"goes from tick {lowest} to {highest}; low and high are ticks {low} to {high}"
        lines.append(f"{told}: narrow them, or calibrate the motor anew")
    if not lowest - AT_ITS_END <= tick <= highest + AT_ITS_END:
        told = f"it rests at tick {tick}, outside its own limits {lowest} to {highest}"
        lines.append(f"{told}, and would jump inside: move it there by hand")
    return lines
