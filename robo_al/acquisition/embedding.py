"""Where rollouts lie relative to one another, in what the model does not know of them.

A rollout i is the mean over its m steps of the model's posterior features, the outputs and members
beside one another. With k_d(a, b) the posterior covariance between two steps in units of the noise
variance of output d, the kernel of these embeddings is

    K(i, j) = mean over outputs d, members e and pairs of steps (a of i, b of j) of k_d(a, b),

the covariance between the means over the steps of two rollouts, and their squared distance is

    D^2(i, j) = K(i, i) + K(j, j) - 2 K(i, j).

In the origin lies what is known: D^2(i, origin) = K(i, i), so that recorded data count through the
posterior (Holzmueller et al. 2023, "A framework and benchmark for deep batch active learning for
regression", there for single inputs). No R x R matrix is ever formed: a selector asks for one row
of the kernel for each rollout that it picks.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.acquisition.joint import CandidateSteps
from robo_al.protocols import CandidatePool, SupportsCovariance, SupportsFeatures


@runtime_checkable
class Embedding(Protocol):
    """R rollouts: the N candidates, and the pending ones after them."""

    norms: Float[Tensor, "R"]
    """K(i, i): the squared distance of each to what is known; NaN where one is not finite."""

    def cross(self, index: int) -> Float[Tensor, "R"]:
        """Return one row of the kernel, K(index, j) for every j."""


def embed(
    model: SupportsCovariance,
    pool: CandidatePool,
    steps: int,
) -> Embedding:
    """Return the embedding of the candidates and of pending rollouts after them.

    With a model that has features the cost is that of the features of all steps, and E F R
    multiplications a row; else that of m x R m covariances a row.

    Args:
        model: fitted.
        pool: of the N candidates.
        steps: m, how many steps at most represent a rollout, evenly spaced.
    """
    rollouts = CandidateSteps.of(pool, steps)
    if isinstance(model, SupportsFeatures):
        return FeatureEmbedding(model, rollouts)
    return CovarianceEmbedding(model, rollouts)


class FeatureEmbedding:
    """The embedding of a model that is linear in features, made for large pools.

    All outputs share the features phi, so their mean posterior P is enough: K(i, j) is the mean
    over members of phi_i' P phi_j, with phi_i the mean over the steps of rollout i.
    """

    def __init__(self, model: SupportsFeatures, steps: CandidateSteps) -> None:
        self._posterior = model.feature_posterior().mean(0)
        shares, relative = (values.to(self._posterior) for values in _shares(steps))
        means, norms = [], []
        for part, phi in step_features(model, steps, self._posterior):
            taken = phi * relative[:, part, :, None]
            mean = torch.einsum("enmf,nm->enf", taken, shares[part])
            means.append(mean.movedim(0, 1))
            norms.append(((mean @ self._posterior) * mean).sum(-1).mean(0))
        self._means = torch.cat(means)  # [R, E, F]
        self.norms = torch.cat(norms)

    def cross(self, index: int) -> Float[Tensor, "R"]:
        """Return one row of the kernel."""
        directions = self._means[index] @ self._posterior  # [E, F]
        row: Tensor = self._means.flatten(1) @ directions.flatten() / len(directions)
        return row


class CovarianceEmbedding:
    """The same embedding from covariances between steps, for a model without features."""

    def __init__(self, model: SupportsCovariance, steps: CandidateSteps) -> None:
        self._model, self._steps = model, steps
        self._shares, self._relative = _shares(steps)
        norms = []
        for part in parts(steps, CHUNK):
            inputs = steps.observations[:, part], steps.actions[:, part]
            blocks = model.covariance(inputs, inputs).to(self._shares)
            relative = self._relative[:, part]
            blocks = (blocks * relative[..., :, None] * relative[..., None, :]).mean((0, 1))
            norms.append(
                torch.einsum("nab,na,nb->n", blocks, self._shares[part], self._shares[part])
            )
        self.norms = torch.cat(norms)

    def cross(self, index: int) -> Float[Tensor, "R"]:
        """Return one row of the kernel."""
        own = self._steps.observations[:, index], self._steps.actions[:, index]
        rows = []
        for part in parts(self._steps, CHUNK):
            others = self._steps.observations[:, part], self._steps.actions[:, part]
            flat = others[0].flatten(1, 2), others[1].flatten(1, 2)
            block = self._model.covariance(own, flat).to(self._shares)  # [D, E, m, n m]
            block = block * self._relative[:, index, :, None]
            block = (block * self._relative[:, part].flatten(1)[:, None]).mean((0, 1))
            row = (self._shares[index] @ block).reshape(self._shares[part].shape)
            rows.append((row * self._shares[part]).sum(-1))
        return torch.cat(rows)


CHUNK = 64
"""Rollouts whose covariances are computed at once: bounds the memory, changes no result."""
FEATURE_CHUNK = 512
"""Rollouts whose features are computed at once."""


def positions(indices: Sequence[int], like: Tensor) -> Int[Tensor, "n"]:
    """Return indices as a tensor where `like` is; by way of NumPy, which reads lists faster."""
    return torch.from_numpy(np.asarray(indices, dtype=np.int64)).to(like.device)


def parts(steps: CandidateSteps, size: int) -> list[slice]:
    """Return slices of the rollouts, each of at most `size`."""
    return [slice(start, start + size) for start in range(0, steps.weights.shape[1], size)]


def step_features(
    model: SupportsFeatures, steps: CandidateSteps, like: Tensor
) -> Iterator[tuple[slice, Float[Tensor, "E n m F"]]]:
    """Yield the features of all steps, some rollouts at a time, in the type of `like`."""
    for part in parts(steps, FEATURE_CHUNK):
        yield part, model.features(steps.observations[:, part], steps.actions[:, part]).to(like)


def _shares(steps: CandidateSteps) -> tuple[Float[Tensor, "R m"], Float[Tensor, "E R m"]]:
    """Return what part each step has in the mean of its rollout.

    It is a product: of the part in the member where the rollout is longest, and of how much more it
    is in each member, 0 for steps that are not taken there. Where all members take the same steps,
    the second factor is 1 and changes no digit.
    """
    each = steps.weights / steps.weights.sum(-1, keepdim=True)
    longest = steps.weights.amax(0)
    longest = longest / longest.sum(-1, keepdim=True)
    return longest, torch.where(steps.weights > 0, each / longest, 0)
