"""What moves the robot, and what stops it: the control loop's side of the agent.

`tick` is called by one thread, as often as it says, and makes every call of the driver: what a
person asks of the device (`clear`, `release`, `recover`) waits as an errand until the loop comes to
it. No call that goes wrong ends the loop: it stops the robot, latches a fault with the device's
words, and waits for a person, connected or not.
"""

import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import AgentError, JournalError, NotYetError, WireError
from robo_al_agent.guard import Call, Faulted
from robo_al_agent.journal import Journal
from robo_al_agent.motion.device import Device
from robo_al_agent.motion.execution import Ending, Execution, Plan, sample_message
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.leading import Goal, lead
from robo_al_agent.motion.recording import Recorder
from robo_al_agent.motion.recovery import ABORTED, recover
from robo_al_agent.motion.watching import kind_of
from robo_al_agent.protocol.requests import Record
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.approval import Approvals
from robo_al_agent.queue.lease import LEASE_SECONDS, Lease
from robo_al_agent.queue.waiting import Waiting
from robo_al_agent.robot import Array, Fault, Sample

IDLE_NS = 10_000_000
"""How often an idle agent looks around."""
LOOK_NS = 500_000_000
"""How often an idle robot is read, to see whether it is still there."""
MOVING = {"recover", "park", "jog"}
"""Errands that move the robot."""
STOP_AGAIN_NS = 5_000_000_000
"""For how long a stop that failed is tried again."""


@dataclass(frozen=True)
class Errand:
    """Something that a person asks of the device, and who is told what came of it."""

    kind: str
    """One of `requests.ERRANDS`."""
    operator: str
    answer: Callable[[Message | AgentError], None]
    goal: Goal | None = None
    """Of `park` and `jog`."""
    record: Record | None = None
    """Of `record`."""


