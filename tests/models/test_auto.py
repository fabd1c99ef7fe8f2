"""Which model is chosen, when, and that what was chosen is kept."""

from functools import partial

import numpy as np
import pytest
import torch

from robo_al.errors import ModelError
from robo_al.models import auto
from robo_al.models.auto import Auto
from robo_al.models.ensemble import Ensemble
from robo_al.models.gp import GaussianProcess
from robo_al.protocols import SupportsCovariance, SupportsDoubt, SupportsMixture, SupportsState
from robo_al.types import Channel, EnvSpec, Task, Transitions


@pytest.fixture(autouse=True)
def small(monkeypatch):
    small = partial(Ensemble, hidden=32, layers=2, max_steps=200)
    monkeypatch.setitem(auto.MODELS, "ensemble", small)
    monkeypatch.setitem(auto.MODELS, "gp", partial(GaussianProcess, fit_steps=10))


def rewarded(observation, action, following):
    return -(following**2).sum(-1)


TASK = Task(
    EnvSpec("x"), (Channel("x", "m"),), np.array([-1.0]), np.array([1.0]), 10, 0.1, rewarded, None
)


def recorded(change, rollouts=8):
    """Return rollouts of 10 steps, each somewhere else than the one before."""
    rng, size = np.random.default_rng(0), 10 * rollouts
    x, action = rng.uniform(-1, 1, (2, size, 1))
    ends = np.zeros(size, dtype=bool)
    return Transitions(x, action, x + change(x, action), ends + 0.0, np.arange(size) // 10, ends)


def smooth(x, action):
    return 0.1 * np.sin(2 * x) + 0.1 * action


def noisy_on_the_right(x, action):
    """Return what no Gaussian process with one noise for all can say."""
    return 0.1 * np.random.default_rng(1).normal(size=x.shape) * (x > 0)


def fitted(change, **more):
    model = Auto(TASK)
    return model, model.fit(recorded(change, **more), np.random.default_rng(0)).details


def test_the_kind_that_predicts_held_out_rollouts_better_is_chosen():
    assert all(
        isinstance(Auto(TASK), each)
        for each in (SupportsCovariance, SupportsMixture, SupportsState, SupportsDoubt)
    )
    model, details = fitted(smooth)
    assert details["nlpd_gp"] < details["nlpd_ensemble"] and "chosen_gp" in details
    assert (model.members, model.covariance_rank) == (16, None)
    model, details = fitted(noisy_on_the_right)
    assert details["nlpd_ensemble"] < details["nlpd_gp"] and "chosen_ensemble" in details
    assert (model.members, model.covariance_rank) == (5, 32)


def test_it_is_compared_again_when_more_is_recorded_or_the_last_fit_made_it_worse():
    model, details = fitted(smooth, rollouts=2)
    assert "nlpd_gp" in details
    assert "nlpd_gp" not in again(model, 2)
    assert "nlpd_gp" in again(model, 3)
    assert "nlpd_gp" not in again(model, 4)
    model.doubt()
    assert "nlpd_gp" in again(model, 4)
    assert "nlpd_gp" not in again(model, 4)


def again(model, rollouts):
    return model.fit(recorded(smooth, rollouts), np.random.default_rng(0)).details


def test_one_rollout_is_learned_from_by_a_gaussian_process():
    model, details = fitted(smooth, rollouts=1)
    assert "chosen_gp" in details and "nlpd_gp" not in details
    assert repr(model) == "<Auto: gp>"


@pytest.mark.parametrize("change", [smooth, noisy_on_the_right])
def test_what_was_chosen_is_saved(change):
    model, _ = fitted(change)
    other = Auto(TASK)
    other.load_state_dict(model.state_dict())
    points = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    mine, theirs = model.predict(points, points), other.predict(points, points)
    assert repr(other) == repr(model) and torch.equal(mine.mean, theirs.mean)
    more = recorded(change, rollouts=10)  # goes on as the one that was never saved
    states = []
    for each in (model, other):
        each.fit(more, np.random.default_rng(1))
        states.append(each.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0] | states[1])


def test_the_state_of_another_model_is_refused():
    model = GaussianProcess(TASK)
    model.fit(recorded(smooth), np.random.default_rng(0))
    with pytest.raises(ModelError, match="auto: the saved state is of another model"):
        Auto(TASK).load_state_dict(model.state_dict())
