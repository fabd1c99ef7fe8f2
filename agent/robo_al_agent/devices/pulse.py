"""The agent's sign of life: a page of memory that it shares with its parent.

The agent writes there that it turns, and, before each call of the driver, until when that call
explains a silence: a driver that keeps Python's interpreter lock silences every thread. Memory
serves better than a pipe, for nothing is ever late or full in it.
"""

import mmap
import os
import struct
import time

SILENCE_NS = 500_000_000
"""After which a process that says nothing, and has no excuse, has died or hangs."""
_PAGE = struct.Struct("=QQd")
"""When it was last alive, until when it is excused (ns of the monotonic clock), and the seconds
within which its robot is connected and stopped."""


class Pulse:
    """The page, as either side sees it.

    Args:
        descriptor: of the page, where the other side has made it.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            descriptor = os.memfd_create("robo-al-pulse")
            os.ftruncate(descriptor, _PAGE.size)
        self.descriptor = descriptor
        self._page = mmap.mmap(descriptor, _PAGE.size)

    def beat(self) -> None:
        """Say that this process turns."""
        self._page[:8] = struct.pack("=Q", time.monotonic_ns())

    def excuse(self, until_ns: int) -> None:
        """Say until when a silence is no sign of death; 0 where there is no reason for one."""
        self._page[8:16] = struct.pack("=Q", until_ns)

    def declare(self, seconds: float) -> None:
        """Say within how many seconds the robot is connected and stopped."""
        self._page[16:24] = struct.pack("=d", seconds)

    @property
    def stop_seconds(self) -> float:
        """Return what was declared."""
        return float(_PAGE.unpack(self._page[:])[2])

    def is_silent(self) -> bool:
        """Return whether the process has died or hangs."""
        beat_ns, excused_ns, _ = _PAGE.unpack(self._page[:])
        now_ns = time.monotonic_ns()
        return bool(now_ns - beat_ns > SILENCE_NS and now_ns > excused_ns)

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()
        os.close(self.descriptor)
