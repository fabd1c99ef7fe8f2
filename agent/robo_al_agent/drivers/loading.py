"""Finds and makes drivers: by name, `package.module:Class` or `path/robot.py:Class`."""

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from robo_al_agent.config import AgentConfig
from robo_al_agent.devices.composite import Composite
from robo_al_agent.driver import RobotDriver
from robo_al_agent.errors import SetupError
from robo_al_agent.sensor import SensorDriver
from robo_al_agent.sensors.sensing import Sensing
from robo_al_agent.sensors.watched import Entry, Watched

GROUPS = {"driver": "robo_al.drivers", "sensor": "robo_al.sensors"}
"""Entry points."""


def make_robot(config: AgentConfig, base: Path) -> RobotDriver:
    """Construct the driver, or the drivers, that AGENT.yaml names; nothing is connected.

    Args:
        config: of AGENT.yaml.
        base: folder of that file.

    Raises:
        SetupError: one is not known, refuses its parameters, or several cannot be one robot.
        DriverError: one cannot describe its device.
    """
    if not config.devices:
        return make_driver(config.driver, base)
    drivers = {}
    for name, settings in config.devices.items():
        try:
            drivers[name] = make_driver(settings, base)
        except SetupError as error:
            raise SetupError(f"devices.{name}: {error}") from error
    return Composite(drivers)


def make_driver(settings: Mapping[str, Any], base: Path) -> RobotDriver:
    """Construct a driver; nothing is connected.

    Args:
        settings: `name`, and its constructor's parameters.
        base: folder that a path in `name` is relative to.

    Raises:
        SetupError: there is none of this name, or it refuses its parameters.
    """
    name = str(settings["name"])
    driver = _make("driver", settings, base)
    if not isinstance(driver, RobotDriver):
        methods = ("describe", "connect", "read", "command", "safe_stop", "release", "fault")
        raise _lacking(f"driver {name}", driver, (*methods, "clear_fault", "close"))
    return driver


def make_sensor(name: str, settings: Mapping[str, Any], base: Path) -> SensorDriver:
    """Construct what reads a sensor; nothing is connected.

    Args:
        name: of the sensor.
        settings: `name` of its driver, and the parameters of its constructor.
        base: folder that a path in the driver's name is relative to.

    Raises:
        SetupError: there is no such driver, or it refuses its parameters.
    """
    try:
        sensor = _make("sensor", settings, base)
    except SetupError as error:
        raise SetupError(f"sensors.{name}: {error}") from error
    if not isinstance(sensor, SensorDriver):
        raise _lacking(f"sensors.{name}", sensor, ("describe", "connect", "read", "close"))
    return sensor


def is_sensor(name: str, base: Path) -> bool:
    """Say whether a class reads and does not command; raises `SetupError` where there is none."""
    kind = find_driver(name, base)
    return hasattr(kind, "read") and not (hasattr(kind, "command") or hasattr(kind, "safe_stop"))


def make_sensing(config: AgentConfig, base: Path) -> Sensing:
    """Make all sensors of AGENT.yaml; nothing is connected, and `SetupError` as above."""
    watched = [
        Watched(Entry(name, make_sensor(name, entry.settings, base), entry.required, entry.oldest))
        for name, entry in config.sensors.items()
    ]
    return Sensing(watched, config.journal)


def _lacking(what: str, found: Any, methods: tuple[str, ...]) -> SetupError:
    lacking = [method for method in methods if not callable(getattr(found, method, None))]
    return SetupError(f"{what}: it lacks {', '.join(lacking)}")


def _make(what: str, settings: Mapping[str, Any], base: Path) -> Any:
    """Construct a driver or a sensor of these settings; raises `SetupError`."""
    name = str(settings["name"])
    parameters = {key: value for key, value in settings.items() if key != "name"}
    kind = find_driver(name, base, what)
    try:
        inspect.signature(kind).bind(**parameters)
    except TypeError as error:
        raise SetupError(
            f"{what} {name}: {error}; its parameters are {inspect.signature(kind)}"
        ) from None
    try:
        return kind(**parameters)
    except SetupError:
        raise
    except Exception as error:
        raise SetupError(f"{what} {name}: {type(error).__name__}: {error}") from error


def find_driver(name: str, base: Path, what: str = "driver") -> Any:
    """Return the class of a driver, or of a sensor; raises `SetupError` where there is none."""
    module_name, _, attribute = name.partition(":")
    if not attribute and name.endswith(".py"):
        raise SetupError(f"{what} {name}: say which class of it: {name}:Class")
    if not attribute:
        known = {entry.name: entry for entry in entry_points(group=GROUPS[what])}
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise SetupError(
                f"{what} {name}: not known{hint} There are {', '.join(sorted(known))}, or give "
                "path/robot.py:Class"
            )
        return known[name].load()
    try:
        module = (
            _file_module((base / module_name).resolve())
            if module_name.endswith(".py")
            else importlib.import_module(module_name)
        )
        return getattr(module, attribute)
    except AttributeError:
        raise SetupError(f"{what} {name}: {module_name} has no {attribute}") from None
    except SetupError:
        raise
    except Exception as error:
        raise SetupError(f"{what} {name}: {type(error).__name__}: {error}") from error


def _file_module(path: Path) -> Any:
    if not path.is_file():
        raise SetupError(f"{path}: no such file")
    name = f"robo_al_driver_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]
