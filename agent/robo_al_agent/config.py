"""AGENT.yaml: which robot, where it listens, what it may do.

    address: tcp://127.0.0.1:5555      # abort listens on the next port
    keys: keys                         # a folder made by `robo-al-agent keys`; needed off loopback
    driver: {name: feetech, port: /dev/ttyACM0, ...}
    envelope: envelope.yaml
    journal: journal
    approval: {mode: first-n, n: 10}
    operator: Ana                      # who is at the robot; may be left out
    park: {base: 0.0, elbow: 0.6}      # where it falls from least; may be left out
    sensors:                           # read beside the robot; may be left out
      wrist: {driver: "my/force.py:Wrist", port: /dev/ttyUSB1}
      overview: {driver: opencv, source: 0, required: false}

Several devices that are one robot have `devices` instead of `driver`:

    devices:
      arm: {name: ur_rtde, hostname: 192.168.0.5}
      gripper: {name: feetech, port: /dev/ttyACM0, ...}

Paths are relative to the file.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robo_al_agent.errors import SetupError
from robo_al_agent.protocol.requests import Name
from robo_al_agent.queue.approval import Approval
from robo_al_agent.sensors.sensing import MOST
from robo_al_agent.settings.files import problems, read_settings

SensorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,50}$")]


class SensorEntry(BaseModel):
    """One entry of `sensors`; what is not named here are parameters of its driver."""

    model_config = ConfigDict(extra="allow", frozen=True)
    driver: str
    required: bool = True
    """Whether the robot stops where it is missing; else its numbers are nan."""
    oldest: float | None = Field(default=None, gt=0)
    """s that its newest reading may be old; None: five periods, 0.2 s at least."""

    @property
    def settings(self) -> dict[str, Any]:
        """Return the driver's name, and the parameters of its constructor."""
        return {"name": self.driver, **(self.model_extra or {})}


class AgentConfig(BaseModel):
    """The content of AGENT.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    address: str = "tcp://127.0.0.1:5555"
    keys: Path | None = None
    driver: dict[str, Any] = Field(default_factory=dict)
    """`name`, and the parameters of its constructor."""
    devices: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Instead of `driver`: of several devices, each as `driver` has it, in the joints' order."""
    envelope: Path
    journal: Path
    approval: Approval = Field(default_factory=Approval)
    operator: Name | None = None
    """Who is at the robot, for the journal; None: whoever is logged in."""
    park: dict[str, float] = Field(default_factory=dict)
    """Where `robo-al-agent park` leads it: a position for each joint, by its name."""
    sensors: dict[SensorName, SensorEntry] = Field(default_factory=dict, max_length=MOST)
    """What is read beside the robot, by its name."""

    @property
    def abort_address(self) -> str:
        """Where only aborts are heard."""
        host, port = split_address(self.address, "address")
        return f"tcp://{host}:{port + 1}"


def load_config(path: Path) -> AgentConfig:
    """Read AGENT.yaml.

    Raises:
        SetupError: naming every key that is wrong.
    """
    try:
        config = AgentConfig.model_validate(read_settings(path))
    except ValidationError as error:
        raise SetupError("\n  ".join([f"{path}: cannot be used", *problems(error)])) from None
    if config.driver and config.devices:
        raise SetupError(f"{path}: both `driver` and `devices` are given: one robot has either")
    drivers = {f"devices.{key}": driver for key, driver in config.devices.items()}
    for key, driver in (drivers or {"driver": config.driver}).items():
        if not isinstance(driver.get("name"), str):
            raise SetupError(f"{path}: {key}.name is missing; say which driver")
    host, _ = split_address(config.address, f"{path}: address")
    if config.keys is None and not is_loopback(host):
        raise SetupError(
            f"{path}: address is {config.address}, which others can reach, and there are no keys: "
            "make some with `robo-al-agent keys FOLDER` and set `keys: FOLDER`, or listen on "
            "tcp://127.0.0.1:PORT"
        )
    base = path.resolve().parent
    moved = {
        key: base / value
        for key in ("keys", "envelope", "journal")
        if (value := getattr(config, key)) is not None
    }
    return config.model_copy(update=moved)


def split_address(address: str, where: str) -> tuple[str, int]:
    """Return host and port of `tcp://host:port`.

    Raises:
        SetupError: it is none.
    """
    match = re.fullmatch(r"tcp://(\[[0-9a-fA-F:]+\]|[\w.*-]+):(\d{1,5})", address)
    if match is None or not 0 < int(match[2]) < 65535:
        raise SetupError(f"{where} is {address!r}; tcp://HOST:PORT is needed, PORT below 65535")
    return match[1], int(match[2])


def is_loopback(host: str) -> bool:
    """Say whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
