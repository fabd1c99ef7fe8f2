"""`robo-al-agent check` and `envelope`: what a robot is, before a campaign moves it."""

import argparse
import contextlib
import json
from pathlib import Path
from typing import Any

from robo_al_agent.commands.device import device_of
from robo_al_agent.commands.serving import twin_world
from robo_al_agent.config import load_config
from robo_al_agent.devices.calibration import calibrate
from robo_al_agent.devices.door import Door
from robo_al_agent.driver import RobotDriver
from robo_al_agent.drivers.loading import is_sensor, make_driver, make_robot, make_sensor
from robo_al_agent.envelope.draft import write_draft
from robo_al_agent.errors import AgentError, SetupError
from robo_al_agent.guard import Faulted
from robo_al_agent.motion.recovery import misplaced


def envelope(options: argparse.Namespace) -> None:
    """Write a first envelope, from what a driver says of its robot."""
    if _is_driver(options.what):
        if options.model is not None:
            raise SetupError(f"--model is for the AGENT.yaml of a twin, not for {options.what}")
        path = options.out or Path("envelope.yaml")
        write_draft(Door(_named_driver(options)).spec, path)
    else:
        _refuse_driver_options(options)
        given = Path(options.what)
        config = load_config(given)
        path = options.out or config.envelope
        with twin_world(given, options.model) if options.model else contextlib.nullcontext():
            write_draft(Door(make_robot(config, given.resolve().parent)).spec, path)
    print(f"{path} is written: look at each of its values before anything moves")


def check(options: argparse.Namespace) -> None:
    """Check a robot, which is connected, or the contract of a driver or a sensor."""
    path = Path(options.what)
    if path.suffix == ".py" or _is_driver(options.what):
        _check_driver(options)
        return
    _refuse_driver_options(options)
    with device_of(path) as (door, limits):
        _check_sensors(path)
        spec = door.spec
        print(f"{spec.name}: {len(spec.joints)} joints, {spec.command} commands, {spec.rate:g} Hz")
        for joint in spec.joints:
            print(f"  {joint.name}: {joint.low:g} to {joint.high:g} {joint.unit}")
        if spec.watchdog == "none":
            print("watchdog: none; after the agent's death the robot holds its last command")
        else:
            after = f" after {spec.watchdog_seconds:g} s" if spec.watchdog_seconds else ""
            print(f"watchdog: {spec.watchdog}{after}")
        if spec.experimental:
            print("EXPERIMENTAL: this driver was never tried on its device")
        abilities = ["whole trajectories" if door.takes_trajectories else "streamed commands"]
        abilities += ["resets its scene"] * door.resets
        print(f"can do: {', '.join(abilities)}", flush=True)
        door.connect()
        positions = door.read().positions
        print("positions: " + ", ".join(f"{value:.4f}" for value in positions), flush=True)
        wrong = door.fault() or misplaced(limits, spec, positions)
        if wrong is not None:
            raise Faulted(wrong)
        rate = calibrate(door)
        print(
            f"read and hold: p50 {rate.p50 * 1e3:.2f} ms, p99 {rate.p99 * 1e3:.2f} ms, largest "
            f"{rate.largest * 1e3:.2f} ms, {rate.misses} of {rate.cycles} later than "
            f"{spec.rate:g} Hz; rollouts may command at {1 / rate.shortest_period:.0f} Hz"
        )
        wrong = door.fault()
        if wrong is not None:
            raise Faulted(wrong)


def _check_sensors(path: Path) -> None:
    """Say of each sensor of AGENT.yaml what it measures, and whether it keeps its contract."""
    from robo_al_agent.conformance.sensors import check_sensor

    for name, entry in load_config(path).sensors.items():
        sensor = make_sensor(name, entry.settings, path.resolve().parent)
        try:
            print(f"sensor {name}: {check_sensor(sensor)}", flush=True)
        except AgentError as error:
            raise SetupError(f"sensor {name}: {error}") from error


def _check_driver(options: argparse.Namespace) -> None:
    """Say whether a driver or a sensor keeps its contract; see `robo_al_agent.conformance`."""
    from robo_al_agent.conformance import check_driver
    from robo_al_agent.conformance.sensors import check_sensor

    if is_sensor(options.what, Path.cwd()):
        settings = {"name": options.what, **_parameters(options)}
        print(check_sensor(make_sensor(options.what, settings, Path.cwd())))
        print(f"{options.what} keeps the contract of a sensor")
        return
    print(check_driver(_named_driver(options), move=options.move))
    print(f"{options.what} keeps the contract of a driver")


def _is_driver(what: str) -> bool:
    return ":" in what and not Path(what).is_file()


def _refuse_driver_options(options: argparse.Namespace) -> None:
    if options.parameters != "{}" or getattr(options, "move", False):
        raise SetupError(f"--parameters and --move are for FILE.py:DRIVER, not for {options.what}")


def _named_driver(options: argparse.Namespace) -> RobotDriver:
    """Make the driver that FILE.py:DRIVER and --parameters name."""
    return make_driver({"name": options.what, **_parameters(options)}, Path.cwd())


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    """Return what --parameters gives to the constructor."""
    try:
        parameters = json.loads(options.parameters)
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        example = '{"port": "/dev/ttyUSB0"}'
        raise SetupError(f"--parameters: {options.parameters!r}; give a JSON object like {example}")
    return parameters
