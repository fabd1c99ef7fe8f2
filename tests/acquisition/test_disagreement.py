import math

import numpy as np
import pytest
import torch

from robo_al.acquisition.disagreement import JensenRenyi, jensen_renyi
from robo_al.errors import ConfigError
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined


def by_hand(mean, variance):
    """Return the formula with full matrices, loops and determinants; mean and variance [E,O]."""
    members, size = mean.shape
    total = 0.0
    for i in range(members):
        for j in range(members):
            both = np.diag(variance[i] + variance[j])
            difference = mean[i] - mean[j]
            exponent = -0.5 * difference @ np.linalg.inv(both) @ difference
            total += math.exp(exponent) / math.sqrt(np.linalg.det(both))
    own = np.mean([0.5 * np.log(np.linalg.det(np.diag(v))) for v in variance])
    return -math.log(total / members**2) - own - size / 2 * math.log(2)


def gaussians(rng, members=4, size=3, spread=1.0):
    mean = spread * rng.normal(size=(members, size))
    return mean, rng.uniform(0.2, 2.0, (members, size))


def tensors(*arrays):
    return tuple(torch.from_numpy(array) for array in arrays)


def test_is_the_formula_written_with_matrices(rng):
    cases = [gaussians(rng, members, size) for members in (2, 5) for size in (1, 3)]
    for mean, variance in cases:
        found = float(jensen_renyi(*tensors(mean, variance)))
        assert np.isclose(found, by_hand(mean, variance), rtol=1e-12)


def test_is_a_difference_of_renyi_entropies_by_monte_carlo(rng):
    """-log E[p(x)] of the mixture less the members' own, x drawn from each."""
    mean, variance = gaussians(rng, members=3, size=2)
    draws = 400_000

    def densities(x):  # of x [S,2] under each member [3,S]
        scaled = (x - mean[:, None]) ** 2 / variance[:, None]
        return np.exp(-0.5 * scaled.sum(-1)) / (2 * np.pi * np.sqrt(variance.prod(-1)))[:, None]

    own = [
        m + np.sqrt(v) * rng.normal(size=(draws, 2)) for m, v in zip(mean, variance, strict=True)
    ]
    entropies = [-np.log(densities(x)[i].mean()) for i, x in enumerate(own)]
    mixture = -np.log(np.mean([densities(x).mean(0).mean() for x in own]))
    expected = mixture - np.mean(entropies)
    assert abs(float(jensen_renyi(*tensors(mean, variance))) - expected) < 0.01


def test_limits():
    same = torch.full((5, 7, 3), 0.3, dtype=torch.float64)
    assert jensen_renyi(same, same).abs().max() < 1e-12  # all agree
    far = same + 1e3 * torch.arange(5, dtype=torch.float64)[:, None, None]
    torch.testing.assert_close(jensen_renyi(far, same), torch.full((7,), math.log(5)).double())


def test_does_not_depend_on_units_or_on_channels_that_all_agree_on(rng):
    mean, variance = tensors(*gaussians(rng))
    expected = jensen_renyi(mean, variance)
    unit = torch.tensor([1e-3, 1.0, 50.0], dtype=torch.float64)
    torch.testing.assert_close(jensen_renyi(mean * unit, variance * unit**2), expected)
    goal = torch.ones(4, 1, dtype=torch.float64)
    wider = torch.cat([mean, 2 * goal], -1), torch.cat([variance, goal], -1)
    torch.testing.assert_close(jensen_renyi(*wider), expected)


def test_grows_as_the_means_move_apart(rng):
    mean, variance = tensors(*gaussians(rng))
    values = [float(jensen_renyi(scale * mean, variance)) for scale in (0.5, 1.0, 2.0, 4.0)]
    assert values == sorted(values)


def test_a_score_is_the_sum_over_valid_steps_and_the_mean_over_members(rng):
    imagined, model = (
        random_imagined(rng, members=2, candidates=4, ends=True),
        FakeModel(fake_task()),
    )
    scores = JensenRenyi()(pool_of(imagined, model), rng).numpy()
    mean, variance = (value.numpy() for value in model.mixture(*imagined.inputs))
    for n in range(4):
        values = [
            by_hand(mean[:, e, n, t], variance[:, e, n, t])
            for e in range(2)
            for t in range(int(imagined.mask[e, n].sum()))
        ]
        assert np.isclose(scores[n], sum(values) / 2, rtol=1e-10)


def test_needs_members_that_predict():
    JensenRenyi().require(FakeModel(fake_task()), 1)
    with pytest.raises(ConfigError, match="FakeModel has one member; use the model gp or ens"):
        JensenRenyi().require(FakeModel(fake_task(), members=1), 1)
    with pytest.raises(ConfigError, match="TrueDynamics has no method `mixture`"):
        JensenRenyi().require(TrueDynamics(fake_task()), 4)
