"""`variance` and `information`: what the model does not know, step by step.

Both read the prediction's epistemic variance s_ep^2 [E,N,T,O] in units of the noise s_al^2, and
leave the noise itself alone: more data do not remove it. Steps count as if they were independent,
so a similar rollout that is `pending`, or in the same batch, lowers no score (a repeat of a pending
one only comes last); `joint_information` does better.
"""

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import after_pending, number_between, step_by_step
from robo_al.config.ranges import Share
from robo_al.errors import ConfigError
from robo_al.protocols import CandidatePool, Model

AGGREGATIONS = ("sum", "mean", "max", "quantile")


class Variance:
    """Scores a candidate by s_ep^2 / s_al^2, summed over outputs, averaged over members.

    Args:
        aggregation: over the steps of the rollout: `sum`, `mean`, `max` or `quantile`.
        quantile: which one, from 0 to 1, interpolated linearly between the rollout's own steps;
            read with the aggregation `quantile` only.

    Raises:
        ConfigError: an aggregation that does not exist, or a quantile that is none.
    """

    def __init__(
        self, aggregation: Literal["sum", "mean", "max", "quantile"] = "sum", quantile: Share = 0.9
    ) -> None:
        if aggregation not in AGGREGATIONS:
            raise ConfigError(
                f"variance: aggregation is {aggregation!r}; it must be one of {AGGREGATIONS}"
            )
        self.aggregation = aggregation
        self.quantile = number_between("variance", "quantile", quantile, 0.0, 1.0)

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in noise variances."""

        def variances(observations: Tensor, actions: Tensor) -> Tensor:
            return _signal_to_noise(pool.model, observations, actions).sum(-1)

        steps = step_by_step(pool.imagined, variances)
        if self.aggregation in ("sum", "mean"):
            values = steps.sum(-1)
            if self.aggregation == "mean":
                values = values / pool.imagined.mask.sum(-1)
        else:
            level = 1.0 if self.aggregation == "max" else self.quantile
            values = _quantile(steps, pool.imagined.mask, level)
        return after_pending(values.mean(0), pool)


class Information:
    """Scores a candidate by sum_t sum_d 1/2 log(1 + s_ep^2 / s_al^2), averaged over members.

    The objective of OPAX (Sukhija et al. 2023, "Optimistic active exploration of dynamical
    systems"): an upper bound of what the rollout tells, because its steps inform one another.
    """

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in nats."""

        def nats(observations: Tensor, actions: Tensor) -> Tensor:
            return 0.5 * torch.log1p(_signal_to_noise(pool.model, observations, actions)).sum(-1)

        return after_pending(step_by_step(pool.imagined, nats).sum(-1).mean(0), pool)


def _signal_to_noise(
    model: Model, observations: Float[Tensor, "E n T O"], actions: Float[Tensor, "E n T A"]
) -> Float[Tensor, "E n T O"]:
    prediction = model.predict(observations, actions)
    ratio: Tensor = prediction.epistemic / prediction.aleatoric
    return ratio


def _quantile(
    values: Float[Tensor, "E N T"], mask: Float[Tensor, "E N T"], level: float
) -> Float[Tensor, "E N"]:
    """Return each rollout's quantile over the steps of its own mask; the maximum at level 1."""
    ordered = torch.where(mask.bool(), values, torch.inf).sort(-1).values
    last = mask.sum(-1).to(values) - 1
    position = level * last

    def at(index: Tensor) -> Tensor:
        return ordered.gather(-1, index.long()[..., None])[..., 0]

    below = position.floor()
    low, high = at(below), at(torch.minimum(below + 1, last))
    return low + (high - low) * (position - below)
