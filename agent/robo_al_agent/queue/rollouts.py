"""Rollouts from their request to their turn; no sockets, no threads, no clock.

A rollout is accepted from the host that has the lease, once: a copy of its request changes nothing.
It has its turn when those before it have had theirs, a person has approved it where the rule wants
that, and the lease still holds; it ends without one where it was withdrawn, rejected or too late.
"""

from dataclasses import dataclass

from robo_al_agent.devices.calibration import Rate
from robo_al_agent.errors import WireError
from robo_al_agent.journal.records import Journal
from robo_al_agent.motion.plan import Plan
from robo_al_agent.protocol import requests
from robo_al_agent.protocol.wire import Message, content_hash
from robo_al_agent.queue.approval import Approvals, Word
from robo_al_agent.queue.lease import Leases
from robo_al_agent.queue.waiting import Waiting


@dataclass(frozen=True)
class Turn:
    """A rollout that may begin now."""

    plan: Plan
    approved: bool
    """Whether a person let it."""


class RolloutQueue:
    """Says which rollout begins; filled by the thread that answers, emptied by the one that moves.

    Args:
        journal: has what is accepted, begun and ended before anything follows from it.
        leases: who may command the robot.
        waiting: rollouts that were accepted.
        approvals: who lets them run.
    """

    def __init__(
        self, journal: Journal, leases: Leases, waiting: Waiting, approvals: Approvals
    ) -> None:
        self.leases = leases
        self.waiting = waiting
        self._journal = journal
        self.approvals = approvals

    # ------------------------------------------------------------ by the thread that answers

    def submit(
        self, fields: requests.Submit, message: Message, rate: Rate | None, now_ns: int
    ) -> None:
        """Take a rollout, or what a copy of its request says anew: how late it may begin.

        Args:
            fields: of the request.
            message: the request.
            rate: how fast the robot can be commanded; None where that is not known yet.
            now_ns: monotonic time.

        Raises:
            LeaseError: it is not from the host that has the robot.
            NotYetError: too many wait, or the robot's rate is not known yet.
            WireError: it is none for this robot, or its id has another content already.
            JournalError: it cannot be written down; nothing has happened then.
        """
        known = self._journal.rollouts.get(fields.id)
        hash = content_hash(Message("content", requests.deed(fields.content), message.arrays))
        if known is not None and known.hash != hash:
            raise WireError(
                f"submit: rollout {fields.id} is {known.state} already with another content; "
                "give what is new a new id"
            )
        if known is None:
            self.leases.need(fields.fencing_token, now_ns)
            self.waiting.accept(fields, message, hash, rate)
        elif known.state == "accepted":
            self.leases.need(fields.fencing_token, now_ns)
            self.waiting.again(fields, rate)

    def say(self, fields: requests.Operator, approved: bool, now_ns: int) -> None:
        """Take a person's word on a rollout that waits.

        Raises:
            WireError: no such rollout waits.
            JournalError: it cannot be written down; nothing was said then.
        """
        rollout = self._journal.rollouts.get(fields.id or "")
        if rollout is None or rollout.state != "accepted" or rollout.hash != fields.hash:
            raise WireError("approve: no rollout with this id and hash is waiting")
        said = "approved" if approved else "rejected"
        self._journal.note(what=said, id=rollout.id, hash=rollout.hash, operator=fields.operator)
        self.approvals.say(rollout.id, Word(approved, rollout.hash, fields.operator, now_ns))

    def waits_for(self, id: str, now_ns: int, faulty: bool, busy: bool) -> str | None:
        """Return what a rollout that was accepted waits for, for whoever wonders at the host.

        Args:
            id: of the rollout; None is returned where it does not wait.
            now_ns: monotonic time.
            faulty: whether a fault is latched.
            busy: whether something else runs.
        """
        if id not in self.waiting:
            return None
        plan = self.waiting.first
        if faulty:
            return "clear"
        if self._journal.paused is not None:
            return "resume"
        if plan is None or plan.id != id or busy:
            return "turn"
        heard = self.approvals.word(plan.id, plan.hash, now_ns) is not None
        return "approval" if self.approvals.needed(plan.commands) and not heard else None

    # ------------------------------------------------------------ by the thread that moves

    def withdraw(self, who: str, id: str | None) -> None:
        """End what waits, on a person's or the host's word; raises `JournalError`.

        Args:
            who: has said so.
            id: only this rollout; None: all of them.
        """
        for plan in [plan for plan in self.waiting if id in (None, plan.id)]:
            self.waiting.refuse(plan, "ABORTED_OPERATOR", f"{who} stopped it before it began")

    def next(self, now_ns: int, may_start: bool) -> Turn | None:
        """Return the rollout that may begin now; end the first one where it may not begin at all.

        Args:
            now_ns: monotonic time.
            may_start: whether the robot is connected and well.

        Raises:
            JournalError: an ending cannot be written down.
        """
        plan = self.waiting.first
        if plan is None:
            return None
        if now_ns > plan.not_after_ns:
            self.waiting.refuse(plan, "EXPIRED", "it was to begin earlier")
            return None
        if self._journal.paused is not None or not may_start or self.leases.held(now_ns) is None:
            return None
        word = self.approvals.word(plan.id, plan.hash, now_ns)
        asked = self.approvals.needed(plan.commands)
        if asked and word is not None and not word.approved:
            self.waiting.refuse(plan, "REJECTED_OPERATOR", f"{word.operator} said no")
            return None
        return Turn(plan, asked) if not asked or word is not None else None

    def begin(self, turn: Turn) -> None:
        """Let a rollout wait no more: it begins; raises `JournalError`, and then it waits on."""
        plan = turn.plan
        self._journal.start(plan.id, turn.approved)
        self.waiting.remove(plan.id)
        self.approvals.ran(plan.commands, turn.approved)
