import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from robo_al.errors import ConfigError, PluginError
from robo_al.plugins import make_env
from robo_al.tasks.boxes import boxes, random_action, within
from robo_al.types import EnvSpec

FOREIGN = Path(__file__).with_name("foreign_envs.py")
FLAT = spaces.Box(-1, 1, (2,), np.float32)


class Spaced(gymnasium.Env):
    """Answers with samples of its space, and checks its actions."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed=None, options=None):
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return self.observation_space.sample(), 0.0, False, False, {}


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_actions_are_of_the_space_s_type_and_within_it(dtype):
    rng = np.random.default_rng(0)
    for _ in range(50):
        low, width = rng.normal(size=3), rng.exponential(size=3) * [1, 1, 0]
        space = spaces.Box(low.astype(dtype), (low + width).astype(dtype), dtype=dtype)
        limits = space.low.astype(np.float64), space.high.astype(np.float64)
        asked = rng.normal(scale=2, size=(20, 3))
        asked[0], asked[1] = limits  # rounding goes either way there
        asked[2] = np.nextafter(limits[1], -np.inf)
        sent = within(asked, *limits, space.dtype.name)
        assert sent.dtype == dtype and all(map(space.contains, sent))
        assert space.contains(random_action(space, rng))
        if dtype == np.float64:
            np.testing.assert_array_equal(sent, np.clip(asked, *limits))


def test_whole_numbers_are_the_nearest_ones():
    low, high = np.array([-2.0]), np.array([3.0])
    sent = within(np.array([[-9.0], [-1.6], [0.4], [2.6], [9.0]]), low, high, "int64")
    assert sent.dtype == np.int64 and sent[:, 0].tolist() == [-2, -2, 0, 3, 3]


def test_limits_that_are_no_numbers_of_the_type_are_kept_too():
    low, high = np.array([0.1]), np.array([0.7])  # not those of any float32
    space = spaces.Box(low.astype(np.float32), high.astype(np.float32))
    assert all(space.contains(within(x, low, high, "float32")) for x in (low, high))


@pytest.mark.parametrize(
    "space",
    [
        spaces.Dict({"at": FLAT, "goal": spaces.Box(0, 1, (2, 2))}),
        spaces.Tuple([FLAT, spaces.Discrete(3)]),
        spaces.Discrete(4),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Box(0, 255, (4, 4, 3), np.uint8),
    ],
)
def test_what_is_said_of_an_observation_can_be_written(space):
    env = Spaced(space, FLAT)
    with pytest.raises(ConfigError, match="its observation space is .* flat Box is needed") as said:
        boxes(env, "mine")
    (expression,) = re.findall(r"env: my/env.py:make, that returns (.*)$", str(said.value))
    wrapped = eval(expression, {"gymnasium": gymnasium, "env": env})
    observation, _ = boxes(wrapped, "mine")
    assert wrapped.reset()[0].shape == observation.shape


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(3),
        spaces.Discrete(4, start=-2),
        spaces.MultiDiscrete([2, 3]),
        spaces.MultiBinary(3),
        spaces.Box(-1, 2, (2, 3), np.float32),
        spaces.Dict({"arm": FLAT, "hand": spaces.Box(0, 1, (1,))}),
        spaces.Tuple([FLAT, FLAT]),
        spaces.Box(-np.inf, np.inf, (2,), np.float32),
        spaces.Box(-np.inf, np.inf, (2,), np.float64),
    ],
)
def test_what_is_said_of_an_action_can_be_written(space):
    env = Spaced(FLAT, space)
    with pytest.raises(
        ConfigError, match="its action space .*(flat Box is needed|has no limits)"
    ) as said:
        boxes(env, "mine")
    (expression,) = re.findall(r"env: my/env.py:make, that returns (.*)$", str(said.value))
    known = {"gymnasium": gymnasium, "numpy": np, "env": env, "low": -1, "high": 1}
    wrapped, rng = eval(expression, known), np.random.default_rng(0)
    _, action = boxes(wrapped, "mine")
    wrapped.reset()
    for _ in range(20):
        wrapped.step(random_action(action, rng))
    for limit in (action.low, action.high):
        wrapped.step(limit)


def test_an_env_without_spaces_is_refused_in_a_sentence():
    env = make_env(EnvSpec(f"{FOREIGN}:Spaceless"))
    with pytest.raises(PluginError, match="mine: Spaceless has no observation_space; every"):
        boxes(env, "mine")
