import dataclasses

import numpy as np
import pytest
import torch

from robo_al.acquisition.uncertainty import Information, Variance
from robo_al.config.components import Component, arguments
from robo_al.errors import ConfigError
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined
from robo_al.types import Transitions


def by_hand(imagined, model, of_step):
    """Return [N], of_step(ratios [O]) listed over the valid steps of each member."""
    prediction = model.predict(*imagined.inputs)
    ratios = (prediction.epistemic / prediction.aleatoric).numpy()
    rows = []
    for n in range(len(imagined)):
        lengths = imagined.mask[:, n].sum(-1).long()
        rows.append(
            [
                [of_step(step) for step in member[n, :steps]]
                for member, steps in zip(ratios, lengths, strict=True)
            ]
        )
    return rows


def nats(step):
    return sum(0.5 * np.log(1 + ratio) for ratio in step)


@pytest.mark.parametrize(
    ("acquisition", "of_step", "over"),
    [
        (Variance(), sum, np.sum),
        (Variance(aggregation="mean"), sum, np.mean),
        (Variance(aggregation="max"), sum, np.max),
        (Variance(aggregation="quantile"), sum, lambda steps: np.quantile(steps, 0.9)),
        (Variance("quantile", quantile=0.0), sum, np.min),
        (Variance("quantile", quantile=0.5), sum, np.median),
        (Variance("quantile", quantile=1.0), sum, np.max),
        (Information(), nats, np.sum),
    ],
)
def test_is_the_formula_step_by_step(rng, acquisition, of_step, over):
    imagined, model = random_imagined(rng, ends=True), FakeModel(fake_task())
    scores = acquisition(pool_of(imagined, model), rng).numpy()
    expected = [
        np.mean([over(steps) for steps in members]) for members in by_hand(imagined, model, of_step)
    ]
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


@pytest.mark.parametrize("acquisition", [Variance(), Information()])
def test_noise_that_more_data_do_not_remove_counts_as_nothing(rng, acquisition):
    """The same uncertainty under more noise tells less; and a goal, which is constant, nothing."""

    class Noisier(FakeModel):
        def predict(self, observations, actions):
            prediction = super().predict(observations, actions)
            return dataclasses.replace(prediction, aleatoric=4 * prediction.aleatoric)

    imagined = random_imagined(rng, ends=True)
    plain = acquisition(pool_of(imagined, FakeModel(fake_task())), rng)
    assert (acquisition(pool_of(imagined, Noisier(fake_task())), rng) < plain).all()
    assert (FakeModel(fake_task()).predict(*imagined.inputs).epistemic[..., 2] == 0).all()


@pytest.mark.parametrize(
    "acquisition",
    [*(Variance(how) for how in ("sum", "mean", "max", "quantile")), Information()],
)
def test_more_data_at_the_same_inputs_lower_the_score(rng, acquisition):
    """What was recorded once, and then once more: a score of its own steps falls both times."""
    imagined, model = random_imagined(rng, members=1, candidates=1), FakeModel(fake_task())
    before = random_imagined(rng, members=1, candidates=4, steps=4)
    observations, actions = (
        torch.cat([a.reshape(-1, a.shape[-1]), b.reshape(-1, b.shape[-1])]).numpy()
        for a, b in zip(before.inputs, imagined.inputs, strict=True)
    )
    scores = []
    for size in (16, 17, 18, 20):
        data = Transitions(
            observations[:size],
            actions[:size],
            observations[:size],
            np.zeros(size),
            np.zeros(size, dtype=np.int64),
            np.zeros(size, dtype=bool),
        )
        model.fit(data, rng)
        scores.append(float(acquisition(pool_of(imagined, model), rng)))
    assert scores == sorted(scores, reverse=True) and scores[-1] < scores[0]


def test_an_unknown_aggregation_is_refused():
    asked = Component.model_validate({"name": "variance", "aggregation": "median"})
    with pytest.raises(ConfigError, match='aggregation: expected .*sum.*quantile.*"median"'):
        arguments("acquisitions", asked)
    with pytest.raises(ConfigError, match="variance: quantile is 90.0"):
        Variance(aggregation="quantile", quantile=90.0)
