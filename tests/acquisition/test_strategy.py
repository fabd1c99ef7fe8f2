import dataclasses
import itertools
import math

import numpy as np
import pytest
import torch

from robo_al.acquisition.constraint import ChanceConstraint
from robo_al.acquisition.cost import Seconds
from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.returns import UpperConfidenceBound
from robo_al.acquisition.select import GreedyJoint, TopK
from robo_al.acquisition.strategy import Strategy
from robo_al.errors import ConfigError, UserError
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined
from robo_al.types import Exclusion, Selection


def play(imagined):
    """Play candidates as they were imagined, whatever members are asked for."""
    return lambda members, noise=None: imagined


@pytest.fixture
def imagined(rng):
    return random_imagined(rng, members=2, candidates=8, steps=4)


def select(strategy, imagined, model, k, rng):
    return strategy.select(pool_of(imagined, model), k, rng, play(imagined))


def test_without_cost_and_constraint_it_is_its_selector(imagined, smooth, rng):
    choice = select(Strategy(JointInformation(), GreedyJoint()), imagined, smooth, 3, rng)
    plain = GreedyJoint()(JointInformation(), pool_of(imagined, smooth), 3, rng)
    assert choice == plain and choice.seconds is None and choice.risks is None


@pytest.mark.parametrize("seed", range(4))
def test_a_batch_stays_in_its_budget_and_near_the_best_that_fits(smooth, brute, seed):
    """The better of unit-cost and ratio greedy reaches (1 - 1/e) / 2 of the best affordable set."""
    rng = np.random.default_rng(seed)
    imagined = random_imagined(rng, members=1, candidates=8, steps=6)
    lengths = torch.tensor([6, 1, 5, 2, 4, 3, 1, 6])
    mask = (torch.arange(6) < lengths[:, None]).double()[None]
    imagined = dataclasses.replace(imagined, mask=mask)
    budget = 1.0
    strategy = Strategy(JointInformation(), GreedyJoint(), cost=Seconds(budget=budget))
    choice = select(strategy, imagined, smooth, 8, rng)
    seconds = np.array(choice.seconds)
    np.testing.assert_allclose(seconds, lengths.numpy() / 10)
    picks = list(choice.indices)
    assert seconds[picks].sum() <= budget + 1e-9
    reached = brute.information(imagined, picks, None)
    affordable = [
        batch
        for size in range(1, 9)
        for batch in itertools.combinations(range(8), size)
        if seconds[list(batch)].sum() <= budget + 1e-9
    ]
    best = max(brute.information(imagined, batch, None) for batch in affordable)
    assert best * (1 + 1e-9) >= reached >= (1 - 1 / math.e) / 2 * best


class Valued:
    """Scores as given."""

    def __init__(self, *scores):
        self.scores = torch.tensor(scores, dtype=torch.float64)

    def __call__(self, pool, rng):
        return self.scores


class Priced:
    """Seconds as given."""

    def __init__(self, budget, *seconds):
        self.budget, self.seconds = budget, torch.tensor(seconds, dtype=torch.float64)

    def __call__(self, imagined, task, risks):
        return self.seconds


@pytest.mark.parametrize(
    ("scores", "seconds", "expected"),
    [
        ((10.0, 9.0, 9.0), (10.0, 5.0, 5.0), (1, 2)),  # by gain per second
        ((10.0, 2.0, 0.5), (10.0, 1.0, 1.0), (0,)),  # by gain: the ratio would fill up with crumbs
    ],
)
def test_the_better_of_two_ways_is_kept(rng, scores, seconds, expected):
    imagined, model = random_imagined(rng, candidates=3), FakeModel(fake_task())
    strategy = Strategy(Valued(*scores), TopK(), cost=Priced(10.0, *seconds))
    assert select(strategy, imagined, model, 3, rng).indices == expected


def test_without_a_budget_a_batch_takes_what_k_mean_candidates_take(rng):
    imagined, model = random_imagined(rng, candidates=4), FakeModel(fake_task())
    strategy = Strategy(Valued(4.0, 3.0, 2.0, 1.0), TopK(), cost=Priced(None, 3.0, 3.0, 1.0, 1.0))
    assert select(strategy, imagined, model, 2, rng).indices == (0, 2)  # of 4 seconds


def test_scores_that_are_no_gains_are_refused_with_a_cost(imagined, smooth, rng):
    strategy = Strategy(Valued(*[-1.0] * 8), TopK(), cost=Seconds())
    with pytest.raises(UserError, match="gain per second needs scores above 0, and Valued"):
        select(strategy, imagined, smooth, 2, rng)


