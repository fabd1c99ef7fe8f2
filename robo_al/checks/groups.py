"""What a plugin is, where nobody says it: by its name, or by the methods that it has."""

import inspect
from collections.abc import Sequence
from typing import Any

import gymnasium

from robo_al.errors import PluginError
from robo_al.plugins import GYMNASIUM, known, load, of_suite


def groups_of(spec: str, every: Sequence[str]) -> list[str]:
    """Return the groups that a plugin belongs to.

    Args:
        spec: its name, `module:Class` or `path.py:Class`.
        every: names of all groups.

    Raises:
        PluginError: that is not clear.
    """
    if spec.startswith(GYMNASIUM) or of_suite(spec):
        return ["envs"]
    if ":" not in spec:
        found = [group for group in every if spec in known(group)]
        if not found:
            raise PluginError(f"{spec!r} is not installed under this name; see robo-al list")
        return found
    part = load("plugins", spec)
    if _makes_env(part):
        return ["envs"]
    marks = {
        "encode": "encoders",
        "propose": "policies",
        "fit": "models",
        "submit": "oracles",
        "safe_stop": "drivers",
    }
    groups = [group for method, group in marks.items() if hasattr(part, method)]
    if not groups and hasattr(part, "reset"):  # a simulated robot's driver has one too
        groups = ["envs"]
    if not groups and inspect.isclass(part) and "__call__" in dir(part):
        wanted = inspect.signature(part.__call__).parameters
        by_argument = {"acquisition": "selectors", "risks": "costs"}
        groups = [group for name, group in by_argument.items() if name in wanted]
        groups = groups or ["acquisitions"]
    if len(groups) != 1:
        raise PluginError(f"{spec}: it is not clear what this is; say --group {'|'.join(every)}")
    return groups


def _makes_env(part: Any) -> bool:
    """Whether a plugin is an env, or a function: those of other kinds are given what they need."""
    if inspect.isclass(part):
        return issubclass(part, gymnasium.Env)
    given = {"task", "env"} & set(inspect.signature(part).parameters)
    return inspect.isfunction(part) and not given
