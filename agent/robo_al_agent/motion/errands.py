"""What a person asks of the device itself: it waits until the control loop comes to it."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import AgentError, NotYetError, WireError
from robo_al_agent.guard import Faulted
from robo_al_agent.journal.records import Journal
from robo_al_agent.motion.device import Device
from robo_al_agent.motion.endings import OwedEndings
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.leading import Goal, lead
from robo_al_agent.motion.recording import Recorder
from robo_al_agent.motion.recovery import ABORTED, recover
from robo_al_agent.motion.stops import Stops
from robo_al_agent.protocol.requests import Record
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Fault

MOVING = {"recover", "park", "jog"}
"""Errands that move the robot."""


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


class Errands:
    """Runs errands, one at a time; asked by any thread, run by the control loop.

    Args:
        device: of the robot.
        envelope: what every motion must keep to.
        journal: has who asked for what.
        latch: the fault, which a person clears.
        stops: who has said stop meanwhile.
        endings: that a full disk did not take; written down before a fault is cleared.
        recorder: makes recordings.
    """

    def __init__(
        self,
        device: Device,
        envelope: Envelope,
        journal: Journal,
        latch: Latch,
        stops: Stops,
        endings: OwedEndings,
        recorder: Recorder,
    ) -> None:
        self._device = device
        self._door = device.door
        self._envelope = envelope
        self._journal = journal
        self._latch = latch
        self._stops = stops
        self._endings = endings
        self._recorder = recorder
        self._waiting: deque[Errand] = deque()
        self._current: Errand | None = None

    def ask(self, errand: Errand) -> None:
        """Let an errand wait for its turn; from any thread."""
        self._waiting.append(errand)

    def next(self) -> Errand | None:
        """Take an errand; two threads do, once a call hangs."""
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def drop(self, told: str) -> None:
        """Do none of those that wait, and tell who asked why."""
        while (errand := self.next()) is not None:
            errand.answer(WireError(f"{errand.kind}: {told}"))

    def abandon(self, fault: Fault) -> bool:
        """Answer whoever waits for a call that never comes back; return whether it moves the robot.

        The caller is the thread that watches, for the control loop itself hangs.
        """
        hanging, self._current = self._current, None
        if hanging is not None:
            hanging.answer(WireError(f"{hanging.kind}: {fault.message}"))
        while (behind := self.next()) is not None:  # asked again, it ends this process
            behind.answer(NotYetError(f"{behind.kind}: {fault.message}"))
        return hanging is not None and hanging.kind in MOVING

    def run(self, errand: Errand) -> None:
        """Do what is asked, and tell what came of it."""
        self._current = errand
        answer: Message | AgentError
        try:
            answer = self._do(errand)
        except AgentError as error:
            answer = WireError(f"{errand.kind}: {error}")
        if self._current is errand:  # not answered yet
            self._current = None
            errand.answer(answer)

    def _do(self, errand: Errand) -> Message:
        """Do what is asked; raises an `AgentError` that says why it could not be done."""
        if errand.record is not None:
            self._need_ready()
            self._device.released = False
            return self._recorder.begin(errand.record)
        if errand.goal is not None:
            self._lead(errand, errand.goal)
        else:
            do = {
                "clear": self._clear,
                "release": self._release,
                "recover": self._recover,
                "end_recording": self._nothing_to_end,
            }
            do[errand.kind](errand.operator)
        return Message("ok")

    def _clear(self, operator: str) -> None:
        """Let the device forget its fault, and see that the cause is gone before it counts."""
        self._latch.begin_clearing()
        self._endings.settle()
        self._device.revive(operator)
        self._device.see_ready()
        self._device.unstopped_until_ns = 0
        self._latch.clear(operator)
        later = self._latch.fault
        if later is not None:
            raise WireError(f"another fault came meanwhile, {later.code}: {later.message}")

    def _release(self, operator: str) -> None:
        self._journal.note(what="released", operator=operator)
        self._door.release()
        self._device.released = True

    def _recover(self, operator: str) -> None:
        self._journal.note(what="recovered", operator=operator)
        self._device.released = False
        recover(self._door, self._envelope, lambda: bool(self._stops))

    def _lead(self, errand: Errand, goal: Goal) -> None:
        self._need_ready()
        self._journal.note(what=errand.kind, operator=errand.operator)
        self._device.released = False
        try:
            lead(self._door, self._envelope, goal, lambda: bool(self._stops))
        except Faulted as error:
            if error.fault.code != ABORTED:
                self._latch.latch(error.fault)
            raise

    def _need_ready(self) -> None:
        """Raise `WireError` unless the robot is connected and well."""
        if not self._device.is_ready or self._latch.fault is not None:
            raise WireError(
                "the robot has a fault, or is not connected: see to that first, `clear`"
            )

    def _nothing_to_end(self, operator: str) -> None:
        raise WireError("nothing is being recorded")
