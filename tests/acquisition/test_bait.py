import dataclasses

import numpy as np
import pytest
import torch

from robo_al.acquisition.bait import Bait, representatives
from robo_al.errors import ConfigError, ModelError, UserError
from robo_al.models.ensemble import Ensemble
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined, random_transitions
from robo_al.types import BatchBudget


class Featured(FakeModel):
    """Bayesian linear regression that shows its features."""

    def features(self, observations, actions):
        return self._features(observations, actions)

    def feature_posterior(self):
        return self._covariance.expand(self._inputs.outputs, -1, -1)


@pytest.fixture(params=["features", "covariance"])
def linear(request):
    model = (Featured if request.param == "features" else FakeModel)(fake_task())
    rng = np.random.default_rng(8)
    model.fit(random_transitions(rng, rollouts=1, steps=3), rng)
    return model


def reordered(imagined, order):
    return dataclasses.replace(
        imagined,
        observations=imagined.observations[:, order],
        actions=imagined.actions[:, order],
        rewards=imagined.rewards[:, order],
        members=imagined.members[:, order],
        horizons=imagined.horizons[order],
        mask=imagined.mask[:, order],
        finite=imagined.finite[order],
    )


def steps_of(rollouts, e, indices):
    """Return the inputs at all steps of some rollouts in one member."""
    parts = [
        tuple(
            value[e % len(value), n][rollouts.mask[e % len(value), n].bool()]
            for value in rollouts.inputs
        )
        for n in indices
    ]
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def variance_left(model, imagined, picks, pending=None):
    """Return the variance over all steps of the pool, from one solve for each output."""
    total, members = 0.0, len(imagined.members)
    finite = [n for n in range(len(imagined)) if imagined.finite[n]]
    for e in range(members):
        pool = steps_of(imagined, e, finite)
        observed = [steps_of(imagined, e, [n]) for n in picks]
        if pending is not None:
            observed.append(steps_of(pending, e, range(len(pending))))
        variances = torch.diagonal(model.covariance(pool, pool), dim1=-2, dim2=-1).numpy()
        if observed:
            seen = tuple(torch.cat(values) for values in zip(*observed, strict=True))
            own, cross = model.covariance(seen, seen).numpy(), model.covariance(seen, pool).numpy()
            solved = np.linalg.solve(np.eye(own.shape[-1]) + own, cross)
            variances = variances - (cross * solved).sum(-2)
        total += variances.sum(0).mean()
    return total / members


def brute_force(model, imagined, pending, k):
    picks, gains = [], []
    for _ in range(k):
        before = variance_left(model, imagined, picks, pending)
        values = [
            -np.inf
            if n in picks or not imagined.finite[n]
            else before - variance_left(model, imagined, [*picks, n], pending)
            for n in range(len(imagined))
        ]
        picks.append(int(np.argmax(values)))
        gains.append(max(values))
    return picks, gains


def pick(imagined, model, pending=None, k=4, selector=None):
    selector = Bait() if selector is None else selector
    return selector(None, pool_of(imagined, model, pending), k, np.random.default_rng(0))


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("waiting", [0, 2])
def test_single_steps_are_picked_as_by_botorch(linear, seed, waiting):
    from botorch.acquisition.active_learning import qNegIntegratedPosteriorVariance
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf_discrete
    from gpytorch.kernels import LinearKernel

    rng = np.random.default_rng(seed)
    data = random_transitions(rng, rollouts=1, steps=3)
    linear.fit(data, rng)
    imagined = random_imagined(rng, members=1, candidates=25, steps=1)
    pending = random_imagined(rng, members=1, candidates=waiting, steps=1) if waiting else None
    selection = pick(imagined, linear, pending, k=6)

    def phi(rollouts):
        return linear._features(*(value[0, :, 0] for value in rollouts.inputs))

    recorded = linear._features(*map(torch.from_numpy, (data.observations, data.actions)))
    kernel = LinearKernel()
    kernel.variance = linear.noise  # the prior of the weights, N(0, noise I)
    reference = SingleTaskGP(
        recorded,
        torch.zeros(len(data), 1, dtype=torch.float64),
        torch.full((len(data), 1), linear.noise, dtype=torch.float64),
        covar_module=kernel,
        outcome_transform=None,
    ).double()
    pool = phi(imagined)
    acquisition = qNegIntegratedPosteriorVariance(reference, mc_points=pool)
    if pending is not None:
        acquisition.set_X_pending(phi(pending))
    chosen, _ = optimize_acqf_discrete(acquisition, q=6, choices=pool, return_acq_values=False)
    expected = [int((pool == row).all(-1).nonzero()) for row in chosen]
    assert list(selection.indices) == expected


