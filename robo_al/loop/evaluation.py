"""Evaluation, apart from the data and never trained on: of the current policy on fixed starts.

Of a task of recorded rollouts the model is evaluated instead, on those that are held out.
"""

import math
from collections.abc import Sequence

import torch

from robo_al.campaign.campaign import Campaign
from robo_al.campaign.selection import NUMERICAL_ERRORS
from robo_al.dataset.episodes import examine
from robo_al.dataset.ledger import EvaluationRow, FitRow
from robo_al.dataset.outcomes import checked
from robo_al.dataset.stored import evaluation_id
from robo_al.models.held_out import held_out_error
from robo_al.models.inputs import Inputs
from robo_al.protocols import Model, SupportsAct
from robo_al.seeds import Purpose, generator, integer
from robo_al.types import MEAN, Candidate, ClosedLoop, Outcome, Task


def evaluation_due(campaign: Campaign, index: int) -> bool:
    """Return whether a round still needs its evaluation.

    Where the policy has learned from nothing else since the last one, there is no other policy to
    be evaluated: every rollout failed, or the outcomes of several rounds came at once.
    """
    every, ledger = campaign.settings.evaluate_every, campaign.dataset.ledger
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


def evaluation_candidates(campaign: Campaign, index: int, first: int = 0) -> tuple[Candidate, ...]:
    """Return one rollout of the current policy from each fixed start, after a round.

    Start i is where the env's reset puts seed i, in every round, campaign and strategy:
    differences are the policy's. Where starts are found, start i is another one each time, and
    there are only as many as envs can stand at.

    Args:
        campaign: whose policy is evaluated.
        index: of the round.
        first: start to begin with.
    """
    settings, parts = campaign.settings, campaign.parts
    assert isinstance(parts.policy, SupportsAct)
    starts = range(first, settings.evaluation_starts)
    finds = parts.task.finds_starts
    contexts = campaign.find(starts) if finds else campaign.evaluation_contexts[first:]
    return tuple(
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


def record_evaluation(
    campaign: Campaign,
    index: int,
    candidates: Sequence[Candidate],
    outcomes: Sequence[Outcome],
    recorded: tuple[int, int],
) -> EvaluationRow:
    """Make an evaluation durable.

    Args:
        campaign: whose policy was evaluated.
        index: of the round after which it was.
        candidates: as `evaluation_candidates` returned them.
        outcomes: of each.
        recorded: rollouts and transitions, when it began.

    Raises:
        StorageError: the disk is full or refuses; the evaluation is done again later.
    """
    task = campaign.parts.task
    found = [checked(outcome) for outcome in outcomes]
    results = [examine(o.candidate_id, o.result, task, task.horizon) for o in found]
    contexts = [candidate.context for candidate in candidates]
    row = campaign.dataset.record_evaluation(index, contexts, results, recorded, outcomes=found)
    campaign.setbacks.evaluated(results)
    return row


def evaluate_model(campaign: Campaign, index: int) -> EvaluationRow:
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
            error = torch.tensor(found.error, dtype=torch.float64)
        except NUMERICAL_ERRORS:
            scores.append(None)
            continue
        score = -float((error[moving] / spread[moving]).mean())
        scores.append(score if math.isfinite(score) else None)
    return scores


def _spread_of_change(task: Task) -> torch.Tensor:
    """Return the standard deviation [D] of each output's change in the held-out rollouts."""
    inputs = Inputs.of(task)
    changes = [
        inputs.targets(observations[:-1], observations[1:], torch.as_tensor(trajectory.rewards))
        for trajectory in task.held_out
        for observations in [torch.as_tensor(trajectory.observations)]
    ]
    return torch.cat(changes)[:, : len(inputs.predicted)].std(0, correction=0)
