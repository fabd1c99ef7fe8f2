"""The agent's three sockets: for hosts, for aborts, and for whoever is at this machine."""

import contextlib
import functools
import os
import queue
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import zmq

from robo_al_agent.agent import Agent
from robo_al_agent.config import AgentConfig
from robo_al_agent.errors import SetupError, WireError
from robo_al_agent.protocol import keys, wire
from robo_al_agent.protocol.requests import ERRANDS, error_message
from robo_al_agent.protocol.wire import Message

if TYPE_CHECKING:
    from zmq.auth.thread import ThreadAuthenticator

POLL_MILLISECONDS = 20


class Network:
    """Answers what comes, in two threads, and sends what other threads post.

    Args:
        config: of AGENT.yaml, with addresses and keys.
    """

    def __init__(self, config: AgentConfig) -> None:
        self._config = config
        self._context = zmq.Context()
        self._authenticator: "ThreadAuthenticator | None" = None
        self._out: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """What the network thread is to send."""
        self._identities: dict[str, bytes] = {}

    def bind(self) -> None:
        """Take the addresses.

        Raises:
            SetupError: an address is in use, or a key is missing.
        """
        config, pair = self._config, None
        if config.keys is not None:
            from zmq.auth.thread import ThreadAuthenticator  # slowly, for it loads asyncio

            pair = keys.secret(config.keys, keys.AGENT)
            self._authenticator = ThreadAuthenticator(self._context)
            self._authenticator.start()
            self._authenticator.configure_curve(
                domain="*", location=str(config.keys / keys.AUTHORIZED)
            )
        sockets = []
        operator = f"ipc://{config.journal.resolve() / 'operator.sock'}"
        for address in (config.address, config.abort_address, operator):
            socket = self._context.socket(zmq.ROUTER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.MAXMSGSIZE, wire.MAX_MESSAGE)
            socket.setsockopt(zmq.RCVHWM, 64)
            socket.setsockopt(zmq.SNDHWM, 64)
            socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
            if pair is not None and address != operator:
                socket.curve_publickey, socket.curve_secretkey = pair
                socket.curve_server = True
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                raise SetupError(f"address {address}: {error}; is another agent there?") from None
            sockets.append(socket)
        self._requests, self._aborts, self._operator = sockets
        self._bell_in, self._bell_out = os.pipe2(os.O_NONBLOCK)

    def close(self) -> None:
        """Let go of the addresses; may be called where `bind` has failed."""
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)

    def push(self, client: str, message: Message) -> None:
        """Send a host a message that it has not asked for; from any thread."""
        self._post(lambda: self._send_to(client, message))

    def _post(self, send: Callable[[], None]) -> None:
        self._out.put(send)
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell_out, b".")

    # ------------------------------------------------------------ the lives of two threads

    def answer(self, agent: Agent, wake: threading.Event, stopping: threading.Event) -> None:
        """Answer requests, send what was posted and watch trajectories, until it is to stop.

        Args:
            agent: answers.
            wake: set where the control loop has something to do.
            stopping: set once this is to end.
        """
        poller = zmq.Poller()
        for socket in (self._requests, self._operator, self._bell_in):
            poller.register(socket, zmq.POLLIN)
        while not stopping.is_set():
            ready = dict(poller.poll(POLL_MILLISECONDS))
            agent.motion.watch(time.monotonic_ns())
            if self._bell_in in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell_in, 4096)
                self._send_posted()
            for socket in (self._operator, self._requests):
                if socket in ready:
                    self._reply(socket, agent, wake)

    def hear_aborts(self, agent: Agent, wake: threading.Event, stopping: threading.Event) -> None:
        """Hear aborts, whatever else is going on, until it is to stop; see `answer`."""
        while not stopping.is_set():
            if not self._aborts.poll(POLL_MILLISECONDS):
                continue
            identity, *frames = self._aborts.recv_multipart()
            try:
                message = wire.decode(frames)
                if message.kind != "abort":
                    raise WireError("only `abort` is heard here")
            except WireError as error:
                self._send(self._aborts, identity, error_message(error))
                continue
            answer = agent.handle(message, time.monotonic_ns())
            wake.set()
            if answer is not None:
                self._send(self._aborts, identity, answer)

    # ------------------------------------------------------------ within

    def _send_posted(self) -> None:
        while True:
            try:
                send = self._out.get_nowait()
            except queue.Empty:
                return
            send()

    def _send_to(self, client: str, message: Message) -> None:
        identity = self._identities.get(client)
        if identity is not None:
            self._send(self._requests, identity, message)

    def _reply(self, socket: "zmq.Socket[bytes]", agent: Agent, wake: threading.Event) -> None:
        """Answer what waits, some at a time."""
        for _ in range(16):
            try:
                identity, *frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode(frames)
            except WireError as error:
                self._send(socket, identity, error_message(error))
                continue
            answer = agent.handle(
                message,
                time.monotonic_ns(),
                operator=socket is self._operator,
                later=functools.partial(self._answer_later, socket, identity),
            )
            if message.kind in ("submit", "approve", "abort", "resume", *ERRANDS):
                wake.set()
            if answer is None:
                continue
            client = message.fields.get("client")
            if answer.kind == "lease" and isinstance(client, str):
                self._identities = {client: identity}  # samples go to who holds the lease
            self._send(socket, identity, answer)

    def _answer_later(self, socket: "zmq.Socket[bytes]", identity: bytes, message: Message) -> None:
        self._post(lambda: self._send(socket, identity, message))

    def _send(self, socket: "zmq.Socket[bytes]", identity: bytes, message: Message) -> None:
        with contextlib.suppress(zmq.Again, zmq.ZMQError):  # the peer has gone, or does not read
            socket.send_multipart([identity, *wire.encode(message)], zmq.NOBLOCK)
