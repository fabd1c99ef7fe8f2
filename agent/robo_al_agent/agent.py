"""The agent: what is asked of it, and what it answers; no sockets, no threads, no clock.

`handle` answers requests and is called by one thread; `motion.tick` moves the robot and is called
by another, as often as it says; `abort` may be called by any. Time is given to each, in nanoseconds
of the machine's monotonic clock, so that all of it also runs in a simulated time. Each attribute
that both threads see is written by one of them and replaced, never changed.

Every rollout goes accepted -> started -> ended -> acknowledged, and each step is in the journal
before anything follows from it: a rollout is executed at most once, whatever is lost, doubled or
killed in between.
"""

import contextlib
import dataclasses
import traceback
from collections.abc import Callable
from typing import Any

from robo_al_agent.answers.operator import OperatorAnswers
from robo_al_agent.answers.served import Robot
from robo_al_agent.control import Motion
from robo_al_agent.errors import AgentError, JournalError, WireError
from robo_al_agent.journal.records import Journal
from robo_al_agent.motion.device import Device
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.recorded import Ending, Recorded
from robo_al_agent.motion.recording import end_interrupted
from robo_al_agent.protocol import requests
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.approval import Approvals
from robo_al_agent.queue.lease import LEASE_SECONDS, Leases
from robo_al_agent.queue.rollouts import RolloutQueue
from robo_al_agent.queue.waiting import Waiting
from robo_al_agent.robot import Fault


