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

from robo_al.campaign.campaign import Campaign
from robo_al.campaign.settings import Parts
from robo_al.campaign.weights import load_weights
from robo_al.dataset.candidates import weights
from robo_al.dataset.ledger import FitRow, RolloutRow, RoundRow
from robo_al.errors import IntegrityError, OracleError
from robo_al.loop.rounds import acknowledge, complete, repeated, unfinished
from robo_al.protocols import Acting, Oracle, SupportsClosedLoop
from robo_al.types import Candidate, ClosedLoop, Failure, Outcome

_MARGIN = 1.1
"""Computing is expected to last that many times as long as the longest of the last times."""
_AT_ONCE = 0.005
"""Seconds. What took longer to come was waited for."""


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
        if isinstance(oracle, SupportsClosedLoop):
            oracle.resolve = self._resolve
        self._flying: set[str] = set()
        self._waiting: list[Candidate] = []
        """Selected, and more than the oracle takes now."""
        self._frozen: dict[str, Parts] = {}
        """What selected a rollout, by what it had learned then (`ClosedLoop.weights`)."""
        self._pace = _Pace()
        self._tell = repeated(campaign)

    def run(self) -> None:
        """Turn the loop."""
        campaign = self._campaign
        for index in self._open_rounds():
            self._wait(unfinished(campaign, self._oracle, index))
        while True:
            self._submit()
            self._keep_busy()
            self._close_rounds()
            evaluating = campaign.under_evaluation.goes_on
            if evaluating or campaign.enough or len(self._open_rounds()) >= self._room():
                if not self._flying:
                    return
                self._poll(None)
            elif self._flying and (spare := self._spare()) > 0.0:
                self._poll(spare)
            else:
                self._learn()
                # What has come meanwhile, the next selection is to know.
                self._poll(0.0 if self._select() or not self._flying else None)

    def _keep_busy(self) -> None:
        """Select without retraining while the oracle would be done before both are."""
        while (
            self._campaign.learner.fitted
            and not self._campaign.enough
            and not self._campaign.under_evaluation.goes_on
            and self._under_way() < min(self._queue, 2, len(self._open_rounds()))
            and self._spare() <= 0.0
            and self._select()
        ):
            pass

    def _spare(self) -> float:
        """Return how many seconds computing may be put off without letting the oracle wait."""
        pace = self._pace
        computing = max(pace.selecting, default=0.0)
        if not self._campaign.learner.up_to_date:
            computing += max(pace.learning, default=0.0)
        return pace.busy_for(len(self._waiting)) - _MARGIN * computing

    def _select(self) -> bool:
        """Select a round and submit it; return whether there is anything in it."""
        began = monotonic()
        candidates = self._campaign.select()
        self._pace.selecting.append(monotonic() - began)
        self._wait(candidates)
        self._submit()
        return bool(candidates)

    def _learn(self) -> None:
        began = monotonic()
        if self._campaign.learn() is not None:
            self._pace.learning.append(monotonic() - began)

    def _under_way(self) -> int:
        """Return of how many rounds not all outcomes are told."""
        return len({row.round for row in self._campaign.dataset.ledger.under_way()})

    def _room(self) -> int:
        """Return how many rounds may be under way."""
        return self._queue + 1 if self._campaign.learner.fitted else 1

    def _submit(self) -> None:
        """Hand over what the oracle takes now; nothing new once the task is solved or all fails."""
        if self._campaign.stopped:
            self._withdraw()
        if self._campaign.setbacks.too_many:
            return
        free = max(0, self._oracle.capacity - len(self._flying))
        batch, self._waiting = self._waiting[:free], self._waiting[free:]
        self._campaign.dispatch(batch)
        for candidate in batch:
            self._oracle.submit(candidate)
            self._pace.submitted(len(self._flying))
            self._flying.add(candidate.id)

    def _withdraw(self) -> None:
        """Give up what no oracle was given."""
        waiting, self._waiting = self._waiting, []
        for candidate in waiting:
            row = self._campaign.dataset.ledger.row(RolloutRow, candidate.id)
            if row is not None and row.state == "selected":
                reason = "not run: the task was solved before its turn came"
                self._tell(Outcome(candidate.id, Failure("aborted", reason), 0.0))
            else:
                self._waiting.append(candidate)

    def _poll(self, timeout: float | None) -> None:
        began = monotonic()
        with self._campaign.clock.activity("feedback"):
            outcomes = self._oracle.poll(timeout)
        if not outcomes and timeout is None:
            raise OracleError(
                f"{type(self._oracle).__name__}.poll() without a timeout returned nothing, "
                f"with {len(self._flying)} rollouts pending"
            )
        waited = monotonic() - began
        for outcome in outcomes:
            self._take(outcome)
        if outcomes:
            self._pace.came(outcomes, len(self._flying), waited > _AT_ONCE)

    def _late(self, outcome: Outcome) -> None:
        """Take what came while the policy was evaluated."""
        if outcome.candidate_id in self._campaign.under_evaluation:
            self._campaign.tell(outcome)
            return
        self._take(outcome)
        self._pace.came([outcome], len(self._flying), awaited=False)

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
            if not self._campaign.under_evaluation.goes_on:
                self._learn()
            complete(self._campaign, self._oracle, self._late, self._flying)
            self._submit()
            self._forget()

    def _wait(self, candidates: Sequence[Candidate]) -> None:
        """Let candidates wait for the oracle; policies and model are kept as they are now."""
        for candidate in candidates:
            controller = candidate.controller
            named = controller.weights if isinstance(controller, ClosedLoop) else None
            if named is not None and named not in self._frozen:
                self._frozen[named] = self._copy(named)
            self._waiting.append(candidate)

    def _resolve(self, controller: ClosedLoop) -> Acting:
        """Return the policy as it was when its rollout was selected."""
        frozen = self._frozen.get(controller.weights or "")
        return frozen.resolve(controller) if frozen else self._campaign.resolve(controller)

    def _copy(self, wanted: str) -> Parts:
        """Return the parts, with policies and model as the weights of a fit say."""
        parts = self._campaign.parts
        policy, model, explorer = copy.deepcopy((parts.policy, parts.model, parts.explorer))
        fits = self._campaign.dataset.ledger.rows(FitRow, model_hash=wanted)
        if fits and wanted != self._campaign.learner.model_hash:
            try:
                load_weights(self._campaign.dataset.weights(fits[-1]), model, policy)
            except IntegrityError:
                pass  # its file was lost: the present model acts in its place
        return replace(parts, policy=policy, model=model, explorer=explorer)

    def _forget(self) -> None:
        """Drop copies that no rollout under way needs."""
        needed = {weights(row) for row in self._campaign.dataset.ledger.under_way()}
        needed.add(str(self._campaign.learner.model_hash))
        self._frozen = {name: parts for name, parts in self._frozen.items() if name in needed}


