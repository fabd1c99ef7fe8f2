"""Formulas of rewards, judged on rollouts that they were not found in."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.models.ensemble import Ensemble
from robo_al.models.feature_map import FeatureMap
from robo_al.models.formulas import RewardFormula, learn_formula
from robo_al.models.gp import GaussianProcess
from robo_al.models.resident import Resident, Steps
from robo_al.types import MEAN, Channel, EnvSpec, Task, Transitions

LOW, HIGH = np.array([-2.0, -2.0]), np.array([2.0, 2.0])
PLANE = tuple(Channel(name, "1") for name in ("goal x", "goal y", "x", "y", "v_x", "v_y"))


def task(channels=PLANE, termination=None) -> Task:
    return Task(EnvSpec("t"), channels, LOW, HIGH, 20, 0.1, None, None, termination)


def distance(before, action, after, ended):
    far = np.linalg.norm(after[:, 2:4] - after[:, :2], axis=1)
    return -far - 0.1 * (action**2).sum(1)


def rollouts(count, seed=0, reward=distance, size=1.0) -> Transitions:
    """Return rollouts of a mass in the plane, each with a goal of its own; lengths in 1 / size."""
    rng, rows = np.random.default_rng(seed), []
    for rollout in range(count):
        goal, place, speed = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, 2), np.zeros(2)
        for _ in range(20):
            action = rng.uniform(-2, 2, 2)
            before = np.concatenate([goal, place, speed])
            speed = 0.9 * speed + 0.2 * action
            place = place + 0.1 * speed
            rows.append((before, action, np.concatenate([goal, place, speed]), rollout))
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    ended = columns[2][:, 2] > 0.9
    rewards = reward(*columns[:3], ended)
    return Transitions(size * columns[0], columns[1], size * columns[2], rewards, columns[3], ended)


def recorded(transitions) -> Steps:
    return Resident(torch.device("cpu"))(transitions)


def found(steps, termination=None, channels=PLANE) -> RewardFormula:
    inputs = FeatureMap.of(task(channels))
    return RewardFormula(inputs, learn_formula(inputs, steps), termination)


def residual(formula, steps) -> float:
    said = formula(steps.observations, steps.actions, steps.next_observations, steps.terminated)
    return float((said - steps.rewards).square().mean().sqrt() / steps.rewards.std())


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e4])
def test_a_distance_to_a_goal_is_known_for_goals_never_seen(size):
    formula = found(recorded(rollouts(3, size=size)))
    assert residual(formula, recorded(rollouts(20, seed=1, size=size))) < 1e-4


@pytest.mark.parametrize(
    "reward",
    [
        lambda before, action, after, ended: 5.0 - 2 * np.abs(after[:, 2]),
        lambda before, action, after, ended: after[:, 4] - 0.1 * np.abs(action[:, 0]),
        lambda before, action, after, ended: 1.0 - 100.0 * ended,
        lambda before, action, after, ended: -((after[:, 2] - after[:, 0]) ** 2),
    ],
)
def test_kinks_costs_and_ends_are_terms(reward):
    formula = found(recorded(rollouts(6, reward=reward)))
    assert residual(formula, recorded(rollouts(20, seed=1, reward=reward))) < 1e-4


def test_an_end_is_what_the_task_says_it_is():
    def reward(before, action, after, ended):
        return 1.0 - 3.0 * ended

    formula = found(recorded(rollouts(6, reward=reward)), lambda o, a, after: after[..., 3] > 0)
    after = torch.zeros(2, 6).double()
    after[1, 3] = 1.0
    told = formula(torch.zeros_like(after), torch.zeros(2, 2).double(), after)
    torch.testing.assert_close(told, torch.tensor([1.0, -2.0]).double())


def test_what_no_formula_says_is_left_to_the_model():
    rng = np.random.default_rng(3)
    for count in (1, 5):  # chance fits what is recorded, and no other rollout
        data = rollouts(count)
        steps = recorded(replace(data, rewards=rng.normal(size=len(data))))
        said = found(steps)(steps.observations, steps.actions, steps.next_observations)
        mean = steps.rewards[~steps.terminated].mean()
        torch.testing.assert_close(said, mean.expand_as(said))


def test_components_of_different_units_have_no_distance():
    units = ("m", "m", "rad", "rad", "m/s", "m/s")
    channels = tuple(replace(c, unit=u) for c, u in zip(PLANE, units, strict=True))
    steps = recorded(rollouts(6))
    assert residual(found(steps, channels=channels), steps) > 0.1
    assert residual(found(steps), steps) < 1e-4


def test_a_reward_that_never_differs_and_one_step_more_than_one():
    data = rollouts(1)
    for steps in (recorded(replace(data, rewards=np.full(20, 0.7))), recorded(data)):
        few = Steps(*(column[:2] for column in steps))
        for given in (steps, few):
            said = found(given)(given.observations, given.actions, given.next_observations)
            assert torch.isfinite(said).all()
            assert (said - given.rewards).abs().max() <= given.rewards.std() * 2 + 1e-9


@pytest.mark.parametrize(("kept", "ended"), [(1, False), (1, True), (3, True)])
def test_of_next_to_nothing_no_formula_is_learned(kept, ended):
    steps = Steps(*(column[:kept] for column in recorded(rollouts(2))))
    steps = steps._replace(terminated=torch.full((kept,), ended))
    said = found(steps)(steps.observations, steps.actions, steps.next_observations)
    assert torch.isfinite(said).all()


@pytest.mark.parametrize(
    "model",
    [
        lambda: GaussianProcess(task(), samples=2, frequencies=16, fit_steps=8),
        lambda: Ensemble(task(), members=2, hidden=32, layers=2, max_steps=600),
    ],
)
def test_models_know_the_reward_where_their_dynamics_hold(model):
    fitted = model()
    fitted.fit(rollouts(3), np.random.default_rng(0))
    test = rollouts(5, seed=1)
    observations, actions = torch.as_tensor(test.observations), torch.as_tensor(test.actions)
    predicted = fitted.predict(observations, actions)
    expected = distance(None, test.actions, predicted.mean.numpy(), None)
    spread = test.rewards.std()
    assert np.abs(predicted.reward.numpy() - expected).max() < 0.02 * spread
    following, reward = fitted.step(
        observations.float()[None], actions.float()[None], torch.tensor([MEAN])
    )
    expected = distance(None, test.actions, following[0].numpy(), None)
    assert np.abs(reward[0].numpy() - expected).max() < 0.02 * spread
    again = model()
    again.load_state_dict(fitted.state_dict())
    assert torch.equal(again.predict(observations, actions).reward, predicted.reward)
