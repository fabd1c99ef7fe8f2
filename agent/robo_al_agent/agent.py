"""The agent: what is asked of it, and what the robot does; no sockets, no threads, no clock.

`handle` answers requests and is called by one thread; `tick` moves the robot and is called by
another, as often as it says; `abort` may be called by any. Time is given to each, in nanoseconds of
the machine's monotonic clock, so that all of it also runs in a simulated time. Each attribute that
both threads see is written by one of them and replaced, never changed.

Every rollout goes accepted -> started -> ended -> acknowledged, and each step is in the journal
before anything follows from it: a rollout is executed at most once, whatever is lost, doubled or
killed in between.
"""

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_al_agent import requests
from robo_al_agent.approval import Approval, Approvals, Word
from robo_al_agent.calibration import Rate
from robo_al_agent.driver import RobotDriver
from robo_al_agent.envelope import Envelope
from robo_al_agent.errors import AgentError, WireError
from robo_al_agent.execution import Ending, Execution, Plan, Recorded
from robo_al_agent.journal import Journal, Rollout
from robo_al_agent.policy import OnnxPolicy
from robo_al_agent.requests import Content
from robo_al_agent.robot import Array, OutcomeKind, RobotSpec, Sample
from robo_al_agent.wire import Message, content_hash

LEASE_SECONDS = 0.5
"""After which a robot whose host is silent is stopped."""
IDLE_NS = 10_000_000
"""How often an idle agent looks around."""
QUEUE = 16
"""Rollouts that may wait."""


@dataclass(frozen=True)
class Lease:
    """Who may command the robot."""

    client: str
    fencing: int
    until_ns: int


@dataclass(frozen=True)
class Robot:
    """What the agent serves."""

    driver: RobotDriver
    spec: RobotSpec
    envelope: Envelope
    rate: Rate
    approval: Approval
    envelope_fields: Mapping[str, Any]
    """The envelope for the host: see `envelope.as_fields`."""


