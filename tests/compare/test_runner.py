import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al.compare.plan import Plan, Run, load_plan
from robo_al.compare.records import FAILED
from robo_al.compare.runner import DryRunning, TaskNote, Update, read_records, run_comparison
from robo_al.dataset.ledger import EvaluationRow, Ledger, RolloutRow
from robo_al.dataset.stored import read_evaluation
from robo_al.errors import ConfigError, RunFolderError

Write = Callable[..., Path]

MAIN = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where whoever tests ignores it
from pathlib import Path
from robo_al.compare.plan import load_plan
from robo_al.compare.runner import run_comparison
plan = load_plan(sys.argv[1])
run_comparison(plan, Path(sys.argv[2]), 2, lambda event: print(event, flush=True), resume=True)
"""


def ledger(folder: Path) -> Ledger:
    return Ledger.open(folder / "ledger.sqlite", read_only=True)


def digests(plan: Plan, out: Path) -> dict[Run, str]:
    found = {}
    for run in plan.runs:
        with ledger(out / run.folder) as opened:
            found[run] = opened.digest()
    return found


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def compare(plan: Plan, out: Path, **options: Any) -> list[DryRunning | TaskNote | Update]:
    events: list[DryRunning | TaskNote | Update] = []
    run_comparison(plan, out, 2, events.append, **options)
    return events


# ---------------------------------------------------------------- a comparison


def test_runs_are_complete_paired_and_kept(write: Write, tmp_path: Path) -> None:
    """One comparison, looked at from all sides: its processes take seconds to start."""
    out = tmp_path / "out"
    path = write(strategies=["random", "joint_information"], seeds=[7], budget=4)
    text = path.with_name("fake.yaml").read_text()
    path.with_name("fake.yaml").write_text(text.replace("contexts: 2", "contexts: 1"))
    plan = load_plan(path)
    events = compare(plan, out)
    assert all(record.failed is None for record in read_records(out, plan).values())
    updates = [event for event in events if isinstance(event, Update)]
    last = {update.run: update for update in updates}
    assert {run: update.state for run, update in last.items()} == dict.fromkeys(plan.runs, "done")
    for run, record in read_records(out, plan).items():
        assert last[run].rollouts == 4
        assert last[run].mean_return == record.evaluations[-1].mean_return
        own = [update.rollouts for update in updates if update.run == run]
        assert own == [0, 0, 1, 2, 3, 4, 4]
        assert (out / run.folder).with_name("seed-7.log").is_file()
    _check_paired(*(out / run.folder for run in plan.runs))

    before = files(out / "runs")
    again = compare(plan, out, resume=True)
    assert [event.state for event in again if isinstance(event, Update)] == ["kept", "kept"]
    assert files(out / "runs") == before
    with pytest.raises(RunFolderError, match="--resume"):
        compare(plan, out)
    with pytest.raises(RunFolderError, match=r"tasks\.fake\.budget: 4 there, 3 here"):
        compare(load_plan(write(seeds=[7], budget=3)), out, resume=True)
    assert files(out / "runs") == before


def _check_paired(first: Path, second: Path) -> None:
    """Check that two runs differ in what was chosen, and in nothing else."""
    with ledger(first) as one, ledger(second) as other:
        rows, others = one.rows(RolloutRow), other.rows(RolloutRow)
        evaluations = zip(one.rows(EvaluationRow), other.rows(EvaluationRow), strict=True)
    assert [row.context for row in rows] == [row.context for row in others]
    assert rows[0].content_hash == others[0].content_hash
    assert [row.controller for row in rows[1:]] != [row.controller for row in others[1:]]
    episodes = [folder / "episodes" / f"{rows[0].id}.parquet" for folder in (first, second)]
    assert episodes[0].read_bytes() == episodes[1].read_bytes()
    for a, b in evaluations:
        for (start, _, _), (other_start, _, _) in zip(
            read_evaluation(first, a), read_evaluation(second, b), strict=True
        ):
            np.testing.assert_equal(vars(start), vars(other_start))


BROKEN = """
import os
import signal
from pathlib import Path
from robo_al.testing import FakeAcquisition

HERE = Path(__file__).parent


