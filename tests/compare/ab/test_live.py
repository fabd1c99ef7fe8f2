"""Two runs' policies are rolled out by turns until it is decided, whatever interrupts that."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robo_al.dataset.folders import AB_PLAN, LEDGER
from robo_al.dataset.labels import label
from robo_al.dataset.ledger import Ledger, RolloutRow
from robo_al.dataset.view import RunView
from robo_al.types import Label

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def lab(robo_al: Run) -> Run:
    """Return the command line in a folder with two runs."""
    for seed in ("1", "2"):
        assert robo_al("run", "fake.yaml", "--seed", seed, "--out", f"r{seed}")[0] == 0
    return robo_al


def digest(folder: str) -> str:
    """Return the digest of the ledger of an A against B."""
    with Ledger.open(Path(folder) / "run" / LEDGER, read_only=True) as ledger:
        return ledger.digest()


def test_pairs_are_rolled_out_and_labelled_until_they_decide(lab: Run) -> None:
    code, said, _ = lab("ab", "r1", "r2", "--budget", "7", "--by", "success", "--out", "ab")
    assert code == 0
    assert "r2 and r1 have no pair of rollouts yet" in said.replace("\n", " ")
    assert "robo-al label ab/run, then robo-al ab ab" in said
    run = RunView("ab/run")
    policies = [json.loads(row.controller)["policy"] for row in run.rollout_rows]
    starts = [row.context for row in run.rollout_rows]
    assert starts[::2] == starts[1::2]
    assert len(set(starts)) == 7
    pairs = set(zip(policies[::2], policies[1::2], strict=True))
    assert pairs == {("r1", "r2"), ("r2", "r1")}  # in random order
    with Ledger.open(Path("ab/run") / LEDGER) as ledger:
        for row in ledger.rows(RolloutRow):
            success = json.loads(row.controller)["policy"] == "r2"
            label(ledger, row.id, Label("success", success, "Ada"))
    code, said, _ = lab("ab", "ab", "--budget", "50")
    assert code == 0
    assert said.replace("\n", " ").count("r2 succeeds more often than r1: 7 against 0") == 1
    assert len(RunView("ab/run").rollout_rows) == 14  # decided: the rest is not run
    assert lab("resume", "ab/run")[0] == 2
    plan = json.loads((Path("ab") / AB_PLAN).read_text())
    plan["policies"][1]["weights"] = "another"
    (Path("ab") / AB_PLAN).write_text(json.dumps(plan))
    code, _, said = lab("ab", "ab")
    assert code == 2
    assert "has learned since" in said


def test_a_killed_one_goes_on_to_what_one_that_was_not_comes_to(lab: Run) -> None:
    assert lab("ab", "r1", "r2", "--budget", "3", "--out", "whole")[0] == 0
    killed = """
import os, sys
from robo_al.cli import main
from robo_al.dataset.rollouts import Rollouts
record, left = Rollouts.record, [3]
def last(*words):
    left[0] -= 1
    return record(*words) if left[0] else os.kill(os.getpid(), 9)
Rollouts.record = last
main(["ab", "r1", "r2", "--budget", "3", "--out", "killed"])
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -9
    states = [row.state for row in RunView("killed/run").rollout_rows]
    assert states == ["recorded", "recorded", "dispatched"]
    assert lab("ab", "killed")[0] == 0
    assert digest("killed") == digest("whole")


WRONG = [
    (["r1"], "name two runs"),
    (["r1", "r1"], "compared with itself"),
    (["r1", "nothing"], "no run here"),
    (["r1", "r2", "r1"], "3 runs given"),
    (["r1", "r2", "--budget", "0"], "--budget: 0"),
    (["r1", "r2", "--by", "success", "--range", "0", "1"], "--range"),
    (["r1", "r2", "--by", "success", "--against", "2"], "--against: 2 is not within 0 to 1"),
    (["r1", "r2", "--out", "r1"], "not empty"),
]


def test_what_is_wrong_is_one_line_and_nothing_is_written(lab: Run) -> None:
    before = sorted(Path.cwd().rglob("*"))
    for arguments, told in WRONG:
        code, _, said = lab("ab", *arguments)
        assert code == 2
        assert told in said
        assert said.count("\n") == 1
    assert sorted(Path.cwd().rglob("*")) == before
