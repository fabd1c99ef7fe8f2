"""Rollouts that were accepted and wait for their turn; no sockets, no threads, no clock."""

import dataclasses
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from robo_al_agent.devices.calibration import Rate
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import NotYetError, WireError
from robo_al_agent.journal.records import Journal, Rollout
from robo_al_agent.motion.plan import Plan
from robo_al_agent.motion.policy import OnnxPolicy
from robo_al_agent.protocol import requests
from robo_al_agent.protocol.requests import Content
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.preview import preview
from robo_al_agent.robot import OutcomeKind, RobotSpec

MOST = 16
"""Rollouts that may wait."""


class Waiting:
    """The queue: filled by the thread that answers requests, emptied by the one that moves.

    Args:
        journal: has what is accepted before it waits here.
        spec: of the robot.
        envelope: what every rollout must keep to.
    """

    def __init__(self, journal: Journal, spec: RobotSpec, envelope: Envelope) -> None:
        self._journal = journal
        self._spec = spec
        self._envelope = envelope
        self._plans: dict[str, Plan] = {}
        """By id, in the order of their turn; replaced, never changed, so that readers need no
        lock."""
        self._lock = threading.Lock()
        """Of writers, for there are two."""

    def __contains__(self, id: str) -> bool:
        return id in self._plans

    def __iter__(self) -> Iterator[Plan]:
        return iter(self._plans.values())

    @property
    def first(self) -> Plan | None:
        """Return the rollout whose turn is next."""
        return next(iter(self._plans.values()), None)

    def accept(
        self, fields: requests.Submit, message: Message, hash: str, rate: Rate | None
    ) -> None:
        """Take a rollout that is new; refuse it, with that as its outcome, or let it wait.

        Raises:
            NotYetError: too many wait, or the robot's rate is not known yet.
            WireError: it is none for this robot.
            JournalError: it cannot be written down; nothing has happened then.
        """
        content = requests.validated(Content, fields.content, "submit: content")
        plan = self._plan(fields, content, message, hash, rate)
        if len(self._plans) >= MOST:
            raise NotYetError(f"submit: {MOST} rollouts are waiting already")
        self._journal.accept(Rollout(fields.id, hash, "accepted"), message)
        self._admit(plan)

    def again(self, fields: requests.Submit, rate: Rate | None) -> None:
        """Take a later `not_after` into account, or up what waited when the agent was restarted.

        Raises:
            NotYetError: the robot's rate is not known yet.
            WireError: it is none for this robot any more.
        """
        plan = self._plans.get(fields.id)
        if plan is None:
            stored = self._journal.request(fields.id)
            content = requests.validated(Content, stored.fields["content"], "submit: content")
            hash = self._journal.rollouts[fields.id].hash
            self._admit(self._plan(fields, content, stored, hash, rate))
        else:
            self._put(dataclasses.replace(plan, not_after_ns=fields.not_after_ns), old=True)

    def remove(self, id: str) -> None:
        """Let a rollout wait no more: it begins."""
        with self._lock:
            self._plans = {other: plan for other, plan in self._plans.items() if other != id}

    def refuse(self, plan: Plan, kind: OutcomeKind, reason: str) -> None:
        """End a rollout that has not begun; raises `JournalError`."""
        self._journal.end(plan.id, kind, reason, 0.0, None)
        self.remove(plan.id)

    def _admit(self, plan: Plan) -> None:
        refused = self._refusal(plan)
        if refused is not None:
            self._journal.end(plan.id, "REJECTED_ENVELOPE", refused, 0.0, None)
        else:
            self._put(plan)

    def _put(self, plan: Plan, old: bool = False) -> None:
        with self._lock:
            if not old or plan.id in self._plans:  # it may have begun meanwhile
                self._plans = {**self._plans, plan.id: plan}

    def _plan(
        self,
        fields: requests.Submit,
        content: Content,
        message: Message,
        hash: str,
        rate: Rate | None,
    ) -> Plan:
        names = tuple(joint.name for joint in self._spec.joints)
        if content.joints != names:
            raise WireError(
                f"submit: joints {', '.join(content.joints)}; this robot's are, in this order, "
                f"{', '.join(names)}"
            )
        start = content.start.get("joints")
        if start is not None and len(start) != len(names):
            raise WireError(f"submit: start.joints has {len(start)} values for {len(names)} joints")
        if content.found and (start is None or self._spec.command != "position"):
            raise WireError(
                "submit: a start that was found is a pose, `start.joints`, of a robot of positions"
            )
        if rate is None:
            raise NotYetError("submit: the robot is not connected, so its rate is not known")
        between = content.period / content.substeps
        if between < rate.shortest_period:
            raise WireError(
                f"submit: commands {between:g} s apart; this robot takes them "
                f"{rate.shortest_period:.4f} s apart at least: it declares "
                f"{1 / rate.declared:g} Hz, and 99 of 100 cycles took {rate.p99:.4f} s at most"
            )
        commands, policy = None, None
        if content.controller == "open_loop":
            commands = requests.commands_of(message, content)
        elif content.controller == "onnx":
            graph = message.arrays.get("policy")
            if graph is None or graph.dtype != np.uint8 or graph.ndim != 1:
                raise WireError("submit: an onnx rollout needs an array `policy` of bytes")
            policy = OnnxPolicy(graph, self._spec, content.start)
        return Plan(fields.id, hash, content, fields.not_after_ns, commands, policy)

    def _refusal(self, plan: Plan) -> str | None:
        """Return what of a rollout is outside the envelope, as far as it is known beforehand."""
        content, envelope = plan.content, self._envelope
        if content.horizon * content.period > envelope.duration * (1 + 1e-9):
            seconds = content.horizon * content.period
            return f"it lasts {seconds:g} s; limit {envelope.duration:g}"
        start = content.start.get("joints")
        if plan.commands is None or start is None:
            return None  # checked when it begins, and step by step
        violation = plan.violation(envelope, np.array(start))
        return None if violation is None else str(violation)

    def described(self, id: str | None) -> list[dict[str, Any]]:
        """Return what waits, for a person who looks, with the motion of one of them.

        Args:
            id: of the rollout whose motion is shown; None: of the next.
        """
        shown = id or (None if self.first is None else self.first.id)
        return [
            {
                "id": plan.id,
                "hash": plan.hash,
                "why": plan.content.why,
                "horizon": plan.content.horizon,
                "period": plan.content.period,
            }
            | ({"motion": self._motion(plan)} if plan.id == shown else {})
            for plan in self
        ]

    def _motion(self, plan: Plan) -> list[dict[str, Any]] | None:
        return preview(plan, self._spec, self._envelope)
