import copy
import dataclasses
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from robo_al.acquisition.diversity import (
    KCenter,
    KMeansPlusPlus,
    LargestClusterMaxDist,
    NearestCentre,
)
from robo_al.acquisition.embedding import embed
from robo_al.errors import ConfigError, ModelError, UserError
from robo_al.models.ensemble import Ensemble
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined, random_transitions
from robo_al.types import BatchBudget

SELECTORS = [KCenter, LargestClusterMaxDist, KMeansPlusPlus]


class Featured(FakeModel):
    """Bayesian linear regression that shows its features."""

    def features(self, observations, actions):
        return self._features(observations, actions)

    def feature_posterior(self):
        return self._covariance.expand(self._inputs.outputs, -1, -1)

    def coordinates(self, *sets):
        """Return points [R,E F] whose distances are those of the embeddings, from numpy."""
        factor = np.linalg.cholesky(self._covariance.numpy())
        points = []
        for imagined in sets:
            phi = self.features(*imagined.inputs).numpy() @ factor  # [E, N, T, F]
            mask = imagined.mask.numpy()[..., None]
            mean = (phi * mask).sum(2) / mask.sum(2)
            points.append(mean.swapaxes(0, 1).reshape(len(imagined), -1) / len(mean) ** 0.5)
        return np.concatenate(points)


@pytest.fixture
def featured(rng):
    model = Featured(fake_task())
    model.fit(random_transitions(rng, rollouts=1, steps=4), rng)
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


def distances_to_centres(points, centres):
    """Return squared distances [centres,N] to the origin and to other points."""
    known = np.concatenate([np.zeros((1, points.shape[1])), centres])
    return ((known[:, None] - points) ** 2).sum(-1)


def pick(selector, imagined, model, pending=None, k=4, seed=0):
    return selector(None, pool_of(imagined, model, pending), k, np.random.default_rng(seed))


# ------------------------------------------------------------ k-center


@pytest.mark.parametrize("waiting", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_k_center_picks_as_scikit_activeml(featured, seed, waiting):
    from skactiveml.pool import CoreSet

    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, candidates=40, ends=True)
    pending = random_imagined(rng, candidates=waiting) if waiting else None
    points = featured.coordinates(imagined, *([pending] if pending else []))
    labels = np.where(np.arange(len(points) + 1) < 40, np.nan, 0.0)  # the origin comes last
    points = np.concatenate([points, np.zeros((1, points.shape[1]))])
    expected, utilities = CoreSet().query(points, labels, batch_size=12, return_utilities=True)
    selection = pick(KCenter(), imagined, featured, pending, k=12)
    assert list(selection.indices) == expected.tolist()
    reached = utilities[np.arange(12), expected] ** 2
    np.testing.assert_allclose(selection.gains, reached, rtol=1e-8)
    np.testing.assert_allclose(selection.scores, utilities[0][:40] ** 2, rtol=1e-8)


def test_k_center_covers_within_twice_the_best_batch(featured, rng):
    imagined = random_imagined(rng, members=1, candidates=10)
    points = featured.coordinates(imagined)

    def radius(batch):
        return distances_to_centres(points, points[list(batch)]).min(0).max() ** 0.5

    reached = radius(pick(KCenter(), imagined, featured, k=3).indices)
    best = min(radius(batch) for batch in combinations(range(10), 3))
    assert best <= reached <= 2 * best


# ------------------------------------------------------------ largest cluster, maximal distance


def largest_cluster_picks(points, centres, k, allowed=lambda picks: True):
    picks = []
    for _ in range(k):
        distances = distances_to_centres(points, np.concatenate([centres, points[picks]]))
        owner, nearest = distances.argmin(0), distances.min(0)
        nearest = np.where(allowed(picks) & ~np.isin(np.arange(len(points)), picks), nearest, 0.0)
        sums = [nearest[owner == c].sum() for c in range(len(distances))]
        inside = owner == int(np.argmax(sums))
        picks.append(int(np.argmax(np.where(inside, nearest, -1))))
    return picks


@pytest.mark.parametrize("waiting", [0, 3])
@pytest.mark.parametrize("seed", range(3))
def test_lcmd_picks_as_brute_force_and_as_bmdal(featured, seed, waiting, monkeypatch):
    monkeypatch.setattr(np, "Inf", np.inf, raising=False)  # bmdal_reg is older than numpy 2
    from bmdal_reg.bmdal.feature_data import TensorFeatureData
    from bmdal_reg.bmdal.feature_maps import IdentityFeatureMap
    from bmdal_reg.bmdal.features import Features
    from bmdal_reg.bmdal.selection import LargestClusterMaxDistSelectionMethod

    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, candidates=40)
    pending = random_imagined(rng, candidates=waiting) if waiting else None
    selection = pick(LargestClusterMaxDist(), imagined, featured, pending, k=12)

    points = featured.coordinates(imagined)
    centres = featured.coordinates(pending) if pending else points[:0]
    assert list(selection.indices) == largest_cluster_picks(points, centres, 12)

    known = np.concatenate([np.zeros((1, points.shape[1])), centres])
    feature_map = IdentityFeatureMap(points.shape[1])
    pool, train = (
        Features(feature_map, TensorFeatureData(torch.from_numpy(values)))
        for values in (points, known)
    )
    reference = LargestClusterMaxDistSelectionMethod(pool, train, sel_with_train=True)
    assert list(selection.indices) == reference.select(12).tolist()
    if not waiting:
        assert list(selection.indices) != list(pick(KCenter(), imagined, featured, k=12).indices)


