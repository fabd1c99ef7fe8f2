"""`jensen_renyi`: how much the model's members disagree about what happens.

MAX (Shyam, Jaskowski & Gomez 2019, "Model-based active exploration"): with each member's Gaussian
prediction of the next observation, mean mu_i and diagonal covariance S_i in d channels, the
quadratic Renyi entropy of their mixture less their own mean entropy is

    -log[(1/E^2) sum_ij exp(-1/2 dmu' (S_i + S_j)^-1 dmu) / sqrt(det(S_i + S_j))]
        - (1/E) sum_i 1/2 log det S_i - (d/2) log 2,        dmu = mu_i - mu_j.

It is 0 where all members agree and at most log E, where their means are far apart. It may be
negative where they agree on the mean and not on the noise.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from robo_al.acquisition.scores import after_pending, step_by_step
from robo_al.errors import ConfigError
from robo_al.protocols import CandidatePool, Model, SupportsMixture


class JensenRenyi:
    """Scores a candidate by the divergence at each of its steps (module's docstring), summed.

    All members of the model judge each step, whichever member it was imagined in; the score is
    averaged over the members that the candidate was imagined in. Steps count as if they were
    independent, and what is pending lowers the score of its own repeats only.
    """

    def require(self, model: Model, members: int) -> None:
        """Refuse a model without at least two members that predict.

        Raises:
            ConfigError: it has one, or no `mixture`.
        """
        _require_mixture(model)

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> Float[Tensor, "N"]:
        """Return scores [N], in nats.

        Raises:
            ConfigError: the model has no `mixture`, or one member.
        """
        known = _require_mixture(pool.model)

        def nats(observations: Tensor, actions: Tensor) -> Tensor:
            return jensen_renyi(*known.mixture(observations, actions))

        return after_pending(step_by_step(pool.imagined, nats).sum(-1).mean(0), pool)


def jensen_renyi(
    mean: Float[Tensor, "E *batch O"], variance: Float[Tensor, "E *batch O"]
) -> Float[Tensor, "*batch"]:
    """Return the divergence of E Gaussians with diagonal covariances, in nats (float64)."""
    mean, variance = mean.to(torch.float64), variance.to(torch.float64)
    overlaps = []
    for i in range(len(mean)):  # a member at a time: all pairs at once would not fit
        both = variance[i] + variance[i:]
        overlap = -0.5 * ((mean[i] - mean[i:]).square() / both + both.log()).sum(-1)
        overlap[1:] += math.log(2)  # stands for the pairs (i, j) and (j, i)
        overlaps.append(overlap)
    mixture: Tensor = 2 * math.log(len(mean)) - torch.cat(overlaps).logsumexp(0)
    own = 0.5 * variance.log().sum(-1).mean(0)
    return mixture - own - mean.shape[-1] / 2 * math.log(2)


def _require_mixture(model: Model) -> SupportsMixture:
    if not isinstance(model, SupportsMixture) or model.members < 2:
        why = "one member" if isinstance(model, SupportsMixture) else "no method `mixture`"
        raise ConfigError(
            f"jensen_renyi needs a model of at least two members that each predict, and "
            f"{type(model).__name__} has {why}; use the model gp or ensemble with more members"
        )
    return model
