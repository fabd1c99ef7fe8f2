"""Drives a campaign against an oracle, round after round, and goes on after an interruption."""

from collections.abc import Callable, Sequence
from typing import Any

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import Observer
from robo_al.dataset.ledger import RoundRow
from robo_al.errors import OracleError
from robo_al.loop.overlapped import run_overlapped
from robo_al.loop.rounds import complete, execute, repeated, unfinished
from robo_al.protocols import (
    Oracle,
)
from robo_al.torch_defaults import one_thread
from robo_al.types import Candidate, Outcome


@one_thread
def run(campaign: Campaign, oracle: Oracle, *observers: Observer) -> None:
    """Turn the loop until the budget is used up or the task solved.

    Each round: select -> execute and record -> retrain -> evaluate. Whatever was interrupted is
    finished first, so that the ledger and the evaluations are those of a campaign that was not.
    With a queue (`Settings.queue`), the next rounds are selected while one is executed.

    Args:
        campaign: new, or opened again.
        oracle: executes training rollouts and evaluations.
        observers: told what happens, beside the campaign's own, until the loop ends.

    Raises:
        RoboALError: what stops a campaign: a full disk, an oracle that cannot go on, rollouts or
            evaluations that all fail.
    """
    before, campaign.observers = campaign.observers, [*campaign.observers, *observers]
    try:
        _turn(campaign, oracle)
    finally:
        campaign.observers = before


def _turn(campaign: Campaign, oracle: Oracle) -> None:
    campaign.connect(oracle)
    if campaign.settings.queue is not None:
        run_overlapped(campaign, oracle, campaign.settings.queue)
    else:
        _run_in_turn(campaign, oracle)
    reason = None if campaign.stopped else campaign.setbacks.verdict()
    if reason is not None:
        raise OracleError(f"{campaign.dataset.folder}: {reason}")


def _run_in_turn(campaign: Campaign, oracle: Oracle) -> None:
    """Execute one round after the other."""
    for row in campaign.dataset.ledger.rows(RoundRow, record=None):
        _execute_round(
            campaign, oracle, unfinished(campaign, oracle, row.round), repeated(campaign)
        )
    while not campaign.enough:
        campaign.learn()
        _execute_round(campaign, oracle, campaign.select(), campaign.tell)


def _execute_round(
    campaign: Campaign,
    oracle: Oracle,
    candidates: Sequence[Candidate],
    tell: Callable[[Outcome], Any],
) -> None:
    with campaign.clock.activity("feedback"):
        execute(candidates, oracle, campaign, tell)
    if not campaign.setbacks.too_many:
        complete(campaign, oracle, campaign.tell)
