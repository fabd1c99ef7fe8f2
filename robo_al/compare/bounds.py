"""What there is to gain from selection: candidates chosen by an all-knowing selector.

No strategy can know what a candidate will turn out to be. This one does: it has every candidate
executed, fits the model to the recorded data and that outcome, and picks the candidate whose model
is best where it must be good: on the rollouts of the planner that knows the true dynamics, or, for
a task whose dynamics are not a formula, on those of the present policy's last evaluation.
"""

import copy
import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from robo_al.acquisition.strategy import Strategy
from robo_al.campaign.campaign import Campaign
from robo_al.campaign.selection import NUMERICAL_ERRORS
from robo_al.dataset.episodes import examine
from robo_al.dataset.rows import EvaluationRow
from robo_al.errors import ConfigError
from robo_al.loop.rounds import execute
from robo_al.models.held_out import held_out_error
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.protocols import Acquisition, Acting, CandidatePool, Oracle, SupportsAct
from robo_al.seeds import Purpose, generator, integer
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Outcome,
    Selection,
    Trajectory,
    Transitions,
)

MODEL_ROLLOUTS = 8
"""Evaluation starts from which the all-knowing planner shows where the model must be good."""


def all_knowing(campaign: Campaign, oracle: Oracle) -> None:
    """Let an all-knowing selector choose a campaign's candidates, from now on.

    Args:
        campaign: just created or opened.
        oracle: executes candidates without lasting effects.

    Raises:
        ConfigError: the campaign's oracle cannot execute a rollout twice, or its loop overlaps.
    """
    if campaign.settings.queue is not None:
        raise ConfigError(
            "bound all_knowing: it knows of one round at a time; loop.mode: sequential"
        )
    if not getattr(oracle, "repeatable", False):
        raise ConfigError(
            "bound all_knowing: it executes every candidate, so it needs a simulation"
        )
    campaign.connect(oracle)
    parts = campaign.parts
    named = {"strategy": "all_knowing", "acquisition": "none", "selector": "all_knowing"}
    strategy = Strategy(None, AllKnowing(campaign, oracle))
    campaign.parts = replace(parts, strategy=strategy, provenance={**parts.provenance, **named})


class AllKnowing:
    """Picks the candidate whose outcome makes the best model (module's docstring).

    Args:
        campaign: whose data, model and task it looks at.
        oracle: executes every candidate.
    """

    without_scores = True

    def __init__(self, campaign: Campaign, oracle: Oracle) -> None:
        self._campaign, self._oracle = campaign, oracle
        self._ids = itertools.count()
        self._matters: list[Trajectory] | None = None

    def __call__(
        self,
        acquisition: Acquisition | None,
        pool: CandidatePool,
        k: int,
        rng: np.random.Generator,
    ) -> Selection:
        """Pick k candidates one after another, each by what its outcome does to the model."""
        outcomes = self._execute(pool.candidates)
        data = self._campaign.dataset.transitions()
        matters = self._where_it_matters()
        chosen: list[int] = []
        gains: list[float] = []
        first: list[float] = []
        for _ in range(k):
            errors = [
                np.inf if i in chosen else self._error(data, outcomes, [*chosen, i], matters)
                for i in range(len(outcomes))
            ]
            first = first or [-error for error in errors]
            best = int(np.argmin(errors))
            chosen.append(best)
            gains.append(-errors[best])
        return Selection(tuple(chosen), tuple(first), tuple(gains))

    def _execute(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        named = [replace(candidate, id=f"known-{next(self._ids)}") for candidate in candidates]
        found: dict[str, Outcome] = {}

        def tell(outcome: Outcome) -> None:
            found[outcome.candidate_id] = outcome

        execute(named, self._oracle, self._campaign, tell, durable=False)
        return [found[candidate.id] for candidate in named]

    def _error(
        self,
        data: Transitions,
        outcomes: Sequence[Outcome],
        added: Sequence[int],
        matters: Sequence[Trajectory],
    ) -> float:
        """Return how wrong the model is after learning from some outcomes too, in nats."""
        parts = self._campaign.parts
        for i in added:
            result = examine(outcomes[i].candidate_id, outcomes[i].result, parts.task, 10**9)
            if not isinstance(result, Trajectory):
                return np.inf
            data = _with(data, result)
        model: Any = copy.deepcopy(parts.model)
        seed = generator(self._campaign.settings.seed, Purpose.TRAIN, self._campaign.rounds, 2)
        try:
            model.fit(data, seed)
            return float(np.mean(held_out_error(model, parts.task, matters).nlpd))
        except NUMERICAL_ERRORS:
            return np.inf

    def _where_it_matters(self) -> list[Trajectory]:
        campaign = self._campaign
        try:
            truth = TrueDynamics(campaign.parts.task)
        except ConfigError:
            return self._last_evaluation()
        if self._matters is None:
            contexts = campaign.parts.contexts_from(range(MODEL_ROLLOUTS))
            policy = campaign.parts.policy
            assert isinstance(policy, SupportsAct), "evaluated, so it acts"
            campaign.acting["knowing"] = Acting(policy, truth)
            controller = ClosedLoop(MEAN, "knowing")
            candidates = [
                Candidate(
                    context,
                    controller,
                    campaign.parts.task.horizon,
                    integer(generator(campaign.settings.seed, Purpose.EVALUATE, 0, i)),
                )
                for i, context in enumerate(contexts)
            ]
            results = [outcome.result for outcome in self._execute(candidates)]
            self._matters = [result for result in results if isinstance(result, Trajectory)]
        return self._matters

    def _last_evaluation(self) -> list[Trajectory]:
        row = self._campaign.dataset.ledger.last(EvaluationRow)
        rollouts = [] if row is None else self._campaign.dataset.evaluation(row)
        return [trajectory for _, trajectory, failure in rollouts if failure is None]


def _with(data: Transitions, trajectory: Trajectory) -> Transitions:
    """Return transitions and those of one more trajectory."""
    return Transitions(
        np.concatenate([data.observations, trajectory.observations[:-1]]),
        np.concatenate([data.actions, trajectory.actions]),
        np.concatenate([data.next_observations, trajectory.observations[1:]]),
        np.concatenate([data.rewards, trajectory.rewards]),
        np.concatenate(
            [data.rollouts, np.full(trajectory.steps, data.rollouts.max() + 1, data.rollouts.dtype)]
        ),
        np.concatenate([data.terminated, trajectory.ends]),
    )
