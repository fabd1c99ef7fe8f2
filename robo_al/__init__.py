"""robo-al: active learning for robot rollouts.

Importing this package loads neither torch nor mujoco: names are looked up when they are used.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Campaign": "robo_al.campaign",
    "Candidate": "robo_al.types",
    "Config": "robo_al.config",
    "EnvSpec": "robo_al.types",
    "Failure": "robo_al.types",
    "Outcome": "robo_al.types",
    "Trajectory": "robo_al.types",
    "create_campaign": "robo_al.run",
    "load_config": "robo_al.config",
    "make_oracle": "robo_al.run",
    "open_campaign": "robo_al.run",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'robo_al' has no attribute {name!r}")
