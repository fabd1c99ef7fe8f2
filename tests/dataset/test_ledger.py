import json
import math
import shutil
import sqlite3
from pathlib import Path

import pytest

from robo_al.dataset.ledger import (
    STATES,
    ConfigurationRow,
    EvaluationRow,
    FitRow,
    Ledger,
    RolloutRow,
    RoundRow,
    solved_at,
    to_json,
)
from robo_al.errors import RunFolderError, StorageError


def rollout(i=0, round_index=1, **changes):
    values = {
        "id": f"r{round_index:04d}-{i:02d}",
        "round": round_index,
        "index": i,
        "state": "selected",
        "context": "{}",
        "controller": "{}",
        "horizon": 5,
        "seed": 1,
        "content_hash": "c",
        "strategy": "a",
        "acquisition": "a",
        "selector": "s",
        "policy": "p",
        "model": "m",
        "oracle": "o",
        "config_hash": "h",
        "versions": "{}",
        "model_hash": None,
        "score": 1.5,
        "rank": 1,
        "gain": None,
        "predicted_information": None,
    }
    return RolloutRow(**(values | changes))


def evaluation(index, mean):
    return EvaluationRow(index, index, 10 * index, mean, "[]", "s")


@pytest.fixture
def ledger(tmp_path):
    with Ledger.create(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


def test_rows_come_back_as_they_were(ledger):
    rows = [rollout(i, r) for r in (1, 2) for i in (0, 1)]
    fit = FitRow(1, 1, 2, 10, "d", None, None, 0.5, "{}", None)
    with ledger.transaction():
        ledger.insert(RoundRow(1, "[1.0]"), RoundRow(2, None), fit, evaluation(1, -3.0))
        ledger.insert(*reversed(rows))
    assert ledger.rows(RolloutRow) == rows
    assert ledger.rows(RolloutRow, round=2) == rows[2:]
    assert ledger.row(RolloutRow, "r0002-01") == rows[3]
    assert ledger.row(RolloutRow, "r0009-01") is None
    assert ledger.last(RoundRow) == RoundRow(2, None)
    assert ledger.last(FitRow) == fit
    assert ledger.rows(EvaluationRow) == [evaluation(1, -3.0)]


def test_a_failed_transaction_leaves_nothing(ledger):
    with pytest.raises(ZeroDivisionError), ledger.transaction():
        ledger.insert(rollout())
        raise ZeroDivisionError
    assert ledger.rows(RolloutRow) == []


def test_counts(ledger):
    with ledger.transaction():
        ledger.insert(
            rollout(0, state="recorded", steps=4, robot_seconds=0.1, sequence=1),
            rollout(1, state="recorded", steps=5, robot_seconds=0.2, sequence=2),
            rollout(2, state="failed", steps=9, robot_seconds=0.4, sequence=3),
            rollout(3),
        )
    assert ledger.totals() == (2, 9, pytest.approx(0.7))
    counts = ledger.states()
    assert list(counts) == list(STATES)
    assert (counts["recorded"], counts["failed"], counts["selected"]) == (2, 1, 1)
    assert ledger.next_sequence() == 4


def test_digest_sees_what_matters_and_no_more(ledger):
    with ledger.transaction():
        ledger.insert(rollout(), RoundRow(1, "[1.0]"))
    before = ledger.digest()
    with ledger.transaction():
        ledger.update(RolloutRow, "r0001-00", wall_seconds=3.0, opening=4, sequence=7)
        ledger.update(RoundRow, 1, record="{}")
    assert ledger.digest() == before
    with ledger.transaction():
        ledger.update(RolloutRow, "r0001-00", score=1.5000000000000002)
    assert ledger.digest() != before


def test_full_disk_is_a_message_and_changes_nothing(ledger, monkeypatch):
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError, match="disk is full"), ledger.transaction():
        ledger.insert(*(rollout(i, context="x" * 1000) for i in range(50)))
    assert ledger.rows(RolloutRow) == []
    ledger._connection.execute("PRAGMA max_page_count=1000000")
    with ledger.transaction():
        ledger.insert(rollout())
    assert ledger.rows(RolloutRow) == [rollout()]


