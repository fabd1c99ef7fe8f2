import math

import numpy as np
import pytest

from robo_al_envs import PendulumPenalty


def tol(x, low, high, margin):
    if low <= x <= high:
        return 1.0
    d = low - x if x < low else x - high
    k = math.sqrt(-2 * math.log(0.1))
    return math.exp(-0.5 * (k * d / margin) ** 2)


def test_dynamics_and_reward_are_those_of_the_text():
    env, rng = PendulumPenalty(), np.random.default_rng(0)
    m, length, friction, g, dt = 0.3, 0.5, 0.005, 9.81, 1 / 80
    inertia = m * length**2
    for _ in range(200):
        theta, omega, u = rng.normal(0, 0.6), rng.normal(0, 1), rng.uniform(-1, 1)
        omega_dot = g / length * math.sin(theta) + u / inertia - friction / inertia * omega
        paid = tol(math.cos(theta), 0.95, 1, 0.1) * tol(omega, -0.5, 0.5, 0.5)
        paid += 0.1 * (tol(u, -0.1, 0.1, 0.1) - 1)
        env.reset(options={"state": [theta, omega]})
        observation, reward, *_ = env.step(np.array([u]))
        expected = [theta + dt * omega, omega + dt * omega_dot]
        assert observation == pytest.approx(expected, abs=1e-12)
        assert reward == pytest.approx(paid, abs=1e-12)


def test_doing_nothing_earns_nothing_and_trying_costs():
    env = PendulumPenalty()
    for action, earned in [(0.0, 0.0), (1.0, -0.1)]:
        env.reset(seed=0)
        rewards = [env.step(np.array([action]))[1] for _ in range(10)]
        assert sum(rewards) == pytest.approx(10 * earned, abs=1e-3)


def test_holding_upright_earns_one_a_step():
    env = PendulumPenalty()
    env.reset(options={"state": [0.0, 0.0]})
    assert env.step(np.array([0.0]))[1] == 1.0


def test_every_start_is_hanging_at_rest():
    env = PendulumPenalty()
    assert {tuple(env.reset(seed=seed)[0]) for seed in range(5)} == {(math.pi, 0.0)}
