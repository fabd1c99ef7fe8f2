"""What a journal is, and what follows from its records, whatever they are kept in."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import OutcomeKind


@dataclass(frozen=True)
class Rollout:
    """What the journal knows of one rollout."""

    id: str
    hash: str
    """Of the content of its request."""
    state: str
    """`accepted`, `started`, `ended` or `acknowledged`."""
    kind: OutcomeKind | None = None
    """How it ended."""
    reason: str = ""
    fraction: float = 0.0
    """Share of its steps that were executed."""
    sha256: str | None = None
    """Of the file of its result; None where there is none."""
    recording: bool = False
    """Whether a person led it: nothing was commanded."""


class Journal(Protocol):
    """Where the agent writes before it acts."""

    rollouts: dict[str, Rollout]
    """By id, in the order of acceptance."""
    approved: int
    """How many rollouts began because a person approved them."""
    fencing_token: int
    """The highest fencing token ever given."""
    fault: tuple[str, str] | None
    """Code and message of what is latched."""
    paused: str | None
    """Who wants no further rollout to begin."""

    def accept(self, rollout: Rollout, request: Message) -> None:
        """Note that a rollout is queued; durable when this returns."""

    def start(self, id: str, approved: bool) -> None:
        """Note that its first command is about to be sent, and whether a person let it; durable."""

    def end(
        self, id: str, kind: OutcomeKind, reason: str, fraction: float, result: Message | None
    ) -> None:
        """Note how it ended, with what was measured; durable."""

    def acknowledge(self, id: str) -> None:
        """Note that the host has the result; its files may go, its id stays."""

    def lease(self, fencing_token: int) -> None:
        """Note a fencing token before it is given; durable."""

    def latch(self, code: str, message: str) -> None:
        """Note a fault; durable."""

    def clear(self, operator: str) -> None:
        """Note who cleared the fault; durable."""

    def pause(self, operator: str) -> None:
        """Note who wants no further rollout to begin; durable."""

    def resume(self, operator: str) -> None:
        """Note who lets rollouts begin again; durable."""

    def note(self, **fields: Any) -> None:
        """Note something that decides nothing: an approval, an abort; durable."""

    def request(self, id: str) -> Message:
        """Return what was asked."""

    def result(self, id: str) -> Message | None:
        """Return what was measured, or None."""

    def sample(self, id: str, row: bytes) -> None:
        """Keep one step of the running rollout; durable some time later."""

    def samples(self, id: str) -> bytes:
        """Return the steps that are on the disk."""


class Records(ABC):
    """What follows from records, whatever they are kept in."""

    def __init__(self) -> None:
        self.rollouts: dict[str, Rollout] = {}
        self.approved = 0
        self.fencing_token = 0
        self.fault: tuple[str, str] | None = None
        self.paused: str | None = None

    def apply(self, record: Mapping[str, Any]) -> None:
        """Take one record into account."""
        kind, id = record["record"], record.get("id", "")
        if kind == "accepted":
            recording = record.get("recording", False)
            self.rollouts[id] = Rollout(id, record["hash"], "accepted", recording=recording)
        elif kind == "started":
            self.rollouts[id] = replace(self.rollouts[id], state="started")
            self.approved += record.get("approved", False)
        elif kind == "ended":
            self.rollouts[id] = replace(
                self.rollouts[id],
                state="ended",
                kind=record["kind"],
                reason=record["reason"],
                fraction=record["fraction"],
                sha256=record["sha256"],
            )
        elif kind == "acknowledged":
            self.rollouts[id] = replace(self.rollouts[id], state="acknowledged")
        elif kind == "lease":
            self.fencing_token = record["fencing"]
        elif kind == "fault":
            self.fault = (record["code"], record["message"])
        elif kind == "cleared":
            self.fault = None
        elif kind == "paused":
            self.paused = record["operator"]
        elif kind == "resumed":
            self.paused = None

    def lease(self, fencing_token: int) -> None:
        """See `Journal`."""
        self._append(record="lease", fencing=fencing_token)

    def latch(self, code: str, message: str) -> None:
        """See `Journal`."""
        self._append(record="fault", code=code, message=message)

    def clear(self, operator: str) -> None:
        """See `Journal`."""
        self._append(record="cleared", operator=operator)

    def pause(self, operator: str) -> None:
        """See `Journal`."""
        self._append(record="paused", operator=operator)

    def resume(self, operator: str) -> None:
        """See `Journal`."""
        self._append(record="resumed", operator=operator)

    def note(self, **fields: Any) -> None:
        """See `Journal`."""
        self._append(record="note", **fields)

    @abstractmethod
    def _append(self, **record: Any) -> None:
        """Keep a record, durably, and apply it."""
