"""From an acquisition function to a batch of K: the best ones, or the best *together*.

Every selector here picks one candidate after another, each by what it adds to those before it
(`JointGain`). With predicted seconds it picks twice, by gain and by gain per second, and keeps the
batch with the larger total: where gains are monotone and submodular, the better of the two reaches
at least (1 - 1/e) / 2 of the best batch within the budget, and neither does alone (Leskovec et al.
2007, "Cost-effective outbreak detection in networks").
"""

import copy
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from robo_al.acquisition.scores import first_gains
from robo_al.config.ranges import Positive
from robo_al.errors import ConfigError, ModelError, PluginError, UserError
from robo_al.protocols import Acquisition, CandidatePool, JointGain, SupportsJoint
from robo_al.types import BatchBudget, Selection

FIRST_LOOK = 128
"""Stale gains that are evaluated at once at first; twice as many each time it was not enough."""


NewGain: TypeAlias = Callable[[Float[np.ndarray, "N"]], JointGain]
"""Makes the value of sets, with nothing added yet, of which these are the first gains [N]."""


class GreedySelector:
    """What all selectors here share: they pick one candidate after another, within a budget."""

    without_scores: ClassVar[bool] = False
    """Whether the selector goes without an acquisition function."""
    diminishing: ClassVar[bool] = True
    """Whether a gain never grows while others are added, so that an old one is an upper bound."""
    budget = BatchBudget()

    def within(self, budget: BatchBudget) -> "GreedySelector":
        """Return this selector, keeping to the budget; it may then pick fewer than k."""
        limited = copy.copy(self)
        limited.budget = budget
        return limited

    def __call__(
        self,
        acquisition: Acquisition | None,
        pool: CandidatePool,
        k: int,
        rng: np.random.Generator,
    ) -> Selection:
        """Pick k candidates, in the order of picking; fewer where the budget leaves no more.

        Raises:
            ConfigError: the acquisition function or model is none that this selector can use.
            UserError: fewer than k candidates are eligible, or a gain per second of less than 0.
            PluginError, ModelError: the scores are not [N], or NaN.
        """
        usable = int(pool.eligible.sum())
        if not 0 < k <= usable:
            raise UserError(
                f"{k} candidates are to be selected, and {usable} of {len(pool)} may be; propose "
                "more candidates or select fewer"
            )
        scores, new_gain = self._start(acquisition, pool, rng)
        prices = [None] if self.budget.seconds is None else [None, self.budget.seconds]
        if len(prices) > 1:
            scores = gains_of(scores, acquisition, "cost: a gain per second")
        batches = []
        for price, draw in zip(prices, rng.spawn(len(prices)), strict=True):
            batches.append(self._pick(new_gain(scores), scores.copy(), k, price, draw))
        picks, gains = max(batches, key=lambda batch: sum(batch[1]))  # the first of equals
        return Selection(tuple(picks), tuple(scores.tolist()), tuple(gains))

    def _start(
        self, acquisition: Acquisition | None, pool: CandidatePool, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "N"], NewGain]:
        """Return each candidate's own value, and what makes the value of sets.

        Here a set is worth the sum of what the acquisition function gives for each on its own.
        """
        if acquisition is None:
            raise ConfigError(f"selector {type(self).__name__} needs an acquisition function")
        scores = acquisition(pool, rng)
        return checked_scores(acquisition, scores, pool), Fixed

    def _pick(
        self,
        gain: JointGain,
        bounds: Float[np.ndarray, "N"],
        k: int,
        price: Float[np.ndarray, "N"] | None,
        rng: np.random.Generator,
    ) -> tuple[list[int], list[float]]:
        """Pick by the largest gain (per second); `bounds` are the first gains."""
        picks: list[int] = []
        gains: list[float] = []
        diminishing = self.diminishing and getattr(gain, "diminishing", True)
        fresh = np.full(len(bounds), diminishing)
        free = np.isfinite(bounds)
        while len(picks) < k:
            free &= self._affordable(picks)
            if not free.any():
                break
            look = FIRST_LOOK if diminishing else len(bounds)
            best = self._best(gain, bounds, fresh, free, price, look)
            picks.append(best)
            gains.append(float(bounds[best]))
            free[best] = False
            if len(picks) < k:
                gain.add(best)
                fresh[:] = False
        return picks, gains

    def _best(
        self,
        gain: JointGain,
        bounds: Float[np.ndarray, "N"],
        fresh: Bool[np.ndarray, "N"],
        free: Bool[np.ndarray, "N"],
        price: Float[np.ndarray, "N"] | None,
        size: int,
    ) -> int:
        """Return the best candidate, and bring up to date what must be known for that.

        Lazily (Minoux 1978, "Accelerated greedy algorithms"): only what an old gain puts on top
        is evaluated again. The picks are those of evaluating everything; ties go to the lower
        index.
        """
        while True:
            worth = np.where(free, bounds if price is None else bounds / price, -np.inf)
            best = int(worth.argmax())
            if fresh[best]:
                return best
            stale = np.flatnonzero(free & ~fresh)
            if len(stale) > size:
                stale = np.sort(stale[np.argpartition(-worth[stale], size - 1)[:size]])
            bounds[stale] = _numbers(gain.gains(stale.tolist()))
            fresh[stale] = True
            size *= 2

    def _affordable(self, picks: Sequence[int]) -> Bool[np.ndarray, "N"] | bool:
        """Return which candidates the budget still allows beside those picked."""
        allowed: NDArray[np.bool_] | bool = True
        for use, total in (
            (self.budget.seconds, self.budget.total_seconds),
            (self.budget.risks, self.budget.total_risk),
        ):
            if use is not None:  # a rounding error must not forbid what exactly fits
                allowed &= use[list(picks)].sum() + use <= total * (1 + 1e-9)
        return allowed


