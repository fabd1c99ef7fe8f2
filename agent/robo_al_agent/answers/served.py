"""What the agent serves: a robot with its rules, and who is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from robo_al_agent.devices.calibration import Rate
from robo_al_agent.devices.door import Door
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.queue.approval import Approval
from robo_al_agent.robot import Array


@dataclass(frozen=True)
class Shift:
    """Who is at the robot since the agent was started, and what for."""

    operator: str
    note: str


@dataclass(frozen=True)
class Robot:
    """What the agent serves."""

    door: Door
    """To the driver, not yet connected."""
    envelope: Envelope
    approval: Approval
    envelope_fields: Mapping[str, Any]
    """The envelope for the host: see `envelope.as_fields`."""
    rate: Rate | None = None
    """None: it is measured once the robot is connected."""
    park: Array | None = None
    """[J] The pose that it is led to on a person's word, if there is one."""
    session: Shift = Shift("nobody", "")
