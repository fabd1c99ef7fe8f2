"""A first envelope from what a driver declares: what it allows, and what it leaves alone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from forked import finished

from robo_al.plugins import make_env
from robo_al.tasks import contexts_from, describe
from robo_al.types import EnvSpec, OpenLoop
from robo_al_agent.drivers.mujoco_twin import MujocoTwin
from robo_al_agent.envelope.draft import draft
from robo_al_agent.envelope.envelope import check_candidates, load_envelope
from robo_al_agent.errors import SetupError
from robo_al_agent.motion.paths import filled
from robo_al_agent.robot import Joint, RobotSpec
from robo_al_policies.random import Random

MODEL = Path(__file__).parents[3] / "envs" / "robo_al_envs" / "assets" / "so101.xml"
DRIVER = """
from robo_al_agent.robot import Joint, RobotSpec
from robo_al_agent.driver import RobotDriver

class Arm(RobotDriver):
    def __init__(self, rate=50.0):
        self.rate = rate

    def describe(self):
        joints = (
            Joint("base", -1.25, 1.5, velocity=0.5),
            Joint("lift", 0.0, 0.3, "m", effort=40.0),
            Joint("gripper", 0, 100, "%"),
        )
        return RobotSpec("an arm", joints, self.rate, "none", None, 0.2)

    def connect(self):
        raise RuntimeError("nobody asked for that")

    read = command = safe_stop = release = fault = clear_fault = close = connect
"""
SPEC = RobotSpec("an arm", (Joint("base", -1.0, 1.0),), 50.0, "none", None, 0.2)


def run(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return finished("robo_al_agent.cli", "envelope", *words, folder=folder)


@pytest.fixture
def twin(tmp_path: Path) -> Iterator[Path]:
    """A simulated arm, and the AGENT.yaml that has it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "robo_al_agent.twin.world", "--model", str(MODEL)]
        + ["--socket", str(tmp_path / "s"), "--log", str(tmp_path / "log")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline()
    driver = f"{{name: mujoco_twin, socket: {tmp_path / 's'}}}"
    path = tmp_path / "agent.yaml"
    path.write_text(f"driver: {driver}\nenvelope: limits.yaml\njournal: journal\n")
    yield path
    process.kill()
    process.wait()
    process.stdout.close()


def test_the_explorer_of_a_velocity_task_keeps_to_it(twin: Path) -> None:
    done = run(twin.parent, "--from", "agent.yaml")
    assert done.returncode == 0 and "limits.yaml is written" in done.stdout, done
    spec = MujocoTwin(socket=str(twin.parent / "s")).describe()
    envelope = load_envelope(twin.parent / "limits.yaml", spec)
    task_spec = EnvSpec("so101_reach", {})
    with closing(make_env(task_spec)) as env:
        task, contexts = describe(env, task_spec), contexts_from(env, range(4))
    proposed = Random(task, scale=0.5).propose(64, contexts, 20, None, np.random.default_rng(0))
    refused = 0
    for candidate in proposed:
        assert isinstance(candidate.controller, OpenLoop)
        start = np.array(candidate.context.options["joints"], np.float64)
        steps = np.cumsum(candidate.controller.actions * 0.1, axis=0)
        targets = np.clip(start + steps, envelope.low, envelope.high)
        (wrong,) = check_candidates(envelope, filled(start, targets, 5)[None], 0.02, start)
        refused += wrong is not None
    assert refused <= 6


def test_it_connects_to_nothing_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "arm.py").write_text(DRIVER)
    done = run(tmp_path, "--from", "arm.py:Arm", "--parameters", '{"rate": 20}')
    assert done.returncode == 0, done
    path = tmp_path / "envelope.yaml"
    text = path.read_text()
    again = run(tmp_path, "--from", "arm.py:Arm")
    assert again.returncode == 2 and "stays as it is" in again.stderr and path.read_text() == text
    for words in (("--out", "no/such.yaml"), ("--parameters", "[]"), ("--parameters", '{"x": 1}')):
        wrong = run(tmp_path, "--from", "arm.py:Arm", *words)
        assert wrong.returncode == 2 and "Traceback" not in wrong.stderr, wrong


