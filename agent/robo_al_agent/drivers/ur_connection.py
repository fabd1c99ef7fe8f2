"""The connection to a controller of Universal Robots: asks `ur_process`, and judges its answers."""

import importlib.util
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robo_al_agent.devices.ownership import Claim
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.robot import Array, Fault

PORTS = (30004, 29999, 30003)
"""RTDE, dashboard, script interface: the client has them built in."""
RUNNING = 7
"""Robot mode of an arm that is powered on, with its brakes released."""
MODES = {
    -1: "without a controller",
    0: "disconnected",
    1: "waiting for its safety settings to be confirmed",
    2: "booting",
    3: "powered off",
    4: "powered on, and not yet idle",
    5: "idle, its brakes closed",
    6: "in backdrive",
    8: "updating its firmware",
}
"""What other robot modes mean (RTDE guide)."""
POWERED_OFF = 3
PLAYING = 2
"""Runtime state of a controller whose program runs."""
PROTECTIVE = 1 << 2
SAFETY = (
    (0b11100000, "estop", "the emergency stop is pressed: release it and power the arm on"),
    (1 << 9, "safety_fault", "the safety system has a fault: see the pendant"),
    (1 << 8, "violation", "a safety limit was violated: see the pendant"),
    (PROTECTIVE, "protective_stop", "protective stop: find out why before you clear it"),
    (1 << 4, "safeguard_stop", "the safeguard stop is open: close it"),
)
"""Bits of `safety_status_bits` (RTDE guide), gravest first; 0 and 1 are normal and reduced mode."""
FULL = 0.995
"""Share from which on the speed slider is at its end."""
LOCAL = Fault("local_control", "the controller is in local control: set it to remote control")
REPLY = 2.0
"""Seconds within which the process answers."""
START = 20.0
"""Seconds within which it has started, or started the control script."""


@dataclass(frozen=True)
class State:
    """What the controller sent last; [6] an array."""

    stamp: float
    """The controller's time (s)."""
    stamp_ns: int
    """`time.monotonic_ns()` when it came."""
    positions: Array
    velocities: Array
    currents: Array
    safety: int
    mode: int
    runtime: int
    slider: float
    """Share of the speed that the pendant's slider allows."""

    def unsafe(self) -> Fault | None:
        """Return what keeps the arm from moving, whatever program runs."""
        for mask, code, message in SAFETY:
            if self.safety & mask:
                return Fault(code, message)
        if self.mode != RUNNING:
            told = MODES.get(self.mode, f"in mode {self.mode}")
            code = "powered_off" if self.mode == POWERED_OFF else "not_running"
            return Fault(code, f"the arm is {told}: power it on and release its brakes")
        if self.slider < FULL:
            share = f"the pendant's speed slider is at {self.slider:.0%}"
            told = "the arm would fall behind what is sent: set it to 100 %"
            return Fault("speed_slider", f"{share}: {told}")
        return None

    def trouble(self, stale_seconds: float) -> Fault | None:
        """Return what keeps it from following commands."""
        age = (time.monotonic_ns() - self.stamp_ns) / 1e9
        if age > stale_seconds:
            return Fault("stale", f"the controller's state has not changed for {age:.2f} s")
        unsafe = self.unsafe()
        if unsafe is None and self.runtime != PLAYING:
            return Fault("program_stopped", "the control script has stopped: see the pendant")
        return unsafe


