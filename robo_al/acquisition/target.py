"""`target_information`: what a rollout tells about how to act well, not about everything.

Trajectory information planning (Mehta et al. 2022, "Exploration via planning for information
about the optimal trajectory"): with tau*_p the trajectory that a planner takes in posterior sample
p, and Sigma_d(X) = I + K_d(X, X) the covariance of what would be observed at the steps X of a
rollout, in units of the noise variance,

    score(X) = sum_d [log det Sigma_d(X) - mean_p log det Sigma_d(X | tau*_p)].

It is twice the mutual information, in nats, between the observations and the optimal trajectory.
"""

from collections import Counter

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.information import noisy_cholesky, require_covariance
from robo_al.acquisition.joint import BlockGain, CandidateSteps, at_least_one
from robo_al.acquisition.scores import first_gains
from robo_al.config.ranges import Width
from robo_al.errors import UserError
from robo_al.protocols import CandidatePool, Model, SupportsCovariance
from robo_al.types import ImaginedRollouts


class TargetInformation:
    """Scores candidates by what they tell about the optimal trajectory (module's docstring).

    tau*_p are the best of the imagined rollouts themselves: in each of the worlds in which they
    were imagined (a member and a start), the one with the highest return; so propose by planning
    in posterior samples. Starts take turns where there are more worlds than `samples`.

    Unlike joint information, a gain may grow while others are added: greedy selection evaluates
    everything before each pick, and has no guarantee.

    Args:
        samples: P, how many optimal trajectories at most.
        steps: m, how many steps at most represent a rollout.

    Raises:
        ConfigError: samples or steps below 1.
    """

    def __init__(self, samples: Width = 8, steps: Width = 25) -> None:
        self.samples = at_least_one("target_information", "samples", samples)
        self.steps = at_least_one("target_information", "steps", steps)

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], averaged over members.

        Raises:
            ConfigError: the model has no covariance.
            UserError: no candidate is finite.
        """
        return first_gains(self.joint(pool), pool)

    def require(self, model: Model, members: int) -> None:
        """Refuse a model without a covariance.

        Raises:
            ConfigError: it has none.
        """
        require_covariance(model, "target_information")

    def joint(self, pool: CandidatePool) -> BlockGain:
        """Return the gain over what is pending, which both terms are conditioned on."""
        known = require_covariance(pool.model, "target_information")
        targets = optimal_trajectories(pool, self.samples)
        conditioned = _GivenTargets(known, _gather(pool.imagined, targets, self.steps))

        def reduction(log_determinants: Tensor) -> Tensor:
            terms = log_determinants.reshape(1 + len(targets), -1, *log_determinants.shape[1:])
            score: Tensor = (terms[0] - terms[1:].mean(0)).sum(0).mean(0)  # of [D, E, n]
            return score

        return BlockGain(conditioned, pool, self.steps, reduction, diminishing=False)


def optimal_trajectories(pool: CandidatePool, samples: int) -> list[tuple[int, int]]:
    """Return at most P imagined rollouts (e, n), each the best of its member and start."""
    imagined = pool.imagined
    returns = imagined.returns.tolist()
    finite = torch.nonzero(pool.eligible)[:, 0].tolist()
    if not finite:
        raise UserError("target_information: no candidate is finite in imagination")
    pairs = [(e, n) for e in range(len(returns)) for n in finite]
    members, starts = imagined.members.tolist(), imagined.observations[:, :, 0].tolist()
    worlds = set()
    ranks: Counter[tuple[float, ...]] = Counter()
    ranked = []
    for e, n in sorted(pairs, key=lambda pair: -returns[pair[0]][pair[1]]):
        start = tuple(starts[e][n])
        if (members[e][n], start) not in worlds:
            worlds.add((members[e][n], start))
            ranked.append((ranks[start], (e, n)))
            ranks[start] += 1
    return [pair for _, pair in sorted(ranked, key=lambda item: item[0])[:samples]]


def _gather(imagined: ImaginedRollouts, pairs: list[tuple[int, int]], m: int) -> CandidateSteps:
    e, n = (list(index) for index in zip(*pairs, strict=True))
    chosen = ImaginedRollouts(
        observations=imagined.observations[e, n][None],
        actions=imagined.actions[e, n][None],
        rewards=imagined.rewards[e, n][None],
        members=imagined.members[e, n][None],
        horizons=imagined.horizons[n],
        mask=imagined.mask[e, n][None],
        finite=imagined.finite[n],
    )
    return CandidateSteps.thinned(chosen, min(m, imagined.mask.shape[-1]))


class _GivenTargets:
    """A model's covariance as it is, and given each of P trajectories: (1 + P) D outputs."""

    def __init__(self, model: SupportsCovariance, targets: CandidateSteps) -> None:
        self._model, self._weights = model, targets.weights[0]  # [P, m]
        self._inputs = targets.observations[0], targets.actions[0]  # [P, m, ...]
        self.covariance_rank = getattr(model, "covariance_rank", None)
        own = model.covariance(self._inputs, self._inputs).to(self._weights)
        weights = self._weights[:, :, None] * self._weights[:, None, :]
        self._factor = noisy_cholesky(own * weights)  # [D, P, m, m]

    def covariance(
        self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]
    ) -> Float[Tensor, "D2 *batch a b"]:
        """Return [(1 + P) D, ..., a, b]: the D outputs as they are, then given each target."""
        plain = self._model.covariance(first, second).to(self._weights)
        left = self._projected(first)
        right = left if first is second else self._projected(second)
        given = plain[..., None, :, :] - left.mT @ right  # [D, ..., P, a, b]
        return torch.cat([plain[None], given.movedim(-3, 0)]).flatten(0, 1)

    def _projected(self, inputs: tuple[Tensor, Tensor]) -> Float[Tensor, "D *batch P m a"]:
        batch = inputs[0].shape[:-2]
        targets = tuple(
            value.flatten(0, 1).expand(*batch, -1, -1).to(other)
            for value, other in zip(self._inputs, inputs, strict=True)
        )
        cross = self._model.covariance((targets[0], targets[1]), inputs).to(self._weights)
        cross = cross * self._weights.flatten()[:, None]
        cross = cross.reshape(*cross.shape[:-2], *self._weights.shape, cross.shape[-1])
        factor = self._factor.reshape(-1, *[1] * len(batch), *self._factor.shape[1:])
        projected: Tensor = torch.linalg.solve_triangular(factor, cross, upper=False)
        return projected
