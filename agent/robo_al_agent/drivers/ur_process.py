"""The process in which SDU's client ur-rtde runs; `ur_connection` starts it and asks it by lines.

A process of its own, for the client is dangerous company (ur-rtde 1.6.5, seen in `src/` and tried):
when its connection breaks, its control interface connects and uploads its script again and again,
in more and more threads, until the process crashes; its constructors keep Python's interpreter
lock; it waits up to 300 s for a command to be done. So this process ends as soon as the connection
is lost, and can be killed at any time: the controller's watchdog then stops the script.

Run as `python ur_process.py HOSTNAME WATCHDOG_SECONDS`; one request a line of JSON on standard
input, one answer with the request's number on standard output. At the end of its input, so when the
agent has died, it stops the arm and ends the control script. Imports nothing of the agent.
"""

import contextlib
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

VARIABLES = [
    "timestamp",
    "actual_q",
    "actual_qd",
    "actual_current",
    "robot_mode",
    "runtime_state",
    "safety_status_bits",
    "target_speed_fraction",
]
DECELERATION = 4.0
"""m/s^2 of the tool, when the agent has died."""
LAST_WORDS = 5
"""Seconds that stopping the arm may take then."""


class Arm:
    """Both interfaces of the client, and when they were used."""

    def __init__(self, hostname: str, watchdog_seconds: float) -> None:
        from rtde_receive import RTDEReceiveInterface

        self.hostname, self.watchdog_seconds = hostname, watchdog_seconds
        self.receive: Any = RTDEReceiveInterface(hostname, variables=VARIABLES)
        self.control: Any = None
        self.stamp, self.stamp_ns, self.sent = -1.0, 0, 0.0

    def start(self) -> bool:
        """Upload the control script and arm its watchdog."""
        from rtde_control import RTDEControlInterface

        self.control = RTDEControlInterface(self.hostname)
        self.sent = time.monotonic()
        return bool(self.control.setWatchdog(1 / self.watchdog_seconds))

    def lost(self) -> bool:
        """Whether one of the connections is gone."""
        connected = self.receive.isConnected()
        return not connected or (self.control is not None and not self.control.isConnected())

    def look(self) -> float:
        """Return the controller's time, and note when it was new."""
        stamp = float(self.receive.getTimestamp())
        if stamp != self.stamp:
            self.stamp, self.stamp_ns = stamp, time.monotonic_ns()
        return stamp

    def state(self, after: float, seconds: float) -> dict[str, Any]:
        """Return the controller's state, from one package.

        Args:
            after: the controller's time that it should be newer than.
            seconds: to wait for that.
        """
        deadline = time.monotonic() + seconds
        while self.look() == after and time.monotonic() < deadline and not self.lost():
            time.sleep(0.0003)
        while True:
            stamp, receive = self.look(), self.receive
            state = {
                "stamp": stamp,
                "stamp_ns": self.stamp_ns,
                "positions": receive.getActualQ(),
                "velocities": receive.getActualQd(),
                "currents": receive.getActualCurrent(),
                "safety": receive.getSafetyStatusBits(),
                "mode": receive.getRobotMode(),
                "runtime": receive.getRuntimeState(),
                "slider": receive.getTargetSpeedFraction(),
            }
            if self.look() == stamp:
                return state

    def answer(self, request: dict[str, Any]) -> Any:
        """Do what is asked; each kind of request has the name of a method here or in the client."""
        kind, arguments = request["do"], request["with"]
        if hasattr(self, kind):
            return getattr(self, kind)(*arguments)
        self.sent = time.monotonic()
        return getattr(self.control, kind)(*arguments)

    def unlock(self) -> None:
        """Unlock a protective stop; raises what the controller says against it."""
        dashboard = self.dashboard()
        dashboard.closeSafetyPopup()
        dashboard.unlockProtectiveStop()
        dashboard.disconnect()

    def power_off(self) -> None:
        """Power the arm off."""
        dashboard = self.dashboard()
        dashboard.powerOff()
        dashboard.disconnect()

    def remote(self) -> bool:
        """Return whether the controller takes programs from elsewhere than its pendant."""
        dashboard = self.dashboard()
        try:
            # A CB3 has no such choice, and does not understand the question.
            return bool(dashboard.isInRemoteControl())
        except Exception:
            return True
        finally:
            dashboard.disconnect()

    def dashboard(self) -> Any:
        """Return a connection to the dashboard server."""
        from dashboard_client import DashboardClient

        dashboard = DashboardClient(self.hostname)
        dashboard.connect()
        return dashboard

    def kick(self) -> None:
        """Keep the watchdog quiet while nothing else is sent.

        Not right after a command: within a cycle of the controller the later of two packages
        overwrites the register that both go to, and the command would be lost.
        """
        quiet = time.monotonic() - self.sent > self.watchdog_seconds / 4
        if quiet and self.control is not None and self.control.isProgramRunning():
            self.sent = time.monotonic()
            self.control.kickWatchdog()


def attend(arm: Arm, say: Callable[[int, dict[str, Any]], None]) -> None:
    """Answer until the input ends."""
    while True:
        asked, _, _ = select.select([sys.stdin], [], [], arm.watchdog_seconds / 8)
        if asked:
            line = sys.stdin.readline()
            if not line:
                return
            say(*answered(arm, json.loads(line)))
        if arm.lost():
            os._exit(3)
        arm.look()
        arm.kick()


def answered(arm: Arm, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Do what is asked; return the request's number and the answer or the error."""
    try:
        return request["number"], {"answer": arm.answer(request)}
    except Exception as error:
        return request["number"], {"error": str(error)}


def serve(hostname: str, watchdog_seconds: float) -> None:
    """Answer until the agent has died or the connection is lost; then stop the arm."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the client writes on standard output

    def say(number: int, answer: dict[str, Any]) -> None:
        answers.write(json.dumps({"number": number, **answer}) + "\n")
        answers.flush()

    try:
        arm = Arm(hostname, watchdog_seconds)
    except Exception as error:
        say(0, {"error": str(error)})
        return
    say(0, {"answer": True})
    with contextlib.suppress(BrokenPipeError):  # the agent died before it read an answer
        attend(arm, say)
    signal.alarm(LAST_WORDS)  # ends this process, should the client wait for ever
    if arm.control is not None:
        arm.control.servoStop(DECELERATION)
        arm.control.stopScript()
    os._exit(0)  # without the client's destructors, which wait


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))
