import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch

from robo_al.plugins import make_env
from robo_al.types import EnvSpec
from robo_al_envs import gymnasium_terminations as terminations

FACTORIES = {
    "Ant-v5": terminations.ant_v5,
    "Hopper-v5": terminations.hopper_v5,
    "Humanoid-v5": terminations.humanoid_v5,
    "InvertedDoublePendulum-v5": terminations.inverted_double_pendulum_v5,
    "InvertedPendulum-v5": terminations.inverted_pendulum_v5,
    "Walker2d-v5": terminations.walker2d_v5,
}
"""By the names of their entry points."""


def rollouts(env, n):
    """Return before, action, after and whether it ended, of random steps."""
    rows = []
    for seed in range(n):
        before, _ = env.reset(seed=seed)
        env.action_space.seed(seed)
        ended = cut = False
        while not (ended or cut):
            action = env.action_space.sample()
            after, _, ended, cut, _ = env.step(action)
            rows.append((before, action, after, ended))
            before = after
    return [np.array(column) for column in zip(*rows, strict=True)]


WITHOUT = {"exclude_current_positions_from_observation": False}


@pytest.mark.parametrize(
    ("name", "parameters"),
    [(name, {}) for name in FACTORIES]
    + [(f"{name}-v5", WITHOUT) for name in ("Ant", "Hopper", "Humanoid", "Walker2d")]
    + [
        ("Ant-v5", {"healthy_z_range": [0.3, 0.9], "reset_noise_scale": 0.2}),
        ("Hopper-v5", {"healthy_angle_range": [-0.1, 0.05]}),
        ("Hopper-v5", {"healthy_state_range": [-3.0, 3.0]}),
        ("Humanoid-v5", {"healthy_z_range": [1.2, 1.41]}),
        ("Walker2d-v5", {"healthy_z_range": [1.0, 1.3], "healthy_angle_range": [-0.3, 1.0]}),
    ],
)
def test_agrees_with_the_env_step_by_step(name, parameters):
    env = make_env(EnvSpec(f"gymnasium:{name}", parameters))
    termination = FACTORIES[name](**parameters)
    assert termination is not None
    before, action, after, ended = rollouts(env, 12)
    assert ended.sum() > 5 and len(ended) > 50
    np.testing.assert_array_equal(termination(before, action, after), ended)
    tensors = [torch.as_tensor(array) for array in (before, action, after)]
    np.testing.assert_array_equal(termination(*tensors).numpy(), ended)


@pytest.mark.parametrize("name", ["Ant-v5", "Hopper-v5", "Humanoid-v5", "Walker2d-v5"])
def test_an_env_that_is_told_never_to_end_has_no_end(name):
    assert FACTORIES[name](terminate_when_unhealthy=False) is None


def test_links_of_another_length_are_not_known():
    own = "inverted_double_pendulum.xml"
    assert terminations.inverted_double_pendulum_v5(xml_file=own) is None


@pytest.mark.parametrize("name", FACTORIES)
def test_what_is_not_finite_has_ended_or_goes_on_as_in_the_env(name):
    """Comparisons with NaN are false: an env that asks whether it is healthy then ends."""
    size = gymnasium.make(name).observation_space.shape
    lost = np.full((1, *size), np.nan)
    ended = FACTORIES[name]()(lost, None, lost)
    assert ended.tolist() == [name != "InvertedDoublePendulum-v5"]


def test_every_entry_point_is_one_of_these():
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    named = tomllib.loads(text)["project"]["entry-points"]["robo_al.terminations"]
    module = terminations.__name__
    expected = {name: f"{module}:{function.__name__}" for name, function in FACTORIES.items()}
    assert named == expected
