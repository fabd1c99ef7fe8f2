from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robo_al import create_campaign, load_config, make_oracle
from robo_al.campaign.campaign import Campaign
from robo_al.types import Context, Failure, OpenLoop, Outcome, Trajectory

ENTRIES = {
    "env": "robo_al.testing:FakeEnv",
    "policy": '{name: "robo_al.testing:FakePolicy", streamed: true}',
    "explorer": "robo_al.testing:FakePolicy",
    "model": "robo_al.testing:FakeModel",
    "oracle": "robo_al.testing:FakeOracle",
    "candidates": "4",
}


@pytest.fixture
def campaign(tmp_path: Path) -> Iterator[Campaign]:
    text = "".join(f"{key}: {value}\n" for key, value in ENTRIES.items())
    (tmp_path / "fake.yaml").write_text(text)
    with create_campaign(load_config(tmp_path / "fake.yaml"), tmp_path / "run") as made:
        yield made


def test_arrays_are_told_by_their_shapes() -> None:
    assert repr(OpenLoop(np.zeros((50, 2)))) == "OpenLoop(actions: [50, 2])"
    context = Context(np.zeros(3), 7, {"goal": (0.5,)})
    assert repr(context) == "Context(observation: [3], seed=7, options={'goal': (0.5,)})"
    ended = Trajectory(np.zeros((3, 3)), np.zeros((2, 1)), np.zeros((2, 1)), np.ones(2), True)
    told = "Trajectory(2 steps, total_reward=2, observations: [3, 3], actions: [2, 1], terminated)"
    assert repr(ended) == told
    assert told in repr(Outcome("r1", Failure("failed", "the arm is hot", ended), 1.0))


def test_what_a_notebook_shows_is_short_and_says_something(campaign: Campaign) -> None:
    task = campaign.parts.task
    assert repr(task).startswith("Task(env=EnvSpec(name='robo_al.testing:FakeEnv'")
    assert "channels: 3, action_low: [2]" in repr(task) and "horizon=10" in repr(task)
    (candidate,) = campaign.ask()
    assert "id='r0001-00'" in repr(candidate) and "OpenLoop(actions: [10, 2])" in repr(candidate)
    with make_oracle(load_config(campaign.dataset.folder / "config.yaml")) as oracle:
        oracle.submit(candidate)
        campaign.tell(oracle.poll()[0])
    (streamed,) = campaign.ask()
    assert "ClosedLoop(member=" in repr(streamed)
    told = repr(campaign)
    assert "FakeEnv, round 2 of 10, rollouts: 1, transitions: 10)" in told
    for value in (task, candidate, streamed, campaign):
        assert len(repr(value)) < 400 and "array(" not in repr(value)
    campaign.close()
    assert repr(campaign).endswith("FakeEnv, closed)")


def test_a_configuration_tells_what_is_not_as_by_default() -> None:
    config = load_config("pendulum", ["--model.samples", "8"])
    assert "env=pendulum, " in repr(config) and "model=gp(samples=8)" in repr(config)
    assert "seed" not in repr(config) and "oracle" not in repr(config)
