"""`epig`: the cheap surrogate of `target_information`, one step against one step.

Expected predictive information gain (Bickford Smith et al. 2023, "Prediction-oriented Bayesian
active learning"): what observing a step x tells about what would be observed at a step x* that
matters, here one of those of the optimal trajectories tau*_p. With k the posterior covariance in
units of the noise variance, given everything recorded and pending, and s2 = k + 1,

    score(X) = sum_{x in X} sum_d E_x* 1/2 log[s2(x) s2(x*) / (s2(x) s2(x*) - k(x, x*)^2)].

Steps of a rollout count as if they were independent, and so do rollouts of a batch.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.information import noisy_cholesky, require_covariance
from robo_al.acquisition.joint import CandidateSteps, at_least_one
from robo_al.acquisition.scores import chunks, only_eligible
from robo_al.acquisition.target import optimal_trajectories
from robo_al.config.ranges import Width
from robo_al.protocols import CandidatePool, Model, SupportsCovariance

Inputs = tuple[Tensor, Tensor]
"""Observations [E,a,O] and actions [E,a,A] of a steps in each member."""
Pending = tuple[Tensor, Tensor, Tensor]
"""The same of r steps, and which of them are taken in each member [E,r]: 1 or 0."""


class ExpectedPredictiveInformation:
    """Scores candidates by the formula of the module's docstring, averaged over members.

    The tau*_p are the best of the imagined rollouts, as for `target_information`; all their steps
    count alike.

    Args:
        samples: P, how many optimal trajectories at most.
        steps: m, how many steps at most represent a rollout.

    Raises:
        ConfigError: samples or steps below 1.
    """

    def __init__(self, samples: Width = 8, steps: Width = 25) -> None:
        self.samples = at_least_one("epig", "samples", samples)
        self.steps = at_least_one("epig", "steps", steps)

    def require(self, model: Model, members: int) -> None:
        """Refuse a model without a covariance.

        Raises:
            ConfigError: it has none.
        """
        require_covariance(model, "epig")

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in nats.

        Raises:
            ConfigError: the model has no covariance.
            UserError: no candidate is finite.
            ModelError: its covariance is no covariance.
        """
        known, imagined = require_covariance(pool.model, "epig"), pool.imagined
        steps = CandidateSteps.thinned(imagined, min(self.steps, imagined.mask.shape[-1]))
        targets = _Targets(
            known,
            _optimal_steps(pool, steps, self.samples),
            _pending_steps(pool, self.steps),
        )
        parts = []
        for part in chunks(imagined):
            nats = targets.information(steps.observations[:, part], steps.actions[:, part])
            parts.append((nats * steps.weights[:, part]).sum(-1).mean(0))
        return only_eligible(torch.cat(parts), pool)


class _Targets:
    """The steps x*, a of them, as they are known given r steps of pending rollouts.

    (I + K) = L L' of the pending steps; V = K[., pending] L'^-1 is what they tell about others.
    """

    def __init__(self, model: SupportsCovariance, targets: Inputs, pending: Pending) -> None:
        self._model = model
        *steps, taken = pending
        self._pending = r = taken.shape[1]
        observations, actions = (
            torch.cat([one.to(two), two], dim=1) for one, two in zip(steps, targets, strict=True)
        )
        self._others = observations, actions
        self._taken = torch.cat([taken, taken.new_ones(targets[0].shape[:2])], dim=1)
        own = self._covariance(self._others, self._others)
        own = own * self._taken[..., :, None] * self._taken[..., None, :]
        self._factor = noisy_cholesky(own[..., :r, :r])
        self._known: Tensor = torch.linalg.solve_triangular(  # V' [D, E, r, a]
            self._factor, own[..., :r, r:], upper=False
        )
        variance = 1 + own.diagonal(dim1=-2, dim2=-1)[..., r:]
        self._variance = variance - self._known.square().sum(-2)  # s2(x*) [D, E, a]

    def information(
        self, observations: Float[Tensor, "E n m O"], actions: Float[Tensor, "E n m A"]
    ) -> Float[Tensor, "E n m"]:
        """Return what observing each step tells about a target, the mean over targets, in nats."""
        rollouts = observations, actions
        variance = 1 + self._covariance(rollouts, rollouts).diagonal(dim1=-2, dim2=-1).flatten(-2)
        steps = observations.flatten(1, 2), actions.flatten(1, 2)
        cross = self._covariance(steps, self._others) * self._taken[..., None, :]
        known = torch.linalg.solve_triangular(  # of cross [D, E, n m, r + a]
            self._factor, cross[..., : self._pending].mT, upper=False
        )
        variance = variance - known.square().sum(-2)
        covariance = cross[..., self._pending :] - known.mT @ self._known
        product = variance[..., :, None] * self._variance[..., None, :]
        nats = -0.5 * torch.log1p(-covariance.square() / product).mean(-1).sum(0)
        return nats.reshape(observations.shape[:-1])

    def _covariance(self, first: Inputs, second: Inputs) -> Tensor:
        return self._model.covariance(first, second).to(torch.float64)


def _optimal_steps(pool: CandidatePool, steps: CandidateSteps, samples: int) -> Inputs:
    """Return the valid steps of the optimal trajectories [E,a,...], alike in all members."""
    e, n = (list(index) for index in zip(*optimal_trajectories(pool, samples), strict=True))
    valid, shape = steps.weights[e, n].bool(), (len(pool.imagined.members), -1, -1)
    return steps.observations[e, n][valid].expand(shape), steps.actions[e, n][valid].expand(shape)


def _pending_steps(pool: CandidatePool, most: int) -> Pending:
    """Return the steps of pending rollouts that any member takes; none of what is not finite."""
    imagined, pending = pool.imagined, pool.pending
    if pending is None:
        taken = imagined.mask.new_empty(len(imagined.members), 0, dtype=torch.float64)
        return imagined.observations[:, 0, :0], imagined.actions[:, 0, :0], taken
    steps = CandidateSteps.thinned(pending, min(most, pending.mask.shape[-1]))
    valid = (steps.weights > 0).any(0) & pending.finite[:, None]
    observations, actions, taken = (
        values[:, valid].expand(len(imagined.members), *values[0, valid].shape)
        for values in (steps.observations, steps.actions, steps.weights)
    )
    return observations, actions, taken
