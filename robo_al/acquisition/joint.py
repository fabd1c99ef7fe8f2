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
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.acquisition.information import log_determinant, noisy_cholesky, require_covariance
from robo_al.acquisition.scores import first_gains
from robo_al.config.ranges import Width
from robo_al.errors import ConfigError
from robo_al.protocols import CandidatePool, Model, SupportsCovariance, SupportsFeatures
from robo_al.types import ImaginedRollouts

logger = logging.getLogger("robo_al")

SMALL = 64
"""Rollouts for which it does not pay to sort them."""


@dataclass(frozen=True)
class CandidateSteps:
    """R rollouts, each represented by m of its steps."""

    observations: Float[Tensor, "E R m O"]
    actions: Float[Tensor, "E R m A"]
    weights: Float[Tensor, "E R m"]
    """1, or 0 where a rollout has fewer than m steps."""

    @classmethod
    def thinned(cls, imagined: ImaginedRollouts, m: int) -> "CandidateSteps":
        """Take at most m steps of every rollout, evenly spaced from its first to its last."""
        if m == imagined.mask.shape[-1]:
            return cls(*imagined.inputs, imagined.mask.to(torch.float64))
        lengths = imagined.mask.sum(-1).long()[..., None]
        position = torch.arange(m, device=lengths.device)
        taken = lengths.clamp_max(m)
        spacing = (lengths - 1) / (taken - 1).clamp_min(1)
        index = torch.where(position < taken, (position * spacing).round().long(), 0)
        observations, actions = (
            values.gather(2, index[..., None].expand(-1, -1, -1, values.shape[-1]))
            for values in imagined.inputs
        )
        return cls(observations, actions, (position < taken).to(torch.float64))

    @classmethod
    def of(cls, pool: CandidatePool, m: int) -> "CandidateSteps":
        """Take at most m steps of each candidate, and of each pending rollout after them."""
        imagined, pending = pool.imagined, pool.pending
        others = [] if pending is None else [pending]
        m = min(m, max(rollouts.mask.shape[-1] for rollouts in (imagined, *others)))
        steps = cls.thinned(imagined, m)
        for other in others:
            steps = steps.followed_by(cls.thinned(other, m))
        return steps

    def followed_by(self, other: "CandidateSteps") -> "CandidateSteps":
        """Return these rollouts and those of another, whose E is the same or 1."""
        pairs = (
            (self.observations, other.observations),
            (self.actions, other.actions),
            (self.weights, other.weights),
        )
        members = len(self.observations)
        return CandidateSteps(
            *(torch.cat([a, b.expand(members, *b.shape[1:]).to(a)], dim=1) for a, b in pairs)
        )


class PosteriorBlocks:
    """Covariance blocks of rollouts given a growing set S of them, each in its own member.

    (I + K[S, S]) = L L' grows by one block row for each rollout added, and a rollout's own block is
    K[i, i | S] = K[i, i] - V V', with V = K[i, S] L'^-1.
    """

    chunk = 64
    """Rollouts whose blocks are computed at once: bounds the memory, changes no result."""

    def __init__(self, model: SupportsCovariance, steps: CandidateSteps) -> None:
        self._model, self._steps = model, steps
        self._added: list[int] = []
        self._factor: Tensor | None = None  # L [D, E, S m, S m]

    def log_determinants(self, rollouts: Sequence[int]) -> Float[Tensor, "D E n"]:
        """Return log det(I + K[i, i | S]) of n rollouts."""
        return log_determinant(noisy_cholesky(self._given(rollouts)[1]))

    def add(self, rollout: int) -> None:
        """Add one rollout to S."""
        projected, block = self._given([rollout])
        corner = noisy_cholesky(block[:, :, 0])
        if projected is None or self._factor is None:
            self._factor = corner
        else:
            above = projected.new_zeros(projected.shape)
            left = torch.cat([self._factor, projected.mT], dim=-2)
            self._factor = torch.cat([left, torch.cat([above, corner], dim=-2)], dim=-1)
        self._added.append(rollout)

    def _given(self, rollouts: Sequence[int]) -> tuple[Tensor | None, Float[Tensor, "D E n m m"]]:
        """Return V' [D,E,S m,n m] and the blocks given S."""
        inputs = self._steps.observations[:, rollouts], self._steps.actions[:, rollouts]
        weights = self._steps.weights[:, rollouts]
        blocks = self._model.covariance(inputs, inputs).to(weights)
        blocks = blocks * weights[..., :, None] * weights[..., None, :]
        if self._factor is None:
            return None, blocks
        rows = self._cross(self._added, rollouts)
        rows = torch.linalg.solve_triangular(self._factor, rows, upper=False)
        shares = rows.reshape(*rows.shape[:-1], *weights.shape[1:]).movedim(-2, -3)
        return rows, blocks - shares.mT @ shares  # shares [D, E, n, S m, m]

    def _cross(self, first: Sequence[int], second: Sequence[int]) -> Float[Tensor, "D E a b"]:
        """Return the covariance of all steps of some rollouts with all of some others."""

        def flat(rollouts: Sequence[int]) -> tuple[Tensor, Tensor]:
            steps = self._steps
            inputs = steps.observations[:, rollouts], steps.actions[:, rollouts]
            return inputs[0].flatten(1, 2), inputs[1].flatten(1, 2)

        one, two = (self._steps.weights[:, rollouts].flatten(1) for rollouts in (first, second))
        covariance = self._model.covariance(flat(first), flat(second)).to(one)
        return covariance * one[..., :, None] * two[..., None, :]


