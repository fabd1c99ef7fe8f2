"""Every parameter of ours that has a range is refused outside it before anything is built."""

from typing import Any

import pytest

from robo_al.config.components import Component, arguments
from robo_al.errors import ConfigError

SIZES = (0, -1, 10**12)
WRONG = [
    ("models", "gp", ("samples", "frequencies", "max_points", "fit_steps"), SIZES),
    ("models", "ensemble", ("members", "hidden", "layers", "max_steps", "batch_size"), SIZES),
    ("models", "ensemble", ("learning_rate", "weight_decay"), (-1e-3,)),
    ("acquisitions", "epig", ("samples", "steps"), SIZES),
    ("acquisitions", "target_information", ("samples", "steps"), SIZES),
    ("acquisitions", "joint_information", ("steps",), SIZES),
    ("acquisitions", "ucb", ("kappa",), (-1.0,)),
    ("acquisitions", "variance", ("aggregation",), ("median",)),
    ("acquisitions", "variance", ("quantile",), (-0.1, 90.0)),
    ("selectors", "bait", ("steps", "pool"), SIZES),
    ("selectors", "lcmd", ("steps",), SIZES),
    ("selectors", "k_center", ("steps",), SIZES),
    ("selectors", "kmeans++", ("steps",), SIZES),
    ("selectors", "stochastic", ("temperature",), (0.0, -1.0)),
    ("costs", "seconds", ("reset", "failure"), (-1.0,)),
    ("costs", "seconds", ("budget",), (0.0, -1.0)),
    ("policies", "icem", ("planning_horizon", "samples", "iterations", "elites"), SIZES),
    ("policies", "icem", ("action_repeat",), SIZES),
    ("policies", "icem", ("keep", "momentum"), (-0.1, 1.1)),
    ("policies", "icem", ("decay",), (0.0, 0.5)),
    ("policies", "icem", ("beta",), (-1.0,)),
    ("policies", "icem", ("deviation",), (0.0,)),
    ("policies", "primitives", ("functions", "steps"), SIZES),
    ("policies", "primitives", ("scale", "prior"), (0.0,)),
    ("policies", "primitives", ("best",), (0.0, 1.1)),
    ("policies", "random", ("beta",), (-1.0,)),
    ("policies", "random", ("scale",), (0.0,)),
    ("policies", "sb3", ("policies", "worlds", "imagined_steps"), SIZES),
    ("policies", "sb3", ("updates_per_transition",), (0.0,)),
    ("policies", "sb3", ("recorded_share",), (-0.1, 1.1)),
    ("policies", "sb3", ("hidden",), ([], [0])),
    ("oracles", "gymnasium", ("workers",), SIZES),
    ("oracles", "gymnasium", ("step_timeout", "start_timeout"), (0.0, -1.0)),
    ("oracles", "simulation", ("threads",), (-1, 10**12)),
    ("oracles", "robot", ("queue",), SIZES),
    ("oracles", "robot", ("start_timeout",), (0.0,)),
    ("envs", "replay", ("held_out",), (-0.1, 1.1)),
]
CASES = [
    (group, name, key, value)
    for group, name, keys, values in WRONG
    for key in keys
    for value in values
]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize(("group", "name", "key", "value"), CASES)
def test_a_value_out_of_range_is_refused_with_key_range_and_value(
    group: str, name: str, key: str, value: Any
) -> None:
    given = {"path": "recording.parquet"} if name == "replay" else {}
    with pytest.raises(ConfigError) as caught:
        arguments(group, Component(name=name, **given, **{key: value}))
    lines = str(caught.value).splitlines()
    shown = value[0] if isinstance(value, list) and value else value
    assert len(lines) == 2 and lines[1].strip().startswith(key)
    assert "expected " in lines[1] and "given" in lines[1] and str(shown).rstrip("0") in lines[1]
