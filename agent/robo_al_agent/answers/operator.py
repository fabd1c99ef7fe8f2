"""What a person at the robot is answered: how it is, what waits, what came of an errand."""

import dataclasses
from collections.abc import Callable
from typing import Any

from robo_al_agent.answers.served import Robot
from robo_al_agent.control import Motion
from robo_al_agent.errors import AgentError, NotYetError, WireError
from robo_al_agent.journal.records import Journal
from robo_al_agent.motion.errands import Errand
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.leading import jog_goal, park_goal
from robo_al_agent.motion.recording import kept
from robo_al_agent.motion.tables import measured
from robo_al_agent.protocol import requests
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.rollouts import RolloutQueue
from robo_al_agent.robot import Fault, Sample


class OperatorAnswers:
    """Answers the requests of `requests.OPERATOR_KINDS`; called by the thread that answers.

    Args:
        robot: what is served.
        journal: has who said what.
        latch: the fault.
        queue: rollouts that wait for their turn.
        motion: the robot in the hands of the control loop.
    """

    def __init__(
        self, robot: Robot, journal: Journal, latch: Latch, queue: RolloutQueue, motion: Motion
    ) -> None:
        self._robot = robot
        self._journal = journal
        self._latch = latch
        self._queue = queue
        self._motion = motion
        self.condemned: Fault | None = None
        """Why this process has to be replaced by another one, if it has to."""

    def approve(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        """Let a rollout run that waits for that."""
        self._queue.say(fields, True, now_ns)
        return Message("ok")

    def reject(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        """Let a rollout not run that waits for a person."""
        self._queue.say(fields, False, now_ns)
        return Message("ok")

    def pause(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        """Let no further rollout begin."""
        self._journal.pause(fields.operator)
        return Message("ok")

    def resume(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        """Let rollouts begin again."""
        self._journal.resume(fields.operator)
        return Message("ok")

    def recordings(self, fields: requests.Recordings, message: Message, now_ns: int) -> Message:
        """Return what is known of the recordings that are kept."""
        return kept(self._journal)

    def status(self, fields: requests.Operator, message: Message, now_ns: int) -> Message:
        """Return what runs, what waits and what is wrong, with the newest reading."""
        motion, door = self._motion, self._motion.door
        execution, take = motion.execution, motion.recorder.take
        lease = self._queue.leases.held(now_ns)
        seen = door.seen
        hanging = door.overdue()
        return Message(
            "status",
            {
                "robot": door.spec.name,
                "connected": door.connected,
                "hangs": None if hanging is None else hanging[1].message,
                "running": execution.plan.id if execution else None,
                "step": execution.step if execution else None,
                "misses": execution.recorded.misses if execution else None,
                "recording": None if take is None else [take.id, len(take.samples), take.by_hand],
                "waiting": self._queue.waiting.described(fields.id),
                "lease": lease.client if lease else None,
                "approval": self._queue.approvals.rule(),
                "paused": self._journal.paused,
                "places": self._places(seen),
                "reading": None if seen is None else _reading(seen, now_ns),
                "session": dataclasses.asdict(self._robot.session),
                "sensors": door.sensing.missing(now_ns) if door.connected else {},
                "fault": self._latch.fields(),
            },
            {} if seen is None else measured(seen),
        )

    def send_on(
        self, kind: str, fields: Any, answer: Callable[[Message | AgentError], None]
    ) -> None:
        """Let the control loop do what is asked of the device.

        Args:
            kind: one of `requests.ERRANDS`.
            fields: of the request.
            answer: told what came of it, by another thread.

        Raises:
            NotYetError: a call hangs that only another process ends: `condemned` says so.
            WireError: something else runs.
            SetupError: there is no such pose or joint.
        """
        motion, door = self._motion, self._motion.door
        if motion.execution is not None:
            raise WireError(f"{kind}: a rollout is running; abort it first")
        if motion.recorder.take is not None and kind != "end_recording":
            raise WireError(f"{kind}: a recording is being made; end it first")
        hanging = door.overdue() or (door.sensing.overdue() if kind == "clear" else None)
        if hanging is not None:
            _, self.condemned = hanging
            raise NotYetError(f"{kind}: {self.condemned.message}; the agent is started anew")
        goal, record = None, fields if kind == "record" else None
        if kind == "park":
            goal = park_goal(self._robot.park)
        elif kind == "jog":
            goal = jog_goal(door.spec, fields.joint, fields.delta)
        motion.errands.ask(Errand(kind, fields.operator, answer, goal, record))

    def _places(self, seen: Sample | None) -> list[dict[str, Any]]:
        """Return where each joint was in a reading; nothing where there is none."""
        positions = [] if seen is None else seen.positions.tolist()
        return [
            {"joint": joint.name, "at": at, "unit": joint.unit}
            for joint, at in zip(self._robot.door.spec.joints, positions, strict=False)
        ]


def _reading(seen: Sample, now_ns: int) -> dict[str, Any]:
    """Return which reading it is, and its age in seconds; what was measured are arrays."""
    age = (now_ns - seen.time_ns) / 1e9
    return {"time_ns": seen.time_ns, "sequence": seen.sequence, "age": age}
