import contextlib
import secrets

import numpy as np
import pytest
import torch
from torch.nn.functional import silu, softplus

from robo_al.errors import ModelError
from robo_al.models import training
from robo_al.models.graphs import ORDINARY, Replayed
from robo_al.models.networks import moments, new_weights
from robo_al.models.training import BETA, BOUNDS, Learner, Training, _TensorCores, train

WIDTHS = (2, 16, 16, 2)
TRAINING = Training(max_steps=300, batch_size=64, learning_rate=5e-3, weight_decay=1e-3)


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def held_out():
    return torch.arange(80).expand(3, -1) % 3 == torch.arange(3)[:, None]


def loss(weights, x, y):
    """Return the loss of the module's docstring and what it is an average of, by autograd."""
    last = (len(weights) - 2) // 2 - 1
    for layer in range(last):
        x = silu(torch.baddbmm(weights[f"bias_{layer}"], x, weights[f"weight_{layer}"]))
    out = torch.baddbmm(weights[f"bias_{last}"], x, weights[f"weight_{last}"])
    mean, log_variance = out.chunk(2, dim=-1)
    high, low = weights["max_log_variance"], weights["min_log_variance"]
    log_variance = low + softplus(high - softplus(high - log_variance) - low)
    terms = 0.5 * ((y - mean) ** 2 * torch.exp(-log_variance) + log_variance)
    weighted = terms * torch.exp(BETA * log_variance.detach())
    return weighted.mean((1, 2)).sum() + BOUNDS * (high - low).mean((1, 2)).sum()


def test_the_gradient_is_that_of_autograd():
    seed = secrets.randbelow(2**32)
    fresh = draw(seed)
    weights = {k: v.double() for k, v in new_weights(3, (4, 11, 7, 10), fresh).items()}
    for value in weights.values():
        value.add_(0.3 * torch.randn(value.shape, generator=fresh, dtype=torch.float64))
    x, y = (torch.randn(3, 9, n, generator=fresh, dtype=torch.float64) for n in (4, 5))
    learner = Learner(weights, 9, TRAINING)
    learner.differentiate(x, y)
    leaves = {key: value.clone().requires_grad_() for key, value in weights.items()}
    loss(leaves, x, y).backward()
    for key, leaf in leaves.items():
        torch.testing.assert_close(
            learner.gradient[key], leaf.grad, rtol=1e-9, atol=1e-12, msg=f"{key}, seed {seed}"
        )


def test_a_step_is_adamws_on_every_tensor():
    weights = new_weights(3, (4, 11, 7, 10), draw())
    x, y = (torch.randn(3, 9, n, generator=draw(1)) for n in (4, 5))
    learner = Learner(weights, 9, TRAINING)
    leaves = {key: value.clone().requires_grad_() for key, value in weights.items()}
    optimizer = torch.optim.AdamW(leaves.values(), lr=5e-3, weight_decay=1e-3)
    for _ in range(3):
        learner.step(x, y)
        optimizer.zero_grad()
        loss(leaves, x, y).backward()
        optimizer.step()
    for key, leaf in leaves.items():
        torch.testing.assert_close(learner.weights[key], leaf.detach(), rtol=1e-4, atol=1e-5)


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
    with pytest.raises(ModelError, match="training diverged; lower the learning_rate"):
        train(new_weights(3, WIDTHS, draw()), x, y, held_out, wild, draw())


def test_recorded_steps_train_as_called_ones(data, held_out, recorder, monkeypatch):
    x, y = data
    few = Training(max_steps=3 * ORDINARY, batch_size=16, learning_rate=1e-3, weight_decay=1e-2)
    start = new_weights(3, WIDTHS, draw())
    plain, details = train(start, x, y, held_out, few, draw(1))
    monkeypatch.setattr(training, "Replayed", lambda f, device: Replayed(f, device, recorder))
    recorded, same = train(start, x, y, held_out, few, draw(1))
    assert all(torch.equal(plain[key], recorded[key]) for key in plain) and details == same
    assert recorder.replayed == 2 * ORDINARY


def test_every_network_sees_all_of_its_own_rows_and_no_other(monkeypatch):
    seen = torch.zeros(3, 30, dtype=torch.long)

    class Watching(Learner):
        def step(self, x, y):
            for e in range(3):
                seen[e] += torch.bincount(x[e, :, 0].long(), minlength=30)

    monkeypatch.setattr(training, "Learner", Watching)
    held_out = torch.zeros(3, 30, dtype=torch.bool)
    held_out[0, 10:20], held_out[1, 0], held_out[2, 29] = True, True, True
    few = Training(max_steps=100, batch_size=30, learning_rate=1e-3, weight_decay=0.0)
    x = torch.arange(30.0)[:, None].expand(-1, 2)
    train(new_weights(3, WIDTHS, draw()), x, x[:, :1], held_out, few, draw())
    assert (seen[held_out] == 0).all() and (seen[~held_out] > 50).all()
    assert (seen.sum(-1) == 3000).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(("tf32", "mean", "most"), [(False, 2e-4, 5e-3), (True, 5e-3, 5e-2)])
def test_on_cuda_it_trains_as_on_the_cpu(tf32, mean, most, monkeypatch):
    """The same weights and rows, called and replayed; TF32 rounds inputs of products to 11 bits."""
    if not tf32:
        monkeypatch.setattr(training, "tensor_cores", lambda device: contextlib.nullcontext())
    seed = secrets.randbelow(2**32)
    fresh, few = draw(seed), Training(3 * ORDINARY, 64, 1e-3, 1e-2)
    x = torch.randn(500, 4, generator=fresh)
    y = torch.sin(x) + 0.1 * torch.randn(500, 4, generator=fresh)
    held_out = torch.arange(500).expand(3, -1) % 3 == torch.arange(3)[:, None]
    start = new_weights(3, (4, 64, 64, 8), fresh)
    expected, details = train(start, x, y, held_out, few, draw(seed))
    there = {key: value.cuda() for key, value in start.items()}
    found, same = train(there, x.cuda(), y.cuda(), held_out.cuda(), few, draw(seed))
    assert np.isclose(details["held_out_error"], same["held_out_error"], rtol=5e-2), f"seed {seed}"
    for key, value in expected.items():  # Adam moves a weight by at most about 1e-3 a step
        off = (found[key].cpu() - value).abs()
        assert found[key].is_cuda
        assert off.mean() < mean and off.max() < most, f"{key}, seed {seed}"


def test_tensor_cores_are_left_as_they_were_whoever_leaves_last():
    products, cores = torch.backends.cuda.matmul, _TensorCores()
    before = products.fp32_precision
    cores.__enter__()
    cores.__enter__()  # another thread
    assert products.fp32_precision == "tf32"
    cores.__exit__()
    assert products.fp32_precision == "tf32"
    cores.__exit__()
    assert products.fp32_precision == before
