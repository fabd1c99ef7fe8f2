"""The protocol as the host speaks it, without sockets or a clock: it asks until there is an answer.

To ask again is harmless: the agent answers a copy of a request with what it knows already.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from robo_al_agent.errors import LeaseError, NotYetError
from robo_al_agent.protocol import wire
from robo_al_agent.protocol.wire import Message

HEARTBEAT_NS = 100_000_000
AGAIN_NS = 250_000_000
"""After which a request without an answer is sent again."""
NOT_AFTER_NS = 3600 * 10**9
"""How much later than it is submitted a rollout may begin, the queue and a person included."""


@dataclass
class Job:
    """One rollout as the host sees it."""

    id: str
    content: Mapping[str, Any]
    arrays: wire.Arrays
    stage: str = "submit"
    """`submit`, `state`, `fetch`, `done`; then `acknowledge` until nothing is left to do."""
    state: Message | None = None
    """The agent's last word."""
    result: Message | None = None
    refused: str | None = None
    """Why the agent will not have it."""
    gone: bool = False
    """Whether it was executed, and its result acknowledged: it is not there any more."""
    sent_ns: int = -(10**18)


@dataclass
class Session:
    """What one host wants of one agent.

    `outgoing` says what to send now, `incoming` takes what came; in any order, doubled or lost.
    """

    client: str
    """Another one for every opening: two hosts are never taken for one."""
    fencing_token: int | None = None
    agent: Message | None = None
    """What the agent said of itself."""
    fault: Mapping[str, str] | None = None
    jobs: dict[str, Job] = field(default_factory=dict)
    offset_ns: int = 0
    """The agent's clock minus this one's, from the middle of a round trip."""
    uncertainty_ns: int = 10**18
    """Half of that round trip."""
    heard_ns: int = 0
    problem: str | None = None
    """Why there is no lease."""
    looking: bool = False
    """Whether the agent is asked how its robot is, again and again."""
    status: Message | None = None
    """What it answered last, with its newest reading."""
    status_ns: int = 0
    """When that was asked."""
    _numbers: int = 0
    _sent: dict[int, tuple[Message, int]] = field(default_factory=dict)
    _beat_ns: int = -(10**18)

    def outgoing(self, now_ns: int) -> list[Message]:
        """Return what to send now."""
        messages = []
        if now_ns - self._beat_ns >= HEARTBEAT_NS:
            self._beat_ns = now_ns
            if self.agent is None or self.agent.fields["rate"] is None:
                messages.append(self._request("hello", now_ns, client=self.client))
            messages.append(
                self._request("lease", now_ns, client=self.client, fencing_token=self.fencing_token)
            )
            if self.looking:
                messages.append(self._request("status", now_ns, operator=self.client))
        for job in list(self.jobs.values()):
            wait = HEARTBEAT_NS if job.stage == "state" else AGAIN_NS
            if job.stage == "done" or now_ns - job.sent_ns < wait:
                continue
            message = self._of(job, now_ns)
            if message is not None:
                job.sent_ns = now_ns
                messages.append(message)
        self._sent = {n: sent for n, sent in self._sent.items() if now_ns - sent[1] < 10**10}
        return messages

    def _of(self, job: Job, now_ns: int) -> Message | None:
        """Return the request that takes a job further."""
        if job.stage != "submit":
            return self._request(job.stage, now_ns, id=job.id)
        if self.fencing_token is None:
            return None
        return self._request(
            "submit",
            now_ns,
            job.arrays,
            fencing_token=self.fencing_token,
            id=job.id,
            not_after_ns=now_ns + self.offset_ns + NOT_AFTER_NS,
            content=job.content,
        )

    def tick(self, id: str, step: int, command: Any, now_ns: int) -> Message | None:
        """Return the answer to a streamed rollout's sample."""
        if self.fencing_token is None:
            return None
        arrays = {"command": command}
        return self._request(
            "tick", now_ns, arrays, fencing_token=self.fencing_token, id=id, step=step
        )

    def unlease(self, now_ns: int) -> list[Message]:
        """Return what gives the robot back: nothing where there is no lease."""
        if self.fencing_token is None:
            return []
        return [self._request("unlease", now_ns, fencing_token=self.fencing_token)]

    def _request(
        self, kind: str, now_ns: int, arrays: wire.Arrays | None = None, **fields: Any
    ) -> Message:
        self._numbers += 1
        message = Message(kind, {**fields, "request": self._numbers}, arrays or {})
        self._sent[self._numbers] = (message, now_ns)
        return message

    def incoming(self, message: Message, now_ns: int) -> None:
        """Take a reply into account."""
        number = message.fields.get("request")
        found = self._sent.pop(number, None) if isinstance(number, int) else None
        if found is None:
            return
        self.heard_ns = now_ns
        request, sent_ns = found
        if "fault" in message.fields:
            self.fault = message.fields["fault"]
        if message.kind == "error":
            fields = message.fields
            self._refused(request, str(fields.get("code")), str(fields.get("message")))
        elif message.kind == "robot":
            self.agent = message
        elif message.kind == "lease":
            self.fencing_token, self.problem = int(message.fields["fencing_token"]), None
            half = (now_ns - sent_ns) // 2
            if half < self.uncertainty_ns:
                self.uncertainty_ns = half
                self.offset_ns = int(message.fields["time_ns"]) - (sent_ns + half)
        elif message.kind == "status":
            self.status, self.status_ns = message, sent_ns
        elif message.kind in ("state", "result"):
            job = self.jobs.get(str(message.fields.get("id")))
            if job is not None:
                self._advance(job, request, message)

    def _refused(self, request: Message, code: str, why: str) -> None:
        if request.kind == "lease":
            self.fencing_token = None
            self.problem = None if code == LeaseError.__name__ else why  # then it asks anew
        job = self.jobs.get(str(request.fields.get("id")))
        if job is not None and request.kind == "submit" and job.stage == "submit":
            if code == LeaseError.__name__:
                self.fencing_token = None
            elif code != NotYetError.__name__:
                job.stage, job.refused = "done", why

    def _advance(self, job: Job, request: Message, message: Message) -> None:
        if message.kind == "result":
            if job.stage == "fetch":
                job.result, job.stage = message, "done"
            return
        state = message.fields["state"]
        if job.stage == "acknowledge":
            if state in ("acknowledged", "unknown"):
                del self.jobs[job.id]
            return
        if job.stage not in ("submit", "state"):
            return
        job.state = message
        if state == "unknown" or (state == "accepted" and not message.fields["queued"]):
            job.stage = "submit"  # the agent was restarted
        elif state in ("accepted", "started"):
            job.stage = "state"
        elif state == "ended":
            job.stage = "fetch" if message.fields["data"] else "done"
        else:
            job.stage, job.gone = "done", True
            job.refused = "its result was acknowledged, and is gone"
