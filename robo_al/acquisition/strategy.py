"""A strategy: what a comparison compares. Acquisition function + selector + cost + constraint."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from robo_al.acquisition.constraint import ChanceConstraint, Play
from robo_al.errors import ConfigError, UserError
from robo_al.protocols import (
    Acquisition,
    CandidatePool,
    Cost,
    Model,
    Selector,
    SupportsBudget,
    SupportsRequirements,
)
from robo_al.types import BatchBudget, Exclusion, Selection, Task


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
        if limited and not isinstance(self.selector, SupportsBudget):
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
        self, pool: CandidatePool, k: int, rng: np.random.Generator, play: Play
    ) -> Selection:
        """Pick at most k candidates; fewer where budgets or the constraint leave no more.

        Args:
            pool: of the N candidates.
            k: at most so many.
            rng: for selectors that draw, and Monte Carlo.
            play: plays the candidates in any members of the model, for the constraint.

        Raises:
            UserError: the budget is too small for any candidate.
        """
        risks = None
        if self.constraint is not None:
            risks = self.constraint.risks(play, pool.model, pool.task, rng.spawn(1)[0])
            pool = pool.without(self.constraint.exclusions(risks))
        seconds = None if self.cost is None else self.cost(pool.imagined, pool.task, risks)
        k = min(k, int(pool.eligible.sum()))
        selection = Selection((), (-np.inf,) * len(pool), ())
        if k:
            budget = self._budget(pool, seconds, risks, k)
            selector = self.selector
            if budget is not None:
                assert isinstance(selector, SupportsBudget)
                selector = selector.within(budget)
            selection = selector(self.acquisition, pool, k, rng)
        return replace(
            selection,
            seconds=_tuple(seconds),
            risks=_tuple(risks),
            exclusions=pool.exclusions | _beyond(pool, self.cost, seconds),
        )

    def _budget(
        self,
        pool: CandidatePool,
        seconds: torch.Tensor | None,
        risks: torch.Tensor | None,
        k: int,
    ) -> BatchBudget | None:
        total_risk = None if self.constraint is None else self.constraint.total
        if seconds is None and total_risk is None:
            return None
        found = BatchBudget()
        if seconds is not None and self.cost is not None:
            values = seconds.cpu().double().numpy()
            allowed = values[pool.eligible.cpu().numpy()]
            budget = self.cost.budget
            if budget is not None and budget < allowed.min():
                raise UserError(
                    f"cost: the budget is {budget:g} s, and the quickest candidate takes "
                    f"{allowed.min():.3g} s; give more, or propose shorter rollouts"
                )
            total = k * float(allowed.mean()) if budget is None else budget
            found = replace(found, seconds=values, total_seconds=total)
        if total_risk is not None and risks is not None:
            found = replace(found, risks=risks.cpu().numpy(), total_risk=total_risk)
        return found


def _beyond(
    pool: CandidatePool, cost: Cost | None, seconds: torch.Tensor | None
) -> dict[int, Exclusion]:
    """Return which eligible candidates take, each alone, more than a batch may."""
    if cost is None or cost.budget is None or seconds is None:
        return {}
    each = zip(pool.eligible.tolist(), seconds.tolist(), strict=True)
    return {
        i: Exclusion("budget", f"it takes {takes:.3g} s, and a batch may take {cost.budget:g} s")
        for i, (eligible, takes) in enumerate(each)
        if eligible and takes > cost.budget
    }


def _tuple(values: torch.Tensor | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(values.tolist())
