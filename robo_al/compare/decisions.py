"""Which differences are claimed, over all tasks of a comparison together."""

import itertools
from collections.abc import Iterable

from robo_al.compare.figures import JSON
from robo_al.compare.pairs import least_p

SIGNIFICANCE = 0.05
"""How often, at most, a comparison in which nothing differs claims that something does."""
CLAIMS = {
    "rollouts": ("rollouts_saved", "fewer", "more"),
    "return": ("return_gained", "higher", "lower"),
}
"""Of each test: the interval that has to agree, and what is claimed above 0 and below it."""


def decide(family: Iterable[JSON], planned: int) -> None:
    """Add to each strategy which differences from the reference are claimed, and what decided it.

    Claimed is what Holm's adjusted p value allows (Holm 1979, "A simple sequentially rejective
    multiple test procedure") over all tests of the family, whatever task or figure they are of, and
    what the 95 % interval agrees with. `difference` is one of `fewer`, `more` (rollouts), `ended`
    one of `higher`, `lower` (return); of both, `not found` where it was tested, and null where it
    was not. `seeds_needed` is the fewest seeds with which the strictest test of the family could
    find a difference.

    Args:
        family: the figures of the strategies on all tasks, or of the bounds.
        planned: how many seeds were fixed beforehand; 0 where that is not known.
    """
    family = list(family)
    tested = [(own, name, test) for own in family for name, test in own["tests"].items()]
    tested.sort(key=lambda item: float(item[2]["p"]))
    for own in family:
        own |= {"difference": None, "ended": None, "seeds_needed": None}
    needed = _seeds_needed(sum(test["factor"] for *_, test in tested), planned)
    adjusted = 0.0
    for rank, (own, name, test) in enumerate(tested):
        adjusted = max(adjusted, min(1.0, (len(tested) - rank) * test["p"]))
        test["p_holm"] = adjusted
        interval, above, below = CLAIMS[name]
        low, high = own[interval]["low"], own[interval]["high"]
        claim = "not found"
        if adjusted <= SIGNIFICANCE and low is not None:
            claim = above if low > 0 else (below if high < 0 else claim)
        own["difference" if name == "rollouts" else "ended"] = claim
        own["seeds_needed"] = needed


def _seeds_needed(tests: int, planned: int) -> int | None:
    if not tests:
        return None
    return next(n for n in itertools.count(2) if tests * least_p(n, planned) <= SIGNIFICANCE)
