import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from robo_al_envs import CartpoleMCPILCO


def test_a_step_solves_the_published_equations():
    """Derived anew: a cart, and a rod that swings about its end; theta = 0 hanging."""

    def rates(_, state, force):
        _, v, theta, omega = state
        sine, cosine = math.sin(theta), math.cos(theta)
        m, arm = 0.5, 0.25  # of the rod, and of its centre of mass
        inertia = m * 0.5**2 / 3
        # (M + m) v' + m arm cos(theta) omega' = F - b v + m arm omega^2 sin(theta)
        # m arm cos(theta) v' + inertia omega' = -m g arm sin(theta)
        mass = np.array([[1.0, m * arm * cosine], [m * arm * cosine, inertia]])
        forces = [force - 0.1 * v + m * arm * omega**2 * sine, -m * 9.81 * arm * sine]
        return np.concatenate([[v], [omega], np.linalg.solve(mass, forces)])[[0, 2, 1, 3]]

    env, rng = CartpoleMCPILCO(), np.random.default_rng(0)
    for _ in range(40):
        state, force = rng.normal(0, [1, 2, 3, 5]), rng.uniform(-10, 10)
        solved = solve_ivp(rates, (0, 0.05), state, args=(force,), rtol=1e-10, atol=1e-12)
        found = env.dynamics(state[None], np.array([[force]]))[0]
        np.testing.assert_allclose(found, solved.y[:, -1], atol=1e-6)


def test_energy_is_lost_to_the_carts_friction_alone():
    env = CartpoleMCPILCO()
    state = np.array([[0.0, 0.0, 2.0, 0.0]])

    def energy(state):
        _, v, theta, omega = state[0]
        cross = 0.5 * 0.25 * v * omega * math.cos(theta)
        moving = 0.5 * v**2 + 0.5 * (0.5 * 0.5**2 / 3) * omega**2 + cross
        return moving - 0.5 * 9.81 * 0.25 * math.cos(theta)

    energies = [energy(state)]
    for _ in range(60):
        state = env.dynamics(state, np.zeros((1, 1)))
        energies.append(energy(state))
    assert np.diff(energies).max() < 1e-6 and energies[-1] < energies[0] - 1e-3


@pytest.mark.parametrize(
    ("x", "theta", "expected"),
    [
        (0.0, math.pi, 0.0),
        (0.0, -math.pi, 0.0),
        (1.0, math.pi, math.exp(-1) - 1),
        (0.0, math.pi + 3, math.exp(-1) - 1),
        (0.0, 0.0, math.exp(-((math.pi / 3) ** 2)) - 1),
    ],
)
def test_reward_is_that_of_the_text(x, theta, expected):
    after = np.array([x, 1.0, theta, -2.0])
    assert CartpoleMCPILCO().reward(after, np.ones(1), after) == pytest.approx(expected)


def test_a_trial_is_three_seconds_at_twenty_hertz():
    assert CartpoleMCPILCO.horizon * CartpoleMCPILCO.dt == pytest.approx(3.0)
    assert CartpoleMCPILCO().action_space.high.tolist() == [10]


def test_starts_hang_near_rest():
    env = CartpoleMCPILCO()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(400)])
    np.testing.assert_allclose(starts.mean(0), 0, atol=0.003)
    np.testing.assert_allclose(starts.std(0), 0.01, rtol=0.15)
