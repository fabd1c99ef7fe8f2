import io
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from robo_al.dataset.clock import ACTIVITIES
from robo_al.dataset.events import (
    Activity,
    Advanced,
    Diverged,
    Evaluated,
    Event,
    Explored,
    Indeterminate,
    Lengthened,
    ModelFailed,
    Quarantined,
    RolloutDone,
    RoundDone,
    WorseModel,
)
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.report.progress import DOING, Progress

ROW = RolloutRow(
    id="r0001-00", round=1, index=0, state="recorded", context="{}", controller="{}", horizon=10,
    seed=0, content_hash="", strategy="variance", acquisition="variance", selector="top_k",
    policy="icem", model="gp", oracle="simulation", config_hash="", versions="", model_hash=None,
    score=None, rank=None,
    gain=None, predicted_information=None, steps=10, total_reward=-123.456,
)  # fmt: skip
RECORD: dict[str, Any] = {
    "round": 1,
    "rollouts": 2,
    "transitions": 20,
    "returns": [-123.456, None],
    "predicted_information": [1.0, 2.0],
    "realised_information": [1.5, None],
    "evaluation": {"mean_return": -77.7, "returns": [-77.7]},
    "seconds": dict.fromkeys(ACTIVITIES, 1.0) | {"feedback": 13.0},
}


def shown(*events: Event, terminal: bool = False) -> str:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=terminal, color_system=None)
    with Progress("pendulum, variance, seed 0", 7, (0, 0, 0), -150.0, console) as progress:
        for event in events:
            progress(event)
    return file.getvalue()


def test_without_a_terminal_a_round_is_a_line() -> None:
    lines = shown(Activity("propose"), RolloutDone(ROW), RoundDone(RECORD)).splitlines()
    assert lines == [
        "pendulum, variance, seed 0",
        "round 1/7 · 2 rollouts and 20 transitions recorded · return -123 · "
        "3 nat predicted, 1.5 nat realised · evaluation -77.7",
    ]


def test_a_first_round_has_neither_information_nor_evaluation() -> None:
    record = RECORD | {
        "predicted_information": [None],
        "realised_information": [None],
        "evaluation": None,
        "returns": [None],
        "rollouts": 1,
    }
    line = shown(RoundDone(record)).splitlines()[1]
    assert line == "round 1/7 · 1 rollout and 20 transitions recorded"


def test_a_terminal_shows_what_is_going_on() -> None:
    evaluation = EvaluationRow(1, 1, 10, -77.7, "[-77.7]", "")
    out = shown(
        RolloutDone(ROW),
        Evaluated(evaluation),
        RoundDone(RECORD),
        Activity("select"),
        terminal=True,
    )
    for text in (
        "round 2 of 7: selecting the most informative rollouts",
        "1 rollout and 10 transitions",
        "last rollout -123, evaluation -77.7, threshold -150",
        "3 nat predicted",
        "feedback 68 %, ",
    ):
        assert text in out, out


def test_the_end_of_a_run_is_foreseen_from_its_last_rounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("robo_al.report.progress.time.monotonic", lambda: now[0])
    file = io.StringIO()
    progress = Progress("x", 20, (0, 0, 0), -150.0, Console(file=file, width=200))
    for number in range(1, 21):
        now[0] += 10.0 if number < 10 else 120.0
        progress(RoundDone(RECORD | {"round": number}))
        if number == 15:
            assert "about 10 min, or less if the task is solved before" in panel(progress, 80)[2]
    lines = file.getvalue().splitlines()
    assert lines[0].endswith(" · about 3 min left")  # 19 rounds of 10 s
    assert lines[14].endswith(" · about 10 min left")  # 5 rounds of 120 s
    assert "left" not in lines[19]
    assert "left" not in "".join(panel(progress, 80))


