"""The twin: a simulated robot in a process of its own, `python -m robo_al_agent.twin.world`.

    driver: mujoco_twin
    parameters:
      socket: twin.sock

The driver starts nothing and simulates nothing. It talks to that process over its UNIX socket as
to a device: what was sent goes on when the driver is gone. The twin says itself what it is, so that
this needs no MuJoCo; and it has to run before anything is asked, even `describe`.
"""

import contextlib
import json
import math
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np

from robo_al_agent.devices.ownership import Claim
from robo_al_agent.devices.rest import await_rest, need_new_readings
from robo_al_agent.errors import DriverError
from robo_al_agent.robot import Array, Fault, Joint, Options, RobotSpec, Sample, Sensor


class MujocoTwin:
    """A client of the twin.

    Args:
        socket: where the twin serves.
        timeout: seconds within which it has to answer.
    """

    def __init__(self, socket: str, timeout: float = 0.5) -> None:
        self._path, self._timeout = Path(socket).expanduser(), timeout
        self._spec: RobotSpec | None = None
        self._line: _Line | None = None
        self._claim: Claim | None = None
        self._lost: Fault | None = None

    def describe(self) -> RobotSpec:
        """Return what the twin says of itself."""
        if self._spec is None:
            self._spec = self._hello()
        return self._spec

    def connect(self) -> None:
        """Take control; torque comes on where the joints are."""
        if self._spec is not None and self._hello() != self._spec:
            raise DriverError(f"{self._path}: another robot is there than before: start again")
        self._hang_up()
        self._claim = Claim(f"mujoco twin {self._path.resolve()}")
        try:
            self._line = _Line(self._path, self._timeout)
            self._ask({"do": "connect"})
        except DriverError:
            self._claim.close()
            raise

    def read(self) -> Sample:
        """Return a reading taken now."""
        return _sample(self._ask({"do": "read"}))

    def command(self, target: Array, seconds: float) -> Array:
        """Send the servos evenly to a target [J]; return it as clipped to their limits."""
        answer = self._ask({"do": "command", "target": target.tolist(), "seconds": seconds})
        return np.array(answer["sent"], np.float64)

    def safe_stop(self) -> None:
        """Brake and hold, and see it at rest; over a connection of its own where the other is lost.

        Raises:
            DriverError: the twin does not answer, or is measured to move still.
        """
        began = time.monotonic()
        with _Line(self._path, self._timeout) as line:
            line.ask({"do": "stop"})
            await_rest(lambda: _sample(line.ask({"do": "read"})), self.describe(), began)

    def release(self) -> None:
        """Torque off, until the next `connect`."""
        self._ask({"do": "release"})

    def begin_leading(self) -> None:
        """Torque off, so that the arm can be led."""
        self._ask({"do": "release"})

    def end_leading(self) -> None:
        """Torque on: the servos hold where the joints are."""
        self._ask({"do": "connect"})

    def fault(self) -> Fault | None:
        """Return what the twin has latched, or that it does not answer."""
        if self._line is not None and self._lost is None:
            try:
                answer = self._ask({"do": "fault"})
            except DriverError:
                return self._lost
            return Fault(answer["code"], answer["message"]) if answer["code"] else None
        return self._lost

    def clear_fault(self, operator: str) -> None:
        """Let the twin forget its fault; connects again where it had not answered."""
        if self._lost is not None:
            self.connect()
        self._ask({"do": "clear", "operator": operator})
        need_new_readings(self.read, str(self._path))

    def reset(self, options: Options, seed: int) -> None:
        """Put the scene at a start: `joints`, and the names of bodies and sites."""
        self._ask({"do": "reset", "options": {key: list(value) for key, value in options.items()}})

    def close(self) -> None:
        """Stop what was sent from here, and let go."""
        if self._line is not None and self._lost is None:
            with contextlib.suppress(_Lost):
                self._ask({"do": "leave"})
        self._hang_up()

    def _hello(self) -> RobotSpec:
        with _Line(self._path, self._timeout) as line:
            hello = line.ask({"do": "hello"})
        joints = tuple(
            Joint(name, low, high, unit, effort=math.inf if effort is None else effort)
            for name, low, high, unit, effort in hello["joints"]
        )
        return RobotSpec(
            name=hello["name"],
            joints=joints,
            rate=hello["rate"],
            watchdog="none" if hello["watchdog"] is None else "device",
            watchdog_seconds=hello["watchdog"],
            stop_seconds=hello["stop_seconds"],
            call_seconds=2 * self._timeout + 0.5,
            sensors=tuple(Sensor(name, unit) for name, unit in hello["sensors"]),
        )

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._line is None:
            raise DriverError(f"{self._path}: not connected")
        if self._lost is not None:
            raise DriverError(self._lost.message)
        try:
            return self._line.ask(request)
        except _Lost as error:
            self._lost = Fault("no_reply", f"{error}; see whether it runs, then clear the fault")
            raise

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
        self._line = self._lost = None
        if self._claim is not None:
            self._claim.close()


def _sample(answer: dict[str, Any]) -> Sample:
    return Sample(
        time_ns=answer["time_ns"],
        sequence=answer["sequence"],
        positions=np.array(answer["positions"], np.float64),
        velocities=np.array(answer["velocities"], np.float64),
        efforts=np.array(answer["efforts"], np.float64),
        sensors=np.array(answer["sensors"], np.float64),
    )


class _Lost(DriverError):
    """The twin does not answer; whether it did what was asked is not known."""


class _Line:
    """One connection: a request, then its answer."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._received = b""
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise _Lost(
                f"{path}: no twin answers ({error}); start it: robo-al-agent twin AGENT.yaml "
                "--model MJCF"
            ) from None

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a request; raises `DriverError` where there is none."""
        try:
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            while b"\n" not in self._received:
                data = self._socket.recv(65536)
                if not data:
                    raise OSError("it closed the connection")
                self._received += data
        except OSError as error:
            raise _Lost(f"{self._path}: the twin does not answer ({error})") from None
        line, _, self._received = self._received.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DriverError(f"{self._path}: {answer['error']}")
        return answer

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
