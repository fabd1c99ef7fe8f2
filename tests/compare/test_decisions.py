"""No more is claimed than is true, on data whose truth is known: false claims are counted."""

import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

from robo_al.compare.answers import claims
from robo_al.compare.decisions import decide
from robo_al.compare.pairs import judged, least_p

SEEDS = np.arange(30)


def strategy(differences: np.ndarray, planned: Iterable[int], factor: int = 1) -> dict[str, Any]:
    """Return a strategy that saved so many rollouts; its interval agrees with any claim."""
    mean = float(differences.mean())
    interval = {"value": mean, "low": mean, "high": mean}
    test = judged(differences, SEEDS[: len(differences)], tuple(planned), factor)
    return {"tests": {"rollouts": test}, "rollouts_saved": interval}


def claimed(family: list[dict[str, Any]], planned: int) -> bool:
    """Return whether anything is claimed of any of the strategies."""
    decide(family, planned)
    return any(claims(own) for own in family)


@pytest.mark.parametrize("planned", [0, 10])
def test_six_tasks_and_two_strategies_without_a_difference_are_one_family(planned: int) -> None:
    rng, comparisons = np.random.default_rng(0), 100
    wrong = 0
    for _ in range(comparisons):
        saved = np.round(rng.normal(scale=2, size=(12, 10)))
        wrong += claimed([strategy(each, range(planned)) for each in saved], planned)
    assert wrong / comparisons <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / comparisons)


def test_all_pairs_of_strategies_that_do_not_differ_are_one_family() -> None:
    rng, comparisons = np.random.default_rng(3), 100
    wrong = 0
    for _ in range(comparisons):
        needed = np.round(rng.normal(scale=2, size=(5, 10)))
        pairs = itertools.combinations(needed, 2)
        wrong += claimed([strategy(other - own, range(10)) for own, other in pairs], 10)
    assert wrong / comparisons <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / comparisons)


def test_making_the_budget_larger_until_something_shows_helps_no_more_than_is_said() -> None:
    rng, comparisons = np.random.default_rng(4), 300
    wrong = []
    for _ in range(comparisons):  # at worst, what a larger budget shows is something else
        saved = np.round(rng.normal(scale=2, size=(4, 10)))
        looks = enumerate(saved)
        wrong.append([claimed([strategy(each, range(10), 2**i)], 10) for i, each in looks])
    ever, last = np.any(wrong, axis=1).mean(), np.mean(wrong, axis=0)[-1]
    assert ever <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / comparisons)
    assert last <= 0.05 / 8 + 2 * np.sqrt(0.05 / 8 / comparisons)


@pytest.mark.parametrize("planned", [0, 8])
def test_adding_seeds_until_something_shows_does_not_help(planned: int) -> None:
    rng, comparisons = np.random.default_rng(1), 100
    wrong = 0
    for _ in range(comparisons):
        saved = np.round(rng.normal(scale=2, size=30))
        looks = (claimed([strategy(saved[:n], range(planned))], planned) for n in range(5, 31, 3))
        wrong += any(looks)
    assert wrong / comparisons <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / comparisons)


def test_a_difference_is_found_with_the_seeds_that_were_planned() -> None:
    rng, comparisons = np.random.default_rng(2), 50
    found = 0
    for _ in range(comparisons):
        saved = rng.normal(1.5, 1, size=10)
        found += claimed([strategy(saved, range(10))], 10)
    assert found / comparisons > 0.9


def test_an_interval_that_holds_0_is_no_claim() -> None:
    own = strategy(np.ones(10), ())
    own["rollouts_saved"] = {"value": 1.0, "low": -0.1, "high": 2.0}
    assert not claimed([own], 0)
    own["rollouts_saved"] = {"value": 1.0, "low": None, "high": None}
    assert not claimed([own], 0)


@pytest.mark.parametrize("planned", [0, 6, 20])
@pytest.mark.parametrize("tests", [1, 12])
def test_seeds_needed_are_the_fewest_that_could_tell(planned: int, tests: int) -> None:
    family = [strategy(np.ones(5), range(min(planned, 5))) for _ in range(tests)]
    decide(family, planned)
    needed = family[0]["seeds_needed"]
    assert tests * least_p(needed, planned) <= 0.05 < tests * least_p(needed - 1, planned)
    alike = [strategy(np.ones(needed), range(min(planned, needed))) for _ in range(tests)]
    assert claimed(alike, planned)
