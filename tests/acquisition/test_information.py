import numpy as np
import pytest
import torch

from robo_al.acquisition.information import (
    log_determinant,
    noisy_cholesky,
    require_covariance,
    rollout_information,
)
from robo_al.errors import ConfigError, ModelError
from robo_al.testing import FakeModel, fake_task, random_imagined, random_transitions


class WithoutCovariance:
    """A model by its methods, without `covariance`."""

    def __init__(self):
        inner = FakeModel(fake_task())
        self.members, self.fit, self.predict, self.step = (
            inner.members,
            inner.fit,
            inner.predict,
            inner.step,
        )


def test_information_of_a_trajectory_is_the_log_determinant(rng, smooth, brute):
    imagined = random_imagined(rng, members=1, candidates=1, steps=7)
    observations, actions = (value[0, 0].numpy() for value in imagined.inputs)
    expected = brute.information(imagined, [0], None)
    assert np.isclose(rollout_information(smooth, observations, actions), expected, rtol=1e-10)


def test_what_was_recorded_tells_less_when_it_comes_again(rng):
    model = FakeModel(fake_task())
    data = random_transitions(rng, rollouts=1)
    before = rollout_information(model, data.observations, data.actions)
    model.fit(data, rng)
    assert rollout_information(model, data.observations, data.actions) < 0.5 * before


def test_a_model_without_covariance_gives_none_or_a_clear_refusal(rng):
    data = random_transitions(rng, rollouts=1)
    model = WithoutCovariance()
    assert rollout_information(model, data.observations, data.actions) is None
    with pytest.raises(ConfigError, match="joint_information needs.*WithoutCovariance.*gp or ens"):
        require_covariance(model, "joint_information")


def test_the_factor_is_of_the_covariance_with_noise(rng):
    root = torch.from_numpy(rng.normal(size=(3, 5, 2)))
    covariance = root @ root.mT
    factor = noisy_cholesky(covariance)
    expected = np.eye(5) + covariance.numpy()
    np.testing.assert_allclose((factor @ factor.mT).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(log_determinant(factor), np.linalg.slogdet(expected)[1], rtol=1e-12)


def test_a_covariance_with_more_digits_than_numbers_have_is_one(rng):
    far = torch.from_numpy(1e8 + rng.normal(size=(2, 20, 1)))  # its square has 16 digits
    covariance = far @ far.mT
    assert torch.linalg.eigvalsh(torch.eye(20).double() + covariance).min() < 0  # to rounding
    told = log_determinant(noisy_cholesky(covariance))
    expected = torch.log1p((far**2).sum((1, 2)))
    assert (told >= expected - 1e-6).all() and (told < 19 * 12 + expected).all()


@pytest.mark.parametrize("value", [-2.0, float("nan"), float("inf")])
def test_what_is_no_covariance_is_refused(value):
    covariance = torch.eye(3, dtype=torch.float64)
    covariance[1, 1] = value
    with pytest.raises(ModelError, match="not finite or not positive"):
        noisy_cholesky(covariance)