class Connection:
    """A process with the client in it; every question is answered in time, or the process killed.

    Args:
        hostname: of the controller.
        watchdog_seconds: without a message after which the controller stops the script.
    """

    def __init__(self, hostname: str, watchdog_seconds: float) -> None:
        self.hostname, self._watchdog_seconds = hostname, watchdog_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._claim: Claim | None = None
        self._number = 0
        """Of the last question."""
        self.is_idle = False
        """Whether it is open without a control script: then nothing here moves the arm."""

    @property
    def is_open(self) -> bool:
        """Whether the process lives and is connected, as far as is known."""
        return self._process is not None

    def open(self, unlock: bool) -> Fault | None:
        """Connect, and start the control script and its watchdog where the arm is ready to move.

        Args:
            unlock: whether a protective stop may be unlocked.

        Returns:
            What keeps the arm from moving: then it can be read, and nothing more.

        Raises:
            SetupError: without ur-rtde.
            DriverError: when that fails, or another program has the arm; nothing is open then.
        """
        if importlib.util.find_spec("rtde_control") is None:
            raise SetupError("ur-rtde is not installed: pip install 'robo-al-agent[ur]'")
        for port in PORTS:
            try:
                found = socket.create_connection((self.hostname, port), 2.0)
            except OSError as error:
                raise DriverError(f"{self.hostname}, port {port}: {error}") from error
            with found:
                address = found.getpeername()[0]
        self._claim = Claim(f"ur {address}")
        program = str(Path(__file__).with_name("ur_process.py"))
        self._process = subprocess.Popen(
            [sys.executable, program, self.hostname, str(self._watchdog_seconds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the agent, which then stops the arm
        )
        try:
            self._hear(0, START)
            if unlock and self.state().safety & PROTECTIVE:
                self.ask("unlock")
                self._await(lambda state: not state.safety & PROTECTIVE, "unlocking")
            trouble = self.state().unsafe() or (None if self.ask("remote") else LOCAL)
            if trouble is not None:
                self.is_idle = True
                return trouble
            if not self.ask("start", seconds=START):
                raise DriverError(f"{self.hostname}: the controller's watchdog was not armed")
            self._await(lambda state: state.runtime == PLAYING, "starting the control script")
            return None
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Kill the process; the watchdog stops a script that still runs."""
        process, self._process = self._process, None
        claim, self._claim = self._claim, None
        self.is_idle = False
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        if claim is not None:
            claim.close()

    def state(self, after: float = -1.0, seconds: float = 0.0) -> State:
        """Return the controller's state.

        Args:
            after: the controller's time that it should be newer than.
            seconds: to wait for that at most.

        Raises:
            DriverError: when the connection is lost; then it is closed.
        """
        answer = self.ask("state", after, seconds, seconds=seconds + REPLY)
        arrays = {
            name: np.array(answer[name], np.float64)
            for name in ("positions", "velocities", "currents")
        }
        return State(**{**answer, **arrays})

    def ask(self, what: str, *arguments: Any, seconds: float = REPLY) -> Any:
        """Call the client.

        Args:
            what: a method of its control interface, or of `ur_process.Arm`.
            arguments: of it.
            seconds: that it may take.

        Raises:
            DriverError: when the client raises something, or when the connection is lost or there
                was no answer in time: then it is closed.
        """
        process = self._process
        if process is None or process.stdin is None:
            raise DriverError(f"{self.hostname}: not connected")
        self._number += 1
        request = json.dumps({"number": self._number, "do": what, "with": arguments})
        try:
            process.stdin.write(f"{request}\n".encode())
        except OSError as error:
            self.close()
            raise DriverError(f"{self.hostname}: the connection is lost") from error
        return self._hear(self._number, seconds)

    def _hear(self, number: int, seconds: float) -> Any:
        process = self._process
        assert process is not None and process.stdout is not None
        deadline, line = time.monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            ready, _, _ = select.select(
                [process.stdout], [], [], max(0.0, deadline - time.monotonic())
            )
            more = process.stdout.read(65536) if ready else b""
            if not more:
                self.close()
                why = "the connection is lost" if ready else f"no answer in {seconds:g} s"
                raise DriverError(f"{self.hostname}: {why}")
            line += more
        try:
            answer = json.loads(line)
            foreign = answer["number"] != number
        except (ValueError, KeyError, TypeError):
            foreign = True
        if foreign:
            self.close()
            raise DriverError(f"{self.hostname}: an answer to another question came: {line!r:.80}")
        if "error" in answer:
            raise DriverError(f"{self.hostname}: {answer['error']}")
        return answer["answer"]

    def _await(self, reached: Callable[[State], bool], what: str) -> None:
        deadline = time.monotonic() + START
        while not reached(self.state()):
            if time.monotonic() > deadline:
                raise DriverError(f"{self.hostname}: {what} took more than {START:g} s")
            time.sleep(0.002)
