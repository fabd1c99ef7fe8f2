import math

import numpy as np
import pytest

from robo_al_envs import CartpolePILCO


def test_dynamics_and_reward_are_those_of_the_text():
    env, rng = CartpolePILCO(), np.random.default_rng(0)
    cart, m, length, b, g = 0.5, 0.5, 0.6, 0.1, 9.82
    for _ in range(200):
        x, v, theta, omega = rng.normal(0, 3, 4)
        action = rng.uniform(-1, 1)
        force, s, c = 10 * action, math.sin(theta), math.cos(theta)
        v_dot = (-2 * m * length * omega**2 * s + 3 * m * g * s * c + 4 * force - 4 * b * v) / (
            4 * (cart + m) - 3 * m * c**2
        )
        omega_dot = (
            -3 * m * length * omega**2 * s * c + 6 * (cart + m) * g * s + 6 * (force - b * v) * c
        ) / (4 * length * (cart + m) - 3 * m * length * c**2)
        after = [x + 0.1 * v, v + 0.1 * v_dot, theta + 0.1 * omega, omega + 0.1 * omega_dot]
        tip = (after[0] + length * math.sin(after[2]), length * math.cos(after[2]))
        d = math.dist(tip, (0, length))
        env.reset(options={"state": [x, v, theta, omega]})
        observation, reward, *_ = env.step(np.array([action]))
        assert observation == pytest.approx(after, abs=1e-10)
        assert reward == pytest.approx(-(1 - math.exp(-(d**2) / (2 * 0.25**2))), abs=1e-10)


def test_conserves_energy_without_force_and_friction(monkeypatch):
    """A check of the equations of motion themselves: a rod of length l hinged on a cart.

    Their angle turns the rod to the left, while the reward takes its tip to be on the right.
    """
    from robo_al_envs import cartpole

    monkeypatch.setattr(cartpole, "FRICTION", 0.0)
    env = CartpolePILCO()
    env.dt = 1e-4
    state = np.array([0.0, 0.5, 2.0, 1.0])

    def energy(state):
        _, v, theta, omega = state
        across, up = v - 0.3 * omega * math.cos(theta), -0.3 * omega * math.sin(theta)
        kinetic = 0.25 * v**2 + 0.25 * (across**2 + up**2) + 0.5 * (0.5 * 0.6**2 / 12) * omega**2
        return kinetic + 0.5 * 9.82 * 0.3 * math.cos(theta)

    before = energy(state)
    for _ in range(5000):
        state = env.dynamics(state, np.zeros(1))
    assert energy(state) == pytest.approx(before, abs=2e-3)


def test_starts_hang_near_rest():
    env = CartpolePILCO()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(500)])
    np.testing.assert_allclose(starts.mean(0), [0, 0, math.pi, 0], atol=0.005)
    np.testing.assert_allclose(starts.std(0), 0.02, rtol=0.15)


def test_is_solved_at():
    assert (CartpolePILCO.horizon, CartpolePILCO.threshold, CartpolePILCO.dt) == (25, -12.5, 0.1)