def test_lcmd_counts_only_what_may_still_be_picked(featured, rng):
    imagined = random_imagined(rng, candidates=30, ends=True)
    points = featured.coordinates(imagined)
    unlimited = pick(LargestClusterMaxDist(), imagined, featured, k=8).indices
    risks = np.zeros(30)
    risks[list(unlimited[1:5])] = 0.3, 0.4, 0.2, 0.3

    def allowed(picks):
        return risks[picks].sum() + risks <= 0.5

    selector = LargestClusterMaxDist().within(BatchBudget(risks=risks, total_risk=0.5))
    selection = pick(selector, imagined, featured, k=8)
    expected = largest_cluster_picks(points, points[:0], 8, allowed)
    assert list(selection.indices) == expected != list(unlimited)


# ------------------------------------------------------------ k-means++


@pytest.mark.parametrize("waiting", [0, 1])
def test_kmeans_plus_plus_draws_by_squared_distance(featured, rng, waiting):
    imagined = random_imagined(rng, members=1, candidates=5)
    pending = random_imagined(rng, members=1, candidates=waiting) if waiting else None
    points = featured.coordinates(imagined)
    centres = featured.coordinates(pending) if pending else points[:0]
    first = distances_to_centres(points, centres).min(0)
    first /= first.sum()
    expected = np.zeros((5, 5))
    for i in range(5):
        second = distances_to_centres(points, np.concatenate([centres, points[[i]]])).min(0)
        expected[i] = first[i] * second / second.sum()
    draws, counts = 1500, np.zeros((5, 5))
    start, selector = (
        NearestCentre(embed(featured, pool_of(imagined, featured, pending), 4), pending),
        KMeansPlusPlus(),
    )
    for _ in range(draws):
        picks, _ = selector._pick(copy.copy(start), np.ones(5), 2, None, rng)
        counts[tuple(picks)] += 1
    possible = expected > 1e-12  # a rollout is never drawn twice
    assert possible.sum() == 20 and counts[~possible].sum() == 0
    frequencies = expected[possible] / expected[possible].sum() * draws
    assert chisquare(counts[possible], frequencies).pvalue > 1e-3
    even = np.full(20, draws / 20)
    assert chisquare(counts[possible], even).pvalue < 1e-9  # the draw is no uniform one


def test_kmeans_plus_plus_depends_on_the_generator_alone(featured, rng):
    imagined = random_imagined(rng, candidates=30)
    picks = [pick(KMeansPlusPlus(), imagined, featured, seed=seed).indices for seed in (1, 1, 2)]
    assert picks[0] == picks[1] != picks[2]


def test_kmeans_plus_plus_draws_repeats_once_nothing_else_is_left(featured, rng):
    originals = random_imagined(rng, candidates=1)
    imagined = reordered(originals, [0, 0, 0])
    selection = pick(KMeansPlusPlus(), imagined, featured, k=3)
    assert sorted(selection.indices) == [0, 1, 2]
    assert selection.gains[0] > 0
    np.testing.assert_allclose(selection.gains[1:], 0, atol=1e-12 * selection.gains[0])


# ------------------------------------------------------------ all of them


@pytest.mark.parametrize("selector", [KCenter(), LargestClusterMaxDist()])
@pytest.mark.parametrize("with_features", [False, True])
def test_the_order_of_candidates_does_not_matter(selector, with_features, smooth, featured, rng):
    model = featured if with_features else smooth
    imagined, pending = random_imagined(rng, candidates=20), random_imagined(rng, candidates=2)
    order = rng.permutation(20)
    plain = pick(selector, imagined, model, pending, k=8)
    other = pick(selector, reordered(imagined, order), model, pending, k=8)
    assert [int(order[n]) for n in other.indices] == list(plain.indices)


@pytest.mark.parametrize("selector", SELECTORS)
def test_features_and_covariances_pick_alike(selector, rng):
    model = Ensemble(fake_task(), members=3, hidden=16, layers=2, max_steps=60)
    model.fit(random_transitions(rng), rng)

    hiding = FakeModel(fake_task())  # a model without features
    hiding.covariance = model.covariance
    imagined, pending = random_imagined(rng, candidates=20), random_imagined(rng, candidates=2)
    one, two = (pick(selector(), imagined, m, pending, 8) for m in (model, hiding))
    assert one.indices == two.indices
    np.testing.assert_allclose(one.gains, two.gains, rtol=1e-9)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("seed", range(3))
