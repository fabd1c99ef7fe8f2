"""`greedy_return`, `ucb`, `expected_improvement`, `thompson`: by the imagined return.

R_e(i) is the undiscounted return of candidate i played in member e of the model. The members are
the posterior: their spread is what is not known of the return. None of these conditions on what is
pending, because what a pending rollout will return is unknown; a repeat of one comes last.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import after_pending, number_between
from robo_al.config.ranges import NonNegative
from robo_al.errors import ConfigError
from robo_al.protocols import CandidatePool, Model


class GreedyReturn:
    """Scores a candidate by its imagined return, the mean over the E members."""

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in the unit of the reward."""
        return after_pending(pool.imagined.returns.mean(0), pool)


class UpperConfidenceBound:
    """Scores a candidate by mean_e R_e + kappa * standard deviation_e R_e.

    Optimism in the face of uncertainty (Auer 2002, "Using confidence bounds for
    exploitation-exploration trade-offs"; Srinivas et al. 2010). The deviation is that of the E
    members themselves (divided by E, not E - 1), as they stand for the whole posterior.

    Args:
        kappa: standard deviations; 0 is `greedy_return`.

    Raises:
        ConfigError: kappa is negative or not finite.
    """

    def __init__(self, kappa: NonNegative = 1.0) -> None:
        self.kappa = number_between("ucb", "kappa", kappa, 0.0, math.inf)

    def require(self, model: Model, members: int) -> None:
        """Refuse where each candidate is imagined in one member only.

        Raises:
            ConfigError: it is.
        """
        _require_spread("ucb", model, members)

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in the unit of the reward.

        Raises:
            ConfigError: each candidate was imagined in one member only.
        """
        returns = _spread_returns("ucb", pool)
        scores = returns.mean(0) + self.kappa * returns.std(0, correction=0)
        return after_pending(scores, pool)


class ExpectedImprovement:
    """Scores a candidate by mean_e max(R_e - incumbent, 0).

    Mockus 1975, "On Bayesian methods for seeking the extremum"; Jones, Schonlau & Welch 1998,
    "Efficient global optimization". The expectation is over the E members as they are, with no
    normal distribution assumed. The incumbent is the highest mean return, over the members, of all
    candidates and pending rollouts *from the same start*: returns from different starts do not
    compare. A candidate that is worse than the incumbent in every member scores 0.
    """

    def require(self, model: Model, members: int) -> None:
        """Refuse where each candidate is imagined in one member only.

        Raises:
            ConfigError: it is.
        """
        _require_spread("expected_improvement", model, members)

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in the unit of the reward.

        Raises:
            ConfigError: each candidate was imagined in one member only.
        """
        returns = _spread_returns("expected_improvement", pool)
        gain = (returns - _incumbents(pool)).clamp_min(0)
        return after_pending(gain.mean(0), pool)


class Thompson:
    """Ranks candidates in the order in which Thompson sampling would run them.

    Again and again a member of the model is drawn, and the best candidate in it that is not yet
    ranked comes next, so that the selector `top_k` picks a batch of k draws (Thompson 1933;
    Kandasamy et al. 2018, "Parallelised Bayesian optimisation via Thompson sampling"). The first
    scores N, the last 1.

    Candidates compete with those played in the same member only. So candidates that are each
    imagined in one member, the one that their policy planned in, serve as well as candidates
    imagined in all. Where all are imagined in the posterior mean there is nothing to draw, and the
    order is that of `greedy_return`.
    """

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], whole numbers from N down; members are drawn from `rng`."""
        scores = torch.zeros(len(pool), dtype=torch.float64)
        ranking = _interleaved(_rankings(pool), rng)
        scores[ranking] = torch.arange(len(pool), 0, -1, dtype=torch.float64)[: len(ranking)]
        return after_pending(scores.to(pool.eligible.device), pool)


def _require_spread(who: str, model: Model, members: int) -> None:
    if model.members < 2:
        raise ConfigError(
            f"{who} needs the spread of a return over members of the model, and "
            f"{type(model).__name__} has one; use the model gp or ensemble with more members"
        )
    if members < 2:
        raise ConfigError(
            f"{who} needs the spread of a return over members of the model, and each candidate is "
            "imagined in one; set `imagination_members: 4`"
        )


def _spread_returns(who: str, pool: CandidatePool) -> Float[Tensor, "E N"]:
    returns = pool.imagined.returns.to(torch.float64)
    _require_spread(who, pool.model, len(returns))
    return returns


def _incumbents(pool: CandidatePool) -> Float[Tensor, "N"]:
    """Return, for each candidate, the highest mean return from its own start."""
    rollouts, counted = [pool.imagined], [pool.eligible]
    if pool.pending is not None:
        rollouts, counted = [*rollouts, pool.pending], [*counted, pool.pending.finite]
    returns = torch.cat([each.returns.mean(0) for each in rollouts]).to(torch.float64)
    means = torch.where(torch.cat(counted), returns, -torch.inf)
    starts = torch.cat([each.observations[0, :, 0] for each in rollouts])  # alike in all members
    groups: Tensor
    _, groups = torch.unique(starts, dim=0, return_inverse=True)
    best = torch.full_like(means, -torch.inf).scatter_reduce(0, groups, means, "amax")
    return best[groups[: len(pool)]]


def _rankings(pool: CandidatePool) -> list[list[int]]:
    """Return, for each member that candidates were played in, the eligible from worst to best."""
    returns, members, eligible = (
        value.cpu().numpy()
        for value in (pool.imagined.returns, pool.imagined.members, pool.eligible)
    )
    rankings = []
    for member in np.unique(members[:, eligible]):
        e, n = np.nonzero((members == member) & eligible)
        rankings.append(n[np.argsort(-returns[e, n], kind="stable")][::-1].tolist())
    return rankings


def _interleaved(rankings: list[list[int]], rng: np.random.Generator) -> list[int]:
    """Return every candidate once: each the best left in a ranking that is drawn; uses them up."""
    picked: dict[int, None] = {}
    while rankings:
        drawn = int(rng.integers(len(rankings)))
        ranking = rankings[drawn]
        while ranking and ranking[-1] in picked:
            ranking.pop()
        if ranking:
            picked[ranking.pop()] = None
        else:
            rankings.pop(drawn)
    return list(picked)
