"""`robo-al-agent find`: which serial ports there are and what answers on them; moves nothing.

Network devices are asked only where an address is given.
"""

import argparse
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from robo_al_agent.drivers.dynamixel_registers import DYNAMIXEL
from robo_al_agent.drivers.feetech_registers import FEETECH
from robo_al_agent.drivers.servo_bus import PATIENCE, NoReply, ServoBus
from robo_al_agent.drivers.servo_registers import Family
from robo_al_agent.errors import DriverError, SetupError

FAMILIES = {family.name: family for family in (FEETECH, DYNAMIXEL)}
PINGS = {
    "feetech": (b"\xff\xff\xfe\x02\x01\xfe", rb"\xff\xff([\x00-\xfc])\x02"),
    "dynamixel": (
        b"\xff\xff\xfd\x00\xfe\x03\x00\x01\x31\x42",
        rb"\xff\xff\xfd\x00([\x00-\xfc])\x07\x00\x55",
    ),
}
"""A question to all motors of a family, and how the answer of one begins, its id in the group."""
ANSWERS_SECONDS = 0.25
"""Within which all motors have answered."""
FIRST_IDS = range(1, 21)
"""Asked one by one where answers may have been said on top of each other."""
ONCE = (0.0,)
"""Patience with a motor that is probably not there."""
NETWORK_SECONDS = 3.0
DASHBOARD, ROSBRIDGE = 29999, 9090
"""Ports: of Universal Robots' dashboard, and rosbridge's usual one."""
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("port", nargs="*", help="serial ports (all that are plugged in)")
    parser.add_argument("--address", action="append", default=[], help="of a controller: HOST")


def find(options: argparse.Namespace) -> int:
    """Print what is found; return 1 where nothing answers."""
    ports = {port: "" for port in options.port} or serial_ports()
    if not ports and not options.address:
        print("no serial port is there (/dev/ttyACM*, /dev/ttyUSB*): is the adapter plugged in?")
    answered = False
    for port, name in ports.items():
        print(f"{port}{f'  ({name})' if name else ''}")
        answered |= _told(find_servos(port), "nothing answers: is the motors' power on?")
    for host in options.address:
        print(host)
        answered |= _told(find_controllers(host), "nothing that is known answers")
    return 0 if answered else 1


def _told(lines: Iterator[str], nothing: str) -> bool:
    """Print lines; return whether there were any."""
    any_line = False
    try:
        for line in lines:
            any_line = True
            print(f"  {line}", flush=True)
    except DriverError as error:
        print(f"  {error}")
        return False
    if not any_line:
        print(f"  {nothing}")
    return any_line


def serial_ports() -> dict[str, str]:
    """Return the adapters that are plugged in, and the names that stay theirs when others come."""
    lasting = {os.path.realpath(link): str(link) for link in Path("/dev/serial/by-id").glob("*")}
    found = (port for kind in ("ttyACM*", "ttyUSB*") for port in sorted(Path("/dev").glob(kind)))
    return {str(port): lasting.get(str(port), "") for port in found}


def find_servos(port: str) -> Iterator[str]:
    """Yield a line for each family and baud rate at which motors answer.

    Raises:
        DriverError: the port cannot be opened, or another program has it.
    """
    for family in FAMILIES.values():
        try:
            bus = ServoBus(family, port, family.baudrates[0])
        except SetupError as error:
            yield f"{family.name} is not looked for: {error}"
            continue
        try:
            for baudrate in family.baudrates:
                bus.set_baudrate(baudrate)
                motors = find_motors(bus)
                if motors:
                    told = ", ".join(f"{id} {_model(family, m)}" for id, m in motors.items())
                    yield f"{family.name} at {baudrate} baud: {told}"
        finally:
            bus.close()


def _model(family: Family, number: int) -> str:
    return family.models.get(number, f"(unknown model {number})")


def find_motors(bus: ServoBus) -> dict[int, int]:
    """Return the model number of each motor that answers, by its id."""
    question, answer = PINGS[bus.family.name]
    heard = bus.ask_all(question, ANSWERS_SECONDS)
    if not heard:
        return {}
    answered = {match[1][0] for match in re.finditer(answer, heard, re.DOTALL)}
    found, model = {}, bus.family.settings["model"]
    for number in sorted(answered | set(FIRST_IDS)):
        patience = PATIENCE if number in answered else ONCE  # a busy machine hears one late
        with suppress(NoReply):
            data, _ = bus.read([number], model.address, model.size, patience)[0]
            found[number] = model.decode(data, model.address)
    return found


def find_controllers(host: str) -> Iterator[str]:
    """Yield a line for each robot controller that answers at a host."""
    asked: dict[int, Callable[[socket.socket], str]] = {
        DASHBOARD: _dashboard,
        ROSBRIDGE: _rosbridge,
    }
    for port, ask in asked.items():
        with suppress(OSError, ValueError):
            with socket.create_connection((host, port), NETWORK_SECONDS) as line:
                yield ask(line)


def _dashboard(line: socket.socket) -> str:
    """Return what the dashboard of Universal Robots says.

    Raises:
        ValueError: it is none.
    """
    with line.makefile("rw", newline="\n", encoding="utf-8") as talk:
        if "Universal Robots" not in talk.readline():
            raise ValueError
        said = []
        for question in ("PolyscopeVersion", "robotmode", "safetystatus", "is in remote control"):
            talk.write(f"{question}\n")
            talk.flush()
            said.append(talk.readline().strip())
    version, mode, safety, remote = said
    local = ", in LOCAL control: set it to remote" if remote == "false" else ""
    return f"ur_rtde: {version}; {mode}; {safety}{local}"


def _rosbridge(line: socket.socket) -> str:
    """Return whether a WebSocket server answers, as rosbridge is one.

    Raises:
        ValueError: none does.
    """
    line.sendall(HANDSHAKE.format(line.getpeername()[0]).encode())
    if b" 101 " not in line.recv(4096).split(b"\r\n")[0] + b" ":
        raise ValueError
    return "ros2_trajectory: a WebSocket server, as rosbridge is one"
