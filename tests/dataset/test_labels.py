"""Labels are durable, may be taken back, and need nothing of a run folder that is older."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from robo_al.dataset.folders import LEDGER
from robo_al.dataset.labels import label, take_back
from robo_al.dataset.ledger import LabelRow, Ledger
from robo_al.dataset.view import RunView
from robo_al.errors import UserError
from robo_al.types import Label

FIRST, SECOND = "r0001-00", "r0002-00"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a run of an earlier robo-al."""
    return Path(shutil.copytree(Path(__file__).parent / "format3", tmp_path / "run"))


def test_what_was_taken_back_counts_no_more_and_may_be_said_again(folder: Path) -> None:
    with Ledger.open(folder / LEDGER) as ledger:
        label(ledger, FIRST, Label("success", True, "Ada"))
        label(ledger, FIRST, Label("success", False, "Bob"))
        label(ledger, FIRST, Label("progress", 0.5, "Ada"))
        digest = ledger.digest()
        for name in ("progress", "success"):
            gone = take_back(ledger, "Ada", [FIRST, SECOND])
            assert gone is not None
            assert gone.name == name
        assert take_back(ledger, "Ada", [FIRST, SECOND]) is None
        assert take_back(ledger, "Bob", [SECOND]) is None
        assert RunView(folder).labels == {FIRST: {"success": False}, SECOND: {}}
        again = label(ledger, FIRST, Label("success", True, "Ada"))
        assert again.sequence == 6
        assert label(ledger, FIRST, Label("success", True, "Ada")) == again
        assert len(ledger.rows(LabelRow)) == 6
        assert ledger.digest() != digest
    assert RunView(folder).labels[FIRST] == {"success": True}


def test_nothing_is_said_of_a_rollout_that_there_is_not(folder: Path) -> None:
    with Ledger.open(folder / LEDGER) as ledger:
        before = ledger.digest()
        for rollout, name in (("r0009-00", "success"), (FIRST, "two words")):
            with pytest.raises(UserError, match="label"):
                label(ledger, rollout, Label(name, True, "Ada"))
        assert ledger.digest() == before


def test_labels_from_before_they_could_be_taken_back(folder: Path) -> None:
    with Ledger.open(folder / LEDGER) as ledger:
        label(ledger, FIRST, Label("success", True, "Ada"))
    with sqlite3.connect(folder / LEDGER) as connection:
        connection.execute("ALTER TABLE labels DROP COLUMN takes_back")
    connection.close()
    assert RunView(folder).labels[FIRST] == {"success": True}
    with Ledger.open(folder / LEDGER) as ledger:
        take_back(ledger, "Ada", [FIRST])
    assert RunView(folder).labels[FIRST] == {}
