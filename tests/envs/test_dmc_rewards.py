import numpy as np
import pytest
import torch

from robo_al_envs.dmc_rewards import REWARDS

suite = pytest.importorskip("dm_control.suite")


def place(environment, name, rng):
    """Put a simulation where the reward differs from 0, or near to there."""
    physics = environment.physics
    with physics.reset_context():
        match name:
            case "cartpole-swingup" | "cartpole-swingup_sparse" | "pendulum-swingup":
                physics.data.qpos[-1] = rng.normal(0, 0.12)
            case "acrobot-swingup":
                physics.data.qpos[:] = rng.normal(0, 0.1, 2)
            case "ball_in_cup-catch":
                physics.data.qpos[2:] = [rng.uniform(-0.04, 0.04), 0.35 + rng.uniform(-0.03, 0.03)]
            case "finger-spin":
                physics.data.qvel[:] = rng.normal(0, 0.1, 3) - [0, 0, rng.uniform(12, 18)]
            case _:
                angles = physics.data.qpos.copy()
                x = 0.12 * np.cos(angles[0]) + 0.12 * np.cos(angles.sum())
                y = 0.12 * np.sin(angles[0]) + 0.12 * np.sin(angles.sum())
                off = rng.normal(0, 0.03, 2)
                physics.named.model.geom_pos["target", :2] = [x + off[0], y + off[1]]


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_are_those_of_the_suite_step_by_step(name):
    rng = np.random.default_rng(0)
    environment = suite.load(*name.split("-"), task_kwargs={"random": 0})
    limits = environment.action_spec()
    rows = []
    for episode in range(24):
        answer = environment.reset()
        if episode:
            place(environment, name, rng)
            observed = environment.task.get_observation(environment.physics)
        else:
            observed = answer.observation
        for _ in range(12):
            action = rng.uniform(limits.minimum, limits.maximum)
            answer = environment.step(action)
            before, after = (
                np.concatenate([np.atleast_1d(part) for part in each.values()])
                for each in (observed, answer.observation)
            )
            rows.append((before, action, after, answer.reward))
            observed = answer.observation
    *steps, rewards = (np.array(column) for column in zip(*rows, strict=True))
    assert rewards.max() > 0.9 and rewards.min() < 0.1, "both sides are seen"
    found = REWARDS[name](*steps)
    assert found.shape == rewards.shape
    np.testing.assert_allclose(found, rewards, rtol=0, atol=1e-6)
    tensors = REWARDS[name](*map(torch.tensor, steps))
    np.testing.assert_allclose(tensors.numpy(), rewards, rtol=0, atol=1e-6)
    grid = REWARDS[name](*(torch.tensor(x).reshape(4, -1, x.shape[-1]) for x in steps))
    assert grid.shape == (4, len(rewards) // 4)
