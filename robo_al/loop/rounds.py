"""What both loops do: execute, record, retrain, evaluate; and finish what was interrupted."""

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import Diverged, Evaluated, EvaluationFailed, RoundDone
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow
from robo_al.errors import IntegrityError, OracleError
from robo_al.loop.evaluation import (
    evaluate_model,
    evaluation_candidates,
    evaluation_due,
    record_evaluation,
)
from robo_al.protocols import Oracle, SupportsRecall, SupportsRepeat
from robo_al.types import Candidate, Outcome


def left(campaign: Campaign, oracle: Oracle, index: int | None = None) -> list[Candidate]:
    """Return what is to be executed of a round that was interrupted, by default of the last.

    An oracle without lasting effects repeats the whole batch, since what a rollout comes to may
    depend, in the last digit, on those beside it. One that can be asked what became of a rollout is
    asked. Any other never runs again what may have run.
    """
    rows = campaign.dataset.ledger.rows(RolloutRow, round=index or campaign.rounds)
    if all(row.state not in ("selected", "dispatched") for row in rows):
        return []
    candidates = [campaign.candidate(row) for row in rows]
    whole = [candidate for candidate in candidates if candidate is not None]
    if isinstance(oracle, SupportsRepeat) and oracle.repeatable and len(whole) == len(rows):
        return whole
    made = {candidate.id for candidate in whole}
    known = ("selected", "dispatched") if isinstance(oracle, SupportsRecall) else ("selected",)
    wanted = {row.id for row in rows if row.state in known and row.id in made}
    campaign.give_up(
        [row.id for row in rows if row.state in ("selected", "dispatched") and row.id not in wanted]
    )
    return [candidate for candidate in whole if candidate.id in wanted]


def repeated(campaign: Campaign) -> Callable[[Outcome], Any]:
    """Return a `tell` for outcomes of which some are recorded already."""

    def tell(outcome: Outcome) -> None:
        try:
            campaign.tell(outcome)
        except IntegrityError:
            campaign.emit(Diverged(outcome.candidate_id))

    return tell


def execute(
    candidates: Sequence[Candidate],
    oracle: Oracle,
    campaign: Campaign,
    tell: Callable[[Outcome], Any],
    durable: bool = True,
    flying: set[str] | None = None,
) -> None:
    """Execute candidates, as many at a time as the oracle takes.

    Where nothing comes of them (`Campaign.setbacks`), the rest of a round is left for another time.

    Args:
        candidates: what to execute.
        oracle: by whom.
        campaign: whose.
        tell: takes each outcome.
        durable: whether what was told is on the disk.
        flying: ids of what the oracle executes already; their outcomes may come too. Kept up.
    """
    waiting, flying = list(candidates), set() if flying is None else flying
    wanted = {candidate.id for candidate in candidates}
    while wanted:
        if durable and campaign.setbacks.too_many:
            wanted -= {candidate.id for candidate in waiting}
            waiting = []
            if not wanted:
                return
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
            wanted.discard(outcome.candidate_id)
            tell(outcome)
            if durable:
                acknowledge(oracle, [outcome.candidate_id])


def acknowledge(oracle: Oracle, ids: Sequence[str]) -> None:
    """Let the oracle forget what is on the disk here."""
    if isinstance(oracle, SupportsRecall):
        oracle.acknowledge(ids)


def complete(
    campaign: Campaign,
    oracle: Oracle,
    index: int,
    late: Callable[[Outcome], Any],
    flying: set[str] | None = None,
) -> None:
    """Retrain, evaluate, and close a round.

    Args:
        campaign: whose.
        oracle: executes the evaluation.
        index: of the round; all its outcomes are told.
        late: takes outcomes of training rollouts that come during the evaluation.
        flying: ids of those that are being executed.
    """
    campaign.learn()
    if evaluation_due(campaign, index):
        _evaluate(campaign, oracle, index, late, flying)
    record = _record(campaign, index)
    campaign.complete_round(record, index)
    campaign.emit(RoundDone(record))


def _evaluate(
    campaign: Campaign,
    oracle: Oracle,
    index: int,
    late: Callable[[Outcome], Any],
    flying: set[str] | None,
) -> None:
    if campaign.parts.task.held_out:
        with campaign.clock.activity("evaluate"):
            row = evaluate_model(campaign, index)
        campaign.emit(Evaluated(row))
        return
    recorded = campaign.dataset.ledger.totals()[:2]
    evaluated: dict[str, Candidate] = {}
    found: dict[str, Outcome] = {}

    def tell(outcome: Outcome) -> None:
        if outcome.candidate_id in evaluated:
            found.setdefault(outcome.candidate_id, copy.deepcopy(outcome))  # kept for a while
        else:
            late(outcome)

    with campaign.clock.activity("evaluate"):
        # at once, but for starts that are found: then as many as envs stand at
        while len(evaluated) < campaign.settings.evaluation_starts:
            candidates = evaluation_candidates(campaign, index, first=len(evaluated))
            evaluated |= {candidate.id: candidate for candidate in candidates}
            execute(candidates, oracle, campaign, tell, durable=False, flying=flying)
        outcomes = [found[name] for name in evaluated]
        row = record_evaluation(campaign, index, list(evaluated.values()), outcomes, recorded)
        acknowledge(oracle, sorted(evaluated))
    reasons = _reasons(campaign, row)
    if reasons:
        campaign.emit(EvaluationFailed(index, reasons))
    campaign.emit(Evaluated(row))


def _reasons(campaign: Campaign, row: EvaluationRow) -> dict[str, str]:
    """Return why rollouts of an evaluation failed, by their ids; empty where none did."""
    if campaign.parts.task.held_out or None not in json.loads(row.returns):
        return {}
    try:
        kept = campaign.dataset.evaluation(row)
    except IntegrityError:
        return {}  # of a file that was damaged since; that is told elsewhere
    ids = [f"e{row.round:04d}-{i:02d}" for i in range(len(kept))]
    return {id: reason for id, (_, _, reason) in zip(ids, kept, strict=True) if reason is not None}


def _record(campaign: Campaign, index: int) -> dict[str, Any]:
    """Return a round's line in metrics.jsonl."""
    ledger = campaign.dataset.ledger
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
            "failures": _reasons(campaign, evaluation),
        },
        "seconds": campaign.clock.seconds,
        "cpu_seconds": campaign.clock.cpu_seconds,
        "robot_seconds": robot_seconds,
    }