class Agent:
    """Executes rollouts, one at a time.

    Args:
        robot: connected.
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
        self._robot, self._journal, self._epoch = robot, journal, epoch
        self._push, self._keep = push, keep
        self._lease: Lease | None = None
        self._queue: deque[Plan] = deque()
        self._known: dict[str, Plan] = {}
        self._execution: Execution | None = None
        self._abort: tuple[str, str | None] | None = None
        self._fault = journal.fault
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
            "clear": self._clear,
            "release": self._release,
            "status": self._status,
        }
        self._approvals = Approvals(robot.approval, journal.approved)
        self._recover()

    # ------------------------------------------------------------ requests: one thread

    def handle(self, message: Message, now_ns: int, operator: bool = False) -> Message:
        """Answer a request; nothing that is asked raises.

        Args:
            message: whatever came.
            now_ns: monotonic time.
            operator: whether it came over the socket that only this machine has.
        """
        request = message.fields.get("request")
        number = request if type(request) is int else 0
        try:
            fields = requests.parse(message)
            if (message.kind in requests.OPERATOR_KINDS) and not (
                operator or message.kind in ("abort", "status")
            ):
                raise WireError(f"{message.kind}: only a person at the robot may say so")
            answer = self._answers[message.kind](fields, message, now_ns)
        except AgentError as error:
            answer = Message("error", {"code": type(error).__name__, "message": str(error)})
        return Message(answer.kind, {**answer.fields, "request": number}, answer.arrays)

    def _hello(self, fields: requests.Hello, message: Message, now_ns: int) -> Message:
        robot = self._robot
        spec = dataclasses.asdict(robot.spec)
        for joint in spec["joints"]:
            for key in ("velocity", "effort"):
                joint[key] = requests.finite(joint[key])
        said = {
            "epoch": self._epoch,
            "time_ns": now_ns,
            "spec": spec,
            "envelope": robot.envelope_fields,
            "rate": dataclasses.asdict(robot.rate),
            "approval": robot.approval.mode,
            "fault": self._fault_fields(),
        }
        return Message("robot", said)

    def _grant(self, fields: requests.Lease, message: Message, now_ns: int) -> Message:
        lease = self._lease
        held = lease if lease is not None and now_ns < lease.until_ns else None
        if held is not None and held.client != fields.client:
            raise WireError(f"lease: {held.client} has the robot; it is free when that host ends")
        if fields.fencing is not None and (held is None or held.fencing != fields.fencing):
            raise WireError(f"lease: {fields.fencing} has expired; ask for a new one")
        fencing = fields.fencing
        if fencing is None:
            fencing = self._journal.fencing + 1
            self._journal.lease(fencing)
        self._lease = Lease(fields.client, fencing, now_ns + round(LEASE_SECONDS * 1e9))
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
        self._lease = None
        return Message("ok")

    def _submit(self, fields: requests.Submit, message: Message, now_ns: int) -> Message:
        known = self._journal.rollouts.get(fields.id)
        hash = content_hash(Message("content", fields.content, message.arrays))
        if known is not None and known.hash != hash:
            raise WireError(
                f"submit: rollout {fields.id} is {known.state} already with another content; "
                "give what is new a new id"
            )
        if known is None:
            self._need_lease(fields.fencing, now_ns)
            self._accept(fields, message, hash, now_ns)
        elif known.state == "accepted":
            self._need_lease(fields.fencing, now_ns)
            self._queue_again(fields)
        return self._state_of(fields.id, now_ns)

    def _accept(self, fields: requests.Submit, message: Message, hash: str, now_ns: int) -> None:
        content = requests.validated(Content, fields.content, "submit: content")
        plan = self._plan(fields, content, message, hash)
        if len(self._queue) >= QUEUE:
            raise WireError(f"submit: {QUEUE} rollouts are waiting already")
        self._journal.accept(Rollout(fields.id, hash, "accepted"), message)
        refused = self._refusal(plan)
        if refused is not None:
            self._journal.end(fields.id, "REJECTED_ENVELOPE", refused, 0.0, None)
            return
        self._known[fields.id] = plan
        self._queue.append(plan)

    def _queue_again(self, fields: requests.Submit) -> None:
        """Take a later `not_after` into account, or up what waited when the agent was restarted."""
        plan = self._known.get(fields.id)
        if plan is None:
            stored = self._journal.request(fields.id)
            content = requests.validated(Content, stored.fields["content"], "submit: content")
            plan = self._plan(fields, content, stored, self._journal.rollouts[fields.id].hash)
            self._queue.append(plan)
        self._known[fields.id] = dataclasses.replace(plan, not_after_ns=fields.not_after_ns)

    def _plan(self, fields: requests.Submit, content: Content, message: Message, hash: str) -> Plan:
        robot, spec = self._robot, self._robot.spec
        names = tuple(joint.name for joint in spec.joints)
        if content.joints != names:
            raise WireError(
                f"submit: joints {', '.join(content.joints)}; this robot's are, in this order, "
                f"{', '.join(names)}"
            )
        between = content.period / content.substeps
        if between < robot.rate.shortest_period:
            raise WireError(
                f"submit: commands {between:g} s apart; this robot was measured at "
                f"{robot.rate.shortest_period:.4f} s at least"
            )
        commands, policy = None, None
        if content.controller == "open_loop":
            commands = requests.commands_of(message, content)
        elif content.controller == "onnx":
            graph = message.arrays.get("policy")
            if graph is None or graph.dtype != np.uint8 or graph.ndim != 1:
                raise WireError("submit: an onnx rollout needs an array `policy` of bytes")
            policy = OnnxPolicy(graph, spec, content.start)
        start = content.start.get("joints")
        if start is not None and len(start) != len(names):
            raise WireError(f"submit: start.joints has {len(start)} values for {len(names)} joints")
        return Plan(fields.id, hash, content, fields.not_after_ns, commands, policy)

    def _refusal(self, plan: Plan) -> str | None:
        """Return what of a rollout is outside the envelope, as far as it is known beforehand."""
        content, envelope = plan.content, self._robot.envelope
        if content.horizon * content.period > envelope.duration * (1 + 1e-9):
            seconds = content.horizon * content.period
            return f"it lasts {seconds:g} s; limit {envelope.duration:g}"
        start = content.start.get("joints")
        if plan.commands is None or start is None:
            return None  # checked when it begins, and step by step
        violation = plan.violation(envelope, np.array(start))
        return None if violation is None else str(violation)

    def _state(self, fields: requests.OfRollout, message: Message, now_ns: int) -> Message:
        return self._state_of(fields.id, now_ns)

    def _state_of(self, id: str, now_ns: int) -> Message:
        rollout, execution = self._journal.rollouts.get(id), self._execution
        if rollout is None:
            return Message("state", {"id": id, "state": "unknown", "time_ns": now_ns})
        running = execution is not None and execution.plan.id == id
        return Message(
            "state",
            {
                "id": id,
                "hash": rollout.hash,
                "state": rollout.state,
                "queued": id in self._known,
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
            self._known.pop(fields.id, None)
        return self._state_of(fields.id, now_ns)

    def _tick(self, fields: requests.Tick, message: Message, now_ns: int) -> Message:
        self._need_lease(fields.fencing, now_ns)
        command = requests.one_command(message, len(self._robot.spec.joints))
        execution = self._execution
        wanted = execution is not None and execution.plan.id == fields.id
        if wanted and execution is not None and execution.step == fields.step:
            execution.answers[fields.step] = command
            return Message("ok")
        return Message("late", {"step": fields.step})

    def _abort_now(self, fields: requests.Abort, message: Message, now_ns: int) -> Message:
        self.abort(fields.who, fields.id)
        return Message("ok")

    def abort(self, who: str, id: str | None = None) -> None:
        """Stop the robot at the next tick, and drop what waits; from any thread.

        Args:
            who: for the journal.
            id: only this rollout; None: all of them.
        """
        self._abort = (who, id)

    def _need_lease(self, fencing: int, now_ns: int) -> None:
        lease = self._lease
        if lease is None or now_ns >= lease.until_ns or lease.fencing != fencing:
            raise WireError(f"{fencing} is not the present lease; ask for one")

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

    def _clear(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        if self._execution is not None:
            raise WireError("clear: a rollout is running")
        try:
            self._robot.driver.clear_fault(fields.operator)
            fault = self._robot.driver.fault()
        except Exception as error:
            raise WireError(f"clear: the driver: {error}") from error
        if fault is not None:
            raise WireError(f"clear: the robot still says {fault.code}: {fault.message}")
        self._journal.clear(fields.operator)
        self._fault = None
        return Message("ok")

    def _release(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        if self._execution is not None:
            raise WireError("release: a rollout is running; abort it first")
        self._journal.note(what="released", operator=fields.operator)
        self._robot.driver.release()
        return Message("ok")

    def _status(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        execution, lease = self._execution, self._lease
        waiting = [
            {
                "id": plan.id,
                "hash": plan.hash,
                "why": plan.content.why,
                "horizon": plan.content.horizon,
                "period": plan.content.period,
            }
            for plan in list(self._queue)
        ]
        return Message(
            "status",
            {
                "robot": self._robot.spec.name,
                "running": execution.plan.id if execution else None,
                "step": execution.step if execution else None,
                "misses": execution.recorded.misses if execution else None,
                "waiting": waiting,
                "lease": lease.client if lease and now_ns < lease.until_ns else None,
                "approval": self._robot.approval.mode,
                "fault": self._fault_fields(),
            },
        )

    def _fault_fields(self) -> Mapping[str, str] | None:
        return (
            None
            if self._fault is None
            else dict(zip(("code", "message"), self._fault, strict=True))
        )

    # ------------------------------------------------------------ motion: the control thread

    def tick(self, now_ns: int) -> int:
        """Do what is due; return when to call again (ns)."""
        if self._execution is None:
            self._begin(now_ns)
            if self._execution is None:
                return now_ns + IDLE_NS
        execution = self._execution
        try:
            ending = self._interruption(now_ns) or self._robot_fault()
            if ending is None and now_ns < execution.next_ns:
                return min(execution.next_ns, now_ns + IDLE_NS)
            ending = ending or execution.advance(now_ns)
        except Exception as error:
            ending = Ending("FAULTED", f"{type(error).__name__}: {error}")
        if ending is not None:
            self._end(execution, ending)
            return now_ns
        return min(execution.next_ns, now_ns + IDLE_NS)

    def _begin(self, now_ns: int) -> None:
        """Start the next rollout that may start."""
        if self._abort is not None:
            self._drop(*self._abort)
        if not self._queue:
            return
        plan = self._known.get(self._queue[0].id, self._queue[0])
        lease = self._lease
        if now_ns > plan.not_after_ns:
            self._refuse(plan, "EXPIRED", "it was to begin earlier")
        elif self._fault is None and lease is not None and now_ns < lease.until_ns:
            word = self._approvals.word(plan.id, plan.hash, now_ns)
            asked = self._approvals.needed(plan.commands)
            if asked and word is not None and not word.approved:
                self._refuse(plan, "REJECTED_OPERATOR", f"{word.operator} said no")
            elif not asked or word is not None:
                self._start(plan, now_ns, asked)

    def _drop(self, who: str, id: str | None) -> None:
        """Let nothing begin that waited when a person said stop."""
        self._abort = None
        for plan in [plan for plan in self._queue if id in (None, plan.id)]:
            self._refuse(plan, "ABORTED_OPERATOR", f"{who} stopped it before it began")

    def _refuse(self, plan: Plan, kind: OutcomeKind, reason: str) -> None:
        self._queue.remove(next(waiting for waiting in self._queue if waiting.id == plan.id))
        self._journal.end(plan.id, kind, reason, 0.0, None)

    def _start(self, plan: Plan, now_ns: int, approved: bool) -> None:
        fault = self._robot_fault()
        if fault is not None:
            self._latch("fault", fault.reason)
            return
        self._journal.start(plan.id, approved)
        self._queue.popleft()
        self._approvals.ran(plan.commands, approved)

        def push(step: int, sample: Sample, target: Array, deadline_ns: int) -> None:
            lease = self._lease
            if lease is not None:
                self._push(lease.client, sample_message(plan.id, step, sample, target, deadline_ns))

        robot = self._robot
        self._execution = Execution(
            plan,
            robot.driver,
            robot.spec,
            robot.envelope,
            push,
            lambda row: self._keep(plan.id, row),
            now_ns,
        )

    def _interruption(self, now_ns: int) -> Ending | None:
        """Return why a rollout must not go on, whatever the robot says."""
        abort, execution = self._abort, self._execution
        if abort is not None and execution and abort[1] in (None, execution.plan.id):
            return Ending("ABORTED_OPERATOR", f"{abort[0]} stopped it")
        lease = self._lease
        if lease is None or now_ns >= lease.until_ns:
            return Ending("LINK_LOST", f"the host was silent for {LEASE_SECONDS:g} s")
        return None

    def watch(self, now_ns: int) -> None:
        """Cancel a trajectory that its controller executes and that must not go on.

        While such a trajectory runs, `tick` does not return: another thread calls this.
        """
        execution = self._execution
        if execution is not None and execution.handed_over:
            ending = self._interruption(now_ns)
            if ending is not None:
                execution.cancel(ending)

    def _robot_fault(self) -> Ending | None:
        fault = self._robot.driver.fault()
        if fault is None:
            return None
        kind: OutcomeKind = "ESTOP" if fault.code == "estop" else "FAULTED"
        return Ending(kind, f"{fault.code}: {fault.message}")

    def _end(self, execution: Execution, ending: Ending) -> None:
        """Stop the robot, then write down what happened."""
        stopped = self._stop()
        plan = execution.plan
        if stopped is not None:
            ending = Ending("FAULTED", f"{ending.kind} {ending.reason}; safe stop: {stopped}")
        if ending.kind in ("FAULTED", "ESTOP"):
            self._latch(ending.kind.lower(), ending.reason)
        result = execution.recorded.result(plan.id, plan.hash, ending, plan.content.horizon)
        self._execution = None
        self._journal.end(
            plan.id, ending.kind, ending.reason, execution.step / plan.content.horizon, result
        )

    def _stop(self) -> str | None:
        """Stop safely; return what went wrong with that."""
        try:
            self._robot.driver.safe_stop()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return None

    def _latch(self, code: str, message: str) -> None:
        if self._fault is None:
            self._fault = (code, message)
            self._journal.latch(code, message)

    def _recover(self) -> None:
        """Deal with what a killed agent left."""
        for rollout in list(self._journal.rollouts.values()):
            if rollout.state != "started":
                continue
            request = self._journal.request(rollout.id)
            horizon = int(request.fields["content"]["horizon"])
            recorded = Recorded.of_rows(self._robot.spec, self._journal.samples(rollout.id))
            ending = Ending("INTERRUPTED", "the agent ended while it ran")
            result = recorded.result(rollout.id, rollout.hash, ending, horizon)
            self._journal.end(
                rollout.id, ending.kind, ending.reason, len(recorded.sent) / horizon, result
            )
            self._latch("interrupted", f"the agent ended while rollout {rollout.id} ran")
            self._stop()


def sample_message(id: str, step: int, sample: Sample, target: Array, deadline_ns: int) -> Message:
    """Return what the host is told at each step of a streamed rollout."""
    return Message(
        "sample",
        {
            "id": id,
            "step": step,
            "time_ns": sample.time_ns,
            "sequence": sample.sequence,
            "deadline_ns": deadline_ns,
        },
        {
            "positions": sample.positions,
            "velocities": sample.velocities,
            "efforts": sample.efforts,
            "sensors": sample.sensors,
            "targets": target,
        },
    )
