import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from robo_al.compare.live import Progress, outcome
from robo_al.compare.plan import Plan, Run, load_plan
from robo_al.compare.runner import DryRunning, TaskNote, Update

Write = Callable[..., Path]


class Time:
    """A clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


HEADER = "task, strategy done running failed rollouts return solved".split()


def progress(plan: Plan, jobs: int = 2, height: int = 50) -> tuple[Progress, io.StringIO, Time]:
    file, clock = io.StringIO(), Time()
    console = Console(file=file, width=80, height=height)
    return Progress(plan, jobs, console, clock), file, clock


def panel(shown: Progress, height: int = 50) -> list[str]:
    console = Console(file=io.StringIO(), width=80, height=height)
    with console.capture() as capture:
        console.print(shown._panel())
    return [line.strip() for line in capture.get().splitlines()]


@pytest.fixture
def plan(write: Write, tmp_path: Path) -> Plan:
    fake = {"config": str(tmp_path / "fake.yaml")}
    tasks = {"pendulum": fake, "cartpole": fake}
    return load_plan(write(tasks=tasks, budget=10, bounds=["true_dynamics"]))


def test_a_stream_gets_a_line_for_each_run_that_ended(plan: Plan) -> None:
    shown, file, _ = progress(plan)
    with shown:
        shown(DryRunning("pendulum", "random"))
        shown(TaskNote("pendulum", "it is given 200 steps"))
        shown(Update(Run("pendulum", "random", 0), "kept", 10, -300.0))
        shown(Update(Run("pendulum", "random", 1), "running", 1, -800.0))
        shown(Update(Run("pendulum", "random", 1), "done", 10, -210.55))
        shown(Update(Run("pendulum", "joint_information", 0), "done", 7, -120.0, solved_at=7))
        shown(Update(Run("cartpole", "random", 0), "failed", 3, None, None, "KeyError: 'joint 7'"))
    assert file.getvalue().splitlines() == [
        "pendulum: it is given 200 steps",
        "2/12 pendulum, random, seed 1: not solved within 10 rollouts; the last evaluation "
        "was -211",
        "3/12 pendulum, joint_information, seed 0: solved after 7 rollouts",
        "4/12 cartpole, random, seed 0: failed: KeyError: 'joint 7'",
    ]


def test_the_table_shows_every_task_and_strategy(plan: Plan) -> None:
    shown, _, clock = progress(plan)
    shown(DryRunning("pendulum", "random"))
    assert panel(shown)[-1] == "trying whether random can be run on pendulum"
    shown(Update(Run("pendulum", "random", 0), "kept", 10, -300.0))
    shown(Update(Run("pendulum", "random", 1), "running", 4, -100.0))
    shown(Update(Run("cartpole", "random", 0), "failed", 3, -20.0, None, "no"))
    shown(Update(Run("cartpole", "random", 1), "done", 5, -12.0, solved_at=5))
    clock.now += 90
    lines = panel(shown)
    assert lines[0].split() == HEADER
    assert lines[2].split() == "pendulum, random 1/2 1 14 -200".split()
    assert lines[3].split() == "pendulum, joint_information 0/2 0".split()
    assert lines[5].split() == "cartpole, random 1/2 1 8 -16 1".split()
    assert len(lines) == 9  # a rule under the headings
    assert (
        lines[-1] == "2 of 12 runs done · 1 failed · 90 s so far · the time left is not known yet"
    )


def test_a_low_terminal_shows_what_is_running(plan: Plan) -> None:
    shown, _, _ = progress(plan, height=9)
    shown(Update(Run("cartpole", "joint_information", 0), "running", 4, -100.0))
    lines = panel(shown, height=9)
    assert [line.split()[:2] for line in lines[2:5]] == [
        ["pendulum,", "random"],
        ["pendulum,", "joint_information"],
        ["cartpole,", "joint_information"],
    ]
    assert lines[5] == "and 3 more rows"


def test_the_time_left_follows_the_pace_of_each_task(plan: Plan) -> None:
    shown, _, clock = progress(plan, jobs=2)
    pendulum, cartpole = Run("pendulum", "random", 0), Run("cartpole", "random", 0)
    shown(Update(pendulum, "running"))
    assert shown.seconds_left() is None
    clock.now += 10
    shown(Update(pendulum, "running", 5))  # 2 s a rollout
    # pendulum: 4 runs of 10 and 2 bounds of 2 rollouts, 5 of them done; the cart-pole's pace is
    # not known yet, and taken to be the same
    assert shown.seconds_left() == pytest.approx((39 + 44) * 2 / 2)
    shown(Update(cartpole, "running", 8))  # resumed: these were not made now
    clock.now += 20
    shown(Update(cartpole, "done", 10, solved_at=10))  # 10 s a rollout
    assert shown.seconds_left() == pytest.approx((39 * 2 + 34 * 10) / 2)


def test_what_is_complete_leaves_no_time(plan: Plan) -> None:
    shown, _, clock = progress(plan, jobs=8)
    for run in plan.runs:
        shown(Update(run, "running"))
        clock.now += 3
        shown(Update(run, "done", 3, solved_at=3))
    assert shown.seconds_left() == 0
    assert panel(shown)[-1] == "12 of 12 runs done · 36 s so far · 0 s left at most"


def test_the_last_run_is_not_shared_among_idle_processes(plan: Plan) -> None:
    shown, _, clock = progress(plan, jobs=8)
    *others, last = plan.runs
    for run in others:
        shown(Update(run, "kept", 10))
    shown(Update(last, "running"))
    clock.now += 7
    shown(Update(last, "running", 1))
    assert shown.seconds_left() == pytest.approx(7.0)  # a bound's: 2 rollouts


@pytest.mark.parametrize("width", [80, 60, 40, 30])
def test_a_narrow_terminal_shows_whole_numbers(plan: Plan, width: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=50)
    shown = Progress(plan, 2, console, Time())
    shown(Update(Run("pendulum", "joint_information", 0), "kept", 123456, -1234.5))
    with console.capture() as capture:
        console.print(shown._panel())
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    row = lines[3].split()
    assert row[0].startswith("pend") and "1/2" in row
    assert ("-1230" in row) == (width >= 40)
    assert ("123456" in row) == (width >= 60)
    assert ("1 of 12 runs done" in " ".join(lines)) and not lines[-1].endswith(" 1")


def test_a_task_without_a_threshold_is_not_called_unsolved() -> None:
    update = Update(Run("logged", "random", 0), "done", 1, -0.25)
    assert outcome(update, None) == "ended after 1 rollout; the last evaluation was -0.25"
    assert outcome(update, 0.0) == "not solved within 1 rollout; the last evaluation was -0.25"
    failed = Update(Run("logged", "random", 0), "done", 2)
    assert outcome(failed, None) == "ended after 2 rollouts; the last evaluation failed"
