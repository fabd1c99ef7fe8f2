"""`seconds`: what a rollout takes, so that a strategy asks for gain per second of the robot's time.

    seconds = execute + reset + P(failure) * failure

A failure costs what a person needs to put the scene right, weighed by the risk that the candidate
breaks the task's constraint, where the strategy has one.
"""

from jaxtyping import Float
from torch import Tensor

from robo_al.config.ranges import NonNegative, Positive
from robo_al.errors import ConfigError
from robo_al.types import ImaginedRollouts, Task


class Seconds:
    """Predicts the seconds that each rollout takes, the mean over members (module's docstring).

    Args:
        budget: seconds that one batch may take in all; None: k times the mean candidate's.
        reset: seconds to bring the robot to its start.
        failure: seconds more that a failed rollout takes.

    Raises:
        ConfigError: a time below 0, or a budget that is not above 0.
    """

    def __init__(
        self, budget: Positive | None = None, reset: NonNegative = 0.0, failure: NonNegative = 0.0
    ) -> None:
        for name, value in (("reset", reset), ("failure", failure)):
            if value < 0:
                raise ConfigError(f"cost seconds: {name} is {value}; it must be at least 0")
        if budget is not None and not budget > 0:
            raise ConfigError(f"cost seconds: budget is {budget}; it must be above 0")
        self.budget, self.reset, self.failure = budget, reset, failure

    def __call__(
        self, imagined: ImaginedRollouts, task: Task, risks: Float[Tensor, "N"] | None
    ) -> Float[Tensor, "N"]:
        """Return seconds [N]."""
        steps = imagined.mask.sum(-1).double().mean(0)
        execute = steps * task.control_period
        seconds: Tensor = execute + self.reset
        return seconds if risks is None else seconds + risks.to(seconds) * self.failure
