"""Details, signals and labels: what can be recorded, and that nothing of it is lost."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.dataset import frames
from robo_al.dataset.episodes import decode, encode, examine
from robo_al.dataset.measured import summary_of
from robo_al.dataset.outcomes import checked
from robo_al.dataset.view import RunView
from robo_al.errors import UserError
from robo_al.testing import FakeOracle, fake_task
from robo_al.testing.campaign import FAKE_SETTINGS, fake_parts
from robo_al.types import Failure, Label, Outcome, Trajectory

STEPS = 4
CONFIG = '{"env": {"name": "fake"}, "rounds": 3, "threshold": null}'


def outcome(signals: Any = None, details: Any = None, labels: Any = ()) -> Outcome:
    arrays = np.zeros((STEPS + 1, 3)), np.zeros((STEPS, 2)), np.zeros((STEPS, 2)), np.zeros(STEPS)
    result = Trajectory(*arrays, signals={} if signals is None else signals)
    return Outcome("r0001-00", result, 0.4, {} if details is None else details, labels)


SIGNALS = {
    "time_ns": np.arange(STEPS + 1) * 10**15 + 7,
    "effort": np.linspace(0, 1, 3 * STEPS, dtype=np.float32).reshape(STEPS, 3),
    "pose": np.arange(12.0 * STEPS).reshape(STEPS, 3, 4),
    "actor": np.array([0, 1, 1, 0], np.uint8),
    "stuck": np.array([True, False, False, True]),
    "camera/left.frame": np.array([f"frame-{i:03d}.png" for i in range(STEPS + 1)]),
    "force": np.array([0.0, np.nan, np.inf, -np.inf]),
    "nothing": np.zeros((STEPS, 0)),
}


def test_signals_come_back_as_they_were_to_the_last_bit() -> None:
    judged = checked(outcome(SIGNALS))
    result = examine("r0001-00", judged.result, fake_task(), STEPS)
    assert isinstance(result, Trajectory)
    data = encode([result], {})
    (again,) = decode(data)[0]
    assert data == encode([again], {}) and again.signals.keys() == SIGNALS.keys()
    for name, values in SIGNALS.items():
        kept = again.signals[name]
        assert (kept.dtype, kept.shape) == (values.dtype, values.shape), name
        assert kept.tobytes() == values.tobytes(), name
    assert again.first_signals(2)["actor"].tolist() == [0, 1]
    assert len(again.first_signals(2)["time_ns"]) == 3


def test_one_file_holds_signals_of_one_name_and_several_dtypes_and_shapes() -> None:
    several = [
        {"effort": np.arange(STEPS, dtype=np.int64) + 2**60},
        {"effort": np.full((STEPS, 2), 0.1)},
        {},
        {"effort": np.full(STEPS, 0.2), "other": np.array(["a", "", "c", "d\n"])},
        {"effort": np.zeros((0, 3))},
    ]
    kept = [replace(outcome().result, signals=signals) for signals in several]
    for signals, again in zip(several, decode(encode(kept, {}))[0], strict=True):
        assert again.signals.keys() == signals.keys()
        for name, values in signals.items():
            assert again.signals[name].shape == values.shape
            np.testing.assert_array_equal(again.signals[name], values)
            assert again.signals[name].dtype == values.dtype


def test_arrays_that_an_oracle_fills_again_are_copied() -> None:
    mine = np.arange(STEPS)
    judged = checked(outcome({"mine": mine}))
    mine += 100
    assert isinstance(judged.result, Trajectory)
    assert judged.result.signals["mine"].tolist() == list(range(STEPS))


@pytest.mark.parametrize(
    ("signals", "reason"),
    [
        ([1], "must be a mapping of names to arrays"),
        ({"effort": np.zeros(STEPS - 1)}, "has 3 rows; it must have one for each step.*, 4 or 5"),
        ({"effort": np.zeros(STEPS + 2)}, "has 6 rows"),
        ({"effort": 3.0}, "0 axes"),
        ({"effort": [[1], [1, 2], [3], [4]]}, "is no array"),
        ({"effort": np.array([None] * STEPS)}, "array of object"),
        ({"effort": np.zeros(STEPS, complex)}, "array of complex128"),
        ({"time_ns": np.array([1.0, np.nan, 3.0, 4.0])}, "nanoseconds, each a finite number"),
        ({"time_ns": np.array(["1", "2", "3", "4"])}, "must be one column of nanoseconds"),
        ({"time_ns": np.zeros((STEPS, 2))}, "must be one column of nanoseconds"),
        ({"actor": np.full(STEPS, 2)}, "0 for the policy and 1 for a person"),
        ({"reward": np.zeros(STEPS)}, "there is a column of this name already"),
        ({"observation": np.zeros(STEPS)}, "there is a column of this name already"),
        ({"my force": np.zeros(STEPS)}, "a name is one word"),
        ({"x[0]": np.zeros(STEPS)}, "a name is one word"),
        ({7: np.zeros(STEPS)}, "a name is one word"),
        ({"": np.zeros(STEPS)}, "a name is one word"),
    ],
)
def test_impossible_signals_are_refused(signals: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        checked(outcome(signals))
    part = outcome(signals)
    assert isinstance(part.result, Trajectory)
    with pytest.raises(UserError, match=reason):
        checked(replace(part, result=Failure("aborted", "a person", part.result)))


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ([("a", 1)], "must be a mapping of names to values"),
        ({"state": 1}, "there is a column of this name already"),
        ({"robot_seconds": 1}, "there is a column of this name already"),
        ({"return": 1}, "there is a column of this name already"),
        ({"a b": 1}, "a name is one word"),
        ({"a": None}, "must be a number of at most 64 bits"),
        ({"a": [1]}, "must be a number of at most 64 bits"),
        ({"a": 2**63}, "must be a number of at most 64 bits"),
        ({"a": 1j}, "must be a number of at most 64 bits"),
    ],
)
def test_impossible_details_are_refused(details: Any, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        checked(outcome(details=details))


@pytest.mark.parametrize(
    "labels", ["success", 3, [("success", True, "Ada")], [Label("a", None, "A")]]
)
def test_impossible_labels_are_refused(labels: Any) -> None:
    with pytest.raises(UserError, match="label"):
        checked(outcome(labels=labels))


def test_scalars_become_plain_values() -> None:
    told = {
        "a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": "\ud800", "e": True,
        "f": np.float64("nan"), "g": -(2**63), "h": np.str_("x"),
    }  # fmt: skip
    found = checked(outcome(details=told)).details
    assert {name: type(value) for name, value in found.items()} == {
        "a": float, "b": int, "c": bool, "d": str, "e": bool, "f": float, "g": int, "h": str,
    }  # fmt: skip
    assert found["d"] == "\\ud800"


def test_what_is_refused_changes_nothing_and_can_be_told_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with (
        Campaign.create(folder, fake_parts(), FAKE_SETTINGS, CONFIG) as campaign,
        FakeOracle() as oracle,
    ):
        (candidate,) = campaign.ask(1)
        oracle.submit(candidate)
        (good,) = oracle.poll()
        for bad in (
            replace(good, details={"state": 1}),
            replace(good, labels=[Label("a", 1, "")]),
            replace(good, result=replace(good.result, signals={"x": np.zeros(99)})),
        ):
            with pytest.raises(UserError, match="r0001-00"):
                campaign.tell(bad)
            view = RunView(folder)
            assert view.states["dispatched"] == 1 and not view.label_rows
            assert not list((folder / "episodes").iterdir())
        spoilt = good.result.observations.copy()
        spoilt[1] = np.nan
        effort = {"effort": np.ones(len(spoilt))}
        result = replace(good.result, observations=spoilt, signals=effort)
        row = campaign.tell(replace(good, result=result, details={"x": float("inf"), "y": 2}))
        assert row.state == "quarantined"
    view = RunView(folder)
    assert view.details[row.id] == {"x": None, "y": 2}
    np.testing.assert_array_equal(view.episode(row.id).signals["effort"], effort["effort"])


def test_the_summary_of_signals_leaves_out_what_is_no_finite_number() -> None:
    found = summary_of(SIGNALS)
    assert found["force"] == {"min": 0.0, "mean": 0.0, "max": 0.0}
    assert found["stuck"] == {"min": 0.0, "mean": 0.5, "max": 1.0}
    assert "camera/left.frame" not in found and "nothing" not in found


def test_a_table_of_steps_has_what_only_some_rollouts_measured() -> None:
    stamps = np.arange(STEPS + 1) * 10**15 + 2**53 + 1
    names = np.array(list("abcde"))
    several: list[dict[str, Any]] = [
        {"time_ns": stamps, "frame": names, "still": np.ones(STEPS, bool)},
        {"force": np.full(STEPS, np.nan)},
        {"force": np.arange(STEPS), "wrench": np.arange(6.0 * STEPS).reshape(STEPS, 2, 3)},
    ]
    made = {f"r{i}": replace(outcome().result, signals=x) for i, x in enumerate(several)}
    table = frames.transitions(made)
    assert len(table) == 3 * STEPS and table["rollout"].tolist() == sorted([*made] * STEPS)
    assert table["time_ns"][:STEPS].tolist() == stamps[:STEPS].tolist()
    assert table["frame"][:STEPS].tolist() == list("abcd") and table["still"][:STEPS].all()
    for name in ("time_ns", "frame", "still"):
        assert table[name][STEPS:].isna().all()
    assert table["force"].isna().sum() == 2 * STEPS and table["force"][2 * STEPS + 1] == 1.0
    assert table["wrench[1,2]"].dropna().tolist() == [5.0, 11.0, 17.0, 23.0]