class _Pace:
    """Foresees when the oracle will have done all that it was given, one after the other."""

    def __init__(self) -> None:
        self.learning: deque[float] = deque(maxlen=5)
        """Seconds that it took the last times."""
        self.selecting: deque[float] = deque(maxlen=5)
        """Likewise."""
        self._lasted: deque[float] = deque(maxlen=5)
        """Seconds of the last rollouts whose beginning and end were seen."""
        self._said = 0.0
        """Seconds of a rollout at least, while none was seen."""
        self._began = self._done_at = monotonic()
        self._seen = False
        """Whether that is when it began, and not only when it was noticed."""

    def submitted(self, before: int) -> None:
        """Count one rollout more, behind those that the oracle had before."""
        now = monotonic()
        if before == 0:
            self._began = self._done_at = now
            self._seen = True
        self._done_at = max(self._done_at, now) + self._rollout

    def came(self, outcomes: Sequence[Outcome], left: int, awaited: bool) -> None:
        """Note that rollouts are over.

        Args:
            outcomes: theirs, one at least.
            left: how many the oracle still has.
            awaited: whether the first was waited for; otherwise they may be over for a while.
        """
        now = monotonic()
        each = (now - self._began) / len(outcomes)
        if awaited and self._seen:
            self._lasted.append(each)
        self._said = min(each, mean(outcome.robot_seconds for outcome in outcomes))
        done_at = now + left * self._rollout
        self._done_at = done_at if awaited else min(self._done_at, done_at)
        self._began, self._seen = now, awaited

    def busy_for(self, waiting: int) -> float:
        """Return for how many seconds it has rollouts, those that wait to be submitted included."""
        return self._done_at - monotonic() + waiting * self._rollout

    @property
    def _rollout(self) -> float:
        return mean(self._lasted) if self._lasted else self._said
