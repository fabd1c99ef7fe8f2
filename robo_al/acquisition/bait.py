"""`bait`: the rollouts that would leave the least unknown along all candidates.

Every candidate's steps make up the pool: where the robot may go next. With S what is recorded,
pending or picked already, candidate i with the steps X_i adds

    G(i | S) = mean over pool steps q of sum_d [k_d(q, q | S) - k_d(q, q | S and X_i)]
             = sum_d tr[(I + K_d[i, i | S])^-1 K_d[i, Q | S] K_d[Q, i | S]] / |Q|,

k_d the posterior covariance of output d in units of its noise variance: the epistemic variance that
observing it removes from the pool, each member of the model on its own and then averaged. This is
the forward greedy part of BAIT (Ash et al. 2021, "Gone fishing: neural active learning with Fisher
embeddings"), whose trace of Fisher information is this variance for a regression on features, with
blocks of m steps for single inputs. Gains are not submodular in general, so that all are evaluated
before each pick.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from robo_al.acquisition.diversity import Unscored
from robo_al.acquisition.embedding import (
    CHUNK,
    FEATURE_CHUNK,
    parts,
    positions,
    step_features,
)
from robo_al.acquisition.information import noisy_cholesky
from robo_al.acquisition.joint import CandidateSteps, at_least_one
from robo_al.config.ranges import Width
from robo_al.protocols import CandidatePool, JointGain, SupportsCovariance, SupportsFeatures

GOLDEN = 0.6180339887498949
"""(sqrt(5) - 1) / 2: its multiples modulo 1 are spread evenly, with no period."""


class Bait(Unscored):
    """Picks one candidate after another, each the one that removes most variance from the pool.

    Args:
        steps: m, how many steps at most represent a rollout, evenly spaced.
        pool: for a model without features, how many of all candidates' steps at most stand for the
            pool: spread evenly over the candidates in their order, always the same ones. A model
            with features takes them all.

    Raises:
        ConfigError: steps or pool below 1.
    """

    name = "bait"
    diminishing = False

    def __init__(self, steps: Width = 10, pool: Width = 200) -> None:
        super().__init__(steps)
        self.pool = at_least_one(self.name, "pool", pool)

    def _first(self, model: SupportsCovariance, pool: CandidatePool) -> JointGain:
        steps = CandidateSteps.of(pool, self.steps)
        inside = steps.weights > 0
        inside[:, : len(pool)] &= pool.eligible[:, None]
        inside[:, len(pool) :] = False
        gain = (
            FeatureVariance(model, steps, inside)
            if isinstance(model, SupportsFeatures)
            else CovarianceVariance(model, steps, inside, self.pool)
        )
        if pool.pending is not None:
            for index in torch.nonzero(pool.pending.finite)[:, 0].tolist():
                gain.add(len(pool) + index)
        return gain


def representatives(inside: Bool[Tensor, "R m"], most: int) -> Bool[Tensor, "R m"]:
    """Return at most so many of the true elements, spread evenly over them."""
    found = torch.nonzero(inside.flatten())[:, 0]
    if len(found) <= most:
        return inside
    # one out of each of `most` equal stretches, not always its first: where a stretch is a multiple
    # of m, that would be the same step of every rollout
    order = torch.arange(most, dtype=torch.float64, device=found.device)
    position = (order + (order * GOLDEN) % 1) * len(found) / most
    kept = torch.zeros_like(inside).flatten()
    kept[found[position.long()]] = True
    return kept.reshape(inside.shape)


class PoolVariance:
    """The variance that a growing set S of R rollouts removes from the pool.

    `add` replaces its tensors and changes none in place, so that a shallow copy is independent.
    """

    chunk = 2048
    """Rollouts whose gains are computed at once: bounds the memory, changes no result."""
    _blocks: Float[Tensor, "D E R m m"]
    """K[i, i | S]."""
    _shared: Float[Tensor, "D E R m m"]
    """K[i, Q | S] K[Q, i | S] / |Q|."""

    def gains(self, indices: Sequence[int]) -> Float[Tensor, "n"]:
        """Return what each of n candidates would remove beyond those already added."""
        index = positions(indices, self._blocks)
        values = []
        for start in range(0, len(indices), self.chunk):
            part = index[start : start + self.chunk]
            factor = noisy_cholesky(self._blocks[:, :, part])
            inverse = torch.cholesky_solve(self._shared[:, :, part], factor)
            values.append(inverse.diagonal(dim1=-2, dim2=-1).sum(-1).sum(0).mean(0))
        return torch.cat(values).clamp_min(0)  # a rounding error where nothing is left to remove

    def add(self, index: int) -> None:
        """Add rollout `index`."""
        raise NotImplementedError


class FeatureVariance(PoolVariance):
    """For a model that is linear in features: K[i, j | S] = phi_i P_S phi_j'.

    With M = Phi_Q' Phi_Q / |Q| [F, F], `_shared` is phi_i P_S M P_S phi_i'. Adding rollout p takes
    V V' from P_S, V = P_S phi_p' (chol(I + K[p, p | S])')^-1 [F, m], and so terms of rank m from
    both blocks of every rollout.
    """

    def __init__(
        self, model: SupportsFeatures, steps: CandidateSteps, inside: Bool[Tensor, "E R m"]
    ) -> None:
        posterior = model.feature_posterior()  # [D, F, F]
        weights, inside = steps.weights.to(posterior), inside.to(posterior.device)
        features, second_moment = [], torch.zeros_like(posterior[0])
        for part, phi in step_features(model, steps, posterior):
            pool = torch.where(inside[:, part, :, None], phi, 0).flatten(1, 2)
            second_moment = second_moment + pool.mT @ pool  # [E, F, F]
            features.append(phi * weights[:, part, :, None])
        self._features = torch.cat(features, 1)
        self._pool = second_moment / inside.sum((1, 2))[:, None, None]
        self._posterior = posterior[:, None].expand(-1, len(self._pool), -1, -1)
        spread = self._posterior @ self._pool @ self._posterior
        blocks, shared = [], []
        for part in parts(steps, FEATURE_CHUNK):
            phi = self._features[:, part]
            blocks.append(self._times(phi, self._posterior) @ phi.mT)
            shared.append(self._times(phi, spread) @ phi.mT)
        self._blocks, self._shared = torch.cat(blocks, 2), torch.cat(shared, 2)

    def add(self, index: int) -> None:
        """Add rollout `index`."""
        factor = noisy_cholesky(self._blocks[:, :, index])
        directions = self._posterior @ self._features[:, index].mT
        directions = torch.linalg.solve_triangular(factor, directions.mT, upper=False).mT  # V
        moved = self._pool @ directions
        both = torch.cat([directions, self._posterior @ moved], -1)
        left, right = self._times(self._features, both).chunk(2, -1)  # [D, E, R, m, m]
        right = right - left @ (directions.mT @ moved)[:, :, None] / 2
        product = left @ right.mT
        self._shared = self._shared - product - product.mT
        self._blocks = self._blocks - left @ left.mT
        self._posterior = self._posterior - directions @ directions.mT

    @staticmethod
    def _times(
        features: Float[Tensor, "E n m F"], matrices: Float[Tensor, "D E F g"]
    ) -> Float[Tensor, "D E n m g"]:
        """Return the product of every rollout's features with each output's and member's matrix."""
        # side by side: broadcast over outputs, the features would be copied for each
        columns = matrices.permute(1, 2, 0, 3).flatten(2)  # [E, F, D g]
        product = features.flatten(1, 2) @ columns
        return product.reshape(*features.shape[:3], len(matrices), -1).permute(3, 0, 1, 2, 4)


class CovarianceVariance(PoolVariance):
    """The same from covariances between steps, for a model without features.

    Adding rollout p takes U_i U_j' from K[i, j | S], U_i = K[i, p | S] (chol(I + K[p, p | S])')^-1.
    """

    def __init__(
        self,
        model: SupportsCovariance,
        steps: CandidateSteps,
        inside: Bool[Tensor, "E R m"],
        most: int,
    ) -> None:
        self._model, self._steps = model, steps
        blocks = []
        for part in parts(steps, CHUNK):
            inputs = steps.observations[:, part], steps.actions[:, part]
            weights = steps.weights[:, part]
            block = model.covariance(inputs, inputs).to(weights)
            blocks.append(block * weights[..., :, None] * weights[..., None, :])
        self._blocks = torch.cat(blocks, 2)
        pool = representatives(inside.any(0), most)
        chosen = steps.observations[:, pool], steps.actions[:, pool]  # [E, Q, ...]
        taken = inside[:, pool]  # [E, Q]: not all members take every step
        scales = [max(1, count) ** -0.5 for count in taken.sum(-1).tolist()]
        scale = taken * steps.weights.new_tensor(scales)[:, None]
        self._cross = self._covariance(chosen) * scale[:, None, None]  # K[i, Q | S] [D,E,R,m,Q]
        self._shared = self._cross @ self._cross.mT
        self._known = self._cross[..., :0]  # U of all added [D, E, R, m, S m]

    def add(self, index: int) -> None:
        """Add rollout `index`."""
        own = self._steps.observations[:, index], self._steps.actions[:, index]
        rows = self._covariance(own) * self._steps.weights[:, index, None, None]
        rows = rows - self._known @ self._known[:, :, [index]].mT  # K[i, p | S]
        factor = noisy_cholesky(self._blocks[:, :, index])[:, :, None]
        left = torch.linalg.solve_triangular(factor, rows.mT, upper=False).mT  # U
        right = torch.linalg.solve_triangular(factor, self._cross[:, :, [index]], upper=False)
        self._cross = self._cross - left @ right
        self._shared = self._cross @ self._cross.mT
        self._blocks = self._blocks - left @ left.mT
        self._known = torch.cat([self._known, left], -1)

    def _covariance(self, second: tuple[Tensor, Tensor]) -> Float[Tensor, "D E R m b"]:
        """Return the covariance of all steps with b others [E, b, ...], with nothing added."""
        rows = []
        for part in parts(self._steps, CHUNK):
            weights = self._steps.weights[:, part]
            first = self._steps.observations[:, part], self._steps.actions[:, part]
            flat = first[0].flatten(1, 2), first[1].flatten(1, 2)
            row = self._model.covariance(flat, second).to(weights)
            rows.append(row.reshape(*row.shape[:2], *weights.shape[1:], -1) * weights[..., None])
        return torch.cat(rows, 2)
