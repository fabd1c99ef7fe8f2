import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robo_al.build import load_run_config
from robo_al.dataset.view import RunView
from robo_al.report.summary import summarise

Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["run", "cartpole", "--out", "new"], "cartpole: its parts are loaded"),
        (["run", "gymnasium:Pendulum-v1"], "Pendulum-v1: its parts are loaded"),
        (["resume", "here", "--rounds", "+1"], "here: its parts are loaded"),
        (["compare", "quick", "--out", "new"], "quick: its tasks and strategies are loaded"),
    ],
)
def test_a_line_is_told_before_anything_heavy_is_imported(
    robo_al: Run, tmp_path: Path, command: list[str], line: str
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "config.yaml").touch()
    script = f"""
import sys

class Seen(Exception): pass

class Output:
    def write(self, text):
        sys.stderr.write(text)
        heavy = {{"torch", "mujoco", "numpy", "gymnasium", "pydantic", "scipy", "rich", "pyarrow"}}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
        raise KeyboardInterrupt
    def flush(self): pass

from robo_al.cli import main
sys.stdout = Output()
assert main({command}) == 130
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith(line)


def test_an_env_alone_is_run(robo_al: Run, tmp_path: Path) -> None:
    parts = [
        "--policy", "robo_al.testing:FakePolicy", "--policy.streamed", "true",
        "--explorer", "robo_al.testing:FakePolicy", "--model", "robo_al.testing:FakeModel",
        "--oracle", "robo_al.testing:FakeOracle", "--candidates", "4", "--rounds", "2",
        "--evaluation.starts", "2",
    ]  # fmt: skip
    code, out, err = robo_al("run", "robo_al.testing:FakeEnv", *parts)
    assert (code, err) == (0, "")
    assert "report: runs/FakeEnv-joint_information-seed0-1/report.html" in out
    code, _, err = robo_al("run", "gymnasium:Pendulun-v1")
    assert code == 2 and "did you mean" not in err and "nearest: Pendulum-v1" in err
    code, _, err = robo_al("run", "replay")
    assert code == 2 and "missing; replay needs it" in err
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.proof
def test_an_env_of_gymnasium_alone_is_run(robo_al: Run, tmp_path: Path) -> None:
    quick = ("--rounds", "1", "--rollout_steps", "5", "--evaluation.every", "0")
    code, out, err = robo_al("run", "gymnasium:Pendulum-v1", *quick)
    assert (code, err) == (0, "")
    folder = tmp_path / "runs" / "Pendulum-v1-joint_information-seed0-1"
    assert summarise(RunView(folder))["task"] == "gymnasium:Pendulum-v1"


def test_a_run_goes_on_with_more_rounds(robo_al: Run, tmp_path: Path) -> None:
    here = tmp_path / "here"
    assert robo_al("run", "fake.yaml", "--out", "here", "--stop_when_solved", "false")[0] == 0
    code, out, err = robo_al("resume", "here", "--rounds", "+3", "--evaluation.starts=1")
    assert (code, err) == (0, "")
    assert "rounds: was 2, is now 5\n" in out and "evaluation.starts: was 2, is now 1\n" in out
    assert (summarise(RunView(here))["rollouts"], load_run_config(here).rounds) == (5, 5)
    code, out, _ = robo_al("resume", "--rounds", "+1", "here")  # it stays, and is added to again
    assert code == 0 and "rounds: was 5, is now 6\n" in out
    assert load_run_config(here).evaluation.starts == 1
    code, out, _ = robo_al("resume", "here")
    assert code == 0 and "is now" not in out and load_run_config(here).rounds == 6


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--rounds", "many"], '--rounds many: expected an integer, given "many"'),
        (["--rounds", "0"], "--rounds 0: expected at least 1"),
        (["--rounds"], "--rounds: no value is given"),
        (["--roundz", "+5"], "--roundz +5: roundz is not said, and nothing can be added to it"),
        (["--roundz", "5"], "--roundz 5: unknown key; did you mean rounds?"),
        (["--device", "+5"], "--device +5: device is 'cpu', and nothing can be added to it"),
        (["--seed", "3"], "--seed 3: cannot change in a run that has begun"),
        (["--seed", "+3"], "--seed +3: cannot change in a run that has begun"),
        (["--model=gp"], "--model=gp: cannot change in a run that has begun"),
        (["--model.members", "3"], "--model.members 3: cannot change in a run that has begun"),
        (["more"], "more: expected an override such as"),
    ],
)
def test_a_wrong_override_is_named_and_changes_nothing(
    robo_al: Run, tmp_path: Path, overrides: list[str], message: str
) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here", "--rounds", "1")[0] == 0
    before = {path: path.read_bytes() for path in (tmp_path / "here").rglob("*.*")}
    code, out, err = robo_al("resume", "here", *overrides)
    assert code == 2 and err.startswith("robo-al: "), err
    assert re.search(re.escape(message), err), err
    assert {path: path.read_bytes() for path in (tmp_path / "here").rglob("*.*")} == before


LAB = "from robo_al.testing import FakePolicy\n\n\nclass Lab(FakePolicy):\n    pass\n"


def test_a_run_does_not_go_on_with_another_plugin_unless_it_is_told_to(
    robo_al: Run, tmp_path: Path
) -> None:
    lab = tmp_path / "lab.py"
    lab.write_text(LAB)
    explorer = ("--explorer", "lab.py:Lab")
    assert robo_al("run", "fake.yaml", "--out", "here", *explorer)[0] == 0
    noted = load_run_config(tmp_path / "here").inputs
    lab.write_text(f"{LAB}    better = True\n")
    before = (tmp_path / "here" / "ledger.sqlite").read_bytes()
    code, _, err = robo_al("resume", "here", "--rounds", "+1")
    assert code == 2
    assert "lab.py:Lab: its content is not what it was" in err
    assert "go on with it as it is now, which is noted: robo-al resume here --inputs now" in err
    assert (tmp_path / "here" / "ledger.sqlite").read_bytes() == before
    code, out, err = robo_al("resume", "here", "--rounds", "+1", "--inputs", "now")
    assert (code, err) == (0, "")
    assert "inputs.lab.py:Lab: was " in out
    assert load_run_config(tmp_path / "here").inputs != noted
    assert robo_al("resume", "here", "--rounds", "+1")[0] == 0
    hashes = [row.config_hash for row in RunView(tmp_path / "here").rollout_rows]
    assert hashes[0] != hashes[-1]


def test_a_run_of_an_earlier_version_that_noted_no_inputs_goes_on(
    robo_al: Run, tmp_path: Path
) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here")[0] == 0
    path = tmp_path / "here" / "config.yaml"
    path.write_text(path.read_text().replace("inputs: {}\n", ""))
    assert load_run_config(tmp_path / "here").inputs == {}
    assert robo_al("resume", "here", "--rounds", "+1")[0] == 0
