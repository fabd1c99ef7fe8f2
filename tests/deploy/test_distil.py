from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from robo_al import load_config
from robo_al.build import parts_of
from robo_al.campaign.settings import Parts
from robo_al.deploy import distil as distilling
from robo_al.deploy.distil import Student, distil, play
from robo_al.types import MEAN

PARTS = [
    "--policy", "robo_al.testing:FakePolicy", "--policy.streamed", "true",
    "--explorer", "robo_al.testing:FakePolicy", "--model", "robo_al.testing:FakeModel",
    "--oracle", "robo_al.testing:FakeOracle", "--device", "cpu",
]  # fmt: skip


class Feedback:
    """A policy that is a known function of the observation."""

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.clip(np.stack([-observations[:, 0], observations[:, 1]], axis=1), -1, 1)

    def start(self, model: object, members: object, seeds: object) -> "Feedback":
        return self


@pytest.fixture(scope="module")
def parts() -> Parts:
    return parts_of(load_config("robo_al.testing:FakeEnv", PARTS))


def test_a_network_imitates_and_its_graph_does_the_same(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distilling, "STEPS", 600)
    told = list[str]()
    made = distil(replace(parts, policy=Feedback()), 4, told.append)  # type: ignore[arg-type]
    assert made.returns.shape == made.planner_returns.shape == (4,)
    np.testing.assert_allclose(made.returns, made.planner_returns, atol=0.2)
    assert len(told) == distilling.PASSES + 1 and told[-1].startswith("measuring")
    session = onnxruntime.InferenceSession(made.graph)
    again, _ = play(parts.task, _Onnx(session), range(4))
    np.testing.assert_allclose(again, made.returns, atol=1e-4)


class _Onnx:
    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session

    def act(self, observations: np.ndarray) -> np.ndarray:
        given = {"observation": observations.astype(np.float32)}
        return np.asarray(self._session.run(None, given)[0], dtype=np.float64)


def test_what_is_measured_is_what_an_oracle_measures(parts: Parts) -> None:
    """Of the same policy and starts, the returns are those of an evaluation."""
    from robo_al.oracles.simulation import SimulationOracle
    from robo_al.testing import resolver
    from robo_al.types import Candidate, ClosedLoop

    policy = Feedback()
    oracle = SimulationOracle(parts.task.env)
    oracle.resolve = resolver(policy, parts.model)  # type: ignore[arg-type]
    for i, context in enumerate(parts.contexts_from(range(3))):
        oracle.submit(Candidate(context, ClosedLoop(MEAN), parts.task.horizon, 0, str(i)))
    found = {outcome.candidate_id: outcome.result for outcome in oracle.poll()}
    oracle.close()
    wanted = [found[str(i)].total_reward for i in range(3)]  # type: ignore[union-attr]
    np.testing.assert_allclose(play(parts.task, policy, range(3))[0], wanted)


def test_a_rollout_that_has_ended_is_not_learned_from(tmp_path: Path) -> None:
    (tmp_path / "short.py").write_text(
        "from robo_al.testing import FakeEnv\n"
        "class Short(FakeEnv):\n"
        "    steps = 0\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        self.steps, self.last = 0, 3 + (seed or 0)\n"
        "        return super().reset(seed=seed, options=options)\n"
        "    def step(self, action):\n"
        "        self.steps += 1\n"
        "        assert self.steps <= self.last\n"
        "        observation, reward, _, *rest = super().step(action)\n"
        "        return observation, reward, self.steps == self.last, *rest\n"
    )
    short = parts_of(load_config(f"{tmp_path / 'short.py'}:Short", PARTS))
    returns, going = play(short.task, Feedback(), range(3))
    assert [int(sum(row)) for row in np.transpose(going)] == [3, 4, 5]
    assert np.isfinite(returns).all()


def test_the_same_rollouts_make_the_same_network(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distilling, "STEPS", 50)
    rng = np.random.default_rng(0)
    observations, actions = rng.normal(size=(100, 3)), rng.uniform(-1, 1, (100, 2))
    graphs = list[bytes]()
    for _ in range(2):
        student = Student(parts.task)
        student.fit(observations, actions)
        graphs.append(student.graph())
    assert graphs[0] == graphs[1]
