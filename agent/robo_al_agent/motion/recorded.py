"""What was measured and sent in a rollout, and how it ended."""

from dataclasses import dataclass, field

import numpy as np

from robo_al_agent.motion.tables import arrays_of, measured, numbers, rows, samples_of
from robo_al_agent.motion.watching import kind_of
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Array, Fault, OutcomeKind, RobotSpec, Sample


@dataclass(frozen=True)
class Ending:
    """How a rollout ended."""

    kind: OutcomeKind
    reason: str = ""
    fault: Fault | None = None
    """What is wrong with the robot: it does not move again until a person has cleared it."""

    @classmethod
    def of(cls, fault: Fault, where: str = "") -> "Ending":
        """Return the ending that a fault makes, at a place that is said in words."""
        message = f"{where}{fault.message}"
        return cls(kind_of(fault), f"{fault.code}: {message}", Fault(fault.code, message))


@dataclass
class Recorded:
    """What was measured and sent, step by step."""

    spec: RobotSpec
    samples: list[Sample] = field(default_factory=list)
    requested: list[Array] = field(default_factory=list)
    """What the controller asked for."""
    sent: list[Array] = field(default_factory=list)
    """What the driver said it sent."""
    misses: int = 0
    """Steps that came late, or a host's answer that did."""

    def row(self) -> bytes:
        """Return the last step, for the journal."""
        parts = [*numbers(self.samples[-1]), self.requested[-1], self.sent[-1]]
        return np.concatenate(parts).astype("<f8").tobytes()

    def result(self, id: str, hash: str, ending: Ending, horizon: int) -> Message:
        """Return everything, with how it ended."""
        joints, samples = len(self.spec.joints), self.samples
        commands = {"requested": self.requested, "sent": self.sent}
        return Message(
            "result",
            {
                "id": id,
                "hash": hash,
                "kind": ending.kind,
                "reason": ending.reason,
                "fraction": len(self.sent) / horizon,
                "misses": self.misses,
            },
            {
                **arrays_of(self.spec, samples),
                **{name: rows(values, joints) for name, values in commands.items()},
            },
        )

    @classmethod
    def of_rows(cls, spec: RobotSpec, data: bytes) -> "Recorded":
        """Return what a journal kept of a rollout that was interrupted; a torn row is left out."""
        joints, (samples, further) = len(spec.joints), samples_of(spec, data, 2 * len(spec.joints))
        requested, sent = list(further[:, :joints]), list(further[:, joints:])
        return cls(spec, samples, requested, sent)


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
        {**measured(sample), "targets": target},
    )
