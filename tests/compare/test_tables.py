"""The cells of a comparison's tables."""

import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robo_al.compare import tables
from robo_al.compare.analysis import analyse
from robo_al.compare.plan import TaskPlan

synthetic = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("synthetic.py"))))

TASK = TaskPlan("pendulum", -30.0, 20, "return")
LOGGED = TaskPlan("logged", None, 20, "minus held-out error")


@pytest.fixture(scope="module")
def comparison() -> dict[str, Any]:
    """Random that is never done, and a strategy that is, but for one run that failed."""
    records = [
        *synthetic.solving(TASK, "random", [None, None, 9]),
        *synthetic.solving(TASK, "good", [5, 6]),
        synthetic.run_of(TASK, "good", 2, [], failed="it broke"),
        *(synthetic.run_of(LOGGED, name, 0, [1.0]) for name in ("random", "good")),
    ]
    return analyse([TASK, LOGGED], ("random", "good"), (0, 1, 2), (), records)


def cells(table: tables.Table) -> dict[str, dict[str, str]]:
    """Return the cells by row and column."""
    return {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}


def test_what_was_not_reached_is_more_than_the_budget(comparison: dict[str, Any]) -> None:
    table = tables.comparing("pendulum", comparison["tasks"]["pendulum"])
    found = cells(table)
    assert "a budget of 20 rollouts" in table.caption
    assert "two evaluations in a row at or above -30" in table.caption
    assert found["random"][tables.SOLVED_AFTER] == "> 20 (9 or more)"
    assert found["random"]["solved"] == "1 of 3"
    assert found["random"]["rollouts saved"] == "–"
    assert found["good"][tables.SOLVED_AFTER] == "5 (5 or more)"
    assert found["good"]["solved"] == "2 of 2"
    assert found["good"]["rollouts saved"] == "15.5"  # two seeds have no interval
    assert found["good"][tables.GOAL] == "solved"
    assert found["good"]["difference claimed"] == "none"
    assert found["good"]["better than random"] == "100 %"


def test_without_a_threshold_nothing_is_solved(comparison: dict[str, Any]) -> None:
    result = comparison["tasks"]["logged"]
    table = tables.comparing("logged", result)
    assert {row["solved"] for row in cells(table).values()} == {"–"}
    assert "final minus held-out error" in tables.alone("logged", result).columns


def test_costs_and_calibration_have_their_runs(comparison: dict[str, Any]) -> None:
    found = cells(tables.alone("pendulum", comparison["tasks"]["pendulum"]))
    assert found["good"]["runs"] == "2 of 3"
    assert found["good"]["CPU-seconds per run"] == "11.1"
    ratio, of = found["good"]["realised / predicted information"].split(" ", 1)
    assert 0.5 < float(ratio) < 1
    assert of == "(n = 11)"
    alone = cells(tables.alone("logged", comparison["tasks"]["logged"]))
    assert alone["good"]["rank correlation"] == "–"  # of one rollout
    assert alone["good"]["area under the curve"] == "1"


def test_runs_left_out_are_listed_with_their_reasons(comparison: dict[str, Any]) -> None:
    assert tables.failures(comparison).rows == [
        ["pendulum", "good", "2", "it broke"],
        ["logged", "random", "1, 2", "not finished"],
        ["logged", "good", "1, 2", "not finished"],
    ]
    assert dict(tables.tiles(comparison))["complete runs"] == "7 of 12"


def test_every_row_has_a_cell_for_each_column(comparison: dict[str, Any]) -> None:
    found = [tables.failures(comparison)]
    for name, result in comparison["tasks"].items():
        found += tables.of_task(name, result)
    for table in found:
        assert table.rows
        assert {len(row) for row in table.rows} == {len(table.columns)}
        assert set(table.text) <= set(table.columns)
