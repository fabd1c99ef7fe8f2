"""A fault holds until a person has cleared it, and no other one goes with it."""

import threading
from pathlib import Path

from robo_al_agent.journal.folder import FileJournal
from robo_al_agent.motion.latch import Latch
from robo_al_agent.robot import Fault

FIRST, SECOND = Fault("stale", "the first"), Fault("journal", "the second")


def test_a_fault_that_comes_while_another_is_cleared_is_not_lost(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal")
    latch = Latch(journal)
    for _ in range(100):
        latch.latch(FIRST)
        latch.begin_clearing()
        other = threading.Thread(target=latch.latch, args=(SECOND,))
        other.start()
        latch.clear("a person")
        other.join()
        assert latch.fault == SECOND and journal.fault == ("journal", "the second")
        latch.begin_clearing()
        latch.clear("a person")
        assert latch.fault is None and journal.fault is None
    journal.close()
    journal = FileJournal(tmp_path / "journal")
    assert Latch(journal).fault is None
    journal.close()


def test_a_fault_that_came_before_goes_with_the_one_that_is_held(tmp_path: Path) -> None:
    journal = FileJournal(tmp_path / "journal")
    latch = Latch(journal)
    latch.latch(FIRST)
    latch.latch(SECOND)
    assert latch.fault == FIRST
    latch.begin_clearing()
    latch.clear("a person")
    assert latch.fault is None
    journal.close()
