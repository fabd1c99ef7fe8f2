"""The agent's process: threads around `Agent` and `Network`, which is its sockets.

    main thread       beats, watches the others, hears signals; never waits for anything else
    control thread    moves the robot: makes every call of the driver, sleeps until the next step
    network thread    answers requests, sends samples, watches trajectories
    abort thread      hears aborts on a socket of its own, whatever else is going on
    writing thread    appends samples to the journal

Its parent stops the robot when this process ends in any other way than by itself.
"""

import contextlib
import gc
import os
import queue
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable
from typing import NoReturn

from robo_al_agent.agent import Agent
from robo_al_agent.answers.served import Robot, Shift
from robo_al_agent.config import AgentConfig
from robo_al_agent.devices.door import Door
from robo_al_agent.devices.pulse import Pulse
from robo_al_agent.driver import RobotDriver
from robo_al_agent.envelope.envelope import as_fields, load_envelope
from robo_al_agent.errors import JournalError
from robo_al_agent.journal.folder import FileJournal
from robo_al_agent.journal.locking import lock
from robo_al_agent.motion.leading import park_pose
from robo_al_agent.operator.conversation import operator
from robo_al_agent.robot import Fault
from robo_al_agent.sensors.sensing import Sensing
from robo_al_agent.server.network import POLL_MILLISECONDS, Network

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
        self._door = Door(driver, pulse, sensing=sensing)
        spec = self._door.spec
        pulse.declare(spec.connect_seconds + spec.stop_seconds + spec.call_seconds)
        envelope = load_envelope(config.envelope, self._door.spec)
        fields = as_fields(envelope, config.envelope.parent)
        park = park_pose(config.park, spec, envelope)
        self._lock = lock(config.journal)
        self._journal = FileJournal(config.journal)
        self._network = Network(config)
        try:
            self._network.bind()
            session = Shift(operator(config), " ".join(note.split()))
            robot = Robot(self._door, envelope, config.approval, fields, None, park, session)
            self._agent = Agent(
                robot, self._journal, uuid.uuid4().hex, self._network.push, self._keep
            )
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

    def _keep(self, id: str, row: bytes) -> None:
        self._rows.put((id, row))

    def _answer(self) -> None:
        """The network thread."""
        self._network.answer(self._agent, self._wake, self._stopping)

    def _hear_aborts(self) -> None:
        """The abort thread."""
        self._network.hear_aborts(self._agent, self._wake, self._stopping)

    def _write(self) -> None:
        """The writing thread."""
        while (item := self._rows.get()) is not None:
            try:
                self._journal.sample(*item)
            except JournalError as error:
                self._agent.fail(Fault("journal", f"{error}: see to the disk"))
                self._wake.set()

    def _let_go(self) -> None:
        self._network.close()
        self._journal.close()
        self._lock.close()


def _hurry(priority: int) -> None:
    """Let this thread go before others, where the system permits."""
    sys.setswitchinterval(0.0005)  # it gets Python's interpreter soon
    with contextlib.suppress(OSError, AttributeError):
        policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK  # threads that it starts stay as they are
        os.sched_setscheduler(0, policy, os.sched_param(priority))
