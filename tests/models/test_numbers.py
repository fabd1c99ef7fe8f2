"""Numbers hold: near-duplicate, constant, redundant, large and tiny data, of each kind of model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.acquisition.information import rollout_information
from robo_al.models.ensemble import Ensemble
from robo_al.models.gp import GaussianProcess
from robo_al.models.gp_posterior import condition, kernel
from robo_al.types import Channel, EnvSpec, Task, Transitions

MODELS = [
    lambda task: GaussianProcess(task, samples=2, frequencies=16, fit_steps=15, max_points=40),
    lambda task: Ensemble(task, members=2, hidden=24, layers=2, max_steps=400),
]


def known(observation, action, following):
    return observation[..., 0]


def task(size=2) -> Task:
    channels = tuple(Channel(f"o{i}", "1") for i in range(size))
    return Task(EnvSpec("t"), channels, np.array([-1.0]), np.array([1.0]), 20, 0.1, known, None)


def swinging(rollouts=3, seed=0) -> Transitions:
    """Return rollouts of a pendulum near its lowest point, (angle, rate)."""
    rng, rows = np.random.default_rng(seed), []
    for rollout in range(rollouts):
        state = rng.uniform(-0.5, 0.5, 2)
        for _ in range(20):
            action = rng.uniform(-1, 1, 1)
            rate = state[1] + 0.1 * (2 * action[0] - 9 * np.sin(state[0]))
            after = np.array([state[0] + 0.1 * rate, rate])
            rows.append((state, action, after, rollout))
            state = after
    before, actions, after, numbers = (np.array(column) for column in zip(*rows, strict=True))
    ends = np.zeros(len(rows), dtype=bool)
    return Transitions(before, actions, after, np.zeros(len(rows)), numbers, ends)


def observed(data, change) -> Transitions:
    return replace(
        data,
        observations=change(data.observations),
        next_observations=change(data.next_observations),
    )


def with_column(column):
    return lambda o: np.concatenate([o, np.broadcast_to(column, (len(o), 1))], 1)


KINDS = {
    "small units": lambda o: 1e-3 * o,
    "tiny": lambda o: 1e-9 * o,
    "large": lambda o: 1e9 * o,
    "far from 0": lambda o: o + 1e4,
    "a constant": with_column(3.0),
    "a 0": with_column(0.0),
    "twice": lambda o: np.concatenate([o, o], 1),
    "single precision twice": lambda o: np.concatenate([o, o.astype(np.float32)], 1),
}


def error(model, data) -> np.ndarray:
    """Return root mean square errors of the first two channels, in deviations of their change."""
    inputs = torch.as_tensor(data.observations), torch.as_tensor(data.actions)
    off = model.predict(*inputs).mean.numpy() - data.next_observations
    change = data.next_observations - data.observations
    return np.sqrt((off**2).mean(0))[:2] / change.std(0)[:2]


@pytest.mark.first(6)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("make", MODELS, ids=["gp", "ensemble"])
def test_what_is_learned_does_not_depend_on_units_and_redundancy(make, kind):
    data, test = (observed(swinging(seed=seed), KINDS[kind]) for seed in (0, 1))
    model = make(task(data.observations.shape[1]))
    model.fit(data, np.random.default_rng(0))
    assert error(model, test).max() < 0.15
    for scale in (1.0, 1e3):  # also where imagination has run away
        told = rollout_information(model, scale * test.observations[:20], test.actions[:20])
        assert told is not None and np.isfinite(told)


@pytest.mark.parametrize("make", MODELS, ids=["gp", "ensemble"])
def test_what_is_known_already_tells_nothing(make):
    data = swinging()
    alone, beside = make(task()), make(task(4))
    alone.fit(data, np.random.default_rng(0))
    clock = 0.05 * np.arange(len(data))[:, None]  # always changes by the same
    still = data.rollouts[:, None] + 0.5  # a goal, of which nobody said that
    more = replace(
        data,
        observations=np.concatenate([data.observations, clock, still], 1),
        next_observations=np.concatenate([data.next_observations, clock + 0.05, still], 1),
    )
    beside.fit(more, np.random.default_rng(0))
    inputs = torch.as_tensor(more.observations), torch.as_tensor(more.actions)
    after = beside.predict(*inputs).mean.numpy()
    np.testing.assert_allclose(after[:, 2:], more.next_observations[:, 2:], rtol=0, atol=1e-4)
    covariance = beside.covariance(inputs, inputs)
    assert covariance[2:].abs().max() < 1e-3 and covariance[:2].diagonal(dim1=1, dim2=2).min() > 0


@pytest.mark.parametrize("make", MODELS, ids=["gp", "ensemble"])
def test_the_same_steps_again_and_again_are_no_trouble(make):
    data = swinging(rollouts=1)
    nudge = 1e-9 * np.random.default_rng(0).normal(size=(60, 2))
    again = Transitions(
        np.tile(data.observations, (3, 1)) + nudge,
        np.tile(data.actions, (3, 1)),
        np.tile(data.next_observations, (3, 1)),
        np.tile(data.rewards, 3),
        np.repeat(np.arange(3), 20),
        np.tile(data.terminated, 3),
    )
    model = make(task())
    model.fit(again, np.random.default_rng(0))
    assert error(model, data).max() < 0.15
    assert np.isfinite(rollout_information(model, again.observations, again.actions))


@pytest.mark.parametrize("points", [60, 100])
def test_a_covariance_is_one_whatever_the_number_of_points(points):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(100, 3, generator=generator, dtype=torch.float64)
    hyper = {
        "length_scale": torch.full((1, 3), 6.0).double(),  # smooth: the kernel's rank is low
        "output_scale": torch.ones(1).double(),
        "linear": torch.full((1, 3), 0.3).double(),
    }
    noise = torch.full((1, 100), 1e-5).double()
    fit = condition(x, x[:, :1].T.sin(), noise, x[:points], hyper)
    test = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    for scale in (1.0, 100.0):
        half = kernel(scale * test, fit["points"], hyper) @ fit["root"].mT
        covariance = kernel(scale * test, scale * test, hyper) - half @ half.mT
        assert torch.linalg.eigvalsh(covariance / 1e-5).min() > -1e-2 * scale**2
    exact = condition(x, x[:, :1].T.sin(), noise, x, hyper)
    here, there = (kernel(test, one["points"], hyper) @ one["root"].mT for one in (fit, exact))
    torch.testing.assert_close(here @ here.mT, there @ there.mT, rtol=1e-4, atol=1e-4)


def test_more_data_are_no_worse_where_points_do_not_grow():
    test = swinging(seed=9)
    errors = []
    for rollouts in (2, 6):
        model = MODELS[0](task())
        model.fit(swinging(rollouts), np.random.default_rng(0))
        errors.append(error(model, test).max())
    assert errors[1] < errors[0]
