"""robo-al: active learning for robot rollouts.

Importing this package loads neither torch nor mujoco: names are looked up when they are used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robo_al.build import create_campaign, make_oracle, open_campaign
    from robo_al.campaign.campaign import Campaign
    from robo_al.config.load import load_config
    from robo_al.config.schema import Config
    from robo_al.dataset.view import RunView
    from robo_al.deploy.policy import open_policy
    from robo_al.report.page import write_report
    from robo_al.types import Candidate, EnvSpec, Failure, Label, Outcome, Trajectory

__version__ = "0.1.0"

__all__ = [
    "Campaign",
    "Candidate",
    "Config",
    "EnvSpec",
    "Failure",
    "Label",
    "Outcome",
    "RunView",
    "Trajectory",
    "create_campaign",
    "load_config",
    "make_oracle",
    "open_campaign",
    "open_policy",
    "write_report",
]

_HOME = {
    "Campaign": "robo_al.campaign.campaign",
    "Config": "robo_al.config.schema",
    "RunView": "robo_al.dataset.view",
    "create_campaign": "robo_al.build",
    "load_config": "robo_al.config.load",
    "make_oracle": "robo_al.build",
    "open_campaign": "robo_al.build",
    "open_policy": "robo_al.deploy.policy",
    "write_report": "robo_al.report.page",
}
"""The module of each public name that is not in `robo_al.types`."""


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives."""
    if name in __all__:
        return getattr(import_module(_HOME.get(name, "robo_al.types")), name)
    raise AttributeError(f"module 'robo_al' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what is public, whether or not it was used yet."""
    return sorted({*globals(), *__all__})
