import math

import mujoco
import numpy as np
import pytest

from robo_al_envs import CartpoleSwingup


def test_the_tip_in_the_reward_is_that_of_the_mjcf():
    env = CartpoleSwingup()
    site = mujoco.mj_name2id(env.model, mujoco.mjtObj.mjOBJ_SITE, "tip")
    for theta in np.linspace(-7, 7, 57):
        env.reset(options={"state": [0.4, theta, 0.0, 0.0]})
        across, _, up = env.data.site_xpos[site]
        expected = (0.4 - 0.6 * math.sin(theta), -0.6 * math.cos(theta))
        assert (across, up) == pytest.approx(expected, abs=1e-14)


def test_reward_is_that_of_the_text():
    env, rng = CartpoleSwingup(), np.random.default_rng(0)
    for _ in range(100):
        env.reset(options={"state": rng.normal(0, 1.5, 4).tolist()})
        u = rng.uniform(-3, 3)
        (x, theta, _, _), reward, *_ = env.step(np.array([u]))
        d = math.dist((x - 0.6 * math.sin(theta), -0.6 * math.cos(theta)), (0, 0.6))
        assert reward == pytest.approx(math.exp(-(d**2) / 0.36) - 0.01 * u**2, abs=1e-12)


def test_balanced_upright_earns_one():
    env = CartpoleSwingup()
    at_goal = np.array([0.0, math.pi, 0.0, 0.0])
    assert env.reward(at_goal, np.zeros(1), at_goal) == pytest.approx(1.0)


def test_hanging_at_rest_stays():
    env = CartpoleSwingup()
    env.reset(options={"state": [0.0, 0.0, 0.0, 0.0]})
    for _ in range(50):
        observation, *_ = env.step(np.zeros(1))
    # the pole's end is a millimetre beside the hinge
    assert abs(observation).max() < 5e-3


def test_physics_is_that_of_the_text():
    env = CartpoleSwingup()
    model = env.model
    assert int(model.opt.integrator) == int(mujoco.mjtIntegrator.mjINT_RK4)
    assert (model.opt.timestep, env.frame_skip) == (0.02, 2)
    assert model.dof_damping.tolist() == [1, 1] and not model.dof_armature.any()
    assert model.jnt_limited.tolist() == [1, 0]
    assert model.jnt_range[0].tolist() == [-2.5, 2.5]
    assert model.actuator_ctrlrange.tolist() == [[-3, 3]]
    assert model.actuator_gear[0, 0] == 100
    assert not model.geom_contype.any()
    cart, pole = (model.body(name) for name in ("cart", "pole"))
    # capsules of water: a cylinder and two half spheres
    volume = [math.pi * 0.1**2 * 0.2 + 4 / 3 * math.pi * 0.1**3]
    length = math.hypot(0.001, 0.6)
    volume.append(math.pi * 0.049**2 * length + 4 / 3 * math.pi * 0.049**3)
    expected = [1000 * v for v in volume]
    assert [cart.mass[0], pole.mass[0]] == pytest.approx(expected, rel=1e-9)


def test_the_rail_ends():
    env = CartpoleSwingup()
    env.reset(options={"state": [2.0, 0.0, 0.0, 0.0]})
    positions = [env.step(np.array([3.0]))[0][0] for _ in range(100)]
    assert 2.4 < max(positions) < 2.7


def test_starts_hang_near_rest():
    env = CartpoleSwingup()
    starts = np.array([env.reset(seed=seed)[0] for seed in range(400)])
    np.testing.assert_allclose(starts.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(starts.std(0), 0.1, rtol=0.15)


def test_is_solved_at():
    assert (CartpoleSwingup.horizon, CartpoleSwingup.threshold) == (200, 165)
    assert CartpoleSwingup().dt == 0.04