@pytest.mark.parametrize("waiting", [0, 2])
def test_blocks_are_picked_as_by_brute_force(linear, smooth, waiting):
    rng = np.random.default_rng(3)
    imagined = random_imagined(rng, members=2, candidates=9, steps=4, ends=True)
    pending = (
        random_imagined(rng, members=1, candidates=waiting, steps=3, ends=True) if waiting else None
    )
    for model in (linear, smooth):
        picks, gains = brute_force(model, imagined, pending, 4)
        selection = pick(imagined, model, pending)
        assert list(selection.indices) == picks
        np.testing.assert_allclose(selection.gains, gains, rtol=1e-7)


def test_features_and_covariances_pick_alike(rng):
    model = Ensemble(fake_task(), members=3, hidden=16, layers=2, max_steps=60)
    model.fit(random_transitions(rng), rng)
    hiding = FakeModel(fake_task())  # a model without features
    hiding.covariance = model.covariance
    imagined, pending = (
        random_imagined(rng, candidates=15, ends=True),
        random_imagined(rng, candidates=2),
    )
    one, two = (pick(imagined, m, pending, 6, Bait(steps=3, pool=1000)) for m in (model, hiding))
    assert one.indices == two.indices
    np.testing.assert_allclose(one.gains, two.gains, rtol=1e-9)
    np.testing.assert_allclose(one.scores, two.scores, rtol=1e-9)


def test_chunks_change_nothing(linear, rng, monkeypatch):
    imagined = random_imagined(rng, members=2, candidates=20, ends=True)
    whole = pick(imagined, linear, k=5)
    monkeypatch.setattr("robo_al.acquisition.bait.CHUNK", 3)
    monkeypatch.setattr("robo_al.acquisition.bait.FEATURE_CHUNK", 3)
    monkeypatch.setattr("robo_al.acquisition.embedding.FEATURE_CHUNK", 3)
    monkeypatch.setattr("robo_al.acquisition.bait.PoolVariance.chunk", 3)
    parts = pick(imagined, linear, k=5)
    assert parts.indices == whole.indices
    np.testing.assert_allclose(parts.gains, whole.gains, rtol=1e-9)


def test_representatives_are_spread_over_candidates_and_over_their_steps():
    inside = torch.ones(100, 5, dtype=torch.bool)
    inside[:, 4] = torch.arange(100) % 2 == 0  # half of the candidates are shorter
    inside[90:] = False  # pending, or not finite
    kept = representatives(inside, 45)
    assert int(kept.sum()) == 45 and not bool((kept & ~inside).any())
    assert int(kept.any(1).sum()) >= 40
    by_step = kept.sum(0).tolist()
    assert min(by_step[:4]) >= 7 and by_step[4] >= 3
    assert torch.equal(representatives(inside, 1000), inside)


def test_a_smaller_pool_stands_for_the_whole(smooth, rng):
    smooth.lengths = (4.0, 6.0)
    imagined = random_imagined(rng, members=1, candidates=30)
    whole, half = (pick(imagined, smooth, selector=Bait(pool=p)).scores for p in (1000, 50))
    assert whole != half
    assert np.corrcoef(whole, half)[0, 1] > 0.9


