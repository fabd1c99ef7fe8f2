"""The host's side over ZeroMQ: a `Session` in a thread, and questions that are asked once."""

import contextlib
import functools
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import zmq

from robo_al_agent.errors import AgentError, LeaseError, NotYetError, SetupError, WireError
from robo_al_agent.protocol import keys, wire
from robo_al_agent.protocol.session import Job, Session
from robo_al_agent.protocol.wire import Message

FETCH_SECONDS = 60.0
"""Within which a recording has come, however large."""


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
        self._send(self.session.unlease(time.monotonic_ns()))

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
