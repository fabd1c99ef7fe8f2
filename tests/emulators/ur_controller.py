"""A Universal Robots controller, as far as the real client ur-rtde 1.6.5 speaks to one.

Three servers on the ports that the client has built in: RTDE (30004), the dashboard (29999) and the
script interface (30003). The client uploads its control script there; what is received is checked
to be it, and from then on the emulator does what that script does with the commands that come in
through RTDE's input registers. Sources: Universal Robots' RTDE guide and dashboard server manual;
`scripts/rtde_control.script`, `src/rtde.cpp` and `src/rtde_control_interface.cpp` of ur-rtde 1.6.5.

Not emulated: an arm's dynamics (joints follow their targets with limited speed and acceleration),
`servoj`'s gain, moves (`movej`, `movel`), and the state that a real controller streams on 30003.

Lines on standard input make it fail; each is answered with the state as a line of JSON:

    state               nothing
    protective_stop     as after a collision
    emergency_stop      the button is pressed; `release` lets go of it, the arm stays powered off
    power_on            a person powers on and releases the brakes at the pendant
    drop                every connection is closed, new ones are taken
    unplug, plug        the network is gone: nothing is sent or heard, and nobody can connect
    freeze, thaw        RTDE goes on sending, with time and state standing still
    freeze_encoder      the arm moves, and the positions that it reports do not; `thaw_encoder`
    stop_program        a person presses stop at the pendant
    slide               a person pulls the speed slider to 40 %
    local, remote       a person sets local control, which stops programs; or remote control
    creep, still        joint 0 moves at 0.3 rad/s whatever it is told, with a brake that is worn
    power_off           a person powers the arm off
    reset               as at the start, for the next test; connections stay
"""

import argparse
import asyncio
import json
import math
import struct
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

PERIOD = 0.002
ACCELERATION = 15.0
VELOCITY = math.pi
START = [0.1, -1.3, 1.2, -1.4, -1.5, 0.2]

OUTPUTS = {
    "timestamp": "DOUBLE",
    "actual_q": "VECTOR6D",
    "actual_qd": "VECTOR6D",
    "actual_current": "VECTOR6D",
    "target_speed_fraction": "DOUBLE",
    "robot_mode": "INT32",
    "runtime_state": "UINT32",
    "robot_status_bits": "UINT32",
    "safety_status_bits": "UINT32",
    **{f"output_int_register_{i}": "INT32" for i in range(24)},
    **{f"output_double_register_{i}": "DOUBLE" for i in range(24)},
}
INPUTS = {
    "external_force_torque": "VECTOR6D",
    **{f"input_int_register_{i}": "INT32" for i in range(24)},
    **{f"input_double_register_{i}": "DOUBLE" for i in range(24)},
}
FORMATS = {"DOUBLE": "d", "VECTOR6D": "6d", "INT32": "i", "UINT32": "I"}

NORMAL, PROTECTIVE, EMERGENCY = 1 << 0, 1 << 2 | 1 << 10, 1 << 6 | 1 << 7 | 1 << 10
STOPPED, PLAYING, PAUSED = 1, 2, 4
POWERED_OFF, RUNNING = 3, 7
SAFETY_NAMES = {NORMAL: "NORMAL", PROTECTIVE: "PROTECTIVE_STOP", EMERGENCY: "ROBOT_EMERGENCY_STOP"}


class Arm:
    """Six joints that follow a target, or slow down."""

    def __init__(self) -> None:
        self.q, self.qd = list(START), [0.0] * 6
        self.target: list[float] | None = None
        self.lookahead, self.deceleration = 0.1, ACCELERATION
        self.creeps = False

    def step(self, dt: float) -> None:
        for joint in range(6):
            wanted, most = 0.0, self.deceleration * dt
            if self.target is not None:
                wanted = (self.target[joint] - self.q[joint]) / self.lookahead
                wanted, most = max(-VELOCITY, min(VELOCITY, wanted)), ACCELERATION * dt
            self.qd[joint] += max(-most, min(most, wanted - self.qd[joint]))
            if self.creeps and joint == 0:
                self.qd[0] = 0.3
            self.q[joint] += self.qd[joint] * dt

    def servo(self, target: list[float], lookahead: float) -> None:
        self.target, self.lookahead = target, lookahead

    def stop(self, deceleration: float) -> None:
        self.target, self.deceleration = None, deceleration

    def at_rest(self) -> bool:
        return max(map(abs, self.qd)) < 1e-6