def test_a_budget_for_nothing_is_refused(imagined, smooth, rng):
    strategy = Strategy(JointInformation(), GreedyJoint(), cost=Seconds(budget=0.2))
    with pytest.raises(UserError, match="quickest candidate takes 0.3 s"):
        select(strategy, imagined, smooth, 2, rng)
    with pytest.raises(ConfigError, match="one rollout of 5 steps takes 0.5 s"):
        strategy.require(smooth, fake_task(), members=1, steps=5)


def risky(imagined, broken):
    """Let a candidate break the constraint in as many of its members as `broken` says."""
    observations = torch.zeros_like(imagined.observations)
    for n, count in enumerate(broken):
        observations[:count, n, 1, 0] = 2.0
    return dataclasses.replace(imagined, observations=observations)


def test_what_is_too_risky_is_not_selected(rng):
    imagined, model = (
        random_imagined(rng, members=4, candidates=4),
        FakeModel(fake_task(), members=4),
    )
    strategy = Strategy(Valued(4.0, 3.0, 2.0, 1.0), TopK(), constraint=ChanceConstraint(0.3))
    choice = select(strategy, risky(imagined, [4, 1, 2, 0]), model, 3, rng)
    assert choice.risks == (1.0, 0.25, 0.5, 0.0)
    assert choice.indices == (1, 3)  # fewer than asked for: no more are allowed
    assert {i: one.kind for i, one in choice.exclusions.items()} == {0: "risk", 2: "risk"}
    assert choice.exclusions[2].reason == "a risk of 0.5, and delta is 0.3"
    nothing = select(strategy, risky(imagined, [4, 4, 4, 4]), model, 3, rng)
    assert (nothing.indices, nothing.scores, nothing.gains) == ((), (-math.inf,) * 4, ())
    assert [one.kind for one in nothing.exclusions.values()] == ["risk"] * 4


def test_why_a_candidate_could_not_be_selected_is_said_of_each(rng):
    imagined = random_imagined(rng, members=1, candidates=4)
    imagined = dataclasses.replace(imagined, finite=torch.tensor([True, False, True, True]))
    refused = {2: Exclusion("envelope", "joint elbow would be too fast")}
    pool = pool_of(imagined).without(refused)
    assert pool.eligible.tolist() == [True, False, False, True]
    strategy = Strategy(Valued(4.0, 3.0, 2.0, 1.0), TopK(), cost=Priced(5.0, 1.0, 1.0, 1.0, 9.0))
    choice = strategy.select(pool, 4, rng, play(imagined))
    assert choice.indices == (0,)
    kinds = {i: one.kind for i, one in choice.exclusions.items()}
    assert kinds == {1: "not_finite", 2: "envelope", 3: "budget"}
    assert choice.exclusions[2] is refused[2]


def test_a_batch_adds_up_its_risks(rng):
    imagined, model = (
        random_imagined(rng, members=4, candidates=4),
        FakeModel(fake_task(), members=4),
    )
    strategy = Strategy(
        Valued(4.0, 3.0, 2.0, 1.0), TopK(), constraint=ChanceConstraint(delta=0.3, total=0.3)
    )
    choice = select(strategy, risky(imagined, [1, 1, 0, 1]), model, 4, rng)
    assert choice.indices == (0, 2)


def test_expected_failures_cost_time(rng):
    imagined, model = (
        random_imagined(rng, members=4, candidates=4),
        FakeModel(fake_task(), members=4),
    )
    constraint, cost = ChanceConstraint(0.9), Seconds(reset=1.0, failure=100.0)
    strategy = Strategy(Valued(4.0, 3.0, 2.0, 1.0), TopK(), cost, constraint)
    choice = select(strategy, risky(imagined, [0, 2, 0, 0]), model, 4, rng)
    assert choice.seconds[1] == pytest.approx(51.3) and choice.seconds[0] == pytest.approx(1.4)


class Plain:
    """A lab's selector, which knows nothing of budgets."""

    def __call__(self, acquisition, pool, k, rng):
        return Selection(tuple(range(k)), (0.0,) * len(pool), (0.0,) * k)


def test_what_does_not_go_together_is_refused(smooth):
    task = fake_task()
    with pytest.raises(ConfigError, match=r"Plain picks without regard to budgets"):
        Strategy(JointInformation(), Plain(), cost=Seconds()).require(smooth, task, 1, 2)
    with pytest.raises(ConfigError, match="imagination_members"):
        Strategy(UpperConfidenceBound(), TopK()).require(smooth, task, 1, 2)
    Strategy(JointInformation(), Plain(), constraint=ChanceConstraint(0.1)).require(
        smooth, task, 1, 2
    )
