"""Chance constraint: which candidates are safe enough to run, as far as the model can tell.

A candidate is kept where P(max_t g(s_t) > 0) <= delta, with g the task's constraint. The
probability is over what the model does not know: the candidate is played in many of its members,
and the share of them in which it breaks the constraint is taken, or, for Monte Carlo with noise, an
upper confidence bound of it (Clopper & Pearson 1934, "The use of confidence or fiducial limits
illustrated in the case of the binomial"). A batch of several adds up its risks (Boole's
inequality), so that the chance that any of them fails is at most their sum.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from robo_al.errors import ConfigError
from robo_al.protocols import Model
from robo_al.types import Exclusion, ImaginedRollouts, Task

Play: TypeAlias = Callable[[Sequence[int], np.random.Generator | None], ImaginedRollouts]
"""Plays the candidates in members of the model, with noise where a generator is given."""


class ChanceConstraint:
    """Keeps what breaks the task's constraint with a probability of at most `delta`.

    Args:
        delta: of one candidate.
        total: of a batch, the sum over its candidates; None: only each candidate counts.
        draws: None: each member of the model once, without noise. A number: so many Monte Carlo
            rollouts of each candidate, in members by turns, with the noise that the model expects.
        confidence: of the upper bound on the risk; for `draws` only.

    Raises:
        ConfigError: a probability out of (0, 1), or a number of draws below 1.
    """

    def __init__(
        self,
        delta: float,
        total: float | None = None,
        draws: int | None = None,
        confidence: float = 0.95,
    ) -> None:
        for name, value in (("delta", delta), ("total", total), ("confidence", confidence)):
            if value is not None and not 0 < value < 1:
                raise ConfigError(f"constraint: {name} is {value}; it must be between 0 and 1")
        if draws is not None and draws < 1:
            raise ConfigError(f"constraint: draws is {draws}; it must be at least 1")
        least = (
            None
            if draws is None
            else float(clopper_pearson(np.zeros(1, int), draws, confidence)[0])
        )
        if least is not None and least > delta:
            raise ConfigError(
                f"constraint: with {draws} draws even a candidate that never fails has a bound of "
                f"{least:.3g} at confidence {confidence}, above delta {delta}; take more draws"
            )
        self.delta, self.total = delta, total
        self.draws, self.confidence = draws, confidence

    def require(self, task: Task) -> None:
        """Refuse a task that does not say where it must not go.

        Raises:
            ConfigError: it has no `constraint`.
        """
        if task.constraint is None:
            raise ConfigError(
                f"constraint: env {task.env.name} does not say where it must not go; give it a "
                "method `constraint(observation, action, next_observation)`, above 0 there"
            )

    def risks(
        self, play: Play, model: Model, task: Task, rng: np.random.Generator
    ) -> Float[Tensor, "N"]:
        """Return each candidate's probability [N] of breaking the constraint, or its bound."""
        draws = self.draws or model.members
        members = [draw % model.members for draw in range(draws)]
        imagined = play(members, None if self.draws is None else rng)
        broken = breaks(imagined, task).sum(0)
        if self.draws is None:
            return broken.double() / draws
        bound = clopper_pearson(broken.cpu().numpy(), draws, self.confidence)
        return torch.as_tensor(bound, device=broken.device)

    def exclusions(self, risks: Float[Tensor, "N"]) -> dict[int, Exclusion]:
        """Return which candidates are too likely to break the constraint, and why."""
        return {
            i: Exclusion("risk", f"a risk of {risk:.3g}, and delta is {self.delta:g}")
            for i, risk in enumerate(risks.tolist())
            if not risk <= self.delta
        }


def breaks(imagined: ImaginedRollouts, task: Task) -> Tensor:
    """Return whether each rollout [E,N] breaks the task's constraint, or leaves the numbers."""
    assert task.constraint is not None
    before, after = imagined.observations[:, :, :-1], imagined.observations[:, :, 1:]
    steps = task.constraint(before, imagined.actions, after) > 0  # [E, N, T]
    broken: Tensor = (steps & (imagined.mask > 0)).any(-1) | ~imagined.finite
    return broken


def clopper_pearson(
    failures: Int[np.ndarray, "N"], draws: int, confidence: float
) -> Float[np.ndarray, "N"]:
    """Return the exact one-sided upper confidence bound [N] of a binomial probability."""
    from scipy.stats import beta

    bound = beta.ppf(confidence, failures + 1, np.maximum(draws - failures, 1))
    return np.where(failures >= draws, 1.0, bound)
