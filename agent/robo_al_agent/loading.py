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

from robo_al_agent.composite import Composite
from robo_al_agent.config import AgentConfig
from robo_al_agent.driver import RobotDriver
from robo_al_agent.errors import SetupError

GROUP = "robo_al.drivers"


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
    parameters = {key: value for key, value in settings.items() if key != "name"}
    kind = find_driver(name, base)
    try:
        inspect.signature(kind).bind(**parameters)
    except TypeError as error:
        raise SetupError(
            f"driver {name}: {error}; its parameters are {inspect.signature(kind)}"
        ) from None
    try:
        driver = kind(**parameters)
    except SetupError:
        raise
    except Exception as error:
        raise SetupError(f"driver {name}: {type(error).__name__}: {error}") from error
    if not isinstance(driver, RobotDriver):
        lacking = [
            method
            for method in ("describe", "connect", "read", "command", "safe_stop", "release")
            + ("fault", "clear_fault", "close")
            if not callable(getattr(driver, method, None))
        ]
        raise SetupError(f"driver {name}: it lacks {', '.join(lacking)}")
    return driver


def find_driver(name: str, base: Path) -> Any:
    """Return a driver's class; raises `SetupError` where there is none."""
    module_name, _, attribute = name.partition(":")
    if not attribute and name.endswith(".py"):
        raise SetupError(f"driver {name}: say which class of it: {name}:Class")
    if not attribute:
        known = {entry.name: entry for entry in entry_points(group=GROUP)}
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else "."
            raise SetupError(
                f"driver {name}: not known{hint} There are {', '.join(sorted(known))}, or give "
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
        raise SetupError(f"driver {name}: {module_name} has no {attribute}") from None
    except SetupError:
        raise
    except Exception as error:
        raise SetupError(f"driver {name}: {type(error).__name__}: {error}") from error


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
