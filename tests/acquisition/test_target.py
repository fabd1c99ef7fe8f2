import dataclasses
import itertools

import numpy as np
import pytest
import torch

from robo_al.acquisition.target import TargetInformation, optimal_trajectories
from robo_al.errors import ConfigError, UserError
from robo_al.testing import pool_of, random_imagined


@pytest.fixture(params=[False, True], ids=["to_the_horizon", "ending"])
def imagined(rng, request):
    """Two members and two starts: candidates 0-2 begin at one, 3-5 at the other."""
    imagined = random_imagined(rng, members=2, candidates=6, steps=3, ends=request.param)
    observations = imagined.observations.clone()
    observations[:, :3, 0] = observations[0, 0, 0].clone()
    observations[:, 3:, 0] = observations[0, 3, 0].clone()
    return dataclasses.replace(imagined, observations=observations)


def best_of_each_world(imagined):
    returns = imagined.returns.numpy()
    starts = ([0, 1, 2], [3, 4, 5])
    return [(e, max(start, key=lambda n: returns[e, n])) for start in starts for e in range(2)]


def score_by_brute_force(imagined, brute, picks, pending, targets):
    """Return sum_d [log det S(X) - mean_p log det S(X | tau_p)], averaged over members."""
    values = []
    for e in range(len(imagined.members)):
        others = [] if pending is None else [(pending, e, n) for n in range(len(pending))]
        chosen = others + [(imagined, e, n) for n in picks]
        plain = brute.log_determinants(chosen) - brute.log_determinants(others)
        given = []
        for target in targets:
            tau = [(imagined, *target)]
            given.append(
                brute.log_determinants(tau + chosen) - brute.log_determinants(tau + others)
            )
        values.append((plain - np.mean(given, axis=0)).sum())
    return float(np.mean(values))


@pytest.mark.parametrize("with_pending", [False, True])
def test_scores_and_gains_of_sets_are_those_of_brute_force(
    rng, imagined, smooth, brute, with_pending
):
    pending = (
        random_imagined(rng, members=2, candidates=2, steps=4, ends=True) if with_pending else None
    )
    targets = best_of_each_world(imagined)
    acquisition = TargetInformation()
    scores = acquisition(pool_of(imagined, smooth, pending), rng)
    for n in range(6):
        expected = score_by_brute_force(imagined, brute, [n], pending, targets)
        assert np.isclose(scores[n], expected, rtol=1e-8)
    for first, second in itertools.permutations((0, 1, 4), 2):
        joint = acquisition.joint(pool_of(imagined, smooth, pending))
        joint.add(first)
        both, one = (
            score_by_brute_force(imagined, brute, picks, pending, targets)
            for picks in ([first, second], [first])
        )
        assert np.isclose(float(joint.gains([second])[0]), both - one, rtol=1e-7, atol=1e-10)


def test_optimal_trajectories_are_the_best_of_each_member_and_start(imagined):
    assert set(optimal_trajectories(pool_of(imagined), 8)) == set(best_of_each_world(imagined))


def test_fewer_samples_still_see_every_start(imagined):
    returns = imagined.returns.numpy()
    chosen = optimal_trajectories(pool_of(imagined), 2)
    starts = ([0, 1, 2], [3, 4, 5])
    for start in starts:
        of_start = [pair for pair in chosen if pair[1] in start]
        assert len(of_start) == 1
        assert returns[of_start[0]] == returns[:, start].max()


def test_what_is_not_finite_is_neither_target_nor_pick(imagined, smooth, rng):
    best = best_of_each_world(imagined)[0][1]
    lost = dataclasses.replace(imagined, finite=torch.arange(6) != best)
    assert best not in {n for _, n in optimal_trajectories(pool_of(lost), 8)}
    scores = TargetInformation()(pool_of(lost, smooth), rng)
    assert torch.isneginf(scores).nonzero().flatten().tolist() == [best]
    with pytest.raises(UserError, match="no candidate is finite"):
        TargetInformation()(
            pool_of(dataclasses.replace(imagined, finite=torch.zeros(6, dtype=torch.bool)), smooth),
            rng,
        )


def test_what_passes_by_the_optimum_is_worth_more_than_what_is_merely_unknown(smooth, rng):
    """Of two rollouts that are as uncertain, the one along tau* scores higher."""
    imagined = random_imagined(rng, members=1, candidates=2, steps=4)
    rewards = torch.zeros_like(imagined.rewards)
    rewards[0, 0] = 1.0
    imagined.observations[0, 1] = imagined.observations[0, 1] + 50.0
    imagined.observations[0, 1, 0] = imagined.observations[0, 0, 0]
    scores = TargetInformation()(
        pool_of(dataclasses.replace(imagined, rewards=rewards), smooth), rng
    )
    assert scores[0] > 3 * scores[1] > 0


def test_counts_are_checked():
    with pytest.raises(ConfigError, match="target_information: samples is 0"):
        TargetInformation(samples=0)
    with pytest.raises(ConfigError, match="target_information: steps is 0"):
        TargetInformation(steps=0)
