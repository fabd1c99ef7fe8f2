import dataclasses

import numpy as np
import pytest
import torch

from robo_al.acquisition.uncertainty import Information, Variance
from robo_al.errors import ConfigError
from robo_al.testing import FakeModel, fake_task, random_imagined


def by_hand(imagined, model, of_step):
    """Return [N], of_step(ratios [O]) listed over the valid steps of each member."""
    prediction = model.predict(*imagined.inputs)
    ratios = (prediction.epistemic / prediction.aleatoric).numpy()
    rows = []
    for n in range(len(imagined)):
        steps = int(imagined.mask[n].sum())
        rows.append([[of_step(step) for step in member[n, :steps]] for member in ratios])
    return rows


def nats(step):
    return sum(0.5 * np.log(1 + ratio) for ratio in step)


@pytest.mark.parametrize(
    ("acquisition", "of_step", "over"),
    [
        (Variance(), sum, np.sum),
        (Variance(aggregation="mean"), sum, np.mean),
        (Information(), nats, np.sum),
    ],
)
def test_is_the_formula_step_by_step(rng, acquisition, of_step, over):
    imagined, model = random_imagined(rng), FakeModel(fake_task())
    scores = acquisition(imagined, model, None, rng).numpy()
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

    imagined = random_imagined(rng)
    plain = acquisition(imagined, FakeModel(fake_task()), None, rng)
    assert (acquisition(imagined, Noisier(fake_task()), None, rng) < plain).all()
    assert (FakeModel(fake_task()).predict(*imagined.inputs).epistemic[..., 2] == 0).all()


@pytest.mark.parametrize("acquisition", [Variance(), Information()])
def test_what_is_not_finite_is_never_best(rng, acquisition):
    imagined = random_imagined(rng)
    observations = imagined.observations.clone()
    observations[1, 2, 3] = torch.nan
    imagined = dataclasses.replace(
        imagined, observations=observations, finite=torch.arange(len(imagined)) != 2
    )
    scores = acquisition(imagined, FakeModel(fake_task()), None, rng)
    assert torch.isneginf(scores).nonzero().flatten().tolist() == [2]
    assert torch.isfinite(scores[imagined.finite]).all()


def test_an_unknown_aggregation_is_refused():
    with pytest.raises(ConfigError, match="aggregation is 'median'.*sum"):
        Variance(aggregation="median")