def test_epochs_count_openings(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.create(path).close()
    for expected in (1, 2):
        with Ledger.open(path) as ledger:
            assert ledger.new_opening() == expected


def test_readers_cannot_write(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path), Ledger.open(path, read_only=True) as reader:
        with pytest.raises(StorageError, match="readonly"), reader.transaction():
            reader.insert(rollout())


@pytest.mark.parametrize("kind", ["missing", "text", "another version", "another database"])
def test_what_is_no_ledger_is_refused(tmp_path, kind):
    path = tmp_path / "ledger.sqlite"
    if kind == "text":
        path.write_text("not a database, however long it may be " * 100)
    elif kind != "missing":
        connection = sqlite3.connect(path)
        version = 99 if kind == "another version" else 1
        connection.execute(f"PRAGMA user_version={version}")
        connection.close()
    with pytest.raises(RunFolderError, match="99" if kind == "another version" else None):
        Ledger.open(path)


@pytest.mark.parametrize(
    ("means", "expected"),
    [
        ([], None),
        ([-1.0], None),
        ([-1.0, -9.0, -1.0], None),
        ([-9.0, -2.0, -1.0, -1.0], 3),
        ([-1.0, None, -1.0], None),
    ],
)
def test_solved_is_two_in_a_row(means, expected):
    rows = [evaluation(i + 1, mean) for i, mean in enumerate(means)]
    found = solved_at(rows, -2.0)
    assert (found.round if found else None) == expected
    assert solved_at(rows, None) is None


def test_json_has_no_nan():
    assert json.loads(to_json({"a": [float("nan"), 1.0, {"b": float("inf")}]})) == {
        "a": [None, 1.0, {"b": None}]
    }


def test_opens_ten_thousand_rollouts(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path) as ledger, ledger.transaction():
        ledger.insert(*(rollout(i, r) for r in range(1, 1001) for i in range(10)))
    with Ledger.open(path) as ledger:
        assert len(ledger.rows(RolloutRow)) == 10_000


def test_a_ledger_of_an_earlier_version_gets_its_indexes(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path) as ledger:
        names = {row[0] for row in ledger._connection.execute(INDEXES)}
        for name in names:
            ledger._connection.execute(f"DROP INDEX {name}")
    with Ledger.open(path, read_only=True) as ledger:
        assert not ledger._connection.execute(INDEXES).fetchall()
    with Ledger.open(path) as ledger:
        assert {row[0] for row in ledger._connection.execute(INDEXES)} == names and names


INDEXES = "SELECT name FROM sqlite_master WHERE type = 'index' AND sql NOT NULL"


OLDER = Path(__file__).parent / "format3" / "ledger.sqlite"
"""Of a run of two rounds, made before columns and tables were added."""


@pytest.mark.parametrize("read_only", [True, False])
def test_a_ledger_of_an_earlier_version_opens(tmp_path, read_only):
    path = Path(shutil.copy(OLDER, tmp_path))
    with Ledger.open(path, read_only=read_only) as ledger:
        assert [row.state for row in ledger.rows(RolloutRow)] == ["recorded", "recorded"]
        assert [row.data_hash for row in ledger.rows(EvaluationRow)] == [None, None]
        assert ledger.rows(ConfigurationRow) == [] and ledger.last(ConfigurationRow) is None
        assert ledger.totals()[:2] == (2, 10)
    if not read_only:
        with Ledger.open(path) as ledger, ledger.transaction():
            ledger.insert(rollout(0, 3, damaged=1), ConfigurationRow(1, "a: 1", "s"))
        with Ledger.open(path, read_only=True) as ledger:
            assert ledger.row(RolloutRow, "r0003-00") == rollout(0, 3, damaged=1)
            assert ledger.last(ConfigurationRow) == ConfigurationRow(1, "a: 1", "s")


def test_columns_and_tables_of_a_later_version_are_not_in_the_way(ledger):
    ledger._connection.execute("ALTER TABLE rollouts ADD COLUMN colour TEXT")
    ledger._connection.execute("CREATE TABLE opinions (id TEXT)")
    with ledger.transaction():
        ledger.insert(rollout())
    assert ledger.rows(RolloutRow) == [rollout()]


def test_numbers_that_are_not_finite_become_null(ledger):
    with ledger.transaction():
        ledger.insert(rollout(score=float("inf")))
        ledger.update(RolloutRow, "r0001-00", total_reward=float("nan"), robot_seconds=-math.inf)
    row = ledger.row(RolloutRow, "r0001-00")
    assert (row.score, row.total_reward, row.robot_seconds) == (None, None, None)


def test_a_ledger_that_cannot_be_read_is_a_message(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.create(path) as ledger, ledger.transaction():
        ledger.insert(*(rollout(i, context="x" * 4000) for i in range(50)))
    whole = path.read_bytes()
    pages = [whole[at : at + 4096] for at in range(0, len(whole), 4096)]
    path.write_bytes(b"".join(b"?" * 4096 if b"xxxx" in page else page for page in pages))
    with Ledger.open(path, read_only=True) as ledger:
        with pytest.raises(StorageError, match="cannot be read now"):
            ledger.rows(RolloutRow)
    path.write_bytes(whole)
    with Ledger.open(path, read_only=True) as ledger:
        assert len(ledger.rows(RolloutRow)) == 50
