"""The agent's process: sockets and threads around `Agent`.

    main thread       beats, watches the others, hears signals; never waits for anything else
    control thread    moves the robot: makes every call of the driver, sleeps until the next step
    network thread    answers requests, sends samples, watches trajectories
    abort thread      hears aborts on a socket of its own, whatever else is going on
    writing thread    appends samples to the journal

`python -m robo_al_agent.server AGENT.yaml CONTROL PULSE NOTE` is started by `robo_al_agent.parent`,
which stops the robot when this process ends in any other way than by itself. It ends when its stdin
is closed. What it has to say to its parent goes over CONTROL; its stdout belongs to the driver.
"""

import contextlib
import functools
import gc
import os
import queue
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import zmq
from zmq.auth.thread import ThreadAuthenticator

from robo_al_agent.agent import Agent
from robo_al_agent.answers.served import Robot, Shift
from robo_al_agent.config import AgentConfig, load_config
from robo_al_agent.devices.door import Door
from robo_al_agent.devices.pulse import Pulse
from robo_al_agent.driver import RobotDriver
from robo_al_agent.drivers.loading import make_robot, make_sensing
from robo_al_agent.envelope.envelope import as_fields, load_envelope
from robo_al_agent.errors import AgentError, JournalError, SetupError, WireError
from robo_al_agent.journal import FileJournal, lock
from robo_al_agent.motion.leading import park_pose
from robo_al_agent.operator.conversation import operator
from robo_al_agent.operator.terminal import tolerate
from robo_al_agent.protocol import keys, wire
from robo_al_agent.protocol.requests import ERRANDS, error_message
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Fault
from robo_al_agent.sensors.sensing import Sensing

POLL_MILLISECONDS = 20
BEAT_SECONDS = 0.05
"""How often the main thread looks around, and tells the parent that it does."""
LAST_SECONDS = 3.0
"""How long the other threads may take to come to their ends."""
REPLACED = 75
"""Exit code of a process that has to be replaced by another one."""


