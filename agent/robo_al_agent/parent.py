"""The process that watches the agent: when it dies or hangs in motion, this one stops the robot.

It does nothing else, holds no connection to the robot, and starts the agent again; what was running
is then INTERRUPTED, and a person clears the fault.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from robo_al_agent.config import load_config
from robo_al_agent.errors import AgentError
from robo_al_agent.loading import make_driver

SILENCE_SECONDS = 0.5
"""After which an agent whose control loop does not turn is killed."""
RESTARTS_A_MINUTE = 30


def serve(path: Path, say: Any = print) -> int:
    """Run the agent of AGENT.yaml until SIGTERM or SIGINT; return its exit code.

    Args:
        path: of AGENT.yaml.
        say: told, in words, what happens.
    """
    stopping: list[int] = []
    # So that nothing has to be imported when it counts.
    make_driver(load_config(path).driver, path.resolve().parent)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: stopping.append(number))
    starts: list[float] = []
    while True:
        starts = [at for at in starts if time.monotonic() - at < 60] + [time.monotonic()]
        code, was_ready = _run(path, stopping, say)
        if stopping or not was_ready or len(starts) > RESTARTS_A_MINUTE:
            return 0 if stopping else (code if code > 0 else 1)
        stop_robot(path, say)
        say("the agent is started again")


def _run(path: Path, stopping: list[int], say: Any) -> tuple[int, bool]:
    """Run one agent to its end; return its exit code and whether it had begun to serve."""
    beats_in, beats_out = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "robo_al_agent.server", str(path), str(beats_out)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[beats_out],
        text=True,
    )
    os.close(beats_out)
    assert process.stdout is not None and process.stdin is not None
    line = process.stdout.readline()  # empty where it ended
    ready = line.startswith("ready")
    if ready:
        say(f"serving at {line.split()[1]} (process {process.pid}); Ctrl-C ends it")
    heard = time.monotonic()
    while ready:
        if stopping:
            process.stdin.close()
            break
        if select.select([beats_in], [], [], 0.05)[0]:
            if not os.read(beats_in, 4096):
                break
            heard = time.monotonic()
        elif time.monotonic() - heard > SILENCE_SECONDS:
            say(f"the control loop was silent for {SILENCE_SECONDS:g} s; it is killed")
            break
    try:
        code = process.wait(5 if stopping else (0.02 if ready else None))
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    os.close(beats_in)
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            pipe.close()
    if ready and not stopping:
        say(f"the agent ended with code {code}; the robot is stopped")
    return code, ready


def stop_robot(path: Path, say: Any) -> None:
    """Connect to the robot anew, and stop it."""
    try:
        driver = make_driver(load_config(path).driver, path.resolve().parent)
        driver.connect()
        driver.safe_stop()
        driver.close()
    except AgentError as error:
        say(f"THE ROBOT COULD NOT BE STOPPED: {error}")
    except Exception as error:
        say(f"THE ROBOT COULD NOT BE STOPPED: {type(error).__name__}: {error}")