def test_the_order_of_candidates_does_not_matter(linear, smooth, rng):
    imagined, pending = random_imagined(rng, candidates=15), random_imagined(rng, candidates=2)
    order = rng.permutation(15)
    for model in (linear, smooth):
        plain = pick(imagined, model, pending, k=6)
        other = pick(reordered(imagined, order), model, pending, k=6)
        assert [int(order[n]) for n in other.indices] == list(plain.indices)


def test_copies_come_after_everything_else_and_so_do_copies_of_pending(smooth, rng):
    smooth.scales = (3000.0, 400.0)  # far above the noise: what was observed once is known
    originals = random_imagined(rng, candidates=6)
    imagined = reordered(originals, [0, 1, 2, 3, 0, 1, 2, 3, 4, 5])
    pending = reordered(originals, [4, 5])
    picks = pick(imagined, smooth, pending).indices
    assert sorted(n % 4 for n in picks) == [0, 1, 2, 3] and max(picks) < 8
    assert sorted(pick(imagined, smooth, pending, k=10).indices) == list(range(10))


def test_what_is_not_finite_is_never_picked_and_disturbs_no_other(linear, smooth, rng):
    imagined = random_imagined(rng, candidates=6)
    keep = [0, 2, 3, 5]
    observations = imagined.observations.clone()
    observations[1, [1, 4]] = torch.nan
    finite = torch.tensor([n in keep for n in range(6)])
    broken = dataclasses.replace(imagined, observations=observations, finite=finite)
    pending = random_imagined(rng, candidates=2)
    known = reordered(pending, [0])
    pending.observations[0, 1] = torch.inf
    pending = dataclasses.replace(pending, finite=torch.tensor([True, False]))
    for model in (linear, smooth):
        selection = pick(broken, model, pending)
        expected = pick(reordered(imagined, keep), model, known)
        assert list(selection.indices) == [keep[n] for n in expected.indices]
        np.testing.assert_allclose(selection.gains, expected.gains, rtol=1e-8)
        assert (np.isneginf(selection.scores) == ~finite.numpy()).all()
        with pytest.raises(UserError, match="5 candidates are to be selected, and 4 of 6"):
            pick(broken, model, pending, k=5)
        with pytest.raises(UserError, match="1 candidates are to be selected, and 0 of 6"):
            pick(dataclasses.replace(broken, finite=torch.zeros_like(finite)), model, k=1)
        with pytest.raises(ModelError, match="not finite"):
            pick(dataclasses.replace(broken, finite=torch.ones_like(finite)), model)


@pytest.mark.parametrize("seed", range(3))
def test_a_batch_stays_within_its_limits(linear, seed):
    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, candidates=15)
    seconds, risks = rng.uniform(1, 5, 15), rng.uniform(0, 0.2, 15)
    selector = Bait().within(BatchBudget(seconds, 12.0, risks, 0.5))
    picks = list(pick(imagined, linear, k=10, selector=selector).indices)
    assert 0 < len(set(picks)) == len(picks) < 10
    assert seconds[picks].sum() <= 12.0 and risks[picks].sum() <= 0.5


def test_a_model_without_covariance_and_wrong_counts_are_refused(rng):
    with pytest.raises(ConfigError, match="bait needs a model.*TrueDynamics"):
        Bait().require(TrueDynamics(fake_task()), 1)
    with pytest.raises(ConfigError, match="bait needs a model"):
        pick(random_imagined(rng), TrueDynamics(fake_task()))
    for name in ("steps", "pool"):
        with pytest.raises(ConfigError, match=f"bait: {name} is 0"):
            Bait(**{name: 0})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_picks_alike(rng):
    cpu, gpu = (
        Ensemble(fake_task(), device, members=3, hidden=16, layers=2, max_steps=60)
        for device in ("cpu", "cuda")
    )
    cpu.fit(random_transitions(rng), rng)
    gpu.load_state_dict(cpu.state_dict())
    imagined = random_imagined(rng, candidates=20)
    one, two = (pick(imagined, model, k=8) for model in (cpu, gpu))
    assert one.indices == two.indices
    np.testing.assert_allclose(one.gains, two.gains, rtol=1e-6)
