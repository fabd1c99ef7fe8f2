"""One owner of a device, and whoever comes second is told who the first one is.

A driver claims its device by name before it touches it. The claim is a listening socket in Linux's
abstract namespace: the system itself gives it up when its process ends, in whatever way, and says
which process it is. It is known on this machine alone (in a container of its own: there alone), so
two computers that command the same controller are not kept apart by it.
"""

import contextlib
import fcntl
import hashlib
import os
import socket
import stat
import struct
import termios
from pathlib import Path

from robo_al_agent.errors import DriverError

PROCESSES = Path("/proc")
LONGEST = 80
"""Characters of a device's name that the address of a socket has room for."""
ASKERS = 4096
"""Processes that may have asked who holds a claim; from then on nobody is told."""


class Claim:
    """The right to use a device, until `close`.

    Args:
        device: what it is, the same for whoever wants it: `ur 192.168.0.5`.
        name: of it in messages, where it has another one for people.

    Raises:
        DriverError: somebody has it; says who.
    """

    def __init__(self, device: str, name: str = "") -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if len(device) > LONGEST:
            device = hashlib.sha256(device.encode()).hexdigest()
        address = f"\0robo-al-agent {device}"
        try:
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            who = _holder(address)
            raise DriverError(f"{name or device} is in use by {who}: {_END}") from None
        self._socket.listen(ASKERS)

    def close(self) -> None:
        """Give it up; may be called twice."""
        self._socket.close()


_END = "end that program first; one at a time has a device"


def claim_host(kind: str, host: str, rest: str = "") -> Claim:
    """Claim a controller in the network, whatever name it is called by.

    Args:
        kind: of robot: `franka`.
        host: its name or address.
        rest: which of several devices there it is.

    Raises:
        DriverError: another program on this machine has it; says which.
    """
    try:
        address = socket.gethostbyname(host)
    except OSError:
        address = host  # nobody reaches it by this name, which the client then says
    return Claim(f"{kind} {address}{rest}", f"{kind} {host}{rest}")


def claim_port(path: str) -> Claim:
    """Claim a serial port.

    Raises:
        DriverError: there is no such port, or any program has it open; says which.
    """
    try:
        found = os.stat(path)
    except OSError as error:
        hint = "is it plugged in? `robo-al-agent find` lists the ports there are"
        raise DriverError(f"port {path}: {error.strerror}; {hint}") from None
    if not stat.S_ISCHR(found.st_mode):
        raise DriverError(f"port {path}: no serial port; `robo-al-agent find` lists them")
    # By the device's number, for a port has several names (/dev/serial/by-id/...).
    number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
    claim = Claim(f"serial port {number}", f"port {path}")
    others = _openers(found.st_rdev)
    if others:
        claim.close()
        told = " and ".join(process(number) for number in others)
        raise DriverError(f"port {path} is in use by {told}: {_END}")
    return claim


def keep_others_out(descriptor: int) -> None:
    """Let an open port be opened by nobody else, the superuser excepted.

    Raises:
        DriverError: another program has locked it meanwhile.
    """
    try:
        fcntl.ioctl(descriptor, termios.TIOCEXCL)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise DriverError(f"the port cannot be had alone: {error.strerror}") from None


def process(number: int) -> str:
    """Return a process in words: its number and command line."""
    if number == os.getpid():
        return f"this very process ({number})"
    try:
        words = (PROCESSES / str(number) / "cmdline").read_bytes().replace(b"\0", b" ").split()
    except OSError:
        return f"process {number}"
    command = b" ".join(words).decode(errors="replace")
    return f"process {number} ({command:.120})"


def _holder(address: str) -> str:
    """Return who listens at an address."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(address)
            said = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return "another program"
    number, _, _ = struct.unpack("3i", said)
    return process(number) if number else "a process outside this container"


def _openers(device: int) -> list[int]:
    """Return the other processes, as far as they may be seen, that have a device open."""
    found = set()
    for link in PROCESSES.glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            # Only what lies in /dev is looked at closer: a file on a dead network drive may hang.
            if os.readlink(link).startswith("/dev/") and os.stat(link).st_rdev == device:
                found.add(int(link.parts[2]))
    return sorted(found - {os.getpid()})