class Acquisition(FakeAcquisition):
    def __call__(self, pool, rng):
        if len(pool) == 4 and (HERE / "raise").exists():  # not in the dry run, which has 3
            raise KeyError("joint 7")
        if len(pool) == 4 and (HERE / "die").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(pool, rng)
"""


@pytest.mark.proof
def test_a_failed_run_does_not_stop_the_others_and_is_tried_again(
    write: Write, tmp_path: Path
) -> None:
    out, broken = tmp_path / "out", tmp_path / "broken.py"
    broken.write_text(BROKEN)
    (tmp_path / "raise").touch()
    scored = {"acquisition": f"{broken}:Acquisition", "selector": "top_k"}
    strategies = {"broken": scored, "random": "random"}
    plan = load_plan(write(strategies=strategies, seeds=1))
    bad, good = plan.runs
    for trouble, message in (
        ("raise", "KeyError: 'joint 7'"),
        ("die", "its process was killed by SIGKILL; perhaps the memory is full"),
    ):
        (tmp_path / trouble).touch()
        events = compare(plan, out, resume=trouble == "die")
        (tmp_path / trouble).unlink()
        assert [e.reason for e in events if isinstance(e, Update) and e.state == "failed"] == [
            message
        ]
        records = read_records(out, plan)
        assert records[bad].failed == message and len(records[bad].evaluations) == 1
        assert records[good].failed is None
    assert "Traceback" in (out / bad.folder).with_name("seed-0.log").read_text()
    compare(plan, out, resume=True)
    assert read_records(out, plan)[bad].failed is None
    assert not (out / bad.folder / FAILED).exists()


def test_what_cannot_be_run_writes_nothing(write: Write, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text(BROKEN.replace("== 4", "== 3"))
    (tmp_path / "raise").touch()
    plan = load_plan(write(strategies={"broken": f"{broken}:Acquisition"}))
    with pytest.raises(ConfigError, match="task fake, strategy broken: .*joint 7"):
        compare(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- interruptions


@pytest.fixture
def main(tmp_path: Path) -> Iterator[Callable[[Path], "subprocess.Popen[str]"]]:
    """Start comparisons in processes of their own, in `tmp_path/out`."""
    started: list[subprocess.Popen[str]] = []

    def start(path: Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", MAIN, str(path), str(tmp_path / "out")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def children(process: "subprocess.Popen[str]") -> list[int]:
    path = Path(f"/proc/{process.pid}/task")
    return [int(pid) for task in path.iterdir() for pid in (task / "children").read_text().split()]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.proof
def test_killed_at_random_moments_and_resumed(
    write: Write, tmp_path: Path, main: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    path = write(budget=6)
    plan, rng = load_plan(path), np.random.default_rng(0)
    compare(plan, tmp_path / "whole")
    killed = 0
    for lines in (5, 3, 9, 1000):
        process = main(path)
        assert process.stdout is not None
        for _ in range(lines):
            if not process.stdout.readline():
                break
        time.sleep(rng.uniform(0, 0.3))
        if lines < 1000:
            workers = children(process)
            process.kill()
            killed += len(workers)
            deadline = time.monotonic() + 60
            while any(map(alive, workers)):
                assert time.monotonic() < deadline, "workers outlive their parent"
                time.sleep(0.05)
    assert process.wait() == 0
    assert killed >= 3, "the kills came when nothing ran"
    assert all(record.failed is None for record in read_records(tmp_path / "out", plan).values())
    assert digests(plan, tmp_path / "out") == digests(plan, tmp_path / "whole")


@pytest.mark.proof
def test_stopped_from_the_keyboard_and_resumed(
    write: Write, tmp_path: Path, main: Callable[[Path], "subprocess.Popen[str]"]
) -> None:
    path = write(budget=30, seeds=1)
    process = main(path)
    assert process.stdout is not None
    for line in process.stdout:
        if "rollouts=3" in line:
            break
    workers = children(process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT and "KeyboardInterrupt" in errors
    assert workers and not any(map(alive, workers))
    plan = load_plan(path)
    records = read_records(tmp_path / "out", plan).values()
    assert {record.failed for record in records} == {"not finished"}
    assert not list((tmp_path / "out").rglob(FAILED))
