"""The agent's process: sockets and threads around `Agent`.

    main thread       moves the robot: sleeps until the next control step
    network thread    answers requests, sends samples, watches trajectories
    abort thread      hears aborts on a socket of its own, whatever else is going on
    writing thread    appends samples to the journal

`python -m robo_al_agent.server AGENT.yaml` is started by `robo_al_agent.parent`, which stops the
robot when this process ends in any other way than by itself. It ends when its stdin is closed.
"""

import contextlib
import fcntl
import gc
import os
import queue
import signal
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import IO

import zmq
from zmq.auth.thread import ThreadAuthenticator

from robo_al_agent import keys, wire
from robo_al_agent.agent import Agent, Robot
from robo_al_agent.calibration import calibrate
from robo_al_agent.config import AgentConfig, load_config
from robo_al_agent.driver import RobotDriver
from robo_al_agent.envelope import as_fields, load_envelope
from robo_al_agent.errors import AgentError, SetupError, WireError
from robo_al_agent.journal import FileJournal
from robo_al_agent.loading import make_driver
from robo_al_agent.terminal import tolerate
from robo_al_agent.wire import Message

POLL_MILLISECONDS = 20
HEARTBEAT_SECONDS = 0.1
"""How often the control loop tells its parent that it turns."""


class Server:
    """Serves one robot until it is told to stop.

    Args:
        config: of AGENT.yaml.
        driver: not yet connected.
        heartbeat: a file descriptor that is written to while the control loop turns, or None.

    Raises:
        AgentError: the robot cannot be connected, a key or the envelope is wrong, the address or
            the journal is in use.
    """

    def __init__(
        self, config: AgentConfig, driver: RobotDriver, heartbeat: int | None = None
    ) -> None:
        self._config, self._driver, self._heartbeat = config, driver, heartbeat
        self._stopping = threading.Event()
        self._wake = threading.Event()
        _hurry()
        self._rows: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        envelope = load_envelope(config.envelope, driver.describe())
        self._lock = _lock(config.journal)
        self._journal = FileJournal(config.journal)
        self._context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        try:
            self._requests, self._aborts, self._operator = self._bind()
            driver.connect()
            robot = Robot(
                driver,
                driver.describe(),
                envelope,
                calibrate(driver),
                config.approval,
                as_fields(envelope, config.envelope.parent),
            )
            self._identities: dict[str, bytes] = {}
            self._out: queue.SimpleQueue[tuple[str, Message]] = queue.SimpleQueue()
            self._bell_in, self._bell_out = os.pipe2(os.O_NONBLOCK)
            self._agent = Agent(robot, self._journal, uuid.uuid4().hex, self._push, self._keep)
        except BaseException:
            self._close()
            raise

    def run(self) -> None:
        """Move the robot until `stop`; from the main thread."""
        threads = [
            threading.Thread(target=target, daemon=True)
            for target in (self._answer, self._hear_aborts, self._write)
        ]
        for thread in threads:
            thread.start()
        gc.collect()
        gc.freeze()
        beat = 0.0
        while not self._stopping.is_set():
            next_ns = self._agent.tick(time.monotonic_ns())
            now = time.monotonic()
            if self._heartbeat is not None and now - beat > HEARTBEAT_SECONDS:
                beat = now
                os.write(self._heartbeat, b".")
            self._wake.wait(max(0.0, next_ns / 1e9 - now))
            self._wake.clear()
        self._agent.abort("the agent was told to end")
        self._agent.tick(time.monotonic_ns())
        self._agent.tick(time.monotonic_ns())
        self._rows.put(None)
        for thread in threads:
            thread.join()
        self._close()

    def stop(self) -> None:
        """End `run`; from any thread or a signal handler."""
        self._stopping.set()
        self._wake.set()

    def _bind(self) -> tuple["zmq.Socket[bytes]", "zmq.Socket[bytes]", "zmq.Socket[bytes]"]:
        config, pair = self._config, None
        if config.keys is not None:
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
        return sockets[0], sockets[1], sockets[2]

    def _push(self, client: str, message: Message) -> None:
        self._out.put((client, message))
        with contextlib.suppress(BlockingIOError):
            os.write(self._bell_out, b".")

    def _keep(self, id: str, row: bytes) -> None:
        self._rows.put((id, row))

    def _answer(self) -> None:
        """The network thread."""
        poller = zmq.Poller()
        for socket in (self._requests, self._operator, self._bell_in):
            poller.register(socket, zmq.POLLIN)
        while not self._stopping.is_set():
            ready = dict(poller.poll(POLL_MILLISECONDS))
            self._agent.watch(time.monotonic_ns())
            if self._bell_in in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell_in, 4096)
                self._send_samples()
            for socket in (self._operator, self._requests):
                if socket in ready:
                    self._reply(socket)

    def _send_samples(self) -> None:
        while True:
            try:
                client, message = self._out.get_nowait()
            except queue.Empty:
                return
            identity = self._identities.get(client)
            if identity is not None:
                self._send(self._requests, identity, message)

    def _reply(self, socket: "zmq.Socket[bytes]") -> None:
        """Answer what waits, some at a time."""
        for _ in range(16):
            try:
                identity, *frames = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                message = wire.decode(frames)
            except WireError as error:
                self._send(socket, identity, _error(error))
                continue
            answer = self._agent.handle(
                message, time.monotonic_ns(), operator=socket is self._operator
            )
            client = message.fields.get("client")
            if answer.kind == "lease" and isinstance(client, str):
                self._identities = {client: identity}  # samples go to who holds the lease
            if message.kind in ("submit", "approve", "abort"):
                self._wake.set()
            self._send(socket, identity, answer)

    def _send(self, socket: "zmq.Socket[bytes]", identity: bytes, message: Message) -> None:
        with contextlib.suppress(zmq.Again, zmq.ZMQError):  # the peer has gone, or does not read
            socket.send_multipart([identity, *wire.encode(message)], zmq.NOBLOCK)

    def _hear_aborts(self) -> None:
        """The abort thread."""
        while not self._stopping.is_set():
            if not self._aborts.poll(POLL_MILLISECONDS):
                continue
            identity, *frames = self._aborts.recv_multipart()
            try:
                message = wire.decode(frames)
                if message.kind != "abort":
                    raise WireError("only `abort` is heard here")
            except WireError as error:
                self._send(self._aborts, identity, _error(error))
                continue
            answer = self._agent.handle(message, time.monotonic_ns())
            self._wake.set()
            self._send(self._aborts, identity, answer)

    def _write(self) -> None:
        """The writing thread."""
        while (item := self._rows.get()) is not None:
            self._journal.sample(*item)

    def _close(self) -> None:
        with contextlib.suppress(Exception):
            self._driver.close()
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)
        self._journal.close()
        self._lock.close()