class ScriptError(Exception):
    """The control script asked for what this emulator does not do: the program stops."""


class Client:
    """One RTDE connection."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer
        self.started = False
        self.outputs: list[str] = []
        self.period, self.due = PERIOD, 0.0
        self.recipes: list[list[str]] = []

    def send(self, kind: str, payload: bytes) -> None:
        self.writer.write(struct.pack(">HB", len(payload) + 3, ord(kind)) + payload)


class Controller:
    """The state of the controller, its program, and its servers."""

    def __init__(self, host: str, unlock_seconds: float) -> None:
        self.host, self.unlock_seconds = host, unlock_seconds
        self.arm = Arm()
        self.registers: dict[str, Any] = {}
        self.safety, self.mode, self.runtime = NORMAL, RUNNING, STOPPED
        self.stopped_at = 0.0
        self.timestamp, self.frozen = 0.0, False
        self.slider, self.remote = 1.0, True
        self.encoder: list[float] | None = None
        self.program: Iterator[None] | None = None
        self.watchdog: float | None = None
        self.heard = 0.0
        self.clients: list[Client] = []
        self.writers: set[asyncio.StreamWriter] = set()
        self.servers: list[asyncio.Server] = []
        self.plugged = True
        self.counts = {"servo": 0, "uploads": 0, "kicks": 0, "watchdog_stops": 0, "unlocks": 0}

    # ---------------------------------------------------------------- the program

    def start_program(self) -> None:
        self.watchdog, self.heard = None, time.monotonic()
        self.counts["uploads"] += 1
        if self.safety == NORMAL and self.mode == RUNNING and self.remote:
            self.runtime, self.program = PLAYING, self.control_script()

    def stop_program(self) -> None:
        """All watchdogs are removed on program stop, says the script manual."""
        self.program, self.watchdog, self.runtime = None, None, STOPPED
        self.arm.stop(ACCELERATION)

    def control_script(self) -> Iterator[None]:
        """The main loop of `rtde_control.script`, a step a controller cycle."""
        self.write("output_int_register_0", 1)
        executing = False
        while True:
            command = self.read("input_int_register_0")
            if command == 11:  # servoJ: done at once, and again while the register says so
                lookahead = self.read("input_double_register_9")
                self.arm.servo(self.vector(0), lookahead)
                self.write("output_int_register_0", 1)
            elif command == 0:
                executing = False
                self.write("output_int_register_0", 1)
            elif command == 255:
                return
            elif not executing:
                executing = True
                yield from self.blocking(int(command))
                self.write("output_int_register_0", 2)
            yield

    def blocking(self, command: int) -> Iterator[None]:
        if command == 16 or (command == 34 and self.arm.target is None):  # servo_stop, stopj
            self.arm.stop(self.read("input_double_register_0"))
            while not self.arm.at_rest():
                yield
        elif command == 34:
            raise ScriptError("stopj while the servo thread controls the robot")
        elif command == 35:
            self.watchdog, self.heard = 1 / self.read("input_double_register_0"), time.monotonic()
        else:
            raise ScriptError(f"command {command} is not emulated")

    def read(self, register: str) -> float:
        return self.registers.get(register, 0)

    def write(self, register: str, value: float) -> None:
        self.registers[register] = value

    def vector(self, first: int) -> list[float]:
        return [self.read(f"input_double_register_{first + i}") for i in range(6)]

    def cycle(self, dt: float) -> None:
        """One control cycle."""
        now = time.monotonic()
        if self.watchdog is not None and now - self.heard > self.watchdog:
            self.counts["watchdog_stops"] += 1
            self.stop_program()
        if self.program is not None and self.runtime == PLAYING:
            try:
                next(self.program)
            except StopIteration:
                self.stop_program()
            except ScriptError as error:
                print(f"script: {error}", file=sys.stderr)
                self.stop_program()
        self.arm.step(dt)
        if not self.frozen:
            self.timestamp += dt
            self.publish_state()
        for client in self.clients:
            if client.started and self.plugged and now >= client.due:
                client.due = max(now, client.due + client.period)
                values = (self.registers.get(name, 0) for name in client.outputs)
                client.send("U", b"\x01" + pack(client.outputs, OUTPUTS, list(values)))

    def publish_state(self) -> None:
        self.registers |= {
            "timestamp": self.timestamp,
            "actual_q": self.encoder or list(self.arm.q),
            "actual_qd": [0.0] * 6 if self.encoder else list(self.arm.qd),
            "actual_current": [0.5 + 0.1 * joint for joint in range(6)],
            "robot_mode": self.mode,
            "runtime_state": self.runtime,
            "robot_status_bits": 3 if self.mode == RUNNING else 0,
            "safety_status_bits": self.safety,
            "target_speed_fraction": self.slider,
        }

    # ---------------------------------------------------------------- failures

    def fail(self, what: str) -> None:
        if what == "protective_stop":
            self.safety, self.stopped_at = PROTECTIVE, time.monotonic()
            self.runtime = PAUSED if self.program else STOPPED
            self.arm.stop(4 * ACCELERATION)
        elif what == "emergency_stop":
            self.stop_program()
            self.safety, self.mode = EMERGENCY, POWERED_OFF
            self.arm.stop(4 * ACCELERATION)
        elif what == "release":
            self.safety = NORMAL
        elif what == "power_on":
            self.mode = RUNNING
        elif what == "stop_program":
            self.stop_program()
        elif what in ("freeze", "thaw"):
            self.frozen = what == "freeze"
        elif what in ("freeze_encoder", "thaw_encoder"):
            self.encoder = list(self.arm.q) if what == "freeze_encoder" else None
        elif what in ("creep", "still"):
            self.arm.creeps = what == "creep"
        elif what in ("slide", "local", "remote", "power_off"):
            self.touch_pendant(what)
        elif what == "reset":
            self.stop_program()
            self.slider, self.remote = 1.0, True
            self.arm = Arm()
            self.counts = dict.fromkeys(self.counts, 0)
        elif what != "state":
            raise ValueError(f"no failure {what!r}")

    def touch_pendant(self, what: str) -> None:
        """Do what a person does there."""
        if what in ("local", "power_off"):
            self.stop_program()
        if what == "slide":
            self.slider = 0.4
        elif what == "power_off":
            self.mode = POWERED_OFF
        else:
            self.remote = what == "remote"

    def state(self) -> dict[str, Any]:
        return {
            **self.counts,
            "q": self.arm.q,
            "qd": self.arm.qd,
            "runtime": self.runtime,
            "watchdog": self.watchdog,
            "clients": len(self.clients),
        }

    # ---------------------------------------------------------------- servers

    async def listen(self) -> None:
        for port, serve in ((30004, self.rtde), (29999, self.dashboard), (30003, self.script)):
            self.servers.append(await asyncio.start_server(self.guarded(serve), self.host, port))

    def guarded(self, serve: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self.writers.add(writer)
            try:
                await serve(reader, writer)
            except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                pass
            finally:
                self.writers.discard(writer)
                writer.close()

        return handle

    async def rtde(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(writer)
        self.clients.append(client)
        try:
            while True:
                size, kind = struct.unpack(">HB", await reader.readexactly(3))
                payload = await reader.readexactly(size - 3)
                if self.plugged:
                    self.message(client, chr(kind), payload)
        finally:
            self.clients.remove(client)

    def message(self, client: Client, kind: str, payload: bytes) -> None:
        if kind == "V":
            client.send("V", b"\x01" if payload == b"\x00\x02" else b"\x00")
        elif kind == "v":
            client.send("v", struct.pack(">4I", 5, 11, 6, 0))
        elif kind == "O":
            client.period = 1 / struct.unpack(">d", payload[:8])[0]
            client.outputs = names(payload[8:])
            client.send("O", b"\x01" + types(client.outputs, OUTPUTS))
        elif kind == "I":
            wanted = names(payload)
            taken = {n for one in self.clients if one is not client for r in one.recipes for n in r}
            if taken & set(wanted):  # each input has one client
                said = ",".join("IN_USE" if name in taken else INPUTS[name] for name in wanted)
                client.send("I", b"\x00" + said.encode())
                return
            client.recipes.append(wanted)
            client.send("I", bytes([len(client.recipes)]) + types(client.recipes[-1], INPUTS))
        elif kind in "SP":
            client.started = kind == "S"
            client.send(kind, b"\x01")
        elif kind == "U":
            self.take_inputs(client.recipes[payload[0] - 1], payload[1:])

    def take_inputs(self, recipe: list[str], payload: bytes) -> None:
        values = unpack(recipe, INPUTS, payload)
        self.registers |= values
        if "input_int_register_0" in values:
            self.heard = time.monotonic()
            self.counts["servo"] += values["input_int_register_0"] == 11
            self.counts["kicks"] += values["input_int_register_0"] == 0

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        text = ""
        while data := await reader.read(65536):
            text += data.decode()
            while "\nend\n" in text:
                program, _, text = text.partition("\nend\n")
                whole = program.startswith("def rtde_control():") and "NODE_CONTROL_LOOP" in program
                if not whole or "$" in program or "read_input_integer_register" not in program:
                    raise ConnectionError("this is not the control script of ur-rtde")
                self.start_program()

    async def dashboard(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Connected: Universal Robots Dashboard Server\n")
        while line := await reader.readline():
            if self.plugged:
                writer.write(self.dashboard_answer(line.decode().strip()).encode() + b"\n")

    def dashboard_answer(self, command: str) -> str:
        if command == "unlock protective stop":
            if self.safety != PROTECTIVE:
                return "Protective stop releasing"
            if time.monotonic() - self.stopped_at < self.unlock_seconds:
                return (
                    "Cannot unlock protective stop until 5s after occurrence. Always inspect cause "
                    "of protective stop before unlocking"
                )
            self.safety = NORMAL
            self.counts["unlocks"] += 1
            return "Protective stop releasing"
        if command == "stop":
            self.stop_program()
            return "Stopped"
        if command == "power off":
            self.stop_program()
            self.mode = POWERED_OFF
            return "Powering off"
        return {
            "PolyscopeVersion": "URSoftware 5.11.6.1010327 (Aug 27 2021)",
            "is in remote control": "true" if self.remote else "false",
            "get serial number": "20225500001",
            "robotmode": f"Robotmode: {'RUNNING' if self.mode == RUNNING else 'POWER_OFF'}",
            "safetystatus": f"Safetystatus: {SAFETY_NAMES[self.safety]}",
            "close safety popup": "closing safety popup",
            "running": f"Program running: {'true' if self.runtime == PLAYING else 'false'}",
        }.get(command, f"could not understand: '{command}'")

    async def network(self, what: str) -> None:
        if what == "drop":
            for writer in self.writers:
                writer.transport.abort()
        elif what == "unplug":
            self.plugged = False
            for server in self.servers:
                server.close()
            self.servers.clear()
        elif not self.plugged:
            self.plugged = True
            await self.listen()


def names(payload: bytes) -> list[str]:
    return [name for name in payload.decode().split(",") if name]


def types(wanted: list[str], known: dict[str, str]) -> bytes:
    return ",".join(known.get(name, "NOT_FOUND") for name in wanted).encode()


def pack(wanted: list[str], known: dict[str, str], values: list[Any]) -> bytes:
    flat: list[Any] = []
    for value in values:
        flat += value if isinstance(value, list) else [value]
    return struct.pack(">" + "".join(FORMATS[known[name]] for name in wanted), *flat)


def unpack(wanted: list[str], known: dict[str, str], payload: bytes) -> dict[str, Any]:
    formats = [FORMATS[known[name]] for name in wanted]
    flat = list(struct.unpack(">" + "".join(formats), payload))
    return {
        name: [flat.pop(0) for _ in range(6)] if form == "6d" else flat.pop(0)
        for name, form in zip(wanted, formats, strict=True)
    }


async def main(host: str, unlock_seconds: float) -> None:
    controller = Controller(host, unlock_seconds)
    controller.publish_state()
    await controller.listen()
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)

    async def failures() -> None:
        while line := await lines.readline():
            what = line.decode().strip()
            if what in ("drop", "unplug", "plug"):
                await controller.network(what)
            else:
                controller.fail(what)
            print(json.dumps(controller.state()), flush=True)

    told = asyncio.create_task(failures())
    print(json.dumps(controller.state()), flush=True)
    before = time.monotonic()
    while not told.done():  # until standard input is closed
        await asyncio.sleep(PERIOD)
        now = time.monotonic()
        controller.cycle(min(now - before, 0.02))
        before = now
    told.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--host", required=True)
    parser.add_argument("--unlock-seconds", type=float, default=5.0)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.host, arguments.unlock_seconds))
