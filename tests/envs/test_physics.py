import numpy as np
import pytest
import torch

from robo_al_envs import CartpoleSwingup, Reacher
from robo_al_envs.physics import PhysicsEnv


@pytest.mark.parametrize("task", [Reacher, CartpoleSwingup])
def test_dynamics_do_not_depend_on_what_was_asked_before(task):
    env, rng = task(), np.random.default_rng(0)
    env.reset(seed=0)
    start = env.reset(seed=1)[0]
    rows = np.repeat(start[None], 7, 0)
    actions = rng.uniform(-1, 1, (7, env.action_space.shape[0]))
    first = env.dynamics(rows, actions)
    env.dynamics(np.repeat(rows, 3, 0), np.repeat(actions, 3, 0))
    assert np.array_equal(env.dynamics(rows[:4], actions[:4]), first[:4])


def test_dynamics_leave_the_env_where_it_is():
    env = Reacher()
    env.reset(seed=0)
    twin = Reacher()
    twin.reset(seed=0)
    env.dynamics(np.ones((3, 8)), np.ones((3, 2)))
    assert np.array_equal(env.step(np.ones(2))[0], twin.step(np.ones(2))[0])


def test_dynamics_are_stepping_up_to_the_solvers_tolerance_at_a_joints_limit():
    env = Reacher()
    observation, _ = env.reset(options={"state": [0.0, 2.95, 0.0, 5.0], "goal": [0.1, 0.1]})
    limited = 0
    for _ in range(30):
        predicted = env.dynamics(observation, np.array([0.0, 1.0]))
        observation, *_ = env.step(np.array([0.0, 1.0]))
        limited += env.data.nefc
        np.testing.assert_allclose(predicted, observation, atol=1e-5)
    assert limited


def test_a_step_that_leaves_the_finite_numbers_is_not_hidden():
    env = CartpoleSwingup()
    env.reset(seed=0)
    rows = np.zeros((2, 4))
    rows[0, 3] = np.inf
    with np.errstate(all="ignore"):
        after = env.dynamics(torch.tensor(rows), torch.zeros(2, 1)).numpy()
    assert not np.isfinite(after[0]).all() and np.isfinite(after[1]).all()


@pytest.mark.parametrize("task", [Reacher, CartpoleSwingup])
def test_without_opengl_pictures_are_drawn_flat(task, monkeypatch):
    def broken(self):
        raise RuntimeError("no OpenGL here")

    monkeypatch.setattr(PhysicsEnv.__base__, "render", broken)
    env = task(render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for _ in range(5):
        env.step(env.action_space.high)
    assert first.shape == (480, 480, 3)
    assert (env.render() != first).any()
