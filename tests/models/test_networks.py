import math

import torch

from robo_al.models.networks import (
    BLOCK,
    activations,
    forward,
    layers_of,
    mean_layers,
    moments,
    negative_log_likelihood,
    new_weights,
)

WIDTHS = (2, 16, 16, 2)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


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
    y = y.expand(2, -1, -1)
    mean, log_variance = moments(weights, x.expand(2, -1, -1))
    density = torch.distributions.Normal(mean, (log_variance / 2).exp()).log_prob(y)
    expected = -density.mean(-1) - 0.5 * math.log(2 * math.pi)
    torch.testing.assert_close(negative_log_likelihood(mean, log_variance, y), expected)


def test_the_mean_alone_is_the_mean():
    weights = new_weights(3, (4, 8, 8, 6), draw())
    x = torch.randn(3, 20, 4, generator=draw(1))
    torch.testing.assert_close(forward(mean_layers(weights), x), moments(weights, x)[0])


def test_rows_are_the_same_in_whatever_block_they_are():
    layers = layers_of(new_weights(2, WIDTHS, draw()))
    x = torch.randn(2, 2 * BLOCK + 3, 2, generator=draw(1))
    before = x.clone()
    together = forward(layers, x)
    assert together.shape == (2, 2 * BLOCK + 3, 2) and torch.equal(x, before)
    for rows in (slice(0, 5), slice(BLOCK - 2, BLOCK + 2), slice(-4, None)):
        torch.testing.assert_close(together[:, rows], forward(layers, x[:, rows]))


def test_what_a_row_comes_to_does_not_depend_on_how_many_there_are():
    """A round that was interrupted is repeated, perhaps with fewer rollouts beside one another."""
    draw = torch.Generator().manual_seed(0)
    layers = layers_of(new_weights(3, (5, 32, 32, 4), draw))
    x = torch.randn(3, 2000, 5, generator=draw)
    whole = forward(layers, x)
    for rows in (7, 200, 255, 256, 257, 259, 500, 513, 1031):
        assert torch.equal(forward(layers, x[:, :rows]), whole[:, :rows]), rows