class Agent:
    """Executes rollouts, one at a time.

    Args:
        robot: what it serves.
        journal: what was written before.
        epoch: another one at each start of the process.
        push: told samples of streamed rollouts, to be sent to the holder of the lease.
        keep: told each step of a rollout, to be written by another thread: id, row.

    On construction, a rollout that was started and has no end becomes INTERRUPTED and a fault is
    latched: nobody knows in which state the robot is.
    """

    def __init__(
        self,
        robot: Robot,
        journal: Journal,
        epoch: str,
        push: Callable[[str, Message], None],
        keep: Callable[[str, bytes], None],
    ) -> None:
        self._robot = robot
        self._journal = journal
        self._epoch = epoch
        self._latch = Latch(journal)
        self._queue = RolloutQueue(
            journal,
            Leases(journal),
            Waiting(journal, robot.door.spec, robot.envelope),
            Approvals(robot.approval, journal.approved),
        )
        self._device = Device(robot.door, robot.envelope, robot.rate)
        self.motion = Motion(
            self._device,
            robot.envelope,
            journal,
            self._latch,
            self._queue,
            push,
            keep,
        )
        self._operator = OperatorAnswers(robot, journal, self._latch, self._queue, self.motion)
        self._answers = self._by_kind()
        with contextlib.suppress(JournalError):  # a full disk is told once it keeps a rollout
            journal.note(what="session", **dataclasses.asdict(robot.session))
        self._recover()

    def _by_kind(self) -> dict[str, Callable[[Any, Message, int], Message]]:
        """Return what answers each kind of request: told its fields, the message and the time."""
        return {
            "hello": self._hello,
            "lease": self._grant,
            "unlease": self._unlease,
            "submit": self._submit,
            "state": self._state,
            "fetch": self._fetch,
            "acknowledge": self._acknowledge,
            "tick": self._tick,
            "abort": self._abort_now,
            "approve": self._operator.approve,
            "reject": self._operator.reject,
            "status": self._operator.status,
            "recordings": self._operator.recordings,
            "pause": self._operator.pause,
            "resume": self._operator.resume,
        }

    def tick(self, now_ns: int) -> int:
        """Do what is due of the robot's motion; return when to call again (ns)."""
        return self.motion.tick(now_ns)

    def fail(self, fault: Fault) -> None:
        """Latch a fault of the agent itself, which stops the robot; from any thread."""
        self._latch.latch(fault)

    @property
    def fault(self) -> Fault | None:
        """Return what is latched."""
        return self._latch.fault

    @property
    def condemned(self) -> Fault | None:
        """Return why this process has to be replaced by another one, if it has to."""
        return self._operator.condemned

    def abort(self, who: str, id: str | None = None) -> None:
        """Stop the robot at the next tick, and drop what waits; from any thread.

        Args:
            who: for the journal.
            id: only this rollout; None: all of them.
        """
        self.motion.abort(who, id)

    # ------------------------------------------------------------ requests: one thread

    def handle(
        self,
        message: Message,
        now_ns: int,
        operator: bool = False,
        later: Callable[[Message], None] | None = None,
    ) -> Message | None:
        """Answer a request; nothing that is asked raises.

        Args:
            message: whatever came.
            now_ns: monotonic time.
            operator: whether it came over the socket that only this machine has.
            later: told the answer, from another thread, where that takes time: None is returned.
        """
        request = message.fields.get("request")
        number = request if type(request) is int else 0
        try:
            fields = requests.parse(message)
            if (message.kind in requests.OPERATOR_KINDS) and not (
                operator or message.kind in ("abort", "status")
            ):
                raise WireError(f"{message.kind}: only a person at the robot may say so")
            if message.kind in requests.ERRANDS:
                self._operator.send_on(message.kind, fields, self._teller(number, later))
                return None
            answer = self._answers[message.kind](fields, message, now_ns)
        except AgentError as error:
            answer = requests.error_message(error)
        except Exception as error:  # of the agent itself: the robot stops, and requests go on
            traceback.print_exception(error)
            self.fail(Fault("agent", f"{message.kind}: {type(error).__name__}: {error}"))
            answer = requests.error_message(WireError(f"{message.kind}: the agent has a fault"))
        return Message(answer.kind, {**answer.fields, "request": number}, answer.arrays)

    def _teller(
        self, number: int, later: Callable[[Message], None] | None
    ) -> Callable[[Message | AgentError], None]:
        """Return what tells the answer to a request when it is there."""

        def tell(said: Message | AgentError) -> None:
            if later is not None:
                reply = said if isinstance(said, Message) else requests.error_message(said)
                later(Message(reply.kind, {**reply.fields, "request": number}, reply.arrays))

        return tell

    def _hello(self, fields: requests.Hello, message: Message, now_ns: int) -> Message:
        robot, rate = self._robot, self._device.rate
        spec = dataclasses.asdict(robot.door.spec)
        for joint in spec["joints"]:
            for key in ("velocity", "effort"):
                joint[key] = requests.finite(joint[key])
        said = {
            "epoch": self._epoch,
            "time_ns": now_ns,
            "spec": spec,
            "envelope": robot.envelope_fields,
            "rate": None if rate is None else dataclasses.asdict(rate),
            "approval": robot.approval.mode,
            "fault": self._latch.fields(),
        }
        return Message("robot", said)

    def _grant(self, fields: requests.Lease, message: Message, now_ns: int) -> Message:
        lease = self._queue.leases.grant(fields, now_ns)
        return Message(
            "lease",
            {
                "fencing_token": lease.fencing_token,
                "seconds": LEASE_SECONDS,
                "time_ns": now_ns,
                "epoch": self._epoch,
                "fault": self._latch.fields(),
            },
        )

    def _unlease(self, fields: requests.Unlease, message: Message, now_ns: int) -> Message:
        self._queue.leases.give_back(fields.fencing_token, now_ns)
        return Message("ok")

    def _submit(self, fields: requests.Submit, message: Message, now_ns: int) -> Message:
        self._queue.submit(fields, message, self._device.rate, now_ns)
        return self._state_of(fields.id, now_ns)

    def _state(self, fields: requests.OfRollout, message: Message, now_ns: int) -> Message:
        return self._state_of(fields.id, now_ns)

    def _state_of(self, id: str, now_ns: int) -> Message:
        rollout, execution = self._journal.rollouts.get(id), self.motion.execution
        if rollout is None:
            return Message("state", {"id": id, "state": "unknown", "time_ns": now_ns})
        running = execution is not None and execution.plan.id == id
        return Message(
            "state",
            {
                "id": id,
                "hash": rollout.hash,
                "state": rollout.state,
                "queued": id in self._queue.waiting,
                "waits_for": self._waits_for(id, now_ns),
                "paused": self._journal.paused,
                "kind": rollout.kind,
                "reason": rollout.reason,
                "fraction": rollout.fraction,
                "data": rollout.sha256 is not None,
                "step": execution.step if running and execution else None,
                "time_ns": now_ns,
                "fault": self._latch.fields(),
            },
        )

    def _waits_for(self, id: str, now_ns: int) -> str | None:
        faulty = self._latch.fault is not None
        return self._queue.waits_for(id, now_ns, faulty, self.motion.is_busy)

    def awaits_approval(self, now_ns: int) -> str | None:
        """Return the rollout that would begin now, had a person approved it."""
        plan = self._queue.waiting.first
        waits = plan is not None and self._waits_for(plan.id, now_ns) == "approval"
        return plan.id if plan is not None and waits else None

    def _fetch(self, fields: requests.OfRollout, message: Message, now_ns: int) -> Message:
        rollout = self._journal.rollouts.get(fields.id)
        if rollout is None or rollout.state != "ended":
            state = "unknown" if rollout is None else rollout.state
            raise WireError(f"fetch: rollout {fields.id} is {state}; only an ended one has data")
        return self._journal.result(fields.id) or Message("result", {"id": fields.id})

    def _acknowledge(self, fields: requests.OfRollout, message: Message, now_ns: int) -> Message:
        rollout = self._journal.rollouts.get(fields.id)
        if rollout is not None and rollout.state == "ended":
            self._journal.acknowledge(fields.id)
        return self._state_of(fields.id, now_ns)

    def _tick(self, fields: requests.Tick, message: Message, now_ns: int) -> Message:
        self._queue.leases.need(fields.fencing_token, now_ns)
        command = requests.one_command(message, len(self._robot.door.spec.joints))
        execution = self.motion.execution
        wanted = execution is not None and execution.plan.id == fields.id
        if wanted and execution is not None and execution.step == fields.step:
            execution.answers[fields.step] = command
            return Message("ok")
        return Message("late", {"step": fields.step})

    def _abort_now(self, fields: requests.Abort, message: Message, now_ns: int) -> Message:
        self.abort(fields.who, fields.id)
        return Message("ok")

    def _recover(self) -> None:
        """Deal with what a killed agent left."""
        for rollout in list(self._journal.rollouts.values()):
            if rollout.recording and rollout.state in ("accepted", "started"):
                end_interrupted(self._journal, rollout, self._robot.door)
                self.fail(Fault("interrupted", f"the agent ended while {rollout.id} was recorded"))
            if rollout.recording or rollout.state != "started":
                continue
            request = self._journal.request(rollout.id)
            horizon = int(request.fields["content"]["horizon"])
            recorded = Recorded.of_rows(self._robot.door.spec, self._journal.samples(rollout.id))
            ending = Ending("INTERRUPTED", "the agent ended while it ran")
            result = recorded.result(rollout.id, rollout.hash, ending, horizon)
            result = self._robot.door.sensing.left_behind(rollout.id, result)
            self._journal.end(
                rollout.id, ending.kind, ending.reason, len(recorded.sent) / horizon, result
            )
            self.fail(Fault("interrupted", f"the agent ended while rollout {rollout.id} ran"))
