"""`variance` and `information`: what the model does not know, step by step.

Both read the prediction's epistemic variance s_ep^2 [E,N,T,O] in units of the noise s_al^2, and
leave the noise itself alone: more data do not remove it. Steps count as if they were independent,
so neither `pending` rollouts nor the rest of the batch lower a score; `joint_information` does.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import only_finite
from robo_al.errors import ConfigError
from robo_al.protocols import Model
from robo_al.types import ImaginedRollouts

AGGREGATIONS = ("sum", "mean")


class Variance:
    """Scores a candidate by s_ep^2 / s_al^2, summed over outputs, averaged over members.

    Args:
        aggregation: over the steps of the rollout, `sum` or `mean`.

    Raises:
        ConfigError: an aggregation that does not exist.
    """

    def __init__(self, aggregation: str = "sum") -> None:
        if aggregation not in AGGREGATIONS:
            raise ConfigError(
                f"variance: aggregation is {aggregation!r}; it must be one of {AGGREGATIONS}"
            )
        self.aggregation = aggregation

    def __call__(
        self,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        rng: np.random.Generator,
    ) -> Float[Tensor, "N"]:
        """Return scores [N], in noise variances."""
        total = (_signal_to_noise(imagined, model).sum(-1) * imagined.mask).sum(-1)
        if self.aggregation == "mean":
            total = total / imagined.mask.sum(-1)
        return only_finite(total.mean(0), imagined)


class Information:
    """Scores a candidate by sum_t sum_d 1/2 log(1 + s_ep^2 / s_al^2), averaged over members.

    The objective of OPAX (Sukhija et al. 2023, "Optimistic active exploration of dynamical
    systems"): an upper bound of what the rollout tells, because its steps inform one another.
    """

    def __call__(
        self,
        imagined: ImaginedRollouts,
        model: Model,
        pending: ImaginedRollouts | None,
        rng: np.random.Generator,
    ) -> Float[Tensor, "N"]:
        """Return scores [N], in nats."""
        nats = 0.5 * torch.log1p(_signal_to_noise(imagined, model)).sum(-1)
        return only_finite((nats * imagined.mask).sum(-1).mean(0), imagined)


def _signal_to_noise(imagined: ImaginedRollouts, model: Model) -> Float[Tensor, "E N T O"]:
    prediction = model.predict(*imagined.inputs)
    return (prediction.epistemic / prediction.aleatoric).to(imagined.mask)
