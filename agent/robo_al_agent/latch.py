"""The fault that keeps the robot from moving until a person clears it."""

import threading

from robo_al_agent.errors import JournalError
from robo_al_agent.journal import Journal
from robo_al_agent.robot import Fault


class Latch:
    """Holds the first fault; any thread may latch one.

    Args:
        journal: where a fault outlives the process, as far as the disk lets it.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._fault = None if journal.fault is None else Fault(*journal.fault)

    @property
    def fault(self) -> Fault | None:
        """Return what is latched."""
        return self._fault

    def latch(self, fault: Fault) -> None:
        """Latch a fault, unless there is one; it holds even where it cannot be written."""
        with self._lock:
            if self._fault is not None:
                return
            self._fault = fault
        try:
            self._journal.latch(fault.code, fault.message)
        except JournalError:
            pass  # a full disk must not keep the robot from being stopped

    def clear(self, operator: str) -> None:
        """Forget the fault on a person's word.

        Raises:
            JournalError: that cannot be written; the fault stays.
        """
        self._journal.clear(operator)
        self._fault = None
