"""LeRobot's calibration file, as the entries of the parameter `motors` in AGENT.yaml.

For each motor LeRobot keeps the homing offset that it wrote, and the ticks of both ends of the
joint's travel (`MotorCalibration` in its `motors_bus.py`).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from robo_al_agent.drivers.servo_motors import RADIANS
from robo_al_agent.drivers.servo_registers import TURN
from robo_al_agent.errors import SetupError
from robo_al_agent.settings.files import MAX_BYTES, problems

Tick = Annotated[int, Field(ge=0, lt=TURN)]


class Calibration(BaseModel):
    """One motor of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    id: Annotated[int, Field(ge=0, le=252)]
    drive_mode: Literal[0, 1]
    """1: LeRobot counts the other way round."""
    homing_offset: int
    range_min: Tick
    range_max: Tick


def read_calibration(path: Path) -> dict[str, Calibration]:
    """Read the file.

    Raises:
        SetupError: naming every entry that is wrong.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes: this is no calibration")
        data = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise SetupError(f"{path}: {error}") from None
    try:
        found = TypeAdapter(dict[str, Calibration]).validate_python(data)
    except ValidationError as error:
        raise SetupError("\n  ".join([f"{path}: cannot be used", *problems(error)])) from None
    if not found:
        raise SetupError(f"{path}: no motor is in it")
    wrong = [name for name, one in found.items() if one.range_min >= one.range_max]
    if wrong:
        raise SetupError(f"{path}: {', '.join(wrong)}: range_min is not below range_max")
    ids = [one.id for one in found.values()]
    if len(set(ids)) < len(ids):
        raise SetupError(f"{path}: ids {ids}; each may occur once")
    return found


def entries(calibration: Mapping[str, Calibration]) -> str:
    """Return the parameter `motors`, as YAML: 0 rad is the middle of each joint's travel."""
    lines = ["motors:  # from LeRobot's calibration; 0 rad is the middle of each travel"]
    for name, one in calibration.items():
        offset = f"homing_offset: {one.homing_offset}"
        if "gripper" in name:
            closed, wide = one.range_min, one.range_max
            if one.drive_mode:
                closed, wide = wide, closed
            told = f"kind: gripper, id: {one.id}, closed: {closed}, open: {wide}, {offset}"
            lines.append(f"  {name}: {{{told}}}  # exchange the ends where it opens at 0")
            continue
        zero = (one.range_min + one.range_max) // 2
        ends = ((one.range_min - zero) * RADIANS, (one.range_max - zero) * RADIANS)
        low, high = (-ends[1], -ends[0]) if one.drive_mode else ends
        # Rounded inwards, so that the ticks stay within what was measured.
        limits = f"low: {math.ceil(low * 1e4) / 1e4}, high: {math.floor(high * 1e4) / 1e4}"
        direction = ", direction: -1" if one.drive_mode else ""
        lines.append(f"  {name}: {{id: {one.id}, {limits}, zero: {zero}{direction}, {offset}}}")
    return "\n".join(lines)