class TopK(GreedySelector):
    """Picks the k candidates with the highest scores; ties go to the lower index."""


class GreedyJoint(GreedySelector):
    """Picks one candidate after another, each the one that adds most to those before it."""

    def _start(
        self, acquisition: Acquisition | None, pool: CandidatePool, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "N"], NewGain]:
        if not isinstance(acquisition, SupportsJoint):
            raise ConfigError(
                f"selector greedy_joint: {type(acquisition).__name__} scores candidates one by "
                "one (it has no `joint`); use the selector top_k"
            )
        joint = acquisition.joint
        unused = [joint(pool)]  # what it took to make is not done again
        scores = checked_scores(acquisition, first_gains(unused[0], pool), pool)
        return scores, lambda _: unused.pop() if unused else joint(pool)


class Stochastic(GreedySelector):
    """Draws k candidates without replacement, each with probability ~ score^(1 / temperature).

    Adding Gumbel noise to log(score) / temperature and taking the k largest is the same draw
    (Kirsch et al. 2023, "Stochastic batch acquisition"): diverse without a model of diversity.

    Args:
        temperature: towards 0 it is `top_k`, towards infinity uniform.

    Raises:
        ConfigError: a temperature that is not above 0.
    """

    def __init__(self, temperature: Positive = 1.0) -> None:
        if not temperature > 0:
            raise ConfigError(f"stochastic: temperature is {temperature}; it must be above 0")
        self.temperature = temperature

    def _start(
        self, acquisition: Acquisition | None, pool: CandidatePool, rng: np.random.Generator
    ) -> tuple[Float[np.ndarray, "N"], NewGain]:
        scores, new_gain = super()._start(acquisition, pool, rng)
        gains_of(scores, acquisition, "stochastic: the logarithm of a score")
        return scores, new_gain

    def _pick(
        self,
        gain: JointGain,
        bounds: Float[np.ndarray, "N"],
        k: int,
        price: Float[np.ndarray, "N"] | None,
        rng: np.random.Generator,
    ) -> tuple[list[int], list[float]]:
        worth = bounds if price is None else bounds / price
        finite = np.isfinite(worth)
        logs = np.log(
            np.maximum(worth, np.finfo(float).tiny), where=finite, out=np.zeros_like(worth)
        )
        noisy = np.where(finite, logs / self.temperature + rng.gumbel(size=len(worth)), -np.inf)
        picks, _ = super()._pick(Fixed(noisy), noisy.copy(), k, None, rng)
        return picks, [float(bounds[i]) for i in picks]


class Fixed:
    """The value of a set whose members do not change one another's: the sum of their scores."""

    def __init__(self, scores: Float[np.ndarray, "N"]) -> None:
        self._scores = torch.as_tensor(scores)

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return the scores of n candidates."""
        return self._scores[list(indices)]

    def add(self, index: int) -> None:
        """Change nothing."""


def gains_of(scores: Float[np.ndarray, "N"], acquisition: object, who: str) -> NDArray[np.float64]:
    """Return scores as gains, of which none that is finite is below 0.

    Raises:
        UserError: none of them is above 0: they are no gains.
    """
    if not (scores > 0).any():
        raise UserError(
            f"{who} needs scores above 0, and {type(acquisition).__name__} gives none; use an "
            "acquisition function in nats or variances"
        )
    return np.where(np.isfinite(scores), np.maximum(scores, 0), -np.inf)


def checked_scores(scorer: object, scores: Tensor, pool: CandidatePool) -> Float[np.ndarray, "N"]:
    """Return scores [N] as an array, minus infinity where a candidate must not be picked.

    Raises:
        PluginError: they are not [N].
        ModelError: one is NaN or infinite although the candidate is eligible.
    """
    name = type(scorer).__name__
    if scores.shape != (len(pool),):
        raise PluginError(
            f"{name}: scores of shape {tuple(scores.shape)} for {len(pool)} "
            "candidates; return one score for each"
        )
    values, eligible = _numbers(scores), pool.eligible.cpu().numpy()
    wrong = np.flatnonzero(eligible & ~np.isfinite(values))
    if len(wrong):
        raise ModelError(
            f"{name}: the score of candidate {wrong[0]} is {values[wrong[0]]}, "
            "although it is finite in imagination"
        )
    return np.where(eligible, values, -np.inf)


def _numbers(values: Tensor) -> Float[np.ndarray, "n"]:
    return values.detach().to("cpu", torch.float64).numpy()
