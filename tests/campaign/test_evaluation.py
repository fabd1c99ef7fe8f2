from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.campaign.evaluation import held_out_scores
from robo_al.testing import FakeModel, fake_task, random_transitions
from robo_al.types import Channel, Prediction, Task, Trajectory


def held_out(count=3, steps=5):
    rng = np.random.default_rng(0)
    return tuple(
        Trajectory(
            np.concatenate([rng.normal(size=(steps + 1, 2)), np.ones((steps + 1, 1))], axis=1),
            *[rng.uniform(-1, 1, (steps, 2))] * 2,
            np.zeros(steps),
        )
        for _ in range(count)
    )


class Known(FakeModel):
    """Predicts what was recorded, plus an error."""

    def __init__(self, trajectories, error):
        super().__init__(fake_task())
        self.known = {t.observations[:-1].tobytes(): t.observations[1:] for t in trajectories}
        self.error = error

    def predict(self, observations, actions):
        mean = torch.as_tensor(self.known[observations.numpy().tobytes()] + self.error)
        return Prediction(mean, torch.zeros_like(mean), torch.ones_like(mean))


def task() -> Task:
    return replace(fake_task(), held_out=held_out())


def test_no_error_scores_zero():
    assert held_out_scores(Known(held_out(), np.zeros(3)), task()) == [0.0, 0.0, 0.0]


def test_the_score_is_the_error_in_units_of_the_spread_of_the_change():
    error = np.array([0.3, -0.7, 5.0])  # the last channel, the goal, is constant: not predicted
    changes = np.concatenate([np.diff(t.observations, axis=0) for t in held_out()])
    expected = -np.mean(np.abs(error[:2]) / changes.std(axis=0)[:2])
    scores = held_out_scores(Known(held_out(), error), task())
    assert scores == pytest.approx([expected] * 3)


def test_always_predicting_the_mean_change_scores_about_minus_one():
    changes = np.concatenate([np.diff(t.observations, axis=0) for t in held_out()])
    errors = [changes.mean(axis=0) - np.diff(t.observations, axis=0) for t in held_out()]
    found = []
    for trajectory, error in zip(held_out(), errors, strict=True):
        model = Known(held_out(), 0)
        model.known[trajectory.observations[:-1].tobytes()] = trajectory.observations[1:] + error
        found += [score for score in held_out_scores(model, task()) if score]
    squares = np.concatenate(errors)[:, :2] ** 2
    assert np.allclose(np.sqrt(squares.mean(axis=0)) / changes.std(axis=0)[:2], 1)
    assert np.mean(found) == pytest.approx(-1, abs=0.1)


def test_a_channel_that_keeps_its_course_and_a_prediction_that_is_not_finite():
    linear = tuple(Channel(c.name, c.unit) for c in task().channels)  # the goal never moves
    described = replace(task(), channels=linear)
    scores = held_out_scores(Known(held_out(), np.array([0.0, 0.0, 9.0])), described)
    assert scores == [0.0, 0.0, 0.0]
    broken = Known(held_out(), np.array([np.nan, 0.0, 0.0]))
    assert held_out_scores(broken, task()) == [None] * 3


def test_a_real_model_scores_better_with_data():
    rng = np.random.default_rng(0)

    def recorded(seed):
        data = random_transitions(np.random.default_rng(seed), rollouts=1, steps=8)
        observations = np.concatenate([data.observations, data.next_observations[-1:]])
        return Trajectory(observations, data.actions, data.actions, data.rewards)

    described = replace(fake_task(), held_out=tuple(recorded(seed) for seed in range(3)))
    model = FakeModel(described)
    means = []
    for rollouts in (1, 5):
        model.fit(random_transitions(rng, rollouts=rollouts), rng)
        means.append(np.mean(held_out_scores(model, described)))
    assert means[0] < means[1] < 0
    assert means[1] > -0.5
