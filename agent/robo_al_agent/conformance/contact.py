"""Connecting, connecting again, closing, and a cable that is cut."""

import os
import socket
import stat
import time
from contextlib import suppress

from robo_al_agent.conformance.motion import ramp
from robo_al_agent.conformance.subject import Check
from robo_al_agent.robot import Sample

PATIENCE = 3.0
"""Seconds within which a driver has noticed that its device is gone."""


def connection(check: Check) -> None:
    """Nothing is read before `connect`; afterwards the robot is healthy."""
    check.refused("read", "before connect")
    _connect(check)
    check.healthy()


def again(check: Check) -> None:
    """The robot that is closed and connected again is where it was: `connect` moves nothing."""
    start = check.read().positions
    there = start + check.inward(start)
    ramp(check, start, there)  # a pose that no homing would choose
    left = check.wait(0.5).positions
    with check.trying("close"):
        check.driver.close()
    _connect(check)
    found = check.wait(0.5).positions
    check.method = "connect"
    check.stayed(left, found, "was left at rest by close and connected again, and moved by")
    check.healthy()
    ramp(check, there, start)


def closing(check: Check) -> None:
    """`close` may be called twice; afterwards nothing is read or sent."""
    with check.trying("close"):
        check.driver.close()
        check.driver.close()
    check.refused("read", "after close")
    check.refused("command", "after close", check.low + check.width / 2, 1.0)


def cut(check: Check) -> None:
    """A driver whose device is gone says so: nothing that was read before is read again.

    The ports and sockets that `connect` opened are put to a dead end, as if the cable were pulled.
    """
    _connect(check)
    check.read()
    if not check.opened:
        check.untried.append("a pulled cable, for connect opened no port or socket of its own")
        check.driver.close()
        return
    near, far = socket.socketpair()
    with near:
        far.close()
        for descriptor in check.opened:
            os.dup2(near.fileno(), descriptor)
    check.method = "read"
    noticed = _notices(check)
    with suppress(Exception):  # it may well say again that there is no device
        check.driver.close()
    told = "the device's ports were cut, and readings went on: their errors must not be swallowed"
    check.need(noticed, told)


def _connect(check: Check) -> None:
    before = _descriptors()
    with check.trying("connect"):
        check.driver.connect()
    check.opened = _descriptors() - before


def _descriptors() -> frozenset[int]:
    """Return this process's open sockets, pipes and character devices that lead somewhere."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the one that lists them
            mode = os.fstat(int(name)).st_mode
            line = stat.S_ISSOCK(mode) and not _listens(int(name))
            if line or stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
                found.add(int(name))
    return frozenset(found)


def _listens(descriptor: int) -> bool:
    """Whether a socket waits for others: a claim (`drivers.ownership`), no line to a device."""
    with socket.socket(fileno=os.dup(descriptor)) as found:
        return bool(found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


def _notices(check: Check) -> bool:
    """Whether reading raises, a fault is latched, or at least no reading is new any more."""
    deadline, last = time.monotonic() + PATIENCE, -1
    while time.monotonic() < deadline:
        try:
            sample = check.driver.read()
            if check.driver.fault() is not None:
                return True
        except Exception:
            return True
        if isinstance(sample, Sample) and sample.sequence == last:
            return True
        last = getattr(sample, "sequence", last)
        time.sleep(2 / check.spec.rate)
    return False