class Motion:
    """The robot in the hands of the control loop.

    Args:
        device: not yet connected.
        envelope: what every motion must keep to.
        journal: what was written before.
        latch: the fault.
        waiting: rollouts.
        approvals: who lets them run.
        push: told samples of streamed rollouts, for the host of the lease.
        keep: told each step of a rollout, to be written by another thread: id, row.
    """

    def __init__(
        self,
        device: Device,
        envelope: Envelope,
        journal: Journal,
        latch: Latch,
        waiting: Waiting,
        approvals: Approvals,
        push: Callable[[str, Message], None],
        keep: Callable[[str, bytes], None],
    ) -> None:
        self.door = device.door
        self.execution: Execution | None = None
        self.lease: Lease | None = None
        """Who may command the robot: replaced by the thread that answers requests."""
        self.errands: deque[Errand] = deque()
        self.released = False
        """Whether torque was switched off on a person's word, and nothing has moved since."""
        self._device = device
        self._envelope = envelope
        self._journal = journal
        self._latch = latch
        self._waiting = waiting
        self._approvals = approvals
        self._push = push
        self._keep = keep
        self.recorder = Recorder(device, envelope, journal, latch, keep, self._write)
        self._errand: Errand | None = None
        self._aborts: deque[tuple[str, str | None]] = deque()
        """Who has said stop, and to which rollout (None: to everything), since the last tick."""
        self._tried = False
        self._look_ns = 0
        self._moves_until_ns = 0
        """Until when a stop that failed is tried again."""
        self._owed: list[Callable[[], None]] = []
        """Endings that a full disk did not take."""

    # ------------------------------------------------------------ from any thread

    def abort(self, who: str, id: str | None = None) -> None:
        """Stop the robot at the next tick, and drop what waits.

        Args:
            who: for the journal.
            id: only this rollout; None: all of them.
        """
        self._aborts.append((who, id))

    def watch(self, now_ns: int) -> None:
        """Cancel a trajectory that its controller executes and that must not go on.

        While such a trajectory runs, `tick` does not return: another thread calls this.
        """
        execution = self.execution
        if execution is not None and execution.handed_over:
            fault = self.door.sensing.fault(now_ns)
            if fault is not None:
                self._latch.latch(fault)
            ending = self._interruption(execution, now_ns)
            if ending is not None:
                execution.cancel(ending)

    def abandon(self, call: Call, fault: Fault) -> bool:
        """Take note of a call that never comes back; return whether the process has to end.

        Only the end of the process ends the call. While nothing moves the robot, that waits for a
        person, who is told. The caller is the thread that watches, for the loop itself hangs.
        """
        self._latch.latch(fault)
        errand, self._errand = self._errand, None
        if errand is not None:
            errand.answer(WireError(f"{errand.kind}: {fault.message}"))
        while (behind := self._next_errand()) is not None:  # asked again, it ends this process
            behind.answer(NotYetError(f"{behind.kind}: {fault.message}"))
        busy = self.execution is not None or self.recorder.take is not None
        moves = busy or self.door.now_ns() < self._moves_until_ns
        if not (moves or (errand is not None and errand.kind in MOVING)):
            return False
        if not self.door.condemn(call):
            return False
        execution = self.execution
        if execution is not None:
            self._write_end(execution, Ending("FAULTED", fault.message))
        if self.recorder.take is not None:
            self.recorder.write_end(Ending("FAULTED", fault.message))
        return True

    # ------------------------------------------------------------ the control loop

    def tick(self, now_ns: int) -> int:
        """Do what is due; return when to call again (ns)."""
        try:
            if self.recorder.take is not None:
                return min(self._record(now_ns), now_ns + IDLE_NS)
            if self.execution is None and not self._idle(now_ns):
                return now_ns + IDLE_NS
            execution = self.execution
            assert execution is not None
            ending = self._due(execution, now_ns)
            if ending is None:
                return min(execution.next_ns, now_ns + IDLE_NS)
            self._end(execution, ending)
            return now_ns
        except Exception as error:
            self._failed(error)
            return now_ns + IDLE_NS

    def _failed(self, error: Exception) -> None:
        """Stop after an error that is none of the device's: a full disk, or one of the agent's."""
        if isinstance(error, JournalError):
            fault = Fault("journal", f"{error}: see to the disk")
        else:
            fault = Fault("agent", f"{type(error).__name__}: {error}: the terminal says where")
            if self._latch.fault is None:  # once, not a hundred times a second
                traceback.print_exception(error)
        self._latch.latch(fault)
        if self.execution is not None:
            self._end(self.execution, Ending("FAULTED", fault.message))
        if self.recorder.take is not None:
            self.recorder.end(Ending("FAULTED", fault.message))

    def _due(self, execution: Execution, now_ns: int) -> Ending | None:
        """Do what is due of a rollout; return how it ended, if it did."""
        try:
            ending = self._interruption(execution, now_ns)
            fault = self.door.fault() if ending is None else None
            if fault is not None:
                return Ending.of(fault)
            if ending is not None or now_ns < execution.next_ns:
                return ending
            return execution.advance(now_ns)
        except Faulted as error:
            return Ending.of(error.fault)

    def _interruption(self, execution: Execution, now_ns: int) -> Ending | None:
        """Return why a rollout must not go on, whatever the robot says."""
        fault, lease = self._latch.fault, self.lease
        if fault is not None:
            return Ending(kind_of(fault), fault.message)
        for who, id in tuple(self._aborts):
            if id in (None, execution.plan.id):
                return Ending("ABORTED_OPERATOR", f"{who} stopped it")
        if lease is None or now_ns >= lease.until_ns:
            return Ending("LINK_LOST", f"the host was silent for {LEASE_SECONDS:g} s")
        return None

    def _idle(self, now_ns: int) -> bool:
        """Do what is due while nothing runs; return whether a rollout begins."""
        self._drop()
        if not self._tried:
            self._tried = True
            self._first_time()
        elif (errand := self._next_errand()) is not None:
            self._run(errand)
        elif now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_NS
            self._look(now_ns)
        self._begin(now_ns)
        return self.execution is not None

    def _first_time(self) -> None:
        """Connect; where that fails the agent serves nevertheless, and says so."""
        try:
            self._device.connect()
            if self._latch.fault is not None:  # nobody knows what the agent before this one left
                self.door.stop()
            self._device.see_ready()
        except Faulted as error:
            self._latch.latch(error.fault)

    def _look(self, now_ns: int) -> None:
        """See whether an idle robot is still there; try again to stop one that did not stop."""
        if self._latch.fault is not None:
            if now_ns < self._moves_until_ns and self._device.stop() is None:
                self._moves_until_ns = 0
            return
        fault = self._device.look()
        if fault is not None:
            self._latch.latch(fault)

    # ------------------------------------------------------------ what a person asks

    def _next_errand(self) -> Errand | None:
        """Take an errand; two threads do, once a call hangs."""
        try:
            return self.errands.popleft()
        except IndexError:
            return None

    def _run(self, errand: Errand) -> None:
        self._errand = errand
        do = {
            "clear": self._clear,
            "release": self._release,
            "recover": self._recover,
            "end_recording": self._nothing_to_end,
        }
        answer: Message | AgentError = Message("ok")
        try:
            if errand.goal is not None:
                self._lead(errand, errand.goal)
            elif errand.record is not None:
                answer = self._begin_recording(errand.record)
            else:
                do[errand.kind](errand.operator)
        except AgentError as error:
            answer = WireError(f"{errand.kind}: {error}")
        if self._errand is errand:  # not answered yet
            self._errand = None
            errand.answer(answer)

    def _clear(self, operator: str) -> None:
        """Let the device forget its fault, and see that the cause is gone before it counts."""
        self._latch.begin_clearing()
        while self._owed:
            self._owed[0]()
            self._owed.pop(0)
        self._device.revive(operator)
        self._device.see_ready()
        self._moves_until_ns = 0
        self._latch.clear(operator)
        later = self._latch.fault
        if later is not None:
            raise WireError(f"another fault came meanwhile, {later.code}: {later.message}")

    def _release(self, operator: str) -> None:
        self._journal.note(what="released", operator=operator)
        self.door.release()
        self.released = True

    def _recover(self, operator: str) -> None:
        self._journal.note(what="recovered", operator=operator)
        self.released = False
        recover(self.door, self._envelope, lambda: bool(self._aborts))

    def _need_ready(self) -> None:
        """Raise `WireError` unless the robot is connected and well."""
        if not self.may_start:
            raise WireError(
                "the robot has a fault, or is not connected: see to that first, `clear`"
            )

    def _lead(self, errand: Errand, goal: Goal) -> None:
        self._need_ready()
        self._journal.note(what=errand.kind, operator=errand.operator)
        self.released = False
        try:
            lead(self.door, self._envelope, goal, lambda: bool(self._aborts))
        except Faulted as error:
            if error.fault.code != ABORTED:
                self._latch.latch(error.fault)
            raise

    # ------------------------------------------------------------ recordings

    def _begin_recording(self, asked: Record) -> Message:
        self._need_ready()
        self.released = False
        return self.recorder.begin(asked)

    def _nothing_to_end(self, operator: str) -> None:
        raise WireError("nothing is being recorded")

    def _record(self, now_ns: int) -> int:
        """Do what is due of a recording; return when to call again (ns)."""
        said, take = None, self.recorder.take
        assert take is not None
        for who, id in tuple(self._aborts):
            if id in (None, take.id):
                said = Ending("ABORTED_OPERATOR", f"{who} stopped it")
        errand = self._next_errand()
        if errand is not None and errand.kind == "end_recording":
            said = said or Ending("SUCCEEDED", f"{errand.operator} ended it")
        next_ns = self.recorder.advance(now_ns, said)
        if errand is not None:
            ended = errand.kind == "end_recording"
            told = WireError(f"{errand.kind}: a recording is being made; end it first")
            errand.answer(Message("ok") if ended else told)
        return next_ns

    # ------------------------------------------------------------ rollouts

    def _drop(self) -> None:
        """Let nothing begin that was asked for before a person said stop."""
        while self._aborts:
            who, id = self._aborts.popleft()
            told = f"{who} stopped it before it began"
            while id is None and (errand := self._next_errand()) is not None:
                errand.answer(WireError(f"{errand.kind}: {told}"))
            for plan in [plan for plan in self._waiting if id in (None, plan.id)]:
                self._waiting.refuse(plan, "ABORTED_OPERATOR", told)

    def _begin(self, now_ns: int) -> None:
        """Start the next rollout that may start."""
        self._drop()
        plan, lease = self._waiting.first, self.lease
        if plan is None:
            return
        if now_ns > plan.not_after_ns:
            self._waiting.refuse(plan, "EXPIRED", "it was to begin earlier")
        elif self._journal.paused is not None:
            return
        elif self.may_start and lease is not None and now_ns < lease.until_ns:
            word = self._approvals.word(plan.id, plan.hash, now_ns)
            asked = self._approvals.needed(plan.commands)
            if asked and word is not None and not word.approved:
                self._waiting.refuse(plan, "REJECTED_OPERATOR", f"{word.operator} said no")
            elif not asked or word is not None:
                self._start(plan, now_ns, asked)

    @property
    def may_start(self) -> bool:
        """Whether the robot is connected and well."""
        return self._device.is_ready and self._latch.fault is None

    def _start(self, plan: Plan, now_ns: int, approved: bool) -> None:
        fault = self.door.fault()
        if fault is not None:
            self._latch.latch(fault)
            return
        self._journal.start(plan.id, approved)
        self.released = False
        self._waiting.remove(plan.id)
        self._approvals.ran(plan.commands, approved)

        def push(step: int, sample: Sample, target: Array, deadline_ns: int) -> None:
            lease = self.lease
            if lease is not None:
                self._push(lease.client, sample_message(plan.id, step, sample, target, deadline_ns))

        rate = self._device.rate
        assert rate is not None
        self.door.sensing.begin(plan.id)
        self.execution = Execution(
            plan,
            self.door,
            self._envelope,
            rate.shortest_period,
            push,
            lambda row: self._keep(plan.id, row),
            now_ns,
        )

    def _end(self, execution: Execution, ending: Ending) -> None:
        """Stop the robot, then write down what happened."""
        wrong = self._device.stop()
        if wrong is not None:
            failed = f"THE STOP FAILED: {wrong.message}"
            fault = ending.fault or Fault(wrong.code, f"{ending.kind} {ending.reason}".strip())
            told = Fault(fault.code, f"{fault.message}; {failed}")
            ending = Ending("FAULTED", f"{ending.reason}; {failed}".removeprefix("; "), told)
            self._moves_until_ns = self.door.now_ns() + STOP_AGAIN_NS
        if ending.fault is not None:
            self._latch.latch(ending.fault)
        self._write_end(execution, ending)

    def _write_end(self, execution: Execution, ending: Ending) -> None:
        """Write how a rollout ended: now, or when there is room on the disk again."""
        plan, steps = execution.plan, execution.step
        result = execution.recorded.result(plan.id, plan.hash, ending, plan.content.horizon)
        result = self.door.sensing.end(result, self.door.now_ns())
        fraction = steps / plan.content.horizon

        def write() -> None:
            self._journal.end(plan.id, ending.kind, ending.reason, fraction, result)

        self.execution = None
        self._write(write)

    def _write(self, write: Callable[[], None]) -> None:
        """Write an ending down: now, or when there is room on the disk again."""
        try:
            write()
        except JournalError as error:
            self._owed.append(write)
            self._latch.latch(Fault("journal", f"{error}: see to the disk"))
