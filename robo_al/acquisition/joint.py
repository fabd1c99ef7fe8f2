"""`joint_information`: what a rollout tells that those already chosen do not.

With K_d the posterior covariance between steps in units of the noise variance (conditioning needs
only where a rollout goes, not what it will observe, so pending rollouts count like recorded ones),
a candidate i with the steps X_i adds to a set S

    G(i | S) = sum_d 1/2 log det(I_m + K_d[i, i | S]),
    K[i, i | S] = K[i, i] - K[i, S] (I + K[S, S])^-1 K[S, i]

nats of information about the dynamics. The gain of a set is monotone and submodular, so greedy
selection reaches at least 1 - 1/e of the best batch (Krause, Singh & Guestrin 2008, "Near-optimal
sensor placements in Gaussian processes").
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.information import log_determinant, noisy_cholesky, require_covariance
from robo_al.acquisition.scores import only_finite
from robo_al.errors import ConfigError
from robo_al.protocols import Model, SupportsCovariance
from robo_al.types import ImaginedRollouts

logger = logging.getLogger("robo_al")

CHUNK = 64
"""Candidates whose blocks are computed at once: bounds the memory, changes no result."""


@dataclass(frozen=True)
class Steps:
    """R rollouts, each represented by m of its steps."""

    observations: Float[Tensor, "E R m O"]
    actions: Float[Tensor, "E R m A"]
    weights: Float[Tensor, "R m"]
    """1, or 0 where a rollout has fewer than m steps."""

    @classmethod
    def thinned(cls, imagined: ImaginedRollouts, m: int) -> "Steps":
        """Take at most m steps of every rollout, evenly spaced from its first to its last."""
        lengths = imagined.mask.sum(-1).long()[:, None]
        position = torch.arange(m, device=lengths.device)
        taken = lengths.clamp_max(m)
        spacing = (lengths - 1) / (taken - 1).clamp_min(1)
        index = torch.where(position < taken, (position * spacing).round().long(), 0)
        rows = torch.arange(len(lengths), device=lengths.device)[:, None]
        observations, actions = imagined.inputs
        return cls(
            observations[:, rows, index],
            actions[:, rows, index],
            (position < taken).to(torch.float64),
        )

    def followed_by(self, other: "Steps") -> "Steps":
        """Return these rollouts and those of another, whose E is the same or 1."""
        shape = (len(self.observations), -1, -1, -1)
        pairs = (
            (self.observations, other.observations.expand(shape)),
            (self.actions, other.actions.expand(shape)),
        )
        observations, actions = (torch.cat([a, b.to(a)], dim=1) for a, b in pairs)
        return Steps(observations, actions, torch.cat([self.weights, other.weights]))


class PosteriorBlocks:
    """Covariance blocks of rollouts given a growing set S of them, each in its own member.

    (I + K[S, S]) = L L' grows by one block row for each rollout added; a rollout's own block
    K[i, i | S] = K[i, i] - V V', with V = K[i, S] L'^-1, is brought up to date when it is asked
    for, and only by what was added since.
    """

    def __init__(self, model: SupportsCovariance, steps: Steps) -> None:
        self._model, self._steps = model, steps
        self._added: list[int] = []
        self._factor: Tensor | None = None  # L [D, E, S m, S m]
        self._known: dict[int, tuple[Tensor | None, Tensor]] = {}  # V' [D, E, S m, m] and block

    def log_determinants(self, rollouts: Sequence[int]) -> Float[Tensor, "D E n"]:
        """Return log det(I + K[i, i | S]) of n rollouts."""
        if len(rollouts) == 1:
            blocks = self._up_to_date(rollouts[0])[1]
        else:
            blocks = self._condition(rollouts, None, self._own_blocks(rollouts))[1]
        return log_determinant(noisy_cholesky(blocks))

    def add(self, rollout: int) -> None:
        """Add one rollout to S."""
        projected, block = self._up_to_date(rollout)
        corner = noisy_cholesky(block[:, :, 0])
        if projected is None or self._factor is None:
            self._factor = corner
        else:
            above = projected.new_zeros(projected.shape)
            left = torch.cat([self._factor, projected.mT], dim=-2)
            self._factor = torch.cat([left, torch.cat([above, corner], dim=-2)], dim=-1)
        self._added.append(rollout)

    def _up_to_date(self, rollout: int) -> tuple[Tensor | None, Tensor]:
        known = self._known.get(rollout) or (None, self._own_blocks([rollout]))
        self._known[rollout] = self._condition([rollout], *known)
        return self._known[rollout]

    def _own_blocks(self, rollouts: Sequence[int]) -> Float[Tensor, "D E n m m"]:
        inputs = self._steps.observations[:, rollouts], self._steps.actions[:, rollouts]
        weights = self._steps.weights[rollouts]
        blocks = self._model.covariance(inputs, inputs).to(weights)
        return blocks * weights[:, :, None] * weights[:, None, :]

    def _cross(self, first: Sequence[int], second: Sequence[int]) -> Float[Tensor, "D E a b"]:
        """Return the covariance of all steps of some rollouts with all of some others."""

        def flat(rollouts: Sequence[int]) -> tuple[Tensor, Tensor]:
            steps = self._steps
            inputs = steps.observations[:, rollouts], steps.actions[:, rollouts]
            return inputs[0].flatten(1, 2), inputs[1].flatten(1, 2)

        weights = self._steps.weights
        covariance = self._model.covariance(flat(first), flat(second)).to(weights)
        return covariance * weights[first].flatten()[:, None] * weights[second].flatten()

    def _condition(
        self, rollouts: Sequence[int], projected: Tensor | None, blocks: Tensor
    ) -> tuple[Tensor | None, Tensor]:
        """Condition blocks [D,E,n,m,m], known up to V' [D,E,s,n m], on what was added since."""
        done = 0 if projected is None else projected.shape[-2]
        m = blocks.shape[-1]
        new = self._added[done // m :]
        if self._factor is None or not new:
            return projected, blocks
        rows = self._cross(new, rollouts)
        if projected is not None:
            rows = rows - self._factor[..., done:, :done] @ projected
        rows = torch.linalg.solve_triangular(self._factor[..., done:, done:], rows, upper=False)
        shares = rows.unflatten(-1, (len(rollouts), m)).movedim(-2, -3)  # [D, E, n, s, m]
        projected = rows if projected is None else torch.cat([projected, rows], dim=-2)
        return projected, blocks - shares.mT @ shares


class BlockGain:
    """The value of a growing set of candidates, from the log determinants of their blocks.

    Args:
        model: knows joint covariances.
        imagined: the N candidates.
        pending: rollouts that will be recorded too, or None.
        m: steps at most that represent a rollout.
        value: from log determinants [D,E,n] to gains [n].
    """

    def __init__(
        self,
        model: SupportsCovariance,
        imagined: ImaginedRollouts,
        pending: ImaginedRollouts | None,
        m: int,
        value: Callable[[Tensor], Tensor],
    ) -> None:
        others = [] if pending is None else [pending]
        m = min(m, max(rollouts.mask.shape[-1] for rollouts in (imagined, *others)))
        steps = Steps.thinned(imagined, m)
        for other in others:
            steps = steps.followed_by(Steps.thinned(other, m))
        self._imagined, self._value, self._m = imagined, value, m
        self._blocks = PosteriorBlocks(model, steps)
        self._rank: int | None = getattr(model, "covariance_rank", None)
        self._added = 0
        for other in others:
            for index in torch.nonzero(other.finite)[:, 0].tolist():
                self.add(len(imagined) + index)

    def gain(self, index: int) -> float:
        """Return what candidate `index` adds to those already added."""
        return float(self._value(self._blocks.log_determinants([index]))[0])

    def add(self, index: int) -> None:
        """Add candidate `index`; says so when the set outgrows the rank of the model."""
        self._blocks.add(index)
        self._added += 1
        if self._rank and (self._added - 1) * self._m <= 2 * self._rank < self._added * self._m:
            logger.warning(
                "joint information: %d rollouts of %d steps are far more than the %d features "
                "by which the model tells steps apart; take fewer steps or rollouts",
                self._added,
                self._m,
                self._rank,
            )

    def scores(self) -> Float[Tensor, "N"]:
        """Return the gain of every candidate that is finite, minus infinity for the others."""
        imagined = self._imagined
        scores = torch.zeros(len(imagined), dtype=torch.float64, device=imagined.finite.device)
        finite = torch.nonzero(imagined.finite)[:, 0].tolist()
        for start in range(0, len(finite), CHUNK):
            chunk = finite[start : start + CHUNK]
            scores[chunk] = self._value(self._blocks.log_determinants(chunk)).to(scores)
        return only_finite(scores, imagined)


class JointInformation:
    """Scores sets of candidates by G(i | S) of the module's docstring, averaged over members.

    Args:
        steps: m, how many steps at most represent a rollout; fewer make a lower bound.

    Raises:
        ConfigError: steps below 1.
    """

    def __init__(self, steps: int = 25) -> None:
        self.steps = at_least_one("joint_information", "steps", steps)

    def __call__(
        self,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        rng: np.random.Generator,
    ) -> Float[Tensor, "N"]:
        """Return scores [N] in nats: the gain of each candidate over `pending` alone.

        Raises:
            ConfigError: the model has no covariance.
            ModelError: its covariance is no covariance.
        """
        return self.joint(imagined, model, pending).scores()

    def joint(
        self, imagined: ImaginedRollouts, model: Model, pending: ImaginedRollouts | None
    ) -> BlockGain:
        """Return the gain over `pending`, with nothing added yet."""
        known = require_covariance(model, "joint_information")

        def nats(log_determinants: Tensor) -> Tensor:
            total: Tensor = log_determinants.sum(0).mean(0)
            return total / 2

        return BlockGain(known, imagined, pending, self.steps, nats)


def at_least_one(who: str, name: str, value: object) -> int:
    """Return a parameter that counts something.

    Raises:
        ConfigError: it is no whole number above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{who}: {name} is {value!r}; it must be a whole number of at least 1")
    return value
