"""The loop that never lets the oracle be idle: the next rounds are chosen while one is executed.

    while there is room in the queue: record what has come -> retrain on it
        -> select, given what is under way -> submit
    then wait for an outcome

Where retraining takes longer than a rollout, the queue would run dry: when nothing waits behind
what is executed, the next round is selected first, by the model that there is.

What is under way is known to the acquisition function as pending. A policy that answers from the
host does so with what it had learned when the rollout was selected: retraining works on another
copy. Until there is a model, rounds follow one another: nothing can be chosen yet.

A campaign is a function of the order in which outcomes come in and selections are made, and the
ledger has both: `sequence` of every rollout, and `after` of every round.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from robo_al.campaign import Campaign
from robo_al.dataset.ledger import FitRow, RolloutRow, RoundRow
from robo_al.errors import IntegrityError, OracleError
from robo_al.protocols import Oracle
from robo_al.rounds import acknowledge, complete, left, repeated
from robo_al.types import Candidate, Failure, Outcome, Streamed
from robo_al.weights import load_weights


def run_overlapped(campaign: Campaign, oracle: Oracle, queue: int) -> None:
    """Turn the loop until the budget is used up or the task solved.

    Args:
        campaign: new, or opened again.
        oracle: takes `queue` + 1 rounds at a time.
        queue: rounds that wait while one is executed.

    Raises:
        RoboALError: what stops a campaign.
    """
    _Overlapped(campaign, oracle, queue).run()


class _Overlapped:
    def __init__(self, campaign: Campaign, oracle: Oracle, queue: int) -> None:
        self._campaign, self._oracle, self._queue = campaign, oracle, queue
        self._flying: set[str] = set()
        self._waiting: list[Candidate] = []
        """Selected, and more than the oracle takes now."""
        self._frozen: dict[str | None, Any] = {}
        """Policy and model by the hash of what they had learned."""
        self._tell = repeated(campaign)

    def run(self) -> None:
        """Turn the loop."""
        campaign = self._campaign
        for index in self._open_rounds():
            rows = {row.id: row for row in campaign.dataset.ledger.rows(RolloutRow, round=index)}
            self._waiting += [
                self._freeze(candidate, rows[candidate.id].model_hash)
                for candidate in left(campaign, self._oracle, index)
            ]
        while True:
            self._keep_busy()
            self._close_rounds()
            if not self._campaign.enough and len(self._open_rounds()) < self._room():
                self._select(learn=True)
                self._poll(0.0)  # what has come meanwhile, the next selection is to know
            elif self._flying:
                self._poll(None)
            else:
                return

    def _keep_busy(self) -> None:
        """Select without retraining while nothing would be left to execute before it is done."""
        least = min(self._queue, 2) if self._campaign.learner.fitted else 0
        self._submit()
        while not self._campaign.enough and self._under_way() < least:
            self._select(learn=False)

    def _select(self, learn: bool) -> None:
        candidates, learner = self._campaign.select(learn=learn), self._campaign.learner
        self._waiting += [self._freeze(candidate, learner.model_hash) for candidate in candidates]
        self._submit()

    def _under_way(self) -> int:
        """Return of how many rounds not all outcomes are told."""
        return len({row.round for row in self._campaign.dataset.ledger.under_way()})

    def _room(self) -> int:
        """Return how many rounds may be under way."""
        return self._queue + 1 if self._campaign.learner.fitted else 1

    def _submit(self) -> None:
        """Hand over what the oracle takes now; once the task is solved, nothing more."""
        if self._campaign.stopped:
            withdrawn, self._waiting = self._waiting, []
            for candidate in withdrawn:
                reason = "not run: the task was solved before its turn came"
                self._tell(Outcome(candidate.id, Failure("aborted", reason), 0.0))
        free = max(0, self._oracle.capacity - len(self._flying))
        batch, self._waiting = self._waiting[:free], self._waiting[free:]
        self._campaign.dispatch(batch)
        for candidate in batch:
            self._oracle.submit(candidate)
            self._flying.add(candidate.id)

    def _poll(self, timeout: float | None) -> None:
        with self._campaign.clock.activity("feedback"):
            outcomes = self._oracle.poll(timeout)
        if not outcomes and timeout is None:
            raise OracleError(
                f"{type(self._oracle).__name__}.poll() without a timeout returned nothing, "
                f"with {len(self._flying)} rollouts pending"
            )
        for outcome in outcomes:
            self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        self._flying.discard(outcome.candidate_id)
        self._tell(outcome)
        acknowledge(self._oracle, [outcome.candidate_id])

    def _open_rounds(self) -> list[int]:
        rows = self._campaign.dataset.ledger.rows(RoundRow, record=None)
        return [row.round for row in rows]

    def _close_rounds(self) -> None:
        """Close the rounds all of whose outcomes are told, in their order."""
        ledger = self._campaign.dataset.ledger
        while opened := self._open_rounds():
            rows = ledger.rows(RolloutRow, round=opened[0])
            if any(row.state in ("selected", "dispatched") for row in rows):
                return
            complete(self._campaign, self._oracle, opened[0], self._take, self._flying)
            self._submit()
            self._forget()

    def _freeze(self, candidate: Candidate, model_hash: str | None) -> Candidate:
        """Return a candidate whose policy and model stay as they were when it was selected."""
        controller = candidate.controller
        if not isinstance(controller, Streamed):
            return candidate
        if model_hash not in self._frozen:
            self._frozen[model_hash] = self._copy(model_hash)
        policy, model, explorer = self._frozen[model_hash]
        exploring: object = self._campaign.parts.explorer
        whose = explorer if controller.policy is exploring else policy
        return replace(candidate, controller=Streamed(whose, model, controller.member))

    def _copy(self, model_hash: str | None) -> Sequence[Any]:
        """Return policy, model and explorer with what the weights of a fit say."""
        parts = self._campaign.parts
        copies = copy.deepcopy((parts.policy, parts.model, parts.explorer))
        wanted = self._campaign.dataset.ledger.rows(FitRow, model_hash=model_hash)
        if wanted and model_hash not in (None, self._campaign.learner.model_hash):
            try:
                load_weights(self._campaign.dataset.weights(wanted[-1]), copies[1], copies[0])
            except IntegrityError:
                pass  # its file was lost: the present model acts in its place
        return copies

    def _forget(self) -> None:
        """Drop copies that no rollout under way needs."""
        rows = self._campaign.dataset.ledger.under_way()
        needed = {row.model_hash for row in rows} | {self._campaign.learner.model_hash}
        self._frozen = {name: parts for name, parts in self._frozen.items() if name in needed}
