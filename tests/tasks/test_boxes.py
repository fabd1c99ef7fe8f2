from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from robo_al.errors import ConfigError, PluginError
from robo_al.plugins import adapted, make_env
from robo_al.tasks.boxes import boxes, random_action, within
from robo_al.types import Channel, EnvFacts, EnvSpec

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


class Two:
    """An encoder of anything."""

    def __init__(self, space):
        self.channels = (Channel("one", "1"), Channel("other", "1"))

    def encode(self, observation):
        return np.zeros(2)


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
    ("space", "what"),
    [
        (spaces.Text(3), "`encoder: my/encoder.py:Mine`"),
        (spaces.Dict({"at": FLAT, "all": spaces.Sequence(FLAT)}), "`encoder: my/encoder.py:Mine`"),
        (spaces.Box(0, 255, (4, 4, 3), np.uint8), "`encoder: {name: downscale, size: 8}`"),
        (spaces.Tuple([spaces.Box(0, 255, (4, 4), np.uint8), FLAT]), "`encoder: flatten`"),
    ],
)
def test_an_observation_that_needs_an_encoder_is_refused_with_what_to_write(space, what):
    env = adapted(Spaced(space, FLAT), EnvSpec("mine"))
    with pytest.raises(ConfigError, match="its observation space is .* flat Box is needed") as said:
        boxes(env, "mine")
    assert what in str(said.value)
    named = EnvSpec("mine", facts=EnvFacts(encoder={"name": f"{__file__}:Two"}))
    observation, _ = boxes(adapted(Spaced(space, FLAT), named), "mine")
    assert observation.shape == (2,)


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Box(-1, 2, (2, 3), np.float32), 6),
        (spaces.Dict({"arm": FLAT, "hand": spaces.Box(0, 1, (1,))}), 3),
        (spaces.Tuple([FLAT, FLAT]), 4),
    ],
)
def test_actions_of_boxes_with_limits_are_flattened(space, size):
    env = adapted(Spaced(FLAT, space), EnvSpec("mine"))
    assert boxes(env, "mine")[1].shape == (size,)
    step_everywhere(env)


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (spaces.Discrete(3), 1),
        (spaces.Discrete(4, start=-2), 1),
        (spaces.MultiDiscrete([2, 3]), 2),
        (spaces.MultiBinary([2, 2]), 4),
        (spaces.Box(-np.inf, np.inf, (2,), np.float32), 2),
        (spaces.Box(-np.inf, np.inf, (2, 1), np.float64), 2),
        (spaces.Box(np.array([-np.inf, -1.0]), np.ones(2), dtype=np.float64), 2),
        (spaces.Dict({"arm": FLAT, "hand": spaces.Discrete(2)}), 3),
    ],
)
def test_actions_without_limits_are_refused_with_what_to_write_and_that_works(space, size):
    with pytest.raises(ConfigError, match="its action space .* is needed. Say the limits") as said:
        boxes(adapted(Spaced(FLAT, space), EnvSpec("mine")), "mine")
    assert "`action_limits: [-1, 1]` in the configuration" in str(said.value)
    for limits in [((-1.0, 1.0),), ((-1.0, 1.0),) * size]:
        facts = EnvFacts(action_limits=limits)
        env = adapted(Spaced(FLAT, space), EnvSpec("mine", facts=facts))
        _, action = boxes(env, "mine")
        assert action.shape == (size,) and (action.low == -1).all() and (action.high == 1).all()
        step_everywhere(env)


def test_actions_of_no_numbers_are_refused_with_a_wrapper():
    env = adapted(Spaced(FLAT, spaces.Text(3)), EnvSpec("mine"))
    with pytest.raises(ConfigError, match="that returns gymnasium.wrappers.TransformAction"):
        boxes(env, "mine")


@pytest.mark.parametrize(
    ("limits", "why"),
    [
        (((-1.0, 1.0),) * 3, "3 pairs for the 2 actions of env mine; give one pair for all"),
        (((-1.0, 1.0), (-1.0, 1.1)), r"\[-1.0, 1.1\] for action 1 of env mine, .* takes -1 to 1"),
    ],
)
def test_limits_that_do_not_go_with_the_actions_are_refused(limits, why):
    with pytest.raises(ConfigError, match=f"action_limits: {why}"):
        adapted(Spaced(FLAT, FLAT), EnvSpec("mine", facts=EnvFacts(action_limits=limits)))


def step_everywhere(env):
    """Send random actions, and those at the limits."""
    rng = np.random.default_rng(0)
    env.reset()
    for _ in range(20):
        env.step(random_action(env.action_space, rng))
    for limit in (env.action_space.low, env.action_space.high):
        env.step(limit)


def test_an_env_without_spaces_is_refused_in_a_sentence():
    env = make_env(EnvSpec(f"{FOREIGN}:Spaceless"))
    with pytest.raises(PluginError, match="mine: Spaceless has no observation_space; every"):
        boxes(env, "mine")