def test_the_panel_fits_80_columns() -> None:
    quiet = Console(file=io.StringIO())
    progress = Progress("x", 1000, (998, 99999, 9999999), -123456.789, quiet)
    failed = EvaluationRow(1, 1, 10, None, "[null]", "")
    even = RoundDone(RECORD | {"seconds": dict.fromkeys(ACTIVITIES, 1.0)})
    for event in (RolloutDone(ROW), Evaluated(failed), even, Activity("imagine")):
        progress(event)
    lines = panel(progress, 80)
    assert len(lines) == 6  # the shares of time take two lines, nothing else wraps
    assert "evaluation failed" in lines[2]


def panel(progress: Progress, width: int) -> list[str]:
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(progress._panel())
    return console.export_text().splitlines()


@pytest.mark.parametrize("width", [80, 50, 40])
def test_no_line_of_a_terminal_ends_inside_a_number_or_before_its_unit(width: int) -> None:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=True, color_system=None)
    progress = Progress("x", 1000, (998, 99999, 9999999), -123456.789, console)
    even = RECORD | {"seconds": dict.fromkeys(ACTIVITIES, 1.0)}
    for event in (RolloutDone(ROW), RoundDone(even)):
        progress(event)
    lines = [line.rstrip() for line in (*file.getvalue().splitlines(), *panel(progress, width))]
    assert max(map(len, lines)) <= width
    for amount in ("100000 rollouts", "10000009 transitions", "14 %", "2 rollouts", "1.5 nat"):
        assert any(amount in line for line in lines), lines


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (RolloutDone(replace(ROW, state="failed", reason="worker died")), ("r0001", "worker died")),
        (Quarantined("r0001-00", "truncated"), ("r0001-00", "nothing is learned", "truncated")),
        (
            Indeterminate(("r0001-00", "r0001-01")),
            ("r0001-00", "r0001-01", "nothing of it is run again"),
        ),
        (Diverged("r0001-00"), ("r0001-00", "first record")),
        (Explored(3, 2, "no finite ones"), ("round 3", "explorer", "2", "no finite ones")),
        (ModelFailed(3, "singular"), ("round 3", "could not be retrained", "singular")),
        (WorseModel(3, {"worse": True}), ("round 3", "worse")),
        (Lengthened(3, 100, 8), ("round 3", "told little", "100 steps", "8 candidates")),
    ],
)
def test_what_a_person_should_know_is_said(event: Event, words: tuple[str, ...]) -> None:
    out = shown(event)
    assert all(word in out for word in words), out


def test_a_rollout_that_failed_does_not_count() -> None:
    failed = RolloutDone(replace(ROW, state="failed", reason="x"))
    assert "1 rollout and 10 transitions" in shown(failed, RolloutDone(ROW), failed, terminal=True)


def test_every_activity_has_words() -> None:
    assert set(DOING) == set(ACTIVITIES)


def test_where_the_time_went_does_not_look_like_progress() -> None:
    assert "█" not in shown(RoundDone(RECORD), terminal=True)


def test_a_terminal_shows_how_far_an_activity_is() -> None:
    text = shown(Activity("evaluate"), Advanced(300, 1000), terminal=True)
    assert "round 1 of 7: evaluating the policy: step 300 of 1,000" in " ".join(text.split())


def test_without_a_terminal_what_goes_on_is_said_after_a_silence() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None)
    with Progress("a title", 7, console=console, quiet=0.0) as progress:
        for event in (Activity("evaluate"), Advanced(1, 1000), Advanced(2, 1000)):
            progress(event)
    assert file.getvalue().splitlines() == [
        "a title",
        "round 1 of 7: evaluating the policy",
        "round 1 of 7: evaluating the policy: step 1 of 1,000",
        "round 1 of 7: evaluating the policy: step 2 of 1,000",
    ]
    quiet = shown(Activity("evaluate"), Advanced(1, 1000), Advanced(2, 1000))
    assert quiet.splitlines() == ["pendulum, variance, seed 0"]  # a few seconds are no silence
