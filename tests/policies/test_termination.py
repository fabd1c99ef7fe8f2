import gymnasium
import numpy as np
import pytest
import torch

from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.testing import FakeEnv
from robo_al.types import EnvSpec
from robo_al_policies.termination import termination_of


def rollouts(env, n):
    """Return before, action, after and whether it ended, of random steps."""
    rows = []
    for seed in range(n):
        before, _ = env.reset(seed=seed)
        env.action_space.seed(seed)
        ended = cut = False
        while not (ended or cut):
            action = env.action_space.sample()
            after, _, ended, cut, _ = env.step(action)
            rows.append((before, action, after, ended))
            before = after
    return [np.array(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(
    "spec",
    [
        EnvSpec("gymnasium:Hopper-v5"),
        EnvSpec("gymnasium:Hopper-v5", {"healthy_angle_range": [-0.1, 0.05]}),
        EnvSpec("gymnasium:Hopper-v5", {"exclude_current_positions_from_observation": False}),
        EnvSpec("gymnasium:InvertedPendulum-v5"),
    ],
)
def test_agrees_with_the_env_step_by_step(spec):
    env = make_env(spec)
    termination = termination_of(describe(env, spec))
    before, action, after, ended = rollouts(env, 15)
    assert ended.sum() == 15 and len(ended) > 50
    np.testing.assert_array_equal(termination(before, action, after), ended)
    tensors = [torch.as_tensor(array) for array in (before, action, after)]
    np.testing.assert_array_equal(termination(*tensors).numpy(), ended)


def test_where_nothing_is_known_a_rollout_never_ends_by_itself():
    for spec in (
        EnvSpec("gymnasium:HalfCheetah-v5"),
        EnvSpec("gymnasium:Hopper-v5", {"terminate_when_unhealthy": False}),
    ):
        env: gymnasium.Env = make_env(spec)
        assert termination_of(describe(env, spec)) is None


class Ending(FakeEnv):
    def termination(self, observation, action, next_observation):
        return next_observation[..., 0] > 1


def test_a_task_may_say_it_itself():
    found = termination_of(describe(Ending(), EnvSpec(f"{__file__}:Ending")))
    after = np.array([[0.5, 0, 0], [1.5, 0, 0]])
    assert found(after, after[:, :2], after).tolist() == [False, True]
