from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from robo_al.models.held_out import HeldOutError, compare, held_out_error
from robo_al.testing import FakeModel, fake_task, random_transitions
from robo_al.types import Prediction, Trajectory


def rollouts(count=4, seed=1):
    data = random_transitions(np.random.default_rng(seed), rollouts=count)
    found = []
    for i in range(count):
        own = data.of_rollouts(data.rollouts == i)
        observations = np.concatenate([own.observations, own.next_observations[-1:]])
        found.append(Trajectory(observations, own.actions, own.actions, own.rewards))
    return found


def test_density_and_error_are_those_of_the_normal_distribution():
    task, model = fake_task(), FakeModel(fake_task())
    model.fit(random_transitions(np.random.default_rng(0), 1), np.random.default_rng(0))
    found = held_out_error(model, task, rollouts())
    for nlpd, trajectory in zip(found.nlpd, rollouts(), strict=True):
        before = torch.as_tensor(trajectory.observations[:-1])
        p = model.predict(before, torch.as_tensor(trajectory.actions))
        deviation = (p.epistemic + p.aleatoric).sqrt().numpy()
        logs = stats.norm.logpdf(trajectory.observations[1:], p.mean.numpy(), deviation)
        assert nlpd == pytest.approx(-logs[:, :2].mean())  # the goal is not predicted
    assert len(found.rmse) == len(found.noise_std) == 2
    assert found.noise_std == pytest.approx((0.1, 0.1))


def test_angles_that_wrap_are_near_across_the_cut():
    task = fake_task()
    channels = (replace(task.channels[0], kind="wrapped_angle"), *task.channels[1:])

    class Constant(FakeModel):
        def predict(self, observations, actions):
            mean = torch.zeros_like(observations)
            mean[..., 0] = np.pi - 0.01
            return Prediction(mean, torch.zeros_like(mean), torch.ones_like(mean))

    observations = np.zeros((3, 3))
    observations[:, 0] = -np.pi + 0.02
    trajectory = Trajectory(observations, np.zeros((2, 2)), np.zeros((2, 2)), np.zeros(2))
    found = held_out_error(Constant(task), replace(task, channels=channels), [trajectory])
    assert found.rmse[0] == pytest.approx(0.03)


def test_more_data_is_better_and_noise_is_not_worse():
    task, model = fake_task(), FakeModel(fake_task())
    held_out = rollouts()
    errors = []
    for count in (1, 10):
        data = random_transitions(np.random.default_rng(0), count)
        model.fit(data, np.random.default_rng(0))
        errors.append(held_out_error(model, task, held_out))
    better, worse = compare(*errors), compare(*errors[::-1])
    assert better["new"]["nlpd"] < better["old"]["nlpd"]
    assert not better["worse"] and worse["worse"]


def test_a_learned_reward_is_held_out_too():
    task, model = replace(fake_task(), reward=None), FakeModel(replace(fake_task(), reward=None))
    data = random_transitions(np.random.default_rng(0), 3)
    model.fit(data, np.random.default_rng(0))
    held_out = rollouts()
    errors = held_out_error(model, task, held_out).reward
    rewards = np.concatenate([one.rewards for one in held_out])
    for found, one in zip(errors, held_out, strict=True):
        inputs = torch.as_tensor(one.observations[:-1]), torch.as_tensor(one.actions)
        off = one.rewards - model.predict(*inputs).reward.numpy()
        assert found == pytest.approx((off**2).mean() / rewards.var())
    assert held_out_error(model, fake_task(), held_out).reward == ()
    model.fit(replace(data, rewards=data.rewards + 5.0), np.random.default_rng(0))
    spoilt = held_out_error(model, task, held_out)
    comparison = compare(replace(spoilt, reward=errors), spoilt)
    assert comparison["worse"] and comparison["new"]["reward"] > comparison["old"]["reward"]
    assert not compare(spoilt, replace(spoilt, reward=errors))["worse"]


def error(*nlpd):
    return HeldOutError(nlpd, (1.0,), (2.0,))


@pytest.mark.parametrize(
    ("old", "new", "worse"),
    [
        ((1.0, 2.0, 3.0), (1.0, 2.0, 3.0), False),
        ((1.0, 2.0, 3.0), (1.1, 2.1, 3.1), True),  # every rollout is a little worse
        ((1.0, 2.0, 3.0), (1.0, 2.0, 9.0), False),  # one is much worse: could be chance
        ((1.0, 2.0, 3.0), (1.0, 2.0, float("nan")), True),
        ((1.0,), (1.1,), True),
    ],
)
def test_worse_is_beyond_doubt(old, new, worse):
    comparison = compare(error(*old), error(*new))
    assert comparison["worse"] is worse
    assert comparison["old"]["rmse"] == [0.5]
    assert comparison["old"]["reward"] is None