def test_each_joint_has_the_limits_of_its_unit_and_its_device(tmp_path: Path) -> None:
    (tmp_path / "arm.py").write_text(DRIVER)
    assert run(tmp_path, "--from", "arm.py:Arm", "--out", "arm.yaml").returncode == 0
    joints = (Joint("base", -1.25, 1.5, velocity=0.5), Joint("lift", 0.0, 0.3, "m", effort=40.0))
    spec = replace(SPEC, joints=(*joints, Joint("gripper", 0, 100, "%")))
    envelope = load_envelope(tmp_path / "arm.yaml", spec)
    np.testing.assert_array_equal(envelope.low, [-1.25, 0, 0])
    np.testing.assert_array_equal(envelope.high, [1.5, 0.3, 100])
    np.testing.assert_array_equal(envelope.velocities, [0.5, 0.25, 100])
    np.testing.assert_array_equal(envelope.accelerations, [50, 25, 10_000])
    np.testing.assert_array_equal(envelope.jerks, [5_000, 2_500, 1_000_000])
    np.testing.assert_array_equal(envelope.effort, [np.inf, 40, np.inf])
    np.testing.assert_array_equal(envelope.start_distances, [0.1, 0.02, 5])
    np.testing.assert_array_equal(envelope.tracking_errors, [0.3, 0.05, 30])
    text = (tmp_path / "arm.yaml").read_text()
    assert text.isascii() and max(map(len, text.splitlines())) < 130
    assert all(f"# {key} " in text for key in ("position", "effort", "tracking_error"))


def test_a_robot_of_actions_has_no_limits_of_motion(tmp_path: Path) -> None:
    joints = (Joint('a "b": #', -0.1, 0.1, "1"),)
    spec = replace(SPEC, name="two\nlines", joints=joints, command="action")
    (tmp_path / "e.yaml").write_text(draft(spec))
    envelope = load_envelope(tmp_path / "e.yaml", spec)
    np.testing.assert_allclose(envelope.velocities, [10.0])
    assert (envelope.tracking_errors == np.inf).all()


def test_joints_of_one_unit_share_two_numbers(tmp_path: Path) -> None:
    text = draft(SPEC)
    assert "start_distance: 0.1\ntracking_error: 0.3\n" in text
    (tmp_path / "e.yaml").write_text(text)
    np.testing.assert_array_equal(load_envelope(tmp_path / "e.yaml", SPEC).tracking_errors, [0.3])


@pytest.mark.parametrize("joint", [Joint("base", -np.inf, 1.0), Joint("base", 0, np.nan)])
def test_a_joint_without_a_range_is_refused(joint: Joint) -> None:
    with pytest.raises(SetupError, match="base: the driver gives no finite range"):
        draft(replace(SPEC, joints=(joint,)))


def test_a_position_of_an_unknown_unit_is_refused() -> None:
    with pytest.raises(SetupError, match="joint base has the unit '1'"):
        draft(replace(SPEC, joints=(Joint("base", -1, 1, "1"),)))


def test_of_a_twin_the_envelope_is_written_by_starting_it(tmp_path: Path) -> None:
    model, config = tmp_path / "arm.xml", tmp_path / "agent.yaml"
    model.write_text(
        "<mujoco><worldbody><body><joint name='hip' axis='0 0 1' damping='1'/>"
        "<geom type='capsule' fromto='0 0 0 .2 0 0' size='.02' mass='1'/></body></worldbody>"
        "<actuator><position name='hip' joint='hip' kp='20' ctrlrange='-1.2 1.4'/></actuator>"
        "</mujoco>"
    )
    config.write_text(
        "address: tcp://127.0.0.1:5555\nenvelope: envelope.yaml\njournal: journal\n"
        f"driver: {{name: mujoco_twin, socket: {tmp_path / 'twin.sock'}}}\n"
    )
    asked = run(tmp_path, "--from", "agent.yaml")
    assert asked.returncode != 0 and "robo-al-agent twin AGENT.yaml --model MJCF" in asked.stderr
    written = run(tmp_path, "--from", "agent.yaml", "--model", "arm.xml")
    assert written.returncode == 0, written.stderr
    assert "position: [-1.2, 1.4]" in (tmp_path / "envelope.yaml").read_text()
    driver = run(tmp_path, "--from", "arm.py:Arm", "--model", "arm.xml")
    assert driver.returncode != 0 and "--model is for the AGENT.yaml of a twin" in driver.stderr


def test_an_envelope_that_is_not_there_is_said_how_to_be_had(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="there is no envelope yet; write a first one"):
        load_envelope(tmp_path / "envelope.yaml", SPEC)
