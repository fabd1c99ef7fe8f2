"""Evaluation, apart from the data and never trained on: of the current policy on fixed starts.

Of a task of recorded rollouts the model is evaluated instead, on those that are held out.
"""

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from robo_al.campaign.selection import NUMERICAL_ERRORS
from robo_al.dataset.episodes import examine
from robo_al.dataset.ledger import EvaluationRow, FitRow
from robo_al.dataset.stored import evaluation_id
from robo_al.models.feature_map import FeatureMap
from robo_al.models.held_out import held_out_error
from robo_al.protocols import Model
from robo_al.seeds import Purpose, generator, integer
from robo_al.types import MEAN, Candidate, ClosedLoop, Outcome, Task

if TYPE_CHECKING:
    from robo_al.campaign.campaign import Campaign


class UnderEvaluation:
    """The evaluation of a campaign's policy that goes on now: asked for and told like rollouts.

    What was told of it is kept until all of it is, and is then recorded at once: an evaluation
    that was interrupted is made again, under the same ids.

    Args:
        campaign: whose policy is evaluated.
    """

    def __init__(self, campaign: "Campaign") -> None:
        self._campaign = campaign
        self._index = 0
        self._recorded = (0, 0)
        """Rollouts and transitions, when it began."""
        self._asked: dict[str, Candidate] = {}
        self._told: dict[str, Outcome] = {}

    def __contains__(self, rollout: str) -> bool:
        """Whether this is the id of one of its rollouts."""
        return rollout in self._asked

    @property
    def goes_on(self) -> bool:
        """Whether some of its rollouts were asked for, and it is not durable yet."""
        return bool(self._asked) and not self._durable

    @property
    def _durable(self) -> bool:
        return self._campaign.dataset.ledger.row(EvaluationRow, self._index) is not None

    def put_off(self, index: int) -> str | None:
        """Return why it is not made after a round: it always is."""
        return None

    def concluded(self, index: int) -> EvaluationRow | None:
        """Return its row where `ask` would return no more: the last `tell` has returned it."""
        return None

    def ask(self, index: int) -> tuple[Candidate, ...]:
        """Return those of its rollouts that can begin now; none while some are under way.

        Start i is where the env's reset puts seed i, in every round, campaign and strategy:
        differences are the policy's. Where starts are found, start i is another one each time, and
        as many are returned as envs can stand at.

        Args:
            index: of the round after which the policy is evaluated.
        """
        campaign = self._campaign
        if index != self._index:
            self._index, self._recorded = index, campaign.dataset.ledger.totals()[:2]
            self._asked, self._told = {}, {}
        if self._asked.keys() - self._told.keys():
            return ()
        settings, parts, first = campaign.settings, campaign.parts, len(self._asked)
        starts = range(first, campaign.evaluation_starts)
        finds = parts.task.finds_starts
        contexts = campaign.find(starts) if finds else campaign.evaluation_contexts[first:]
        candidates = tuple(
            Candidate(
                context=context,
                controller=ClosedLoop(MEAN, "policy"),
                horizon=parts.task.horizon,
                seed=integer(generator(settings.seed, Purpose.EVALUATE, 0, i)),
                id=evaluation_id(index, i),
                why=f"start {i} of the evaluation after round {index}",
            )
            for i, context in enumerate(contexts, first)
        )
        self._asked |= {candidate.id: candidate for candidate in candidates}
        return candidates

    def tell(self, outcome: Outcome) -> EvaluationRow | None:
        """Take an outcome; return the evaluation's row once it is durable, with the last of them.

        Raises:
            StorageError: the disk is full or refuses; tell the last outcome again later.
        """
        campaign = self._campaign
        if self._durable:
            return None  # told once more
        last = {outcome.candidate_id: copy.deepcopy(outcome)}  # kept for a while
        told = last | self._told
        if len(told) < campaign.evaluation_starts:
            self._told = told
            return None
        row = self._record([told[name] for name in self._asked])
        self._told = told
        return row

    def _record(self, outcomes: Sequence[Outcome]) -> EvaluationRow:
        """Make the evaluation durable."""
        campaign, task = self._campaign, self._campaign.parts.task
        results = [examine(o.candidate_id, o.result, task, task.horizon) for o in outcomes]
        row = campaign.dataset.record_evaluation(
            self._index,
            [candidate.context for candidate in self._asked.values()],
            results,
            self._recorded,
            outcomes=outcomes,
        )
        campaign.setbacks.evaluated(results)
        return row


def evaluation_due(campaign: "Campaign", index: int) -> bool:
    """Return whether a round still needs its evaluation.

    Where the policy has learned from nothing else since the last one, there is no other policy to
    be evaluated: every rollout failed, or the outcomes of several rounds came at once.
    """
    every, ledger = campaign.settings.evaluation.every, campaign.dataset.ledger
    wanted = every > 0 and (index % every == 0 or index >= campaign.settings.rounds)
    done = ledger.row(EvaluationRow, index) is not None
    if not wanted or done or not campaign.learner.fitted or campaign.stopped:
        return False
    last, fit = ledger.last(EvaluationRow), ledger.last(FitRow)
    if last is None or fit is None:
        return True
    if last.data_hash is None:  # an earlier robo-al did not note it
        return (last.rollouts, last.transitions) != ledger.totals()[:2]
    return last.data_hash != fit.data_hash


def evaluate_model(campaign: "Campaign", index: int) -> EvaluationRow:
    """Score the model on each held-out rollout after a round, and make the scores durable.

    Raises:
        StorageError: the disk is full or refuses; the evaluation is done again later.
    """
    scores = held_out_scores(campaign.parts.model, campaign.parts.task)
    recorded = campaign.dataset.ledger.totals()[:2]
    return campaign.dataset.record_evaluation(index, (), (), recorded, scores)


def held_out_scores(model: Model, task: Task) -> list[float | None]:
    """Return minus the model's error on each held-out rollout; None where it is not finite.

    The error is the root mean square error of the next observation, each output in units of the
    standard deviation of its change over all held-out rollouts, the mean over outputs: 0 is
    perfect, -1 no better than always predicting the mean change. Outputs that never change their
    course are left out.
    """
    spread = _spread_of_change(task)
    moving = spread > 0
    scores: list[float | None] = []
    for trajectory in task.held_out:
        try:
            found = held_out_error(model, task, [trajectory])
            error = torch.tensor(found.rmse, dtype=torch.float64)
        except NUMERICAL_ERRORS:
            scores.append(None)
            continue
        score = -float((error[moving] / spread[moving]).mean())
        scores.append(score if math.isfinite(score) else None)
    return scores


def _spread_of_change(task: Task) -> torch.Tensor:
    """Return the standard deviation [D] of each output's change in the held-out rollouts."""
    inputs = FeatureMap.of(task)
    changes = [
        inputs.targets(observations[:-1], observations[1:], torch.as_tensor(trajectory.rewards))
        for trajectory in task.held_out
        for observations in [torch.as_tensor(trajectory.observations)]
    ]
    return torch.cat(changes)[:, : len(inputs.predicted)].std(0, correction=0)
