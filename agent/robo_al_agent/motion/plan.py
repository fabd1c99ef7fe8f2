"""A rollout that was accepted: what is to be done."""

from dataclasses import dataclass

from robo_al_agent.envelope.envelope import Envelope, check_trajectory
from robo_al_agent.envelope.rules import Violation
from robo_al_agent.motion.paths import filled
from robo_al_agent.motion.policy import OnnxPolicy
from robo_al_agent.protocol.requests import Content
from robo_al_agent.robot import Array


@dataclass(frozen=True)
class Plan:
    """A rollout that was accepted."""

    id: str
    hash: str
    content: Content
    not_after_ns: int
    commands: Array | None
    """[T, J] of an open-loop rollout."""
    policy: OnnxPolicy | None
    """Of a rollout whose policy travelled."""

    def violation(self, envelope: Envelope, start: Array) -> Violation | None:
        """Return what of an open-loop rollout from a pose [J] is not allowed."""
        assert self.commands is not None
        substeps = self.content.substeps
        path = filled(start, self.commands, substeps)
        return check_trajectory(envelope, path, self.content.period / substeps, start)
