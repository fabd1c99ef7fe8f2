"""The twin's robot: a scene in real time, what is asked of it, its faults, and its log.

The requests are those of `robo_al_agent.twin.world`. Times are simulated seconds.
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from robo_al_agent.errors import SetupError
from robo_al_agent.protocol import requests
from robo_al_agent.robot import Array
from robo_al_agent.twin.scene import BRAKING, Scene

LATCHED = {
    "estop": "the emergency stop is pressed: release it when nobody is in reach",
    "overload": "a servo was overloaded: look what blocks the arm",
}
SILENT = ("frozen", "stale")
"""Faults that the robot does not know of: its readings are wrong."""


class Log:
    """Appends events to a file, each of them with the operating system when the call returns.

    Raises:
        SetupError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError as error:
            raise SetupError(f"{path}: {error}") from None

    def write(self, event: str, at: float, /, **fields: Any) -> None:
        """Append an event at a simulated time."""
        entry = {"event": event, "time": at, "time_ns": time.monotonic_ns(), **fields}
        os.write(self._file, (json.dumps(entry) + "\n").encode())


class TwinRobot:
    """A scene, its clock, its faults, and who has control.

    Args:
        scene: simulated.
        log: of what happens.
        name: of the robot.
        rate: commands a second that it says it is made for (Hz).
        speed: simulated seconds in a real one.
        watchdog: simulated seconds without a command after which a moving robot stops; None: never.
    """

    def __init__(
        self,
        scene: Scene,
        log: Log,
        name: str,
        rate: float,
        speed: float = 1.0,
        watchdog: float | None = None,
    ) -> None:
        self._scene, self._log, self._name = scene, log, name
        self._rate, self._speed, self._watchdog = rate, speed, watchdog
        self._began, self._steps = time.monotonic(), 0
        self._control: int | None = None
        self._commanded = -np.inf
        self._driven = False
        """Whether a command was the last to move the servos: what the watchdog watches over."""
        self._latched: str | None = None
        self._silent: str | None = None
        self._last: dict[str, Any] = {}
        self._sequence = 0
        self._write("start", **self._do_hello(None, {}), speed=speed)

    @property
    def seconds(self) -> float:
        """Simulated time."""
        return self._steps * self._scene.timestep

    @property
    def due(self) -> float:
        """Real seconds until the next step."""
        ahead = (self._steps + 1) * self._scene.timestep / self._speed
        return max(0.0, self._began + ahead - time.monotonic())

    def catch_up(self) -> None:
        """Simulate until now, whatever held this process up: a robot would not have waited."""
        while self.due == 0:
            quiet = self.seconds - self._commanded
            over = self._watchdog is not None and quiet > self._watchdog
            if over and self._driven and self._scene.moving:
                self._stop("watchdog", None)
            self._scene.advance()
            self._steps += 1

    def answer(self, client: int, request: Any) -> dict[str, Any]:
        """Do what a client asks for."""
        try:
            if not isinstance(request, dict):
                raise ValueError("no JSON object")
            method = getattr(self, f"_do_{request.get('do')}", None)
            if method is None:
                raise ValueError(f"unknown request {request.get('do')!r}")
            return {"ok": True, **method(client, request)}
        except (ValueError, TypeError, KeyError) as error:
            reason = f"{error}" or type(error).__name__
            self._write("refused", client=client, asked=str(request)[:200], reason=reason)
            return {"error": reason}

    def gone(self, client: int) -> None:
        """Take note that a client is gone; the robot does not care."""
        self._control = None if self._control == client else self._control
        self._write("gone", client=client)

    # ------------------------------------------------------------ requests

    def _do_hello(self, client: int | None, request: dict[str, Any]) -> dict[str, Any]:
        joints = [
            [j.name, j.low, j.high, j.unit, requests.finite(j.effort)] for j in self._scene.joints()
        ]
        return {
            "name": self._name,
            "joints": joints,
            "sensors": [[sensor.name, sensor.unit] for sensor in self._scene.sensors()],
            "rate": self._rate,
            "watchdog": self._watchdog,
            "stop_seconds": (2 * BRAKING) / self._speed,
        }

    def _do_connect(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        before, self._control = self._control, client
        self._scene.power(True)
        self._write("connect", client=client, instead_of=before)
        return {}

    def _do_read(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        if self._silent == "stale" and self._last:
            return self._last
        measured = self._scene.measure()
        if not all(np.isfinite(values).all() for values in measured):
            raise ValueError("read: the simulation left the finite numbers: start the twin again")
        positions, velocities, efforts, sensors = (values.tolist() for values in measured)
        if self._silent == "frozen" and self._last:
            positions, velocities = self._last["positions"], self._last["velocities"]
        self._sequence += 1
        self._last = {
            "time_ns": time.monotonic_ns(),
            "sequence": self._sequence,
            "positions": positions,
            "velocities": velocities,
            "efforts": efforts,
            "sensors": sensors,
        }
        return self._last

    def _do_command(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        self._may_move(client)
        target, seconds = np.array(request["target"], np.float64), float(request["seconds"])
        self._check(target)
        if not 0 <= seconds < np.inf:
            raise ValueError(f"command: seconds is {seconds}")
        sent = self._scene.move(target, seconds).tolist()
        self._commanded, self._driven = self.seconds, True
        self._write("command", client=client, target=sent, seconds=seconds)
        return {"sent": sent}

    def _do_stop(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        self._stop("client", client)
        return {}

    def _do_release(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        self._in_control(client)
        self._scene.power(False)
        self._driven = False
        self._write("release", client=client)
        return {}

    def _do_reset(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        self._may_move(client)
        options = {name: [float(x) for x in values] for name, values in request["options"].items()}
        self._scene.reset(options)
        self._driven = False
        self._write("reset", client=client, options=options)
        return {}

    def _do_fault(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        code = self._latched
        return {"code": code, "message": LATCHED[code] if code else ""}

    def _do_clear(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        cleared = [code for code in (self._latched, self._silent) if code]
        self._latched = self._silent = None
        self._write("clear", client=client, faults=cleared, operator=str(request["operator"]))
        return {}

    def _do_inject(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        code = request["fault"]
        if code not in (*LATCHED, *SILENT):
            raise ValueError(f"inject: {code!r} is none of {', '.join((*LATCHED, *SILENT))}")
        self._write("fault", client=client, code=code)
        if code in SILENT:
            self._silent = code
        else:
            self._latched = code
            self._stop(code, client)
        return {}

    def _do_leave(self, client: int, request: dict[str, Any]) -> dict[str, Any]:
        if client == self._control:
            self._stop("client", client)
        return {}

    # ------------------------------------------------------------ within

    def _write(self, event: str, **fields: Any) -> None:
        self._log.write(event, self.seconds, positions=self._scene.positions.tolist(), **fields)

    def _stop(self, cause: str, client: int | None) -> None:
        self._scene.brake()
        self._driven = False
        self._write("stop", client=client, cause=cause)

    def _in_control(self, client: int) -> None:
        if client != self._control:
            raise ValueError("another client has control: connect to take it")

    def _may_move(self, client: int) -> None:
        self._in_control(client)
        if self._latched:
            raise ValueError(f"{self._latched} is latched: {LATCHED[self._latched]}, then clear it")
        if not self._scene.powered:
            raise ValueError("torque is off since it was released: connect to switch it on")

    def _check(self, target: Array) -> None:
        if target.shape != self._scene.low.shape or not np.isfinite(target).all():
            needed = len(self._scene.low)
            raise ValueError(f"command: target {target.tolist()} is not {needed} finite numbers")
