"""The twin: a MuJoCo scene that stands for a robot, in a process of its own and in real time.

    python -m robo_al_agent.twin.world --model so101.xml --socket twin.sock --log twin.jsonl

Like servos on a bus it goes on without anybody: when its client dies, it ends the motion that it
was sent on and holds. Driver `mujoco_twin` talks to it; several clients may, and the one that asked
for it last has control. Requests and answers are JSON objects, one a line, over a UNIX socket:

    {"do": "hello"}                                      what the robot is
    {"do": "connect"}                                    take control, torque on; moves nothing
    {"do": "read"}                                       a reading taken now
    {"do": "command", "target": [...], "seconds": 0.02}  go there evenly  (needs control)
    {"do": "stop"}                                       brake and hold   (anybody may)
    {"do": "release"}                                    torque off: the arm sinks  (needs control)
    {"do": "reset", "options": {"joints": [...]}}        put the scene at a start   (needs control)
    {"do": "fault"}                                      what is latched
    {"do": "clear", "operator": "..."}                   a person lets it be forgotten
    {"do": "inject", "fault": "estop"}                   for tests: estop, overload (both latched),
                                                         frozen (encoders), stale (readings)
    {"do": "leave"}                                      stop if in control, and go

An answer has `ok`, or `error` and why. Every command that was carried out and every other event is
in the log, one JSON object a line with the simulated time, written before it is answered: what a
test of the agent believes, rather than the agent. Times here are simulated seconds.
"""

import argparse
import contextlib
import json
import selectors
import signal
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from robo_al_agent.errors import AgentError, SetupError
from robo_al_agent.operator.terminal import tolerate
from robo_al_agent.twin.robot import Log, TwinRobot
from robo_al_agent.twin.scene import Scene

LONGEST = 65536
"""Bytes of a request: more is no client of ours."""


@dataclass
class Client:
    """One connection."""

    number: int
    """Counted from 1, as in the log."""
    socket: socket.socket
    received: bytes = b""
    """Of a request that is not complete yet."""


class Server:
    """Answers clients over a UNIX socket, and keeps the robot's time between.

    Args:
        path: of the socket; a dead one is replaced.
        robot: the twin.

    Raises:
        SetupError: another world serves there, or the path cannot be used.
    """

    def __init__(self, path: Path, robot: TwinRobot) -> None:
        self._path, self._robot, self._ended, self._count = path, robot, False, 0
        self._listener = listen(path)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve until `end` is called."""
        while not self._ended:
            self._robot.catch_up()
            for key, _ in self._selector.select(self._robot.due):
                self._robot.catch_up()
                if key.data is None:
                    self._accept()
                else:
                    self._receive(key.data)
        self._path.unlink(missing_ok=True)

    def end(self, *_: object) -> None:
        """Let `run` return: a signal's handler."""
        self._ended = True

    def _accept(self) -> None:
        connection, _ = self._listener.accept()
        connection.setblocking(False)
        self._count += 1
        client = Client(self._count, connection)
        self._selector.register(connection, selectors.EVENT_READ, client)

    def _receive(self, client: Client) -> None:
        try:
            data = client.socket.recv(LONGEST)
            *lines, client.received = (client.received + data).split(b"\n")
            for line in lines:
                answer = self._robot.answer(client.number, parsed(line))
                client.socket.sendall(json.dumps(answer).encode() + b"\n")
        except OSError:  # it is gone, or does not take its answers
            data = b""
        if not data or len(client.received) > LONGEST:
            self._selector.unregister(client.socket)
            client.socket.close()
            self._robot.gone(client.number)


def parsed(line: bytes) -> object:
    """Return what a request says; None where it is no JSON."""
    with contextlib.suppress(ValueError, RecursionError):
        return json.loads(line)
    return None


def listen(path: Path) -> socket.socket:
    """Return a socket that listens at a path; raises `SetupError` where it cannot."""
    if path.exists():
        if not path.is_socket():
            raise SetupError(f"{path}: a file that is no socket; choose another path")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
            if other.connect_ex(str(path)) == 0:
                raise SetupError(f"{path}: another twin serves there; end it, or choose another")
        path.unlink()  # its owner was killed
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(path))
    except OSError as error:
        listener.close()
        raise SetupError(f"{path}: {error}") from None
    path.chmod(0o600)
    listener.listen()
    return listener


def arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m robo_al_agent.twin.world",
        description="Stand for a robot: a MuJoCo scene in real time.",
    )
    parser.add_argument("--model", type=Path, required=True, help="MJCF with <position> servos")
    parser.add_argument("--socket", type=Path, required=True, help="UNIX socket to serve at")
    parser.add_argument("--log", type=Path, required=True, help="file that events are added to")
    parser.add_argument("--name", default="mujoco twin", help="of the robot")
    parser.add_argument("--rate", type=float, default=50.0, help="commands a second")
    parser.add_argument("--speed", type=float, default=1.0, help="simulated seconds in a real one")
    parser.add_argument("--watchdog", type=float, help="seconds without command, then it stops")
    return parser.parse_args()


def main() -> int:
    """Run the twin until it is terminated; return the exit status."""
    tolerate()
    given = arguments()
    try:
        for name in ("rate", "speed", "watchdog"):
            value = getattr(given, name)
            if value is not None and not 0 < value < float("inf"):
                raise SetupError(f"--{name} {value}: it must be above 0")
        scene = Scene(given.model)
        robot = TwinRobot(
            scene, Log(given.log), given.name, given.rate, given.speed, given.watchdog
        )
        server = Server(given.socket, robot)
    except AgentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, server.end)
    print(f"{given.name} at {given.socket}", flush=True)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
