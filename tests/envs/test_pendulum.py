import math

import numpy as np
import pytest

from robo_al_envs import Pendulum


def test_dynamics_and_reward_are_those_of_the_text():
    env, rng = Pendulum(), np.random.default_rng(0)
    for _ in range(200):
        theta, omega, u = rng.uniform(-9, 9), rng.uniform(-8, 8), rng.uniform(-2, 2)
        faster = min(max(omega + (15 * math.sin(theta) + 3 * u) * 0.05, -8), 8)
        turned = theta + 0.05 * faster
        wrapped = math.atan2(math.sin(turned), math.cos(turned))
        cost = wrapped**2 + 0.1 * faster**2 + 0.001 * u**2
        env.reset(options={"state": [theta, omega]})
        observation, reward, *_ = env.step(np.array([u]))
        assert observation == pytest.approx([turned, faster], abs=1e-12)
        assert reward == pytest.approx(-cost, abs=1e-9)


def test_equals_gymnasiums_pendulum():
    import gymnasium

    theirs, ours = gymnasium.make("Pendulum-v1").unwrapped, Pendulum()
    rng = np.random.default_rng(1)
    theirs.reset(seed=0)
    ours.reset(options={"state": [3.0, 0.5]})
    theirs.state = np.array([3.0, 0.5])
    for _ in range(100):
        action = rng.uniform(-2, 2, 1)
        theirs.step(action)
        observation, *_ = ours.step(action)
        np.testing.assert_allclose(observation, theirs.state, atol=1e-9)


def test_the_angle_is_not_wrapped():
    env = Pendulum()
    env.reset(options={"state": [3.1, 8.0]})
    observation, *_ = env.step(np.array([2.0]))
    assert observation[0] > math.pi


def test_starts_fill_their_range():
    env = Pendulum()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(500)])
    assert (abs(starts) <= [math.pi, 1]).all()
    assert (starts.max(0) > [3.0, 0.95]).all() and (starts.min(0) < [-3.0, -0.95]).all()


def test_is_solved_at():
    assert (Pendulum.horizon, Pendulum.threshold, Pendulum.dt) == (200, -150, 0.05)
