"""A strategy: what a comparison compares. Acquisition function + selector + cost + constraint."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from robo_al.acquisition.constraint import ChanceConstraint, Play
from robo_al.errors import ConfigError, UserError
from robo_al.protocols import (
    Acquisition,
    Cost,
    Model,
    Selector,
    SupportsLimits,
    SupportsRequirements,
)
from robo_al.types import ImaginedRollouts, Limits, Selection, Task


@dataclass(frozen=True)
class Choice:
    """A selection, and what was predicted of every candidate beside its score."""

    selection: Selection
    seconds: tuple[float, ...] | None
    """[N] where the strategy has a cost."""
    risks: tuple[float, ...] | None
    """[N] where the strategy has a constraint."""


@dataclass(frozen=True)
class Strategy:
    """How a batch is chosen among imagined candidates."""

    acquisition: Acquisition | None
    """None for a selector that does not look at scores."""
    selector: Selector
    cost: Cost | None = None
    constraint: ChanceConstraint | None = None

    @property
    def limited(self) -> bool:
        """Whether a batch may be smaller than what was asked for."""
        return self.cost is not None or self.constraint is not None

    def require(self, model: Model, task: Task, members: int, steps: int) -> None:
        """Refuse, before anything runs, what this strategy cannot work with.

        Args:
            model: perhaps not yet fitted.
            task: what is to be learned.
            members: E, in how many members of the model each candidate is imagined.
            steps: of a training rollout.

        Raises:
            ConfigError: with the reason.
        """
        for part in (self.acquisition, self.selector):
            if isinstance(part, SupportsRequirements):
                part.require(model, members)
        if self.constraint is not None:
            self.constraint.require(task)
        limited = self.cost is not None or (self.constraint and self.constraint.total is not None)
        if limited and not isinstance(self.selector, SupportsLimits):
            raise ConfigError(
                f"selector {type(self.selector).__name__} picks without regard to budgets (it has "
                "no `within`); leave out cost and constraint.total, or take another selector"
            )
        budget = None if self.cost is None else self.cost.budget
        if budget is not None and budget < steps * task.control_period:
            raise ConfigError(
                f"cost: the budget is {budget:g} s, and one rollout of {steps} steps takes "
                f"{steps * task.control_period:g} s"
            )

    def select(
        self,
        imagined: ImaginedRollouts,
        model: Model,
        task: Task,
        pending: ImaginedRollouts | None,
        k: int,
        rng: np.random.Generator,
        play: Play,
    ) -> Choice:
        """Pick at most k candidates; fewer where budgets or the constraint leave no more.

        Args:
            imagined: the N candidates; not finite where one must not be picked.
            model: fitted.
            task: its constraint and control period.
            pending: rollouts that will be recorded too, or None.
            k: at most so many.
            rng: for selectors that draw, and Monte Carlo.
            play: plays the candidates in any members of the model, for the constraint.
        """
        risks = None
        if self.constraint is not None:
            risks = self.constraint.risks(play, model, task, rng.spawn(1)[0])
            safe = (risks <= self.constraint.delta).to(imagined.finite)
            imagined = replace(imagined, finite=imagined.finite & safe)
        seconds = None if self.cost is None else self.cost(imagined, task, risks)
        k = min(k, int(imagined.finite.sum()))
        if k == 0:
            nothing = Selection((), (-np.inf,) * len(imagined), ())
            return Choice(nothing, _tuple(seconds), _tuple(risks))
        selector, limits = self.selector, self._limits(imagined, seconds, risks, k)
        if limits is not None:
            assert isinstance(selector, SupportsLimits)
            selector = selector.within(limits)
        selection = selector(self.acquisition, imagined, model, pending, k, rng)
        return Choice(selection, _tuple(seconds), _tuple(risks))

    def _limits(
        self,
        imagined: ImaginedRollouts,
        seconds: torch.Tensor | None,
        risks: torch.Tensor | None,
        k: int,
    ) -> Limits | None:
        total_risk = None if self.constraint is None else self.constraint.total
        if seconds is None and total_risk is None:
            return None
        limits = Limits()
        if seconds is not None and self.cost is not None:
            values = seconds.cpu().double().numpy()
            allowed = values[imagined.finite.cpu().numpy()]
            budget = self.cost.budget
            if budget is not None and budget < allowed.min():
                raise UserError(
                    f"cost: the budget is {budget:g} s, and the quickest candidate takes "
                    f"{allowed.min():.3g} s; give more, or propose shorter rollouts"
                )
            total = k * float(allowed.mean()) if budget is None else budget
            limits = replace(limits, seconds=values, total_seconds=total)
        if total_risk is not None and risks is not None:
            limits = replace(limits, risks=risks.cpu().numpy(), total_risk=total_risk)
        return limits


def _tuple(values: torch.Tensor | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values.tolist())
