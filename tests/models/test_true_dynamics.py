import numpy as np
import pytest
import torch

from robo_al.errors import ConfigError
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.types import MEAN, EnvSpec, Transitions


def task_of(spec):
    return describe(make_env(spec), spec)


@pytest.mark.parametrize("name", ["pendulum", "reacher"])
def test_steps_as_the_env_does(name):
    spec = EnvSpec(name)
    model, env = TrueDynamics(task=task_of(spec), device="cpu"), make_env(spec)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-1, 1, (10, 2, 3, env.action_space.shape[0]))
    starts = [[env.reset(seed=2 * g + p)[0] for p in range(3)] for g in range(2)]
    members = torch.tensor([0, MEAN])
    imagined = torch.tensor(np.array(starts))
    for action in actions:
        imagined, reward = model.step(imagined, torch.tensor(action), members)
        assert reward is None
    for g in range(2):
        for p in range(3):
            observation, _ = env.reset(seed=2 * g + p)
            for action in actions:
                observation, *_ = env.step(action[g, p])
            np.testing.assert_allclose(imagined[g, p].numpy(), observation, atol=1e-9)


def test_is_certain():
    model = TrueDynamics(task=task_of(EnvSpec("pendulum")))
    prediction = model.predict(torch.zeros(4, 5, 2), torch.ones(4, 5, 1))
    assert prediction.mean.shape == (4, 5, 2)
    assert not prediction.epistemic.any()
    assert (prediction.aleatoric > 0).all() and prediction.aleatoric.max() < 1e-9


def test_learns_nothing():
    model = TrueDynamics(task=task_of(EnvSpec("pendulum")))
    assert model.members == 1
    before = model.predict(torch.ones(1, 2), torch.ones(1, 1)).mean
    zeros = np.zeros((3, 2))
    rollouts, ends = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=bool)
    data = Transitions(zeros, zeros[:, :1], zeros, zeros[:, 0], rollouts, ends)
    model.fit(data, np.random.default_rng(0))
    assert torch.equal(model.predict(torch.ones(1, 2), torch.ones(1, 1)).mean, before)


def test_an_env_without_dynamics_is_refused():
    with pytest.raises(ConfigError, match="dynamics"):
        TrueDynamics(task=task_of(EnvSpec("gymnasium:InvertedPendulum-v5")))
