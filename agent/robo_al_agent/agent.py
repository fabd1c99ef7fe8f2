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
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from robo_al_agent.control import Errand, Motion
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.devices.door import Door
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import AgentError, JournalError, LeaseError, NotYetError, WireError
from robo_al_agent.journal import Journal
from robo_al_agent.motion.device import Device
from robo_al_agent.motion.execution import Ending, Recorded
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.leading import jog_goal, park_goal
from robo_al_agent.motion.recording import end_interrupted, kept
from robo_al_agent.motion.tables import measured
from robo_al_agent.protocol import requests
from robo_al_agent.protocol.wire import Message, content_hash
from robo_al_agent.queue.approval import Approval, Approvals, Word
from robo_al_agent.queue.lease import LEASE_SECONDS, Lease
from robo_al_agent.queue.waiting import Waiting
from robo_al_agent.robot import Array, Fault, Sample


@dataclass(frozen=True)
class Shift:
    """Who is at the robot since the agent was started, and what for."""

    operator: str
    note: str


@dataclass(frozen=True)
class Robot:
    """What the agent serves."""

    door: Door
    """To the driver, not yet connected."""
    envelope: Envelope
    approval: Approval
    envelope_fields: Mapping[str, Any]
    """The envelope for the host: see `envelope.as_fields`."""
    rate: Rate | None = None
    """None: it is measured once the robot is connected."""
    park: Array | None = None
    """[J] The pose that it is led to on a person's word, if there is one."""
    session: Shift = Shift("nobody", "")


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
        self._approvals = Approvals(robot.approval, journal.approved)
        self._waiting = Waiting(journal, robot.door.spec, robot.envelope)
        self._device = Device(robot.door, robot.envelope, robot.rate)
        self.motion = Motion(
            self._device,
            robot.envelope,
            journal,
            self._latch,
            self._waiting,
            self._approvals,
            push,
            keep,
        )
        self.condemned: Fault | None = None
        """Why this process has to be replaced by another one, if it has to."""
        self._answers: dict[str, Callable[[Any, Message, int], Message]] = {
            "hello": self._hello,
            "lease": self._grant,
            "unlease": self._unlease,
            "submit": self._submit,
            "state": self._state,
            "fetch": self._fetch,
            "acknowledge": self._acknowledge,
            "tick": self._tick,
            "abort": self._abort_now,
            "approve": self._approve,
            "reject": self._reject,
            "status": self._status,
            "recordings": self._recordings,
            "pause": self._pause,
            "resume": self._resume,
        }
        with contextlib.suppress(JournalError):  # a full disk is told once it keeps a rollout
            journal.note(what="session", **dataclasses.asdict(robot.session))
        self._recover()

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
                self._send_on(message.kind, fields, number, now_ns, later)
                return None
            answer = self._answers[message.kind](fields, message, now_ns)
        except AgentError as error:
            answer = requests.error_message(error)
        except Exception as error:  # of the agent itself: the robot stops, and requests go on
            traceback.print_exception(error)
            self.fail(Fault("agent", f"{message.kind}: {type(error).__name__}: {error}"))
            answer = requests.error_message(WireError(f"{message.kind}: the agent has a fault"))
        return Message(answer.kind, {**answer.fields, "request": number}, answer.arrays)

    def _send_on(
        self,
        kind: str,
        fields: Any,
        number: int,
        now_ns: int,
        later: Callable[[Message], None] | None,
    ) -> None:
        """Let the control loop do what a person asks of the device."""
        if self.motion.execution is not None:
            raise WireError(f"{kind}: a rollout is running; abort it first")
        if self.motion.recorder.take is not None and kind != "end_recording":
            raise WireError(f"{kind}: a recording is being made; end it first")
        door = self.motion.door
        hanging = door.overdue() or (door.sensing.overdue() if kind == "clear" else None)
        if hanging is not None:
            _, self.condemned = hanging
            raise NotYetError(f"{kind}: {self.condemned.message}; the agent is started anew")

        def answer(said: Message | AgentError) -> None:
            if later is not None:
                reply = said if isinstance(said, Message) else requests.error_message(said)
                later(Message(reply.kind, {**reply.fields, "request": number}, reply.arrays))

        goal, record = None, fields if kind == "record" else None
        if kind == "park":
            goal = park_goal(self._robot.park)
        elif kind == "jog":
            goal = jog_goal(self._robot.door.spec, fields.joint, fields.delta)
        self.motion.errands.append(Errand(kind, fields.operator, answer, goal, record))

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
            "fault": self._fault_fields(),
        }
        return Message("robot", said)

    def _grant(self, fields: requests.Lease, message: Message, now_ns: int) -> Message:
        lease = self.motion.lease
        held = lease if lease is not None and now_ns < lease.until_ns else None
        if held is not None and held.client != fields.client:
            raise WireError(f"lease: {held.client} has the robot; it is free when that host ends")
        if fields.fencing is not None and (held is None or held.fencing != fields.fencing):
            raise LeaseError(f"lease: {fields.fencing} has expired; ask for a new one")
        fencing = fields.fencing
        if fencing is None:
            fencing = self._journal.fencing + 1
            self._journal.lease(fencing)
        self.motion.lease = Lease(fields.client, fencing, now_ns + round(LEASE_SECONDS * 1e9))
        return Message(
            "lease",
            {
                "fencing": fencing,
                "seconds": LEASE_SECONDS,
                "time_ns": now_ns,
                "epoch": self._epoch,
                "fault": self._fault_fields(),
            },
        )

    def _unlease(self, fields: requests.Unlease, message: Message, now_ns: int) -> Message:
        self._need_lease(fields.fencing, now_ns)
        self.motion.lease = None
        return Message("ok")

    def _submit(self, fields: requests.Submit, message: Message, now_ns: int) -> Message:
        known = self._journal.rollouts.get(fields.id)
        hash = content_hash(Message("content", requests.deed(fields.content), message.arrays))
        if known is not None and known.hash != hash:
            raise WireError(
                f"submit: rollout {fields.id} is {known.state} already with another content; "
                "give what is new a new id"
            )
        if known is None:
            self._need_lease(fields.fencing, now_ns)
            self._waiting.accept(fields, message, hash, self._device.rate)
        elif known.state == "accepted":
            self._need_lease(fields.fencing, now_ns)
            self._waiting.again(fields, self._device.rate)
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
                "queued": id in self._waiting,
                "waits_for": self._waits_for(id, now_ns),
                "paused": self._journal.paused,
                "kind": rollout.kind,
                "reason": rollout.reason,
                "fraction": rollout.fraction,
                "data": rollout.sha256 is not None,
                "step": execution.step if running and execution else None,
                "time_ns": now_ns,
                "fault": self._fault_fields(),
            },
        )

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

    def _recordings(self, fields: requests.Recordings, message: Message, now_ns: int) -> Message:
        return kept(self._journal)

    def _tick(self, fields: requests.Tick, message: Message, now_ns: int) -> Message:
        self._need_lease(fields.fencing, now_ns)
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

    def _need_lease(self, fencing: int, now_ns: int) -> None:
        lease = self.motion.lease
        if lease is None or now_ns >= lease.until_ns or lease.fencing != fencing:
            raise LeaseError(f"{fencing} is not the present lease; ask for one")

    def _waits_for(self, id: str, now_ns: int) -> str | None:
        """Return what a rollout that was accepted waits for, for whoever wonders at the host."""
        if id not in self._waiting:
            return None
        plan = self._waiting.first
        if self._latch.fault is not None:
            return "clear"
        if self._journal.paused is not None:
            return "resume"
        busy = self.motion.execution is not None or self.motion.recorder.take is not None
        if plan is None or plan.id != id or busy:
            return "turn"
        heard = self._approvals.word(plan.id, plan.hash, now_ns) is not None
        return "approval" if self._approvals.needed(plan.commands) and not heard else None

    def awaits_approval(self, now_ns: int) -> str | None:
        """Return the rollout that would begin now, had a person approved it."""
        plan = self._waiting.first
        waits = plan is not None and self._waits_for(plan.id, now_ns) == "approval"
        return plan.id if plan is not None and waits else None

    # ------------------------------------------------------------ a person at the robot

    def _approve(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        return self._say(fields, True, now_ns)

    def _reject(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        return self._say(fields, False, now_ns)

    def _say(self, fields: requests.Operator, approved: bool, now_ns: int) -> Message:
        rollout = self._journal.rollouts.get(fields.id or "")
        if rollout is None or rollout.state != "accepted" or rollout.hash != fields.hash:
            raise WireError("approve: no rollout with this id and hash is waiting")
        said = "approved" if approved else "rejected"
        self._journal.note(what=said, id=rollout.id, hash=rollout.hash, operator=fields.operator)
        self._approvals.say(rollout.id, Word(approved, rollout.hash, fields.operator, now_ns))
        return Message("ok")

    def _pause(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        self._journal.pause(fields.operator)
        return Message("ok")

    def _resume(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        self._journal.resume(fields.operator)
        return Message("ok")

    def _status(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        motion = self.motion
        execution, lease, take = motion.execution, motion.lease, motion.recorder.take
        seen = motion.door.seen
        hanging = motion.door.overdue()
        return Message(
            "status",
            {
                "robot": self._robot.door.spec.name,
                "connected": motion.door.connected,
                "hangs": None if hanging is None else hanging[1].message,
                "running": execution.plan.id if execution else None,
                "step": execution.step if execution else None,
                "misses": execution.recorded.misses if execution else None,
                "recording": None if take is None else [take.id, len(take.samples), take.by_hand],
                "waiting": self._waiting.described(fields.id),
                "lease": lease.client if lease and now_ns < lease.until_ns else None,
                "approval": self._approvals.rule(),
                "paused": self._journal.paused,
                "places": self._places(seen),
                "reading": None if seen is None else self._reading(seen, now_ns),
                "session": dataclasses.asdict(self._robot.session),
                "sensors": motion.door.sensing.missing(now_ns) if motion.door.connected else {},
                "fault": self._fault_fields(),
            },
            {} if seen is None else measured(seen),
        )

    def _reading(self, seen: Sample, now_ns: int) -> dict[str, Any]:
        """Return which reading it is, and its age in seconds; what was measured are arrays."""
        age = (now_ns - seen.time_ns) / 1e9
        return {"time_ns": seen.time_ns, "sequence": seen.sequence, "age": age}

    def _places(self, seen: Sample | None) -> list[dict[str, Any]]:
        """Return where each joint was in a reading; nothing where there is none."""
        positions = [] if seen is None else seen.positions.tolist()
        return [
            {"joint": joint.name, "at": at, "unit": joint.unit}
            for joint, at in zip(self._robot.door.spec.joints, positions, strict=False)
        ]

    def _fault_fields(self) -> Mapping[str, str] | None:
        fault = self._latch.fault
        return None if fault is None else dataclasses.asdict(fault)

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
