"""Rollouts from where a robot stands, against real agents: a MuJoCo twin, and one of a file."""

import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from forked import finished

from robo_al import loop
from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
from robo_al.config.load import load_config
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.errors import OracleError, UserError
from robo_al.oracles.robot import RobotOracle
from robo_al.oracles.robot import oracle as room
from robo_al.types import Candidate, Context, EnvSpec, Failure, OpenLoop, Trajectory

ROOT = Path(__file__).parents[3]
_agent = runpy.run_path(str(ROOT / "tests" / "agent" / "conftest.py"))
serve = _agent["serve"]
ARM = f"{Path(__file__).with_name('restless_arm.py')}:RestlessArm"
SLIDER = EnvSpec(f"{Path(__file__).with_name('slider_env.py')}:SliderEnv", {})
SLOW = {"missed_deadlines": 100}


@pytest.fixture
def twin(serve: Callable[..., Any], tmp_path: Path) -> Iterator[Any]:
    """An agent that serves the twin of the arm."""
    model = ROOT / "envs" / "robo_al_envs" / "assets" / "so101.xml"
    files = ["--socket", str(tmp_path / "twin.sock"), "--log", str(tmp_path / "twin.jsonl")]
    process = subprocess.Popen(
        [sys.executable, "-m", "robo_al_agent.twin.world", "--model", str(model), *files],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and "twin.sock" in process.stdout.readline()
    limits = yaml.safe_load((ROOT / "configs/robots/so101_twin/envelope.yaml").read_text())
    yield serve(
        envelope=limits | {"sample_age": 1.0, "missed_deadlines": 100},
        driver={"name": "mujoco_twin", "socket": str(tmp_path / "twin.sock"), "timeout": 5.0},
    )
    process.kill()
    process.wait()
    process.stdout.close()


def config_of(agent: Any, env: str, *more: str) -> Any:
    return load_config(
        "pendulum",
        [
            *("--env", env, "--oracle.name", "robot", "--oracle.address", agent.address),
            *("--policy", "robo_al.testing:FakePolicy", "--explorer.scale", "0.1"),
            *("--model", "robo_al.testing:FakeModel", "--rounds", "3", "--candidates", "3"),
            *("--strategy", "random", "--imagination_members", "1", "--device", "cpu"),
            *("--evaluation.starts", "1", "--rollout_steps", "5", "--horizon", "5"),
            *more,
        ],
    )


def jog(agent: Any, joint: str, delta: float) -> None:
    """Move a joint as a person at the robot does."""
    finished("robo_al_agent.cli", "jog", agent.config, joint, f"{delta:g}").check_returncode()


def moves(agent: Any) -> list[list[float]]:
    """Return where the twin's servos were sent, one by one."""
    lines = (agent.folder / "twin.jsonl").read_text().splitlines()
    return [e["target"] for e in map(json.loads, lines) if e["event"] == "command"]


def test_a_campaign_begins_each_rollout_where_the_arm_stands(twin: Any, tmp_path: Path) -> None:
    config, stood = config_of(twin, ARM), []
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        rows = campaign.dataset.ledger.rows(RolloutRow)
        for row in rows:
            start, first = json.loads(row.context), campaign.dataset.trajectory(row).observations[0]
            assert start["found"] and row.state == "recorded"
            np.testing.assert_allclose(first, start["observation"], atol=5e-3)
            assert start["options"]["joints"] == start["observation"][:5]
            stood.append(start["observation"][:5])
        (evaluation,) = campaign.dataset.ledger.rows(EvaluationRow, round=3)
        ((context, trajectory, failure),) = campaign.dataset.evaluation(evaluation)
        assert context.found and failure is None
        np.testing.assert_allclose(trajectory.observations[0], context.observation, atol=5e-3)
        last = campaign.dataset.trajectory(rows[0]).observations[-1]
    assert [row.id for row in rows] == ["r0001-00", "r0002-00", "r0003-00", "e0003-00"]
    assert load_run_config(tmp_path / "run").starts == "found"
    assert np.abs(np.diff(stood, axis=0)).max() > 1e-3  # it went on from where it was left
    assert np.abs(last[:5] - stood[0]).max() > 1e-3


def test_an_arm_that_was_moved_since_is_not_run_from_elsewhere(twin: Any, tmp_path: Path) -> None:
    config = config_of(twin, ARM, "--evaluation.every", "0")
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        campaign.look = oracle.look  # type: ignore[attr-defined]
        campaign.select()
        jog(twin, "shoulder_pan", 0.2)
        moved = len(moves(twin))
    with open_campaign(tmp_path / "run") as campaign, make_oracle(config) as oracle:

        def told(event: Any) -> None:
            if getattr(getattr(event, "row", None), "id", "") == "r0001-00":
                assert len(moves(twin)) == moved

        loop.run(campaign, oracle, told)
        first, *others = campaign.dataset.ledger.rows(RolloutRow)
    assert first.state == "aborted" and "moved since the start was looked at" in first.reason
    assert "joint shoulder_pan is 0.2" in first.reason and "limit 0.1" in first.reason
    assert [row.state for row in others] == ["recorded", "recorded"]
    assert twin.operator("status").fields["fault"] is None


def test_an_arm_that_was_moved_a_little_begins_where_it_is(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    with RobotOracle(SLIDER, agent.address) as oracle:
        (context,) = oracle.look([3])
        jog(agent, "left", 0.06)
        before = len(agent.log())
        result = executed(oracle, context, np.full((2, 2), 0.1))
        sent = [line.split()[2:] for line in agent.log()[before:] if "command" in line]
    assert isinstance(result, Trajectory)
    assert result.observations[0, :2] == pytest.approx([0.06, 0.0])  # as it was measured
    assert sent[0] == ["0.01", "0.01"]  # and at once on its way, with none to the start before


def executed(oracle: RobotOracle, context: Context, actions: Any) -> Trajectory | Failure:
    oracle.submit(Candidate(context, OpenLoop(actions), len(actions), 0, "c"))
    (outcome,) = oracle.poll(60.0)
    return outcome.result


def test_a_goal_is_drawn_and_the_pose_is_measured(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    jog(agent, "right", -0.1)
    with RobotOracle(SLIDER, agent.address) as oracle:
        (context,), (other,) = oracle.look([3, 4]), oracle.look([4])
    assert context.found and context.seed == 3
    assert context.options["joints"] == (0.0, -0.1)
    goal = context.options["goal"]
    np.testing.assert_array_equal(context.observation, [0.0, -0.1, *goal])
    assert goal != other.options["goal"]


def test_it_looks_once_the_robot_is_at_rest_and_says_what_it_waits_for(
    serve: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_PATIENCE_SECONDS", 0.5)
    agent = serve(envelope=SLOW)
    with RobotOracle(SLIDER, agent.address) as oracle:
        said, moving = list[str](), threading.Event()

        def notice(text: str) -> None:
            said.append(text)
            if "moves" in text:
                moving.set()

        oracle.notice = notice
        agent.robot("fast")
        found: list[Context] = []
        looking = threading.Thread(target=lambda: found.extend(oracle.look([0])))
        looking.start()
        assert moving.wait(60) and not found
        agent.robot("")
        looking.join(60)
        assert [context.found for context in found] == [True]
        assert said == [
            "no start can be looked at yet: joint left moves",
            "the robot goes on",
        ]


def test_a_robot_that_is_about_to_move_is_not_looked_at(serve: Callable[..., Any]) -> None:
    agent = serve(envelope=SLOW)
    with RobotOracle(SLIDER, agent.address) as oracle:
        (context,) = oracle.look([0])
        oracle.submit(Candidate(context, OpenLoop(np.zeros((2, 2))), 2, 0, "c"))
        with pytest.raises(OracleError, match="1 candidates are pending; poll first"):
            oracle.look([0])


def test_what_takes_actions_stands_nowhere(tmp_path: Path) -> None:
    joint = {"name": "action[0]", "unit": "1", "position": [-2.0, 2.0], "velocity": 1e3}
    limits = {"joints": [joint], "duration": 30.0, "sample_age": 1.0, "missed_deadlines": 50}
    (tmp_path / "envelope.yaml").write_text(yaml.safe_dump(limits))
    address = f"tcp://127.0.0.1:{_agent['free_port']()}"
    entries = {
        "address": address,
        "driver": {"name": "gymnasium", "env": "Pendulum-v1"},
        "envelope": "envelope.yaml",
        "journal": "journal",
        "approval": {"mode": "auto"},
    }
    (tmp_path / "agent.yaml").write_text(yaml.safe_dump(entries))
    process = _agent["run_agent"](tmp_path / "agent.yaml")
    try:
        with RobotOracle(EnvSpec("gymnasium:Pendulum-v1", {}), address) as oracle:
            with pytest.raises(UserError, match="takes actions, .* by oracle: gymnasium"):
                oracle.look([0])
    finally:
        _agent["end"](process)