class FeatureBlocks:
    """The same blocks for a model that is linear in features, made for large pools.

    K[i, i] = phi_i P phi_i'. Adding a rollout p takes the rank-m term C C' from every block, with
    C = phi_i V and V = P_S phi_p' (chol(I + K[p, p | S])')^-1 [F, m]. Each rollout's block is
    brought up to date when it is asked for, by what was added since it was asked for last.
    """

    chunk = 2048
    """As in `PosteriorBlocks`."""

    def __init__(self, model: SupportsFeatures, steps: CandidateSteps) -> None:
        posterior = model.feature_posterior()  # [D, F, F]
        members, rollouts, m = steps.weights.shape
        self._features = posterior.new_empty(members, rollouts, m, posterior.shape[-1])
        self._blocks = posterior.new_empty(len(posterior), members, rollouts, m, m)
        weights = steps.weights.to(posterior)[..., None]
        for start in range(0, rollouts, self.chunk):
            part = slice(start, start + self.chunk)
            phi = self._features[:, part]  # [E, n, m, F]
            inputs = steps.observations[:, part], steps.actions[:, part]
            torch.mul(model.features(*inputs).to(posterior), weights[:, part], out=phi)
            weighed = (phi.flatten(0, 2) @ posterior).reshape(-1, *phi.shape)  # [D, E, n, m, F]
            self._blocks[:, :, part] = weighed @ phi.mT
        self._posterior = posterior
        self._directions: list[Tensor] = []  # V [D, E, F, m] of each rollout added
        self._seen = torch.zeros(rollouts, dtype=torch.long, device=posterior.device)

    def log_determinants(self, rollouts: Sequence[int]) -> Float[Tensor, "D E n"]:
        """Return log det(I + K[i, i | S]) of n rollouts."""
        index = torch.as_tensor(rollouts, device=self._seen.device)
        if len(rollouts) <= SMALL:
            return log_determinant(noisy_cholesky(self._given(index)))
        # Those seen last at about the same time together: little is computed that is known.
        order = self._seen[index].argsort()
        values = [
            log_determinant(noisy_cholesky(self._given(index[part]))) for part in order.chunk(4)
        ]
        result = torch.cat(values, -1)
        result[..., order] = result.clone()
        return result

    def add(self, rollout: int) -> None:
        """Add one rollout to S."""
        index = torch.tensor([rollout], device=self._seen.device)
        factor = noisy_cholesky(self._given(index)[:, :, 0])  # [D, E, m, m]
        phi = self._features[:, rollout]
        spread = (phi @ self._posterior[:, None]).mT  # P phi' [D, E, F, m]
        if self._directions:
            known = torch.cat(self._directions, -1)
            spread = spread - known @ (phi @ known).mT
        direction = torch.linalg.solve_triangular(factor, spread.mT, upper=False).mT
        self._directions.append(direction)

    def _given(self, index: Int[Tensor, "n"]) -> Float[Tensor, "D E n m m"]:
        """Bring n rollouts' blocks up to date and return them."""
        blocks = self._blocks.index_select(2, index)
        seen = self._seen[index]
        first = int(seen.min())
        if first == len(self._directions):
            return blocks
        phi, m = self._features.index_select(1, index), blocks.shape[-1]
        directions = torch.cat(self._directions[first:], -1)  # [D, E, F, s m]
        width = directions.shape[-1]
        # outputs beside one another: a broadcast product would copy the features for each
        wide = directions.permute(1, 2, 0, 3).flatten(2)  # [E, F, D s m]
        shares = (phi.flatten(1, 2) @ wide).reshape(*phi.shape[:-1], -1, width).movedim(-2, 0)
        order = torch.arange(width, device=seen.device) // m + first
        shares = shares * (order >= seen[:, None])[:, None].to(shares)
        blocks = blocks - shares @ shares.mT
        self._blocks.index_copy_(2, index, blocks)
        self._seen[index] = len(self._directions)
        return blocks


