import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.compare.plan import Run, load_plan
from robo_al.compare.records import UNFINISHED, RunRecord, read_record
from robo_al.compare.worker import turn
from robo_al.config.schema import Config
from robo_al.dataset.lock import lock_folder
from robo_al.errors import RunFolderError

Write = Callable[..., Path]


def config_of(path: Path) -> Config:
    return load_plan(path).config(Run("fake", "joint_information", 1))


def request(config: Config, folder: Path) -> dict[str, Any]:
    return {"folder": str(folder), "config": config.model_dump(), "strategy": "joint_information"}


def digest(folder: Path) -> str:
    with open_campaign(folder) as campaign:
        return campaign.dataset.ledger.digest()


def start() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "robo_al.compare.worker"]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_a_run_is_the_campaign_of_its_configuration(write: Write, tmp_path: Path) -> None:
    config = config_of(write())
    with create_campaign(config, tmp_path / "alone") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
    told: list[dict[str, Any]] = []
    turn(request(config, tmp_path / "run"), lambda **fields: told.append(fields))
    assert digest(tmp_path / "run") == digest(tmp_path / "alone")
    record = read_record(tmp_path / "run", "fake", "joint_information", 1)
    assert [standing["rollouts"] for standing in told] == [0, 1, 2, 3]
    assert told[-1]["mean_return"] == record.evaluations[-1].mean_return
    assert told[-1]["solved_at"] is None


def test_a_run_that_goes_on_with_a_larger_budget_is_the_one_that_had_it_at_once(
    write: Write, tmp_path: Path
) -> None:
    turn(request(config_of(write()), tmp_path / "run"), lambda **fields: None)

    def seen(name: str, budget: int) -> RunRecord:
        found = read_record(tmp_path / name, "fake", "joint_information", 1, budget)
        return replace(found, cpu_seconds=0.0)

    assert (seen("run", 3).failed, seen("run", 5).failed) == (None, UNFINISHED)
    more = config_of(write(budget=5))
    for folder in ("run", "at once"):
        turn(request(more, tmp_path / folder), lambda **fields: None)
    assert seen("run", 5).failed is None and seen("run", 5) == seen("at once", 5)


def test_a_run_of_another_configuration_is_not_touched(write: Write, tmp_path: Path) -> None:
    turn(request(config_of(write()), tmp_path / "run"), lambda **fields: None)
    before = digest(tmp_path / "run")
    other = config_of(write()).model_copy(update={"contexts": 3})
    with pytest.raises(RunFolderError, match="a run of another configuration"):
        turn(request(other, tmp_path / "run"), lambda **fields: None)
    assert digest(tmp_path / "run") == before


def test_nothing_is_left_when_the_parent_is_gone(write: Write, tmp_path: Path) -> None:
    config = config_of(write(budget=1000))
    with start() as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(request(config, tmp_path / "run")).encode() + b"\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["rollouts"] == 0
        assert json.loads(process.stdout.readline())["rollouts"] == 1
        process.stdin.close()
        assert process.wait(60) == 1
    lock_folder(tmp_path / "run").close()  # nobody has it
    assert read_record(tmp_path / "run", "fake", "", 1).failed == UNFINISHED


def test_a_worker_that_is_told_nothing_ends() -> None:
    with start() as process:
        assert process.communicate(b'{"folder": ', timeout=60) == (b"", b"")
        assert process.returncode == 1


def test_a_failure_is_told_in_one_line_and_explained_in_the_log(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").touch()
    with start() as process:
        assert process.stdin and process.stdout and process.stderr
        asked = request(config_of(write()), tmp_path / "run")
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        process.stdin.flush()
        told, log = process.stdout.read(), process.stderr.read()
    assert process.returncode == 1
    assert "not empty (it has thesis.txt)" in json.loads(told)["failed"]
    assert b"Traceback" in log
