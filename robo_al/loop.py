"""Drives a campaign against an oracle, round after round, and goes on after an interruption."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from robo_al.campaign import Campaign
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow
from robo_al.errors import IntegrityError, OracleError
from robo_al.evaluation import (
    evaluate_model,
    evaluation_candidates,
    evaluation_due,
    record_evaluation,
)
from robo_al.events import Diverged, Evaluated, Event, RoundDone
from robo_al.protocols import Oracle, SupportsRepeat
from robo_al.types import Candidate, Outcome


def run(campaign: Campaign, oracle: Oracle, emit: Callable[[Event], None]) -> None:
    """Turn the loop until the budget is used up or the task solved.

    Each round: select -> execute and record -> retrain -> evaluate. Whatever was interrupted is
    finished first, so that the ledger and the evaluations are those of a campaign that was not.

    Args:
        campaign: new, or opened again.
        oracle: executes training rollouts and evaluations.
        emit: told what happens.

    Raises:
        RoboALError: what stops a campaign: a full disk, an oracle that cannot go on.
    """
    campaign.listener = emit
    campaign.learner.recover(campaign.rounds)
    if not campaign.round_complete:
        with campaign.clock.activity("feedback"):
            _execute(_left(campaign, oracle), oracle, campaign, _repeated(campaign))
        _complete(campaign, oracle)
    while not campaign.finished:
        candidates = campaign.select()
        with campaign.clock.activity("feedback"):
            _execute(candidates, oracle, campaign, campaign.tell)
        _complete(campaign, oracle)


def _left(campaign: Campaign, oracle: Oracle) -> list[Candidate]:
    """Return what is to be executed of a round that was interrupted.

    An oracle without lasting effects repeats the whole batch, since what a rollout comes to may
    depend, in the last digit, on those beside it. Any other never runs again what may have run.
    """
    rows = campaign.dataset.ledger.rows(RolloutRow, round=campaign.rounds)
    if all(row.state not in ("selected", "dispatched") for row in rows):
        return []
    candidates = [campaign.candidate(row) for row in rows]
    whole = [candidate for candidate in candidates if candidate is not None]
    if isinstance(oracle, SupportsRepeat) and oracle.repeatable and len(whole) == len(rows):
        return whole
    made = {candidate.id for candidate in whole}
    lost = [
        row.id
        for row in rows
        if row.state == "dispatched" or (row.state == "selected" and row.id not in made)
    ]
    campaign.give_up(lost)
    fresh = {row.id for row in rows if row.state == "selected"}
    return [candidate for candidate in whole if candidate.id in fresh]


def _repeated(campaign: Campaign) -> Callable[[Outcome], Any]:
    """Return a `tell` for outcomes of which some are recorded already."""

    def tell(outcome: Outcome) -> None:
        try:
            campaign.tell(outcome)
        except IntegrityError:
            campaign.emit(Diverged(outcome.candidate_id))

    return tell


def _execute(
    candidates: Sequence[Candidate],
    oracle: Oracle,
    campaign: Campaign,
    tell: Callable[[Outcome], Any],
) -> None:
    """Execute candidates, as many at a time as the oracle takes."""
    waiting, flying = list(candidates), set[str]()
    while waiting or flying:
        free = max(0, oracle.capacity - len(flying))
        batch, waiting = waiting[:free], waiting[free:]
        campaign.dispatch(batch)
        for candidate in batch:
            oracle.submit(candidate)
            flying.add(candidate.id)
        outcomes = oracle.poll()
        if not outcomes:
            raise OracleError(
                f"{type(oracle).__name__}.poll() without a timeout returned nothing, with "
                f"{len(flying)} rollouts pending and {len(waiting)} waiting"
            )
        for outcome in outcomes:
            flying.discard(outcome.candidate_id)
            tell(outcome)


def _complete(campaign: Campaign, oracle: Oracle) -> None:
    """Retrain, evaluate, and close the round."""
    campaign.learn()
    if evaluation_due(campaign):
        _evaluate(campaign, oracle)
    record = _record(campaign)
    campaign.complete_round(record)
    campaign.emit(RoundDone(record))


def _evaluate(campaign: Campaign, oracle: Oracle) -> None:
    if campaign.parts.task.held_out:
        with campaign.clock.activity("evaluate"):
            row = evaluate_model(campaign)
        campaign.emit(Evaluated(row))
        return
    candidates = evaluation_candidates(campaign)
    found: dict[str, Outcome] = {}
    wanted = {candidate.id for candidate in candidates}

    def tell(outcome: Outcome) -> None:
        if outcome.candidate_id in wanted:
            found.setdefault(outcome.candidate_id, outcome)
        else:  # a training rollout's that comes late
            campaign.tell(outcome)

    with campaign.clock.activity("evaluate"):
        _execute(candidates, oracle, campaign, tell)
        outcomes = [found[candidate.id] for candidate in candidates]
        row = record_evaluation(campaign, candidates, outcomes)
    campaign.emit(Evaluated(row))


def _record(campaign: Campaign) -> dict[str, Any]:
    """Return the round's line in metrics.jsonl."""
    ledger, index = campaign.dataset.ledger, campaign.rounds
    rows = ledger.rows(RolloutRow, round=index)
    fits = ledger.rows(FitRow, round=index)
    evaluation = ledger.row(EvaluationRow, index)
    rollouts, transitions, robot_seconds = ledger.totals()
    fit = fits[-1] if fits else None
    return {
        "round": index,
        "rollouts": rollouts,
        "transitions": transitions,
        "returns": [row.total_reward for row in rows],
        "predicted_information": [row.predicted_information for row in rows],
        "realised_information": [row.realised_information for row in rows],
        "fit": None if fit is None else {"loss": fit.loss, "details": json.loads(fit.details)},
        "held_out": json.loads(fit.held_out) if fit and fit.held_out else None,
        "evaluation": None
        if evaluation is None
        else {
            "mean_return": evaluation.mean_return,
            "returns": json.loads(evaluation.returns),
        },
        "seconds": campaign.clock.seconds,
        "cpu_seconds": campaign.clock.cpu_seconds,
        "robot_seconds": robot_seconds,
    }
