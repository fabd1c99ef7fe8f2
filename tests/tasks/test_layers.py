import gymnasium
import numpy as np
import pytest
from gymnasium import wrappers

from robo_al.plugins import make_env
from robo_al.tasks.layers import Lent, clear_layers, is_bare, time_limit
from robo_al.testing import FAKE_ENV, FakeEnv


class Labelled(gymnasium.Wrapper):
    """Says something of its env, and leaves it as it is."""

    horizon = 7


class Shifted(gymnasium.Wrapper):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward - 1, *rest


CLEAR = [
    lambda env: env,
    Lent,
    Labelled,
    lambda env: wrappers.TimeLimit(env, 3),
    wrappers.OrderEnforcing,
    wrappers.PassiveEnvChecker,
    wrappers.RecordEpisodeStatistics,
]
OPAQUE = [
    Shifted,
    lambda env: wrappers.TransformReward(env, lambda reward: reward),
    lambda env: wrappers.RescaleAction(env, -2.0, 2.0),
    lambda env: wrappers.FrameStackObservation(env, 2),
    lambda env: wrappers.TransformObservation(env, lambda seen: seen, None),
]


@pytest.mark.parametrize("wrap", CLEAR)
def test_a_wrapper_that_changes_nothing_is_seen_through(wrap):
    env = Lent(wrap(FakeEnv()))
    assert is_bare(env) and list(clear_layers(env))[-1] is env.unwrapped


@pytest.mark.parametrize("wrap", OPAQUE)
def test_nothing_is_seen_through_a_wrapper_that_may_change_something(wrap):
    env = Lent(wrap(FakeEnv()))
    assert not is_bare(env) and list(clear_layers(env)) == [env, env.env]


def test_the_least_of_the_time_limits_counts_wherever_it_is():
    env = wrappers.TimeLimit(Shifted(wrappers.TimeLimit(FakeEnv(), 5)), 9)
    assert time_limit(env) == 5
    assert time_limit(FakeEnv()) is None


def test_an_env_is_not_reset_to_where_it_still_is():
    env = Lent(wrappers.RecordEpisodeStatistics(make_env(FAKE_ENV)))
    resets = []
    inner = env.unwrapped
    reset, inner.reset = inner.reset, lambda **asked: resets.append(asked) or reset(**asked)
    first, _ = env.reset(seed=3)
    first_kept = first.copy()
    first[:] = 0  # whoever asked does with it what they like
    again, _ = env.reset(seed=3)
    np.testing.assert_array_equal(again, first_kept)
    assert len(resets) == 1
    for asked in ({"seed": 4}, {"seed": 3}, {"seed": 3, "options": {"goal": (0.5,)}}, {}, {}):
        env.reset(**asked)
    assert len(resets) == 6
    env.reset(seed=3)
    env.step(np.zeros(2))
    env.reset(seed=3)
    assert len(resets) == 8
