"""The loop that never lets the oracle be idle: the next rounds are chosen while one is executed.

    record what has come -> retrain on it -> wait while the oracle is busy for longer than
        selecting takes -> select, given what is under way -> submit

A rollout is selected as late as it can be, since it is worth more the more is known. The queue is
how many may wait behind what is executed. Where the oracle would be done before retraining and
selecting are, the next round is selected first, by the model that there is.

What is under way is known to the acquisition function as pending. A policy that answers from the
host does so with what it had learned when the rollout was selected: retraining works on another
copy. Until there is a model, rounds follow one another: nothing can be chosen yet.

A campaign is a function of the order in which outcomes come in and selections are made, and the
ledger has both: `sequence` of every rollout, and `after` of every round.
"""

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from statistics import mean
from time import monotonic
from typing import Any

from robo_al.campaign import Campaign
from robo_al.dataset.ledger import FitRow, RolloutRow, RoundRow
from robo_al.errors import IntegrityError, OracleError
from robo_al.protocols import Oracle
from robo_al.rounds import acknowledge, complete, left, repeated
from robo_al.types import Candidate, Failure, Outcome, Streamed
from robo_al.weights import load_weights

_MARGIN = 1.1
"""Computing is expected to last that many times as long as the last time."""


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
        self._pace = _Pace()
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
            spare = self._spare(self._pace.selecting)
            if campaign.enough or len(self._open_rounds()) >= self._room():
                if not self._flying:
                    return
                self._poll(None)
            elif self._flying and spare > 0.0:
                self._poll(spare)
            else:
                self._learn()
                self._select()
                self._poll(0.0)  # what has come meanwhile, the next selection is to know

    def _keep_busy(self) -> None:
        """Select without retraining while the oracle would be done before both are."""
        self._submit()
        if not self._campaign.learner.fitted:
            return
        while (
            not self._campaign.enough
            and self._under_way() < min(self._queue, 2, len(self._open_rounds()))
            and self._spare(self._pace.learning + self._pace.selecting) <= 0.0
        ):
            self._select()

    def _spare(self, computing: float) -> float:
        """Return how many seconds computing may be put off without letting the oracle wait."""
        return self._pace.busy_for(len(self._waiting)) - _MARGIN * computing

    def _select(self) -> None:
        began = monotonic()
        candidates, learner = self._campaign.select(), self._campaign.learner
        self._pace.selecting = monotonic() - began
        self._waiting += [self._freeze(candidate, learner.model_hash) for candidate in candidates]
        self._submit()

    def _learn(self) -> None:
        began = monotonic()
        if self._campaign.learn() is not None:
            self._pace.learning = monotonic() - began

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
            self._pace.submitted(len(self._flying))
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
        self._pace.came(outcome, len(self._flying))
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
            self._learn()
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


class _Pace:
    """Foresees when the oracle will have done all that it was given."""

    def __init__(self) -> None:
        self.learning = 0.0
        """Seconds that it took the last time."""
        self.selecting = 0.0
        """Likewise."""
        self._lasted: deque[float] = deque(maxlen=5)
        """Seconds of the last rollouts."""
        self._began = self._done_at = monotonic()

    def submitted(self, before: int) -> None:
        """Count one rollout more, behind those that the oracle had before."""
        now = monotonic()
        if before == 0:
            self._began = self._done_at = now
        self._done_at = max(self._done_at, now) + self._rollout

    def came(self, outcome: Outcome, left: int) -> None:
        """Note that a rollout is over, and how many are left."""
        now = monotonic()
        # It may have been over for a while, and so may have been the one before: the less is meant.
        self._lasted.append(min(outcome.robot_seconds, now - self._began))
        self._began = now
        self._done_at = min(self._done_at, now + left * self._rollout)

    def busy_for(self, waiting: int) -> float:
        """Return for how many seconds it has rollouts, those that wait to be submitted included."""
        return self._done_at - monotonic() + waiting * self._rollout

    @property
    def _rollout(self) -> float:
        return mean(self._lasted) if self._lasted else 0.0
