"""The process that watches the agent: when it dies or hangs in motion, this one stops the robot.

It does nothing else, holds no connection to the robot, and starts the agent again; what was running
is then INTERRUPTED, and a person clears the fault. It waits for nothing without a limit, and hears
Ctrl-C, SIGTERM and a terminal that is closed at any time. The agent is in a session of its own:
what a terminal sends goes to this process alone, which lets the agent stop the robot and end.
"""

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from robo_al_agent.config import AgentConfig, load_config
from robo_al_agent.devices.pulse import Pulse
from robo_al_agent.driver import RobotDriver, SupportsDevices
from robo_al_agent.drivers.loading import make_robot
from robo_al_agent.errors import AgentError

START_SECONDS = 60.0
"""Within which an agent has begun to serve."""
END_SECONDS = 10.0
"""Within which an agent that was told to end has ended."""
RESTARTS_A_MINUTE = 10
PAUSE_SECONDS = 10.0
"""Before the agent is started again when that was done too often, or it had not begun to serve."""
LOG_BYTES = 10_000_000
"""Of the driver's log, at the start of an agent; a longer one becomes the old one."""

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""Signals that end the agent in order: Ctrl-C, a terminal or a connection to it that is closed."""

Say = Callable[[str], None]


def serve(path: Path, note: str, say: Say) -> int:
    """Run the agent of AGENT.yaml until one of the `ENDING` signals; return its exit code.

    Args:
        path: of AGENT.yaml.
        note: of a person, on this session.
        say: told, in words, what happens; it may raise `OSError` where nobody reads any more.
    """
    config = load_config(path)
    # Made here, so that nothing has to be read or imported when it counts; never connected here.
    driver = make_robot(config, path.resolve().parent)
    stopping: list[int] = []
    for number in ENDING:
        signal.signal(number, lambda number, _: stopping.append(number))
    signal.signal(signal.SIGTSTP, signal.SIG_IGN)  # Ctrl-Z: a robot needs who watches its agent

    def tell(text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal is gone, the robot is not
            say(text)

    starts: list[float] = []
    served = False
    while True:
        starts = [at for at in starts if time.monotonic() - at < 60] + [time.monotonic()]
        run = _run(path, note, config, stopping, tell)
        served = served or run.served
        if run.served and run.code != 0:
            stop_robot(driver, run.stop_seconds, stopping, tell)
        if stopping or not served:
            return 0 if stopping else (run.code if run.code > 0 else 1)
        if not run.served or len(starts) > RESTARTS_A_MINUTE:
            _pause(stopping)
        if stopping:
            return 0
        tell("the agent is started again")


@dataclass(frozen=True)
class _Run:
    """How an agent ended."""

    code: int
    """Exit code of its process."""
    served: bool
    """Whether it had begun to serve."""
    stop_seconds: float
    """Within which its robot is connected and stopped, as its driver says."""


def _run(path: Path, note: str, config: AgentConfig, stopping: list[int], say: Say) -> _Run:
    """Run one agent to its end."""
    control_in, control_out = os.pipe()
    pulse = Pulse()
    with _log(config.journal) as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "robo_al_agent.server", str(path)]
            + [str(control_out), str(pulse.descriptor), note],
            stdin=subprocess.PIPE,
            stdout=log,
            pass_fds=[control_out, pulse.descriptor],
            start_new_session=True,
        )
    os.close(control_out)
    said = _listen(process, control_in, pulse, stopping, say)
    code = _ended(process, END_SECONDS if said and stopping else 0.5)
    _pass_on(control_in, say)
    if said and not stopping:
        say(f"the agent ended with code {code}; the robot is being stopped")
    run = _Run(code, said, pulse.stop_seconds)
    os.close(control_in)
    pulse.close()
    return run


def _listen(
    process: "subprocess.Popen[bytes]", control: int, pulse: Pulse, stopping: list[int], say: Say
) -> bool:
    """Pass on what an agent says until it ends or is to end; return whether it began to serve."""
    until, said = time.monotonic() + START_SECONDS, b""
    begun = False
    while not stopping:
        if select.select([control], [], [], 0.05)[0]:
            more = os.read(control, 4096)
            if not more:  # it has ended
                return begun
            *lines, said = (said + more).split(b"\n")
            for line in lines:
                say(line.decode(errors="replace"))
                begun = True
        if begun and pulse.is_silent():
            say("the agent is silent: it hangs")
            process.kill()
            return begun
        if not begun and time.monotonic() > until:
            say(f"the agent does not begin to serve within {START_SECONDS:g} s")
            return begun
    return begun


def _pass_on(control: int, say: Say) -> None:
    """Pass on what an agent has said last."""
    said = b""
    while select.select([control], [], [], 0)[0] and (more := os.read(control, 4096)):
        said += more
    for line in said.splitlines():
        say(line.decode(errors="replace"))


def _ended(process: "subprocess.Popen[bytes]", seconds: float) -> int:
    """Let an agent end in order within some time, or by force; return its exit code."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()  # which tells it to end
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def _pause(stopping: list[int]) -> None:
    until = time.monotonic() + PAUSE_SECONDS
    while not stopping and time.monotonic() < until:
        time.sleep(0.05)


