"""What both loops do: execute, record, retrain, evaluate; and finish what was interrupted."""

from collections.abc import Callable, Sequence
from typing import Any

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import Diverged
from robo_al.dataset.ledger import RolloutRow
from robo_al.dataset.rows import EVALUATION
from robo_al.errors import IntegrityError, OracleError
from robo_al.protocols import Oracle, SupportsRecall, SupportsRepeat
from robo_al.types import Candidate, Outcome


def unfinished(campaign: Campaign, oracle: Oracle, index: int) -> list[Candidate]:
    """Return what is to be executed of a round that was interrupted.

    An oracle without lasting effects repeats the whole batch, since what a rollout comes to may
    depend, in the last digit, on those beside it. One that can be asked what became of a rollout is
    asked. Any other never runs again what may have run.
    """
    rows = campaign.dataset.ledger.rows(RolloutRow, round=index)
    if rows and rows[-1].strategy == EVALUATION:  # one after the other: all before it are told
        rows = rows[-1:]
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
    tell: Callable[[Outcome], Any],
    flying: set[str] | None = None,
) -> None:
    """Retrain, evaluate, and close the rounds all of whose outcomes are told.

    Args:
        campaign: whose.
        oracle: executes the evaluation.
        tell: takes outcomes, also of training rollouts that come during the evaluation.
        flying: ids of those that are being executed.
    """
    evaluated: list[str] = []
    while candidates := campaign.evaluation():
        with campaign.clock.activity("evaluate"):
            execute(candidates, oracle, campaign, tell, durable=False, flying=flying)
        evaluated += [candidate.id for candidate in candidates]
    if evaluated:
        acknowledge(oracle, evaluated)
