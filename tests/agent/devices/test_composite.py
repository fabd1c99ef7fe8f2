"""What several devices are together, and what cannot be one robot."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml
from forked import finished

from robo_al_agent.devices.composite import Composite
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Joint, RobotSpec, Sensor


class Described:
    """A driver that can say what it is, and nothing more."""

    def __init__(self, spec: RobotSpec) -> None:
        self.spec = spec

    def describe(self) -> RobotSpec:
        return self.spec

    connect = read = command = safe_stop = release = fault = clear_fault = close = None


LEFT = RobotSpec(
    "one",
    (Joint("elbow", -1, 1, velocity=2.0, effort=3.0), Joint("wrist", -2, 2)),
    100.0,
    "controller",
    0.5,
    0.4,
    sensors=(Sensor("current", "A"),),
    call_seconds=0.5,
    connect_seconds=20.0,
)
RIGHT = dataclasses.replace(
    LEFT,
    joints=(Joint("elbow", -1, 1), Joint("jaw", 0, 100, "%")),
    rate=20.0,
    watchdog="device",
    watchdog_seconds=1.0,
    stop_seconds=0.2,
    call_seconds=2.0,
    experimental=True,
)


def together(**specs: RobotSpec) -> RobotSpec:
    return Composite({name: Described(spec) for name, spec in specs.items()}).describe()


def test_what_two_devices_are_together() -> None:
    spec = together(left=LEFT, right=RIGHT)
    assert [joint.name for joint in spec.joints] == ["left_elbow", "wrist", "right_elbow", "jaw"]
    assert [joint.effort for joint in spec.joints] == [3.0, None, None, None]
    assert [joint.unit for joint in spec.joints] == ["rad", "rad", "rad", "%"]
    assert [sensor.name for sensor in spec.sensors] == ["left_current", "right_current"]
    assert (spec.rate, spec.call_seconds, spec.connect_seconds) == (20.0, 2.5, 20.0)
    assert (spec.watchdog, spec.watchdog_seconds, spec.experimental) == ("device", 1.0, True)
    none = dataclasses.replace(RIGHT, watchdog="none", watchdog_seconds=None)
    assert together(left=LEFT, right=none).watchdog == "none"
    assert together(left=LEFT, right=none).watchdog_seconds is None


@pytest.mark.parametrize(
    "changes, told",
    [
        ({"command": "action"}, "left takes positions, right takes actions"),
        (
            {"rate": 2.0},
            "devices.left: its watchdog acts after 0.5 s .* right takes one each 0.5 s",
        ),
        ({"joints": (Joint("elbow", -1, 1), Joint("left_elbow", -1, 1))}, "are called left_elbow"),
    ],
)
def test_what_cannot_be_one_robot_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(SetupError, match=told):
        together(left=LEFT, right=dataclasses.replace(RIGHT, **changes))


def test_a_device_that_cannot_describe_itself_is_named() -> None:
    with pytest.raises(DriverError, match="right: describe"):
        Composite({"left": Described(LEFT), "right": Described(None)})  # type: ignore[arg-type]


def test_agent_yaml_has_one_driver_or_several(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    base = {"envelope": "e.yaml", "journal": "j"}
    for settings, told in (
        ({}, "driver.name is missing; say which driver"),
        ({"driver": {"name": "x"}, "devices": {"arm": {"name": "x"}}}, "one robot has either"),
        ({"devices": {"arm": {"port": "x"}}}, "devices.arm.name is missing"),
        ({"devices": {"arm": {"name": "feetec"}}}, "devices.arm: driver feetec: not known"),
        ({"devices": ["arm"]}, "devices: input should be a valid dictionary"),
    ):
        path.write_text(yaml.safe_dump(base | settings))
        done = finished("robo_al_agent.cli", "envelope", "--from", path)
        assert done.returncode == 2 and told in done.stderr, done
        assert "Traceback" not in done.stderr
