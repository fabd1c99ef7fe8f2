import math

import numpy as np
import pytest
import torch

from robo_al.errors import ModelError
from robo_al.models.networks import (
    Training,
    activations,
    moments,
    negative_log_likelihood,
    new_weights,
    train,
)

WIDTHS = (2, 16, 16, 2)
TRAINING = Training(max_steps=300, batch_size=64, learning_rate=5e-3, weight_decay=1e-3)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def data():
    """Return y = x_0 x_1 + noise of standard deviation 0.1, [80, 2] and [80, 1]."""
    rng = np.random.default_rng(4)
    x = rng.uniform(-1.5, 1.5, (80, 2))
    y = x.prod(1, keepdims=True) + rng.normal(0, 0.1, (80, 1))
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


@pytest.fixture
def held_out():
    return torch.arange(80).expand(3, -1) % 3 == torch.arange(3)[:, None]


def test_the_batched_networks_are_each_a_plain_network(data):
    x, _ = data
    weights = new_weights(3, WIDTHS, draw())
    mean, log_variance = moments(weights, x.expand(3, -1, -1))
    for e in range(3):
        h = x
        for layer in (0, 1):
            h = h @ weights[f"weight_{layer}"][e] + weights[f"bias_{layer}"][e]
            h = h * torch.sigmoid(h)
        out = h @ weights["weight_2"][e] + weights["bias_2"][e]
        torch.testing.assert_close(activations(weights, x.expand(3, -1, -1))[e], h)
        torch.testing.assert_close(mean[e], out[:, :1])
        bounded = 0.5 - torch.log1p(torch.exp(0.5 - out[:, 1:]))
        bounded = -10.0 + torch.log1p(torch.exp(bounded + 10.0))
        torch.testing.assert_close(log_variance[e], bounded)


def test_every_weight_is_one_tensor_with_an_axis_of_members():
    weights = new_weights(5, WIDTHS, draw())
    assert len(weights) == 8
    assert all(value.shape[0] == 5 for value in weights.values())
    assert not torch.equal(weights["weight_0"][0], weights["weight_0"][1])


def test_log_variance_stays_within_its_bounds():
    weights = new_weights(2, WIDTHS, draw())
    weights["weight_2"] *= 1e3
    _, log_variance = moments(weights, 100 * torch.randn(2, 50, 2, generator=draw(1)))
    assert log_variance.min() >= -10 and log_variance.max() <= 0.5 + 1e-4
    assert log_variance.max() - log_variance.min() > 5


def test_the_loss_is_the_negative_log_density_up_to_its_constant(data):
    x, y = data
    weights = new_weights(2, WIDTHS, draw())
    rows = x.expand(2, -1, -1), y.expand(2, -1, -1)
    mean, log_variance = moments(weights, rows[0])
    density = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(rows[1])
    expected = -density.mean(-1) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(negative_log_likelihood(weights, *rows), expected)


def test_beta_one_has_the_gradient_of_the_squared_error_for_the_mean(data):
    x, y = data
    weights = new_weights(1, WIDTHS, draw())
    rows = x[None], y[None]
    bias = weights["bias_2"].requires_grad_()
    negative_log_likelihood(weights, *rows, beta=1.0).mean().backward()
    mean, _ = moments(weights, rows[0])
    torch.testing.assert_close(bias.grad[0, 0, 0], (mean - rows[1]).mean().detach())


def test_training_learns_mean_and_noise_and_reports_the_held_out_error(data, held_out):
    x, y = data
    start = new_weights(3, WIDTHS, draw())
    before = {key: value.clone() for key, value in start.items()}
    weights, details = train(start, x, y, held_out, TRAINING, draw())
    assert all(torch.equal(start[key], before[key]) for key in start)
    mean, log_variance = moments(weights, x.expand(3, -1, -1))
    own = ((mean - y).square()[..., 0] * held_out).sum(-1) / held_out.sum(-1)
    assert np.isclose(float(own.mean()), details["held_out_error"], rtol=1e-5)
    truth = x.prod(1, keepdim=True)
    assert (mean.mean(0) - truth).square().mean() < 0.1 * truth.var()
    assert 0.05 < (log_variance.mean() / 2).exp() < 0.25  # the noise is 0.1


def test_early_stopping_keeps_the_best_weights_of_each_network(data, held_out):
    """Pure noise: what is learned is wrong, and training stops with what was best before."""
    x, _ = data
    noise = torch.randn(80, 1, generator=draw(2))
    training = Training(max_steps=3000, batch_size=80, learning_rate=1e-2, weight_decay=0.0)
    weights, details = train(new_weights(3, WIDTHS, draw()), x, noise, held_out, training, draw())
    assert details["steps"] < 3000
    assert details["held_out_error"] < 1.1 * noise.var()  # as good as knowing that it is noise
    mean, _ = moments(weights, x.expand(3, -1, -1))
    assert mean.var() < 0.2 * noise.var()


def test_held_out_rows_are_not_learned_from(data):
    """Rows that only ever judge may be anything: they change when to stop, not what is learned."""
    x, y = data
    held_out = (torch.arange(80) >= 60).expand(1, -1)
    other = y.clone()
    other[60:] += 5.0
    once = Training(max_steps=1, batch_size=32, learning_rate=1e-2, weight_decay=0.0)
    first, _ = train(new_weights(1, WIDTHS, draw()), x, y, held_out, once, draw())
    second, _ = train(new_weights(1, WIDTHS, draw()), x, other, held_out, once, draw())
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_training_is_a_function_of_the_generator(data, held_out):
    x, y = data
    few = Training(max_steps=30, batch_size=16, learning_rate=1e-3, weight_decay=1e-2)
    start = new_weights(3, WIDTHS, draw())
    runs = [train(start, x, y, held_out, few, draw(seed))[0] for seed in (1, 1, 2)]
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])
    assert not torch.equal(runs[0]["weight_0"], runs[2]["weight_0"])


def test_weight_decay_shrinks_weights(data, held_out):
    x, y = data
    start, sizes = new_weights(3, WIDTHS, draw()), []
    for decay in (0.0, 50.0):
        few = Training(max_steps=10, batch_size=32, learning_rate=1e-3, weight_decay=decay)
        sizes.append(train(start, x, y, held_out, few, draw())[0]["weight_1"].square().sum())
    assert sizes[1] < 0.8 * sizes[0]


def test_divergence_is_reported(data, held_out):
    x, y = data
    wild = Training(max_steps=50, batch_size=16, learning_rate=1e30, weight_decay=0.0)
    with pytest.raises(ModelError, match="diverged; lower the model's learning_rate"):
        train(new_weights(3, WIDTHS, draw()), x, y, held_out, wild, draw())