class BlockGain:
    """The value of a growing set of candidates, from the log determinants of their blocks.

    Args:
        model: knows joint covariances.
        pool: of the N candidates.
        m: steps at most that represent a rollout.
        value: from log determinants [D,E,n] to gains [n].
        diminishing: whether no gain grows while others are added, so that old ones are bounds.
    """

    def __init__(
        self,
        model: SupportsCovariance,
        pool: CandidatePool,
        m: int,
        value: Callable[[Tensor], Tensor],
        diminishing: bool = True,
    ) -> None:
        steps = CandidateSteps.of(pool, m)
        self._value, self._m = value, steps.weights.shape[-1]
        self.diminishing = diminishing
        self._blocks: PosteriorBlocks | FeatureBlocks = (
            FeatureBlocks(model, steps)
            if isinstance(model, SupportsFeatures)
            else PosteriorBlocks(model, steps)
        )
        self._rank: int | None = getattr(model, "covariance_rank", None)
        self._added = 0
        if pool.pending is not None:
            for index in torch.nonzero(pool.pending.finite)[:, 0].tolist():
                self.add(len(pool) + index)

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return what each of n candidates adds to those already added."""
        size, parts = self._blocks.chunk, []
        for start in range(0, len(indices), size):
            chunk = list(indices[start : start + size])
            parts.append(self._value(self._blocks.log_determinants(chunk)).to(torch.float64))
        return torch.cat(parts)

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


class JointInformation:
    """Scores sets of candidates by G(i | S) of the module's docstring, averaged over members.

    Args:
        steps: m, how many steps at most represent a rollout; fewer make a lower bound, and 1 is
            where it starts.
        about: what a rollout tells about: the `model` of the dynamics, or the `policy`, which then
            is one that learns from demonstrations (`bc`).

    Raises:
        ConfigError: steps below 1.
    """

    def __init__(self, steps: Width = 25, about: Literal["model", "policy"] = "model") -> None:
        self.steps = at_least_one("joint_information", "steps", steps)
        self.about = about

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N] in nats: the gain of each candidate over what is pending alone.

        Raises:
            ConfigError: what it is about has no covariance.
            ModelError: its covariance is no covariance.
        """
        return first_gains(self.joint(pool), pool)

    def require(self, model: Model, members: int) -> None:
        """Refuse a model without a covariance.

        Raises:
            ConfigError: it has none.
        """
        if self.about == "model":
            require_covariance(model, "joint_information")

    def joint(self, pool: CandidatePool) -> BlockGain:
        """Return the gain over what is pending, with nothing added yet."""
        known = self._known(pool)

        def nats(log_determinants: Tensor) -> Tensor:
            total: Tensor = log_determinants.sum(0).mean(0)
            return total / 2

        return BlockGain(known, pool, self.steps, nats)

    def _known(self, pool: CandidatePool) -> SupportsCovariance:
        """Return what a rollout is to tell about.

        Raises:
            ConfigError: it does not know how two steps inform one another.
        """
        if self.about == "model":
            return require_covariance(pool.model, "joint_information")
        if not isinstance(pool.policy, SupportsCovariance):
            raise ConfigError(
                "joint_information: about is policy, and the policy "
                f"{type(pool.policy).__name__} cannot say how two steps inform one another (it has "
                "no `covariance`); use the policy bc"
            )
        return pool.policy


def at_least_one(who: str, name: str, value: object) -> int:
    """Return a parameter that counts something.

    Raises:
        ConfigError: it is no whole number above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{who}: {name} is {value!r}; it must be a whole number of at least 1")
    return value