def _log(folder: Path) -> IO[bytes]:
    """Return the file for what a driver prints."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / "driver.log"
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".old.log"))
    return path.open("ab")


def stop_robot(driver: RobotDriver, seconds: float, stopping: list[int], say: Say) -> None:
    """Connect to the robot anew, and stop it: each of its devices, whatever becomes of the others.

    Args:
        driver: not connected.
        seconds: within which it connects and stops.
        stopping: signals that came; after another one nobody waits any longer.
        say: told when it did not work.
    """
    begun, until = len(stopping), time.monotonic() + seconds
    devices = driver.devices if isinstance(driver, SupportsDevices) else {"": driver}
    stops = [_Stop(name, device, seconds) for name, device in devices.items()]
    while time.monotonic() < until and len(stopping) == begun:
        if all([stop.has_ended() for stop in stops]):
            break
        time.sleep(0.02)
    for stop in stops:
        stop.end()
        if stop.wrong:
            say(f"THE ROBOT COULD NOT BE STOPPED: {stop.name}{stop.wrong}")


class _Stop:
    """The stop of one device, in a process of its own, for it may hang.

    Args:
        name: of the device, where there are several.
        driver: not connected.
        seconds: within which it connects and stops.
    """

    def __init__(self, name: str, driver: RobotDriver, seconds: float) -> None:
        self.name = f"{name}: " if name else ""
        self.wrong = f"it has not connected and stopped within {seconds:g} s"
        self._hears, tells = multiprocessing.Pipe(duplex=False)
        # A fork has everything imported already; this process has one thread, so nothing is torn.
        self._process = multiprocessing.get_context("fork").Process(
            target=_stop, args=(driver, seconds, tells)
        )
        self._process.start()
        tells.close()

    def has_ended(self) -> bool:
        """Hear what it says; return whether it has let go of the device, which an agent needs."""
        with contextlib.suppress(EOFError):  # its process died: a vendor's library crashed
            if self._hears.poll():
                self.wrong = self._hears.recv_bytes().decode().strip()
        return not self._process.is_alive()

    def end(self) -> None:
        """End the process, which may hang."""
        self.has_ended()
        self._process.kill()
        self._process.join()
        self._hears.close()


def _stop(
    driver: RobotDriver, seconds: float, tells: "multiprocessing.connection.Connection"
) -> None:
    """Stop the robot, and tell what went wrong: a blank where nothing did."""
    os.dup2(2, 1)  # a driver may print
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
    signal.alarm(round(seconds) + 1)  # ends this process, should nobody else
    wrong = ""
    try:
        driver.connect()
        driver.safe_stop()
    except AgentError as error:
        wrong = str(error)
    except Exception as error:
        wrong = f"{type(error).__name__}: {error}"
    tells.send_bytes(wrong.encode() or b" ")
    with contextlib.suppress(Exception):
        driver.close()
    os._exit(0)
