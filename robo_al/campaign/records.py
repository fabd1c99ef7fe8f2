"""What is noted of a round when it is closed: its line in metrics.jsonl."""

import json
from typing import Any

from robo_al.dataset.clock import Clock
from robo_al.dataset.dataset import Dataset
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow
from robo_al.dataset.stored import evaluation_id
from robo_al.errors import IntegrityError


def failures(dataset: Dataset, row: EvaluationRow) -> dict[str, str]:
    """Return why rollouts of an evaluation failed, by their ids; empty where none did."""
    if None not in json.loads(row.returns):
        return {}
    try:
        kept = dataset.evaluation(row)
    except IntegrityError:
        return {}  # of a file that was damaged since; that is told elsewhere
    ids = [evaluation_id(row.round, i) for i in range(len(kept))]
    return {id: reason for id, (_, _, reason) in zip(ids, kept, strict=True) if reason is not None}


def round_record(dataset: Dataset, clock: Clock, index: int) -> dict[str, Any]:
    """Return a round's line in metrics.jsonl."""
    ledger = dataset.ledger
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
            "failures": failures(dataset, evaluation),
        },
        "seconds": clock.seconds,
        "cpu_seconds": clock.cpu_seconds,
        "robot_seconds": robot_seconds,
    }
