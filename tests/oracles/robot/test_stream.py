"""A policy at the host that answers samples, without an agent and without a socket."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest

from robo_al.oracles.robot.embodiment import Embodiment
from robo_al.oracles.robot.stream import PolicyStream, Samples
from robo_al.plugins import make_env
from robo_al.protocols import Acting
from robo_al.tasks import describe
from robo_al.tasks.offers import offers_of
from robo_al.testing import FakeModel
from robo_al.types import Candidate, ClosedLoop, Context, EnvSpec
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.protocol.wire import Message

TASK = EnvSpec(f"{Path(__file__).with_name('slider_env.py')}:SliderEnv", {})
CONTEXT = Context(np.zeros(4), 7, {"joints": (0.0, 0.0), "goal": (0.2, 0.3)})
CANDIDATE = Candidate(CONTEXT, ClosedLoop(0), 8, 3, "c0")
PATIENCE = 60.0


class Towards:
    """A policy whose actions are what it observes of the joints, times a factor."""

    def __init__(self, factor: float) -> None:
        self._factor = factor

    def start(self, model: Any, members: Any, seeds: Any) -> "Towards":
        return self

    def act(self, observations: Any) -> Any:
        return self._factor * observations[:, :2]


class Bench:
    """A stream, and what it has answered: identifier on the wire, step and command."""

    def __init__(self) -> None:
        with closing(make_env(TASK)) as env:
            self._task, robot = describe(env, TASK), offers_of(env).robot
        joints = [{"name": name, "low": -1.0, "high": 1.0} for name in ("left", "right")]
        said = {"name": "slider", "joints": joints, "sensors": [], "command": "position"}
        self.samples, self.answers = Samples(), SimpleQueue[tuple[str, int, Any]]()
        embodiment = Embodiment(self._task, robot, said, Rate(0.001, 0.002, 0.003, 0, 500, 0.01))
        self.stream = PolicyStream(self.samples, embodiment, lambda *said: self.answers.put(said))

    def begin(self, name: str, factor: float) -> None:
        acting: Any = Acting(Towards(factor), FakeModel(self._task))  # type: ignore[arg-type]
        self.stream.begin(name, CANDIDATE, lambda controller: acting)

    def hear(self, name: str, step: int) -> None:
        """Let the stream take a sample: the next one does not make it an old one."""
        pose = np.full(2, 0.1)
        arrays = {"positions": pose, "velocities": pose, "sensors": np.zeros(0), "targets": pose}
        self.samples.put(Message("sample", {"id": name, "step": step}, arrays))
        self.wait(self.samples.empty)

    def wait(self, done: Callable[[], bool]) -> None:
        until = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < until
            time.sleep(0.001)


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.stream.close()


def test_each_sample_is_answered_with_the_target_that_the_action_commands(bench: Bench) -> None:
    bench.begin("run/c0", 2.0)
    for step in (0, 1):
        bench.hear("run/c0", step)
        name, answered, command = bench.answers.get(timeout=PATIENCE)
        assert (name, answered) == ("run/c0", step)
        np.testing.assert_allclose(command, 0.1 + 0.2 * 0.2)  # 0.2 rad/s for 0.2 s
    asked = bench.stream.end("run/c0")
    assert list(asked) == [0, 1]
    np.testing.assert_allclose(asked[1], 0.2)


def test_what_the_policy_asked_for_is_kept_and_what_may_be_sent_is_sent(bench: Bench) -> None:
    bench.begin("run/c0", 90.0)
    bench.hear("run/c0", 0)
    _, _, command = bench.answers.get(timeout=PATIENCE)
    np.testing.assert_allclose(command, 0.1 + 0.5 * 0.2)
    np.testing.assert_allclose(bench.stream.end("run/c0")[0], 9.0)


def test_samples_of_another_rollout_are_not_answered(bench: Bench) -> None:
    bench.begin("run/c0", 1.0)
    bench.hear("another/c0", 0)
    bench.hear("run/c0", 5)
    assert bench.answers.get(timeout=PATIENCE)[:2] == ("run/c0", 5)
    assert bench.answers.empty() and bench.stream.failure is None
    assert bench.stream.end("another/c0") == {}


def test_a_policy_that_fails_is_told(bench: Bench) -> None:
    bench.begin("run/c0", float("nan"))
    bench.hear("run/c0", 0)
    bench.wait(lambda: bench.stream.failure is not None)
    assert "not finite" in str(bench.stream.failure) and bench.answers.empty()


def test_what_comes_after_the_end_of_a_rollout_is_not_answered(bench: Bench) -> None:
    bench.begin("run/c0", 1.0)
    bench.begin("run/c1", 1.0)
    bench.stream.end("run/c0")
    bench.hear("run/c0", 0)
    bench.hear("run/c1", 3)
    assert bench.answers.get(timeout=PATIENCE)[:2] == ("run/c1", 3)
    assert bench.answers.empty() and bench.stream.failure is None
