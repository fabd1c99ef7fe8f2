import math

import mujoco
import numpy as np
import pytest
import torch

from robo_al_envs import UR5
from robo_al_envs.ur5 import START, reference


def tip(env, joints):
    env.data.qpos[:] = joints
    mujoco.mj_kinematics(env.model, env.data)
    return env.data.site("tip").xpos.copy(), env.data.site("tip").xmat.copy()


def transform(theta, d, a, alpha):
    """A link of Denavit and Hartenberg."""
    c, s, ca, sa = math.cos(theta), math.sin(theta), math.cos(alpha), math.sin(alpha)
    rows = [[c, -s * ca, s * sa, a * c], [s, c * ca, -c * sa, a * s], [0, sa, ca, d], [0, 0, 0, 1]]
    return np.array(rows)


def test_lengths_are_those_that_the_maker_publishes():
    """Universal Robots' table: d, a and alpha of each link; its base looks the other way."""
    table = [
        (0.089159, 0, math.pi / 2),
        (0, -0.425, 0),
        (0, -0.39225, 0),
        (0.10915, 0, math.pi / 2),
        (0.09465, 0, -math.pi / 2),
        (0.0823, 0, 0),
    ]
    env, rng = UR5(), np.random.default_rng(0)
    for joints in rng.uniform(-3, 3, (20, 6)):
        frame = np.eye(4)
        for angle, (d, a, alpha) in zip(joints, table, strict=True):
            frame = frame @ transform(angle, d, a, alpha)
        expected = frame[:3, 3] * [-1, -1, 1]
        np.testing.assert_allclose(tip(env, joints)[0], expected, atol=1e-9)


def test_masses_are_those_that_the_maker_publishes():
    env = UR5()
    assert env.model.body_mass[1:].tolist() == [3.7, 8.393, 2.275, 1.219, 1.219, 0.1879]


def test_torques_and_friction_are_those_of_the_published_simulation():
    model = UR5().model
    assert model.actuator_gear[:, 0].tolist() == [101] * 6
    assert model.actuator_ctrlrange.tolist() == [[-1, 1]] * 6
    assert model.dof_damping.tolist() == [65, 65, 65, 45, 45, 45]
    assert model.dof_armature.tolist() == [0.01] * 6
    assert not model.jnt_limited.any()
    assert UR5.horizon * UR5().dt == pytest.approx(4.0) and UR5().dt == pytest.approx(0.02)


def test_the_arm_is_held_up_by_the_torques_of_gravity():
    env = UR5()
    env.reset(options={"state": [*START, *[0.0] * 6]})
    mujoco.mj_forward(env.model, env.data)
    torques = env.data.qfrc_bias / 101
    assert abs(torques).max() < 1, "it is strong enough"
    for _ in range(10):
        observation, *_ = env.step(torques)
    np.testing.assert_allclose(observation[:6], START, atol=1e-4)


def test_the_reference_is_a_circle_of_the_tip_that_keeps_the_hand():
    env, states = UR5(), reference()
    places, turned = zip(*(tip(env, state[:6]) for state in states), strict=True)
    offsets = np.array(places) - (places[0] + np.array([0.1, 0, 0]))
    angles = np.pi + 2 * np.pi * np.arange(201) / 200
    circle = 0.1 * np.stack([np.cos(angles), np.sin(angles), np.zeros(201)], -1)
    np.testing.assert_allclose(offsets, circle, atol=1e-9)
    np.testing.assert_allclose(turned, np.broadcast_to(turned[0], (201, 9)), atol=1e-9)


def test_the_references_rates_are_those_of_its_angles():
    states = reference()
    assert not states[0, 6:].any(), "it begins at rest"
    slopes = (states[3:, :6] - states[1:-2, :6]) / 0.04
    np.testing.assert_allclose(states[2:-1, 6:], slopes, atol=2e-4)


@pytest.mark.parametrize(
    ("step", "published"),
    [
        (50, [-0.202, -1.286, 1.616, -0.433, 1.279, 0.021]),
        (100, [-0.007, -1.024, 1.234, -0.311, 1.473, 0.001]),
        (150, [0.186, -1.180, 1.470, -0.390, 1.665, -0.019]),
    ],
)
def test_the_reference_is_the_published_one(step, published):
    """To what that one drifts, and to the 0.02 s that it waits at first."""
    np.testing.assert_allclose(reference()[step, :6], published, atol=0.011)


def test_reward_is_that_of_the_text():
    env = UR5()
    on_it = np.concatenate([reference()[7], [7.0]])
    assert env.reward(on_it, np.zeros(6), on_it) == pytest.approx(0, abs=1e-12)
    for place, off in ((2, 0.5), (8, 1.0)):
        beside = on_it.copy()
        beside[place] += off
        assert env.reward(on_it, np.zeros(6), beside) == pytest.approx(math.exp(-1) - 1)


def test_a_step_that_a_model_predicts_is_taken_for_the_nearest():
    steps = torch.tensor([6.7, 7.3, -4.0, 900.0, torch.nan])
    wanted = torch.tensor(reference())[[7, 7, 0, 200, 0]]
    after = torch.cat([wanted, steps[:, None].double()], -1)
    paid = UR5().reward(after, torch.zeros(5, 6), after)
    np.testing.assert_allclose(paid.numpy(), 0, atol=1e-12)


def test_the_reference_can_be_followed_with_the_torques_that_there_are():
    env, total = UR5(), 0.0
    env.reset(seed=0)
    for after in reference()[1:]:
        # friction outweighs inertia: a torque is all but a velocity
        rates = after[6:] + 10 * (after[:6] - env.data.qpos)
        torques = (env.data.qfrc_bias + env.model.dof_damping * rates) / 101
        assert abs(torques).max() < 1
        total += env.step(torques)[1]
    assert total > -10, "of -200"
