"""The host's side: asks again until there is an answer, which is harmless.

`Session` is the protocol without sockets or a clock; `Client` puts it on ZeroMQ, in a thread.
"""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from robo_al_agent.errors import AgentError, LeaseError, NotYetError, SetupError, WireError
from robo_al_agent.protocol import keys, wire
from robo_al_agent.protocol.wire import Message

HEARTBEAT_NS = 100_000_000
AGAIN_NS = 250_000_000
"""After which a request without an answer is sent again."""
FETCH_SECONDS = 60.0
"""Within which a recording has come, however large."""
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
    fencing: int | None = None
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
                self._request("lease", now_ns, client=self.client, fencing=self.fencing)
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
        if self.fencing is None:
            return None
        return self._request(
            "submit",
            now_ns,
            job.arrays,
            fencing=self.fencing,
            id=job.id,
            not_after_ns=now_ns + self.offset_ns + NOT_AFTER_NS,
            content=job.content,
        )

    def tick(self, id: str, step: int, command: Any, now_ns: int) -> Message | None:
        """Return the answer to a streamed rollout's sample."""
        if self.fencing is None:
            return None
        arrays = {"command": command}
        return self._request("tick", now_ns, arrays, fencing=self.fencing, id=id, step=step)

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
            self.fencing, self.problem = int(message.fields["fencing"]), None
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
            self.fencing = None
            self.problem = None if code == LeaseError.__name__ else why  # then it asks anew
        job = self.jobs.get(str(request.fields.get("id")))
        if job is not None and request.kind == "submit" and job.stage == "submit":
            if code == LeaseError.__name__:
                self.fencing = None
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


class Client:
    """A session over ZeroMQ.

    Args:
        address: `tcp://host:port` of the agent.
        key_folder: with `agent.key` and `host.key_secret`, or None for a loopback without keys.
        on_sample: told each sample of a streamed rollout, in the client's thread: returns at once.

    Raises:
        SetupError: a key is missing.
    """

    def __init__(
        self,
        address: str,
        key_folder: Path | None = None,
        on_sample: Callable[[Message], None] | None = None,
    ) -> None:
        self.session = Session(f"host-{os.uname().nodename}-{os.getpid()}-{time.monotonic_ns()}")
        self._on_sample = on_sample
        self._ask = functools.partial(ask, address, key_folder=key_folder)
        self._context = zmq.Context()
        self._socket = self._connect(address, key_folder)
        self._lock = threading.Condition()
        """Of `session`."""
        self._answers: list[Message] = []
        self._closed = False
        self._bell_in, self._bell_out = os.pipe2(os.O_NONBLOCK)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _connect(self, address: str, key_folder: Path | None) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 100)
        socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_MESSAGE)
        socket.setsockopt(zmq.IDENTITY, self.session.client.encode()[:200])
        try:
            if key_folder is not None:
                pair = keys.secret(key_folder, keys.HOST)
                socket.curve_publickey, socket.curve_secretkey = pair
                socket.curve_serverkey = keys.public(key_folder, keys.AGENT)
            socket.connect(address)
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise SetupError(f"address {address}: {error}; tcp://HOST:PORT is needed") from None
        except AgentError:
            self._context.destroy(linger=0)
            raise
        return socket

    def submit(self, id: str, content: Mapping[str, Any], arrays: wire.Arrays) -> None:
        """Ask for a rollout."""
        with self._lock:
            self.session.jobs[id] = Job(id, content, arrays)
        self._ring()

    def acknowledge(self, id: str) -> None:
        """Say that a rollout's result is safe here."""
        with self._lock:
            job = self.session.jobs.get(id)
            if job is not None:
                job.stage, job.sent_ns = "acknowledge", -(10**18)
        self._ring()

    def answer(self, id: str, step: int, command: Any) -> None:
        """Answer the sample of a step with a command [J]."""
        with self._lock:
            message = self.session.tick(id, step, command, time.monotonic_ns())
            if message is not None:
                self._answers.append(message)
        self._ring()

    def look(self, looking: bool) -> None:
        """Begin, or cease, to ask how the robot is: `Session.status` is then kept up."""
        with self._lock:
            self.session.looking = looking

    def wait(self, done: Callable[[Session], bool], timeout: float | None) -> bool:
        """Wait until something is true of the session; return whether it is."""
        with self._lock:
            return self._lock.wait_for(lambda: self._closed or done(self.session), timeout)

    def recordings(self) -> list[dict[str, Any]]:
        """Return what is known of the recordings that the agent keeps, the oldest first.

        Raises:
            WireError: there is no answer, or an error.
        """
        found = self._ask(Message("recordings", {"request": 0})).fields["recordings"]
        return list(found)

    def fetch_recording(self, id: str) -> Message:
        """Return a recording: its arrays [T, ...], and in its fields of what and by whom.

        Raises:
            WireError: there is none of this id, or no answer.
        """
        return self._ask(Message("fetch", {"request": 0, "id": id}), seconds=FETCH_SECONDS)

    def acknowledge_recording(self, id: str) -> None:
        """Say that a recording is safe here: the agent forgets what was measured.

        Raises:
            WireError: there is no answer.
        """
        self._ask(Message("acknowledge", {"request": 0, "id": id}))

    def close(self) -> None:
        """Give the robot back, and end the thread; may be called twice."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._lock.notify_all()
        self._ring()
        self._thread.join()
        os.close(self._bell_in)
        os.close(self._bell_out)
        self._context.destroy(linger=100)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell_out, b".")

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._bell_in, zmq.POLLIN)
        while not self._closed:
            with self._lock:
                answers, self._answers = self._answers, []
                messages = self.session.outgoing(time.monotonic_ns())
            self._send([*answers, *messages])
            ready = dict(poller.poll(10))
            if self._bell_in in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell_in, 4096)
            if self._socket in ready:
                self._receive()
        if self.session.fencing is not None:
            now = time.monotonic_ns()
            self._send([self.session._request("unlease", now, fencing=self.session.fencing)])

    def _send(self, messages: list[Message]) -> None:
        for message in messages:
            with contextlib.suppress(zmq.Again):
                self._socket.send_multipart(wire.encode(message), zmq.NOBLOCK)

    def _receive(self) -> None:
        while True:
            try:
                message = wire.decode(self._socket.recv_multipart(zmq.NOBLOCK))
            except zmq.Again:
                return
            except WireError:
                continue
            if message.kind == "sample" and self._on_sample is not None:
                self._on_sample(message)
                continue
            with self._lock:
                self.session.incoming(message, time.monotonic_ns())
                self._lock.notify_all()


def ask(address: str, message: Message, key_folder: Path | None, seconds: float = 2.0) -> Message:
    """Ask one question over a socket of its own: an abort, or an operator's word.

    Raises:
        WireError: no answer, or an error.
    """
    context = zmq.Context()
    try:
        socket = context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        if key_folder is not None:
            pair = keys.secret(key_folder, keys.HOST)
            socket.curve_publickey, socket.curve_secretkey = pair
            socket.curve_serverkey = keys.public(key_folder, keys.AGENT)
        socket.connect(address)
        socket.send_multipart(wire.encode(message))
        if not socket.poll(int(seconds * 1000)):
            raise WireError(f"{address}: no answer within {seconds:g} s; is the agent running?")
        answer = wire.decode(socket.recv_multipart())
    finally:
        context.destroy(linger=0)
    if answer.kind == "error":
        known = {kind.__name__: kind for kind in (LeaseError, NotYetError)}
        kind = known.get(str(answer.fields["code"]), WireError)
        raise kind(str(answer.fields["message"]))
    return answer