class Server:
    """Serves one robot until it is told to stop.

    Args:
        config: of AGENT.yaml.
        driver: not yet connected.
        sensing: what is read beside the robot, not yet connected.
        pulse: the sign of life for the parent.
        tell: told, in words, how the robot is.
        note: of a person, on this session.

    Raises:
        AgentError: the robot cannot be described, a key or the envelope is wrong, the address or
            the journal is in use.
    """

    def __init__(
        self,
        config: AgentConfig,
        driver: RobotDriver,
        sensing: Sensing,
        pulse: Pulse,
        tell: Callable[[str], None],
        note: str = "",
    ) -> None:
        self._config = config
        self._pulse = pulse
        self._tell = tell
        self._told = ""
        self._stopping = threading.Event()
        self._wake = threading.Event()
        """Of the control thread."""
        self._threads: list[threading.Thread] = []
        self._rows: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._out: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        """What the network thread is to send."""
        self._identities: dict[str, bytes] = {}
        self._door = Door(driver, pulse, sensing=sensing)
        spec = self._door.spec
        pulse.declare(spec.connect_seconds + spec.stop_seconds + spec.call_seconds)
        envelope = load_envelope(config.envelope, self._door.spec)
        fields = as_fields(envelope, config.envelope.parent)
        park = park_pose(config.park, spec, envelope)
        self._lock = lock(config.journal)
        self._journal = FileJournal(config.journal)
        self._context = zmq.Context()
        self._authenticator: ThreadAuthenticator | None = None
        try:
            self._requests, self._aborts, self._operator = self._bind()
            self._bell_in, self._bell_out = os.pipe2(os.O_NONBLOCK)
            session = Shift(operator(config), " ".join(note.split()))
            robot = Robot(self._door, envelope, config.approval, fields, None, park, session)
            self._agent = Agent(robot, self._journal, uuid.uuid4().hex, self._push, self._keep)
        except BaseException:
            self._let_go()
            raise

    def run(self) -> None:
        """Serve until `stop`; from the main thread."""
        _hurry(9)
        self._threads = [
            threading.Thread(target=self._live, args=(target,), name=target.__name__, daemon=True)
            for target in (self._move, self._answer, self._hear_aborts, self._write)
        ]
        for thread in self._threads:
            thread.start()
        gc.collect()
        gc.freeze()
        while not self._stopping.is_set():
            self._pulse.beat()
            self._watch()
            self._tell_news()
            self._stopping.wait(BEAT_SECONDS)
        self._end()

    def stop(self) -> None:
        """End `run`; from any thread or a signal handler."""
        self._stopping.set()
        self._wake.set()

    def _live(self, target: Callable[[], None]) -> None:
        """The life of a thread: should it end by an error, the robot is stopped."""
        try:
            target()
        except Exception as error:
            traceback.print_exception(error)
            told = f"its thread {target.__name__} ended: {type(error).__name__}: {error}"
            self._agent.fail(Fault("agent", told))
            self._wake.set()

    def _watch(self) -> None:
        """Deal with a call of the driver that hangs, and with a thread that has died."""
        hanging = self._door.overdue()
        if hanging is not None and self._agent.motion.abandon(*hanging):
            self._be_replaced(hanging[1].message)
        if self._agent.condemned is not None:
            time.sleep(2 * POLL_MILLISECONDS / 1000)  # for the answer that says so
            self._be_replaced(self._agent.condemned.message)
        moving = self._agent.motion.execution is not None and self._threads[0].is_alive()
        if not moving and not all(thread.is_alive() for thread in self._threads):
            self._be_replaced("one of the agent's threads has died")

    def _tell_news(self) -> None:
        """Tell whoever sits at the robot's PC when it becomes ready, and when it has a fault."""
        fault, news = self._agent.fault, self._told
        if fault is not None:
            news = f"FAULT {fault.code}: {fault.message}; look at it, then: robo-al-agent clear"
        elif (id := self._agent.awaits_approval(time.monotonic_ns())) is not None:
            news = f"{id} waits for a person: robo-al-agent approve"
        elif self._agent.motion.may_start:
            news = f"{self._door.spec.name} is connected and ready"
        if news != self._told:
            self._told = news
            self._tell(news)

    def _be_replaced(self, why: str) -> NoReturn:
        print(f"{why}; the agent's process is replaced", file=sys.stderr, flush=True)
        os._exit(REPLACED)

    def _end(self) -> None:
        """End in order; a thread that does not come back does not keep the process."""
        until = time.monotonic() + LAST_SECONDS + self._door.spec.stop_seconds
        for thread in self._threads:
            while thread.is_alive() and time.monotonic() < until:
                self._pulse.beat()
                thread.join(BEAT_SECONDS)
        if any(thread.is_alive() for thread in self._threads):
            os._exit(REPLACED)
        self._let_go()

    def _move(self) -> None:
        """The control thread."""
        _hurry(10)
        while not self._stopping.is_set():
            next_ns = self._agent.tick(time.monotonic_ns())
            self._wake.wait(max(0.0, (next_ns - time.monotonic_ns()) / 1e9))
            self._wake.clear()
        self._agent.abort("the end of the agent's program")
        self._agent.tick(time.monotonic_ns())
        self._agent.tick(time.monotonic_ns())
        self._rows.put(None)
        left = self._left_behind()
        self._door.close()
        self._door.sensing.stop()
        self._tell(left)

    def _left_behind(self) -> str:
        """Return how the robot is when nobody has it any more, in one sentence."""
        name, fault = self._door.spec.name, self._agent.fault
        if not self._door.connected:
            return f"{name} was not connected: whether it holds or moves is not known"
        if fault is not None:
            return f"{name} was left with its fault {fault.code}: see that it stands still"
        if self._agent.motion.device.released:
            return f"{name} was released: its torque is off, and nothing watches it any more"
        return (
            f"{name} is stopped and holds where it is, torque on unless its driver is set "
            "otherwise; nothing watches it any more, and only its emergency stop stops it"
        )

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
        self._post(lambda: self._send_to(client, message))

    def _post(self, send: Callable[[], None]) -> None:
        self._out.put(send)
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
            self._agent.motion.watch(time.monotonic_ns())
            if self._bell_in in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._bell_in, 4096)
                self._send_posted()
            for socket in (self._operator, self._requests):
                if socket in ready:
                    self._reply(socket)

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
                self._send(socket, identity, error_message(error))
                continue
            answer = self._agent.handle(
                message,
                time.monotonic_ns(),
                operator=socket is self._operator,
                later=functools.partial(self._answer_later, socket, identity),
            )
            if message.kind in ("submit", "approve", "abort", "resume", *ERRANDS):
                self._wake.set()
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
                self._send(self._aborts, identity, error_message(error))
                continue
            answer = self._agent.handle(message, time.monotonic_ns())
            self._wake.set()
            if answer is not None:
                self._send(self._aborts, identity, answer)

    def _write(self) -> None:
        """The writing thread."""
        while (item := self._rows.get()) is not None:
            try:
                self._journal.sample(*item)
            except JournalError as error:
                self._agent.fail(Fault("journal", f"{error}: see to the disk"))
                self._wake.set()

    def _let_go(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
        self._context.destroy(linger=0)
        self._journal.close()
        self._lock.close()


def _hurry(priority: int) -> None:
    """Let this thread go before others, where the system permits."""
    sys.setswitchinterval(0.0005)  # it gets Python's interpreter soon
    with contextlib.suppress(OSError, AttributeError):
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK  # threads that it starts stay as they are
        os.sched_setscheduler(0, policy, os.sched_param(priority))


def main() -> None:
    """The process that `parent.serve` starts: AGENT.yaml, two descriptors, a person's note."""
    tolerate()
    path, control, pulse = Path(sys.argv[1]), int(sys.argv[2]), Pulse(int(sys.argv[3]))

    def tell(text: str) -> None:
        with contextlib.suppress(BrokenPipeError):  # the parent is gone: so is who would read it
            os.write(control, f"{' '.join(text.split())}\n".encode())

    try:
        config = load_config(path)
        driver = make_robot(config, path.resolve().parent)
        sensing = make_sensing(config, path.resolve().parent)
        server = Server(config, driver, sensing, pulse, tell, note=sys.argv[4])
    except AgentError as error:
        print(f"robo-al-agent: {error}", file=sys.stderr, flush=True)
        os._exit(error.exit_code)
    except Exception as error:
        traceback.print_exception(error)
        os._exit(1)
    signal.signal(signal.SIGTERM, lambda *_: server.stop())
    threading.Thread(target=_end_with_parent, args=(server,), daemon=True).start()
    pulse.beat()
    tell(f"serving at {config.address} (process {os.getpid()}); Ctrl-C ends it")
    server.run()
    os._exit(0)  # a driver's own threads do not keep the process


def _end_with_parent(server: Server) -> None:
    while os.read(0, 4096):
        pass
    server.stop()


if __name__ == "__main__":
    main()