def test_copies_come_after_everything_else_and_so_do_copies_of_pending(
    selector, seed, smooth, featured
):
    rng = np.random.default_rng(seed)
    originals = random_imagined(rng, candidates=6)
    imagined = reordered(originals, [0, 1, 2, 3, 0, 1, 2, 3, 4, 5])
    pending = reordered(originals, [4, 5])
    for model in (smooth, featured):
        picks = pick(selector(), imagined, model, pending, k=4, seed=seed).indices
        assert sorted(n % 4 for n in picks) == [0, 1, 2, 3] and max(picks) < 8
        everything = pick(selector(), imagined, model, pending, k=10, seed=seed)
        assert sorted(everything.indices) == list(range(10))


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_is_not_finite_is_never_picked(selector, smooth, featured, rng):
    imagined = random_imagined(rng, candidates=6)
    observations = imagined.observations.clone()
    observations[1, [1, 4]] = torch.nan
    finite = torch.tensor([True, False, True, True, False, True])
    imagined = dataclasses.replace(imagined, observations=observations, finite=finite)
    pending = random_imagined(rng, candidates=2)
    pending.observations[0, 1] = torch.inf
    pending = dataclasses.replace(pending, finite=torch.tensor([True, False]))
    for model in (smooth, featured):
        selection = pick(selector(), imagined, model, pending, k=4)
        assert sorted(selection.indices) == [0, 2, 3, 5]
        assert np.isfinite(selection.gains).all()
        assert (np.isneginf(selection.scores) == ~finite.numpy()).all()
        with pytest.raises(UserError, match="5 candidates are to be selected, and 4 of 6"):
            pick(selector(), imagined, model, pending, k=5)
    lying = dataclasses.replace(imagined, finite=torch.ones(6, dtype=torch.bool))
    with pytest.raises(ModelError, match="candidate 1 is nan"):
        pick(KCenter(), lying, featured, k=2)


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("seed", range(4))
def test_a_batch_stays_within_its_limits(selector, seed, featured):
    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, candidates=15)
    seconds, risks = rng.uniform(1, 5, 15), rng.uniform(0, 0.2, 15)
    limits = BatchBudget(seconds, 12.0, risks, 0.5)
    picks = list(pick(selector().within(limits), imagined, featured, k=10, seed=seed).indices)
    assert 0 < len(set(picks)) == len(picks) < 10
    assert seconds[picks].sum() <= 12.0 and risks[picks].sum() <= 0.5
    left = sorted(set(range(15)) - set(picks))
    room = (seconds[left] <= 12.0 - seconds[picks].sum()) & (
        risks[left] <= 0.5 - risks[picks].sum()
    )
    assert not room.any()


def test_seconds_count_in_what_is_picked(featured, rng):
    imagined = random_imagined(rng, candidates=15)
    far = pick(KCenter(), imagined, featured, k=1).indices[0]
    seconds = np.ones(15)
    seconds[far] = 4.0
    selection = pick(KCenter().within(BatchBudget(seconds, 4.0)), imagined, featured, k=4)
    assert far not in selection.indices and len(selection.indices) == 4
    assert sum(selection.gains) > selection.scores[far]


@pytest.mark.parametrize("selector", SELECTORS)
def test_scores_are_squared_distances_to_what_is_known(selector, smooth, rng):
    imagined = random_imagined(rng, candidates=7)
    selection = pick(selector(), imagined, smooth, k=2)
    np.testing.assert_allclose(
        selection.scores, embed(smooth, pool_of(imagined, smooth), 10).norms, rtol=1e-12
    )
    assert selection.gains[0] == selection.scores[selection.indices[0]]


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_model_without_covariance_and_a_wrong_count_are_refused(selector, rng):
    model = TrueDynamics(fake_task())
    with pytest.raises(ConfigError, match=rf"{selector.name[:5]}.*needs a model.*TrueDynamics"):
        selector().require(model, 1)
    with pytest.raises(ConfigError, match="needs a model"):
        pick(selector(), random_imagined(rng), model, k=1)
    assert selector().require(FakeModel(fake_task()), 1) is None
    with pytest.raises(ConfigError, match="steps is 0"):
        selector(steps=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("selector", SELECTORS)
def test_a_gpu_picks_alike(selector, rng):
    cpu, gpu = (
        Ensemble(fake_task(), device, members=3, hidden=16, layers=2, max_steps=60)
        for device in ("cpu", "cuda")
    )
    cpu.fit(random_transitions(rng), rng)
    gpu.load_state_dict(cpu.state_dict())
    imagined = random_imagined(rng, candidates=20)
    one, two = (pick(selector(), imagined, model, k=8) for model in (cpu, gpu))
    assert one.indices == two.indices
    np.testing.assert_allclose(one.gains, two.gains, rtol=1e-6)
