"""How often A against B errs, and how many pairs it needs, looking after every pair.

    python benchmarks/ab.py --out benchmarks/results/ab.json

- errors: 10,000 comparisons each of a policy with itself, of up to 200 pairs: by success, by
  success where some starts are harder than others, by scores; and of one policy with a threshold
  that its mean is. At most 5 % of them may be decided, by whichever rule somebody stops. Beside
  success: how often McNemar's exact test errs for who looks after every pair.
- power: 10,000 comparisons of up to 100 pairs for each pair of success rates, the outcomes of a
  pair independent. Beside them: McNemar's exact test, once, after a number of pairs that was fixed
  before; and fieldtrial's anytime-valid test, on the same outcomes, where it is installed.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

from robo_al.compare import sequential

RUNS, MOST, BUDGET = 10_000, 200, 100
RATES = ((0.6, 0.9), (0.4, 0.9), (0.8, 0.9), (0.6, 0.75))
ENOUGH = 1 / sequential.LEVEL

Draw = Callable[[np.random.Generator], np.ndarray]
"""Draws the outcomes of one comparison."""


def pairs_of(before: float, after: float, pairs: int) -> Draw:
    """Return what draws differences in success of two policies of these rates."""
    return lambda rng: (rng.random(pairs) < after) * 1.0 - (rng.random(pairs) < before)


def hard_and_easy(rng: np.random.Generator) -> np.ndarray:
    """Draw differences in success of two equal policies, on starts of any difficulty."""
    rates = rng.random(MOST)
    return (rng.random(MOST) < rates) * 1.0 - (rng.random(MOST) < rates)


def scores(rng: np.random.Generator) -> np.ndarray:
    """Draw differences of the scores of two equal policies, most of them high."""
    return rng.beta(8, 2, MOST) - rng.beta(8, 2, MOST)


EQUAL: dict[str, tuple[Draw, float, float]] = {
    "success, rates 0.6 and 0.6": (pairs_of(0.6, 0.6, MOST), 0.0, -1.0),
    "success, rates 0.9 and 0.9": (pairs_of(0.9, 0.9, MOST), 0.0, -1.0),
    "success, hard and easy starts": (hard_and_easy, 0.0, -1.0),
    "score, Beta(8, 2)": (scores, 0.0, -1.0),
    "one policy, success, threshold 0.8": (lambda rng: (rng.random(MOST) < 0.8) * 1.0, 0.8, 0.0),
    "one policy, score, threshold 0.8": (lambda rng: rng.beta(8, 2, MOST), 0.8, 0.0),
}
"""Outcomes of which there is nothing to find, their mean, and the least that one can be."""


STOPS = "after every pair", "after every 10", "once, after 100", "as soon as one leads by 3"
"""When somebody looks. The first finds all that can be found: no rule errs more often than it."""


def looks(outcomes: np.ndarray) -> list[np.ndarray]:
    """Return for each of `STOPS` the outcomes [n] after which somebody looks."""
    after = np.arange(1, len(outcomes) + 1)
    leads = np.abs(np.cumsum(np.sign(outcomes))) >= 3
    return [after > 0, after % 10 == 0, after == 100, leads & (np.cumsum(leads) == 1)]


def mcnemar_p_values(most: int) -> np.ndarray:
    """Return the p value of McNemar's exact test [wins, losses]."""
    wins, losses = np.meshgrid(np.arange(most + 1), np.arange(most + 1), indexing="ij")
    return np.minimum(1, 2 * stats.binom.cdf(np.minimum(wins, losses), wins + losses, 0.5))


def decided_at(capital: np.ndarray) -> int:
    """Return after how many outcomes a comparison was decided, 0 for not at all."""
    enough = capital >= ENOUGH
    return int(enough.argmax()) + 1 if enough.any() else 0


def summary(decided: np.ndarray, budget: int) -> dict[str, float]:
    """Return how often and how soon comparisons were decided, of which each has its own row."""
    used = np.where(decided == 0, budget, decided)
    within = {
        f"decided_within_{pairs}": float(((decided > 0) & (decided <= pairs)).mean())
        for pairs in (20, 40, 60, budget)
    }
    return {
        **within,
        "mean_pairs": float(used.mean()),
        "median_pairs": float(np.median(used)),
    }


def mcnemar(before: float, after: float, pairs: int) -> float:
    """Return the power of McNemar's exact test after so many pairs."""
    better, worse = after * (1 - before), before * (1 - after)
    power = 0.0
    for n in range(1, pairs + 1):  # discordant pairs
        wins = np.arange(n + 1)
        p_values = 2 * stats.binom.cdf(np.minimum(wins, n - wins), n, 0.5)
        rejected = stats.binom.pmf(wins, n, better / (better + worse))[p_values <= sequential.LEVEL]
        power += stats.binom.pmf(n, pairs, better + worse) * rejected.sum()
    return float(power)


def fieldtrial() -> Callable[[np.ndarray], int] | None:
    """Return fieldtrial's test, which says after how many differences it decides."""
    try:
        from fieldtrial.stats import capital_process
    except ImportError:
        return None
    # Its own `paired_anytime_test` stops where this exceeds 1 / alpha, and has an interval beside.
    return lambda x: decided_at(capital_process((x + 1) / 2, 0.5, sequential.LEVEL))


def errors(runs: int) -> dict[str, object]:
    """Return how often something was decided where there is nothing to decide."""
    found: dict[str, object] = {}
    p_values = mcnemar_p_values(MOST)
    for seed, (name, (draw, mean, low)) in enumerate(EQUAL.items()):
        rng = np.random.default_rng([1, seed])
        decided, by_mcnemar = np.zeros(len(STOPS), int), 0
        for _ in range(runs):
            outcomes = draw(rng)
            enough = sequential.capital(outcomes, mean, low, 1.0) >= ENOUGH
            decided += [bool((enough & look).any()) for look in looks(outcomes - mean)]
            wins, losses = np.cumsum(outcomes > 0), np.cumsum(outcomes < 0)
            by_mcnemar += bool((p_values[wins, losses] <= sequential.LEVEL).any())
        row: dict[str, object] = {"comparisons": runs}
        row["decided"] = dict(zip(STOPS, decided.tolist(), strict=True))
        if name.startswith("success"):
            row["mcnemar_after_every_pair"] = by_mcnemar
        found[name] = row
        print(name, row, flush=True)
    return found


def power(runs: int) -> list[dict[str, object]]:
    """Return how soon a difference is found, beside what a test at a fixed number finds."""
    rows: list[dict[str, object]] = []
    theirs = fieldtrial()
    for seed, (before, after) in enumerate(RATES):
        rng = np.random.default_rng([2, seed])
        draw = pairs_of(before, after, BUDGET)
        outcomes = [draw(rng) for _ in range(runs)]
        ours = [decided_at(sequential.capital(x, 0.0, -1.0, 1.0)) for x in outcomes]
        row: dict[str, object] = {
            "rates": [before, after],
            "robo_al": summary(np.array(ours), BUDGET),
            "mcnemar_fixed": {pairs: mcnemar(before, after, pairs) for pairs in (20, 40, 60, 100)},
        }
        if theirs is not None:
            row["fieldtrial"] = summary(np.array([theirs(x) for x in outcomes]), BUDGET)
        rows.append(row)
        print(json.dumps(row, indent=1), flush=True)
    return rows


def main() -> None:
    """Run all of it, and write it down."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    found = {"errors": errors(options.runs), "power": power(options.runs)}
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
