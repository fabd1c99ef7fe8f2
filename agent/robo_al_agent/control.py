"""What moves the robot, and what stops it: the control loop's side of the agent.

`tick` is called by one thread, as often as it says, and makes every call of the driver: what a
person asks of the device (`clear`, `release`, `recover`) waits as an errand until the loop comes to
it. No call that goes wrong ends the loop: it stops the robot, latches a fault with the device's
words, and waits for a person, connected or not.
"""

import traceback
from collections.abc import Callable

from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import JournalError, WireError
from robo_al_agent.guard import Call, Faulted
from robo_al_agent.journal.records import Journal
from robo_al_agent.motion.device import Device
from robo_al_agent.motion.endings import OwedEndings
from robo_al_agent.motion.errands import Errands
from robo_al_agent.motion.execution import Execution
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.recorded import Ending, sample_message
from robo_al_agent.motion.recording import Recorder
from robo_al_agent.motion.stops import Stops
from robo_al_agent.motion.watching import kind_of
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.lease import LEASE_SECONDS
from robo_al_agent.queue.rollouts import RolloutQueue, Turn
from robo_al_agent.robot import Array, Fault, Sample

IDLE_NS = 10_000_000
"""How often an idle agent looks around."""
LOOK_NS = 500_000_000
"""How often an idle robot is read, to see whether it is still there."""
STOP_AGAIN_NS = 5_000_000_000
"""For how long a stop that failed is tried again."""


class Motion:
    """The robot in the hands of the control loop.

    Args:
        device: not yet connected.
        envelope: what every motion must keep to.
        journal: what was written before.
        latch: the fault.
        rollouts: that wait for their turn, and who has the lease.
        push: told samples of streamed rollouts, for the host of the lease.
        keep: told each step of a rollout, to be written by another thread: id, row.
    """

    def __init__(
        self,
        device: Device,
        envelope: Envelope,
        journal: Journal,
        latch: Latch,
        rollouts: RolloutQueue,
        push: Callable[[str, Message], None],
        keep: Callable[[str, bytes], None],
    ) -> None:
        self.door = device.door
        self.execution: Execution | None = None
        self.device = device
        self._envelope = envelope
        self._journal = journal
        self._latch = latch
        self._rollouts = rollouts
        self._push = push
        self._keep = keep
        self._stops = Stops()
        self._endings = OwedEndings(latch)
        self.recorder = Recorder(device, envelope, journal, latch, keep, self._endings.write)
        self.errands = Errands(
            device, envelope, journal, latch, self._stops, self._endings, self.recorder
        )
        self._tried = False
        self._look_ns = 0

    # ------------------------------------------------------------ from any thread

    def abort(self, who: str, id: str | None = None) -> None:
        """Stop the robot at the next tick, and drop what waits.

        Args:
            who: for the journal.
            id: only this rollout; None: all of them.
        """
        self._stops.say(who, id)

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
        moves = self.errands.abandon(fault)
        busy = self.is_busy or self.door.now_ns() < self.device.unstopped_until_ns
        if not (busy or moves):
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
        fault = self._latch.fault
        if fault is not None:
            return Ending(kind_of(fault), fault.message)
        who = self._stops.of(execution.plan.id)
        if who is not None:
            return Ending("ABORTED_OPERATOR", f"{who} stopped it")
        if self._rollouts.leases.held(now_ns) is None:
            return Ending("LINK_LOST", f"the host was silent for {LEASE_SECONDS:g} s")
        return None

    def _idle(self, now_ns: int) -> bool:
        """Do what is due while nothing runs; return whether a rollout begins."""
        self._drop()
        if not self._tried:
            self._tried = True
            self._first_time()
        elif (errand := self.errands.next()) is not None:
            self.errands.run(errand)
        elif now_ns >= self._look_ns:
            self._look_ns = now_ns + LOOK_NS
            self._look(now_ns)
        self._begin(now_ns)
        return self.execution is not None

    def _first_time(self) -> None:
        """Connect; where that fails the agent serves nevertheless, and says so."""
        try:
            self.device.connect()
            if self._latch.fault is not None:  # nobody knows what the agent before this one left
                self.door.stop()
            self.device.see_ready()
        except Faulted as error:
            self._latch.latch(error.fault)

    def _look(self, now_ns: int) -> None:
        """See whether an idle robot is still there; try again to stop one that did not stop."""
        if self._latch.fault is not None:
            if now_ns < self.device.unstopped_until_ns and self.device.stop() is None:
                self.device.unstopped_until_ns = 0
            return
        fault = self.device.look()
        if fault is not None:
            self._latch.latch(fault)

    # ------------------------------------------------------------ recordings

    def _record(self, now_ns: int) -> int:
        """Do what is due of a recording; return when to call again (ns)."""
        take = self.recorder.take
        assert take is not None
        who, errand = self._stops.of(take.id), self.errands.next()
        said = None if who is None else Ending("ABORTED_OPERATOR", f"{who} stopped it")
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
        for who, id in self._stops.taken():
            if id is None:
                self.errands.drop(f"{who} stopped it before it began")
            self._rollouts.withdraw(who, id)

    def _begin(self, now_ns: int) -> None:
        """Start the next rollout that may start."""
        self._drop()
        turn = self._rollouts.next(now_ns, self.may_start)
        if turn is not None:
            self._start(turn, now_ns)

    @property
    def is_busy(self) -> bool:
        """Whether a rollout runs, or a recording is made."""
        return self.execution is not None or self.recorder.take is not None

    @property
    def may_start(self) -> bool:
        """Whether the robot is connected and well."""
        return self.device.is_ready and self._latch.fault is None

    def _start(self, turn: Turn, now_ns: int) -> None:
        fault = self.door.fault()
        if fault is not None:
            self._latch.latch(fault)
            return
        self._rollouts.begin(turn)
        self.device.released = False
        plan = turn.plan

        def push(step: int, sample: Sample, target: Array, deadline_ns: int) -> None:
            lease = self._rollouts.leases.latest
            if lease is not None:
                self._push(lease.client, sample_message(plan.id, step, sample, target, deadline_ns))

        rate = self.device.rate
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
        wrong = self.device.stop()
        if wrong is not None:
            failed = f"THE STOP FAILED: {wrong.message}"
            fault = ending.fault or Fault(wrong.code, f"{ending.kind} {ending.reason}".strip())
            told = Fault(fault.code, f"{fault.message}; {failed}")
            ending = Ending("FAULTED", f"{ending.reason}; {failed}".removeprefix("; "), told)
            self.device.unstopped_until_ns = self.door.now_ns() + STOP_AGAIN_NS
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
        self._endings.write(write)
