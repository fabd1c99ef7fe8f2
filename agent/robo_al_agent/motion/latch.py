"""The fault that keeps the robot from moving until a person clears it."""

import contextlib
import dataclasses
import threading

from robo_al_agent.errors import JournalError
from robo_al_agent.journal.records import Journal
from robo_al_agent.robot import Fault


class Latch:
    """Holds the first fault; any thread may latch one.

    A person clears the faults that were there when the clearing began: one that comes while the
    device is looked at, or while that is written down, holds afterwards.

    Args:
        journal: where a fault outlives the process, as far as the disk lets it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._fault = None if journal.fault is None else Fault(*journal.fault)
        self._later: Fault | None = None
        """The first fault since `begin_clearing`."""

    @property
    def fault(self) -> Fault | None:
        """Return what is latched."""
        return self._fault

    def fields(self) -> dict[str, str] | None:
        """Return what is latched as JSON has it, for whoever asks."""
        fault = self._fault
        return None if fault is None else dataclasses.asdict(fault)

    def latch(self, fault: Fault) -> None:
        """Latch a fault, unless there is one; it holds even where it cannot be written."""
        with self._lock:
            if self._fault is not None:
                self._later = self._later or fault
                return
            self._hold(fault)

    def begin_clearing(self) -> None:
        """Note that every fault from now on is a new one."""
        with self._lock:
            self._later = None

    def clear(self, operator: str) -> None:
        """Forget the fault on a person's word, and hold what came since `begin_clearing`.

        Raises:
            JournalError: that cannot be written; the fault stays.
        """
        with self._lock:
            self._journal.clear(operator)
            self._fault, later = None, self._later
            if later is not None:
                self._hold(later)

    def _hold(self, fault: Fault) -> None:
        self._fault = fault
        with contextlib.suppress(JournalError):  # a full disk must not keep it from being stopped
            self._journal.latch(fault.code, fault.message)
