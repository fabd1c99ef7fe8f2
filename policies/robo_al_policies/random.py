"""Random policy: open-loop coloured noise, the usual first data and the baseline."""

from collections.abc import Sequence

import numpy as np

from robo_al.config.ranges import NonNegative, Positive
from robo_al.errors import ConfigError
from robo_al.protocols import Model
from robo_al.seeds import integer
from robo_al.types import Candidate, Context, OpenLoop, Task
from robo_al_policies.noise import coloured_noise


class Random:
    """Proposes open-loop actions of coloured noise.

    Args:
        task: its action limits are the noise's.
        device: unused; every policy is constructed with one.
        beta: colour of the noise; 0 white, 1 pink, 2 red.
        scale: standard deviation, in halves of the range between the action limits.
    """

    def __init__(
        self, task: Task, device: str = "cpu", beta: NonNegative = 1.0, scale: Positive = 0.7
    ) -> None:
        if scale <= 0:
            raise ConfigError(f"policy random: scale is {scale}; it must be above 0")
        self.task = task
        self.beta = beta
        self.scale = scale

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model | None,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return n candidates of `horizon` steps, spread over the contexts; needs no model."""
        low, high = self.task.action_low, self.task.action_high
        noise = coloured_noise(rng, (n, len(low), horizon), self.beta).astype(np.float64)
        center, half = (high + low) / 2, (high - low) / 2
        actions = np.clip(center + half * self.scale * noise.transpose(0, 2, 1), low, high)
        return [
            Candidate(contexts[i % len(contexts)], OpenLoop(actions[i]), horizon, integer(rng))
            for i in range(n)
        ]
