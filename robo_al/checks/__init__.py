"""Public conformance checks: does a class keep its contract?

Each calls what `robo_al.protocols` asks for, on data of a few rows, and raises `PluginError` naming
the class, the method and what was wrong with it; otherwise it returns what it tried, and what it
did not. `check_plugin` builds the object from its spec first, as a campaign would.
"""

from robo_al.checks.encoders import check_encoder
from robo_al.checks.envs import check_env
from robo_al.checks.models import check_model
from robo_al.checks.oracles import check_oracle
from robo_al.checks.plugin import check_plugin
from robo_al.checks.policies import check_policy
from robo_al.checks.selection import check_acquisition, check_cost, check_selector
from robo_al.checks.subject import CheckReport

__all__ = [
    "CheckReport",
    "check_acquisition",
    "check_cost",
    "check_encoder",
    "check_env",
    "check_model",
    "check_oracle",
    "check_plugin",
    "check_policy",
    "check_selector",
]
