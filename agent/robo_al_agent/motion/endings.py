"""Endings on their way to the journal, which a full disk may refuse for a while."""

from collections.abc import Callable

from robo_al_agent.errors import JournalError
from robo_al_agent.motion.latch import Latch
from robo_al_agent.robot import Fault

Write = Callable[[], None]
"""Writes one ending down; raises `JournalError`."""


class OwedEndings:
    """Writes endings down: now, or when there is room on the disk again.

    Args:
        latch: holds the fault of a full disk, which a person clears.
    """

    def __init__(self, latch: Latch) -> None:
        self._latch = latch
        self._owed: list[Write] = []

    def write(self, write: Write) -> None:
        """Write one down, or keep it, with a fault, until `settle`."""
        try:
            write()
        except JournalError as error:
            self._owed.append(write)
            self._latch.latch(Fault("journal", f"{error}: see to the disk"))

    def settle(self) -> None:
        """Write down what is owed; raises `JournalError`, and then the rest is owed still."""
        while self._owed:
            self._owed[0]()
            self._owed.pop(0)