def _error(error: AgentError) -> Message:
    return Message("error", {"code": type(error).__name__, "message": str(error), "request": 0})


def _hurry() -> None:
    """Let this thread, which moves the robot, go before others, where the system permits."""
    sys.setswitchinterval(0.0005)  # it gets Python's interpreter soon
    with contextlib.suppress(OSError, AttributeError):
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK  # other threads stay as they are
        os.sched_setscheduler(0, policy, os.sched_param(10))


def _lock(folder: Path) -> IO[bytes]:
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = (folder / "lock").open("wb")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        raise SetupError(f"{folder}: another agent uses this journal") from None
    return file


def main() -> None:
    """The process that `parent.serve` starts: AGENT.yaml, heartbeat descriptor."""
    tolerate()
    path = Path(sys.argv[1])
    try:
        config = load_config(path)
        driver = make_driver(config.driver, path.resolve().parent)
        server = Server(config, driver, int(sys.argv[2]) if len(sys.argv) > 2 else None)
    except AgentError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    except Exception as error:
        print(f"the robot cannot be connected: {error}", file=sys.stderr, flush=True)
        os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the parent
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    print(f"ready {config.address}", flush=True)
    server.run()


def _end_with_parent(server: Server) -> None:
    while os.read(0, 4096):
        pass
    server.stop()


if __name__ == "__main__":
    main()
