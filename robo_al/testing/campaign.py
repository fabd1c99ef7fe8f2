"""A campaign of fakes: every station real enough to turn the loop in a tenth of a second."""

from typing import Any

from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.select import GreedyJoint
from robo_al.acquisition.strategy import Strategy
from robo_al.campaign.settings import Parts
from robo_al.config.settings import Loop, Settings
from robo_al.tasks import contexts_from, describe
from robo_al.testing.env import FAKE_ENV, FakeEnv
from robo_al.testing.model import FakeModel
from robo_al.testing.policy import FakePolicy


def fake_parts(streamed: bool = True) -> Parts:
    """Return parts on a `FakeEnv`; `streamed` says what candidates the policy proposes."""
    env = FakeEnv()
    task = describe(env, FAKE_ENV)
    return Parts(
        task=task,
        contexts_from=lambda seeds: contexts_from(env, seeds),
        explorer=FakePolicy(task),
        policy=FakePolicy(task, streamed=streamed),
        model=FakeModel(task),
        strategy=Strategy(JointInformation(steps=4), GreedyJoint()),
        device="cpu",
        provenance={
            "strategy": "joint_information",
            "acquisition": "joint_information",
            "selector": "greedy_joint",
            "policy": "fake_policy",
            "explorer": "fake_policy",
            "model": "fake_model",
            "oracle": "fake_oracle",
            "config_hash": "0" * 64,
            "versions": "{}",
        },
    )


def turns(queue: int | None) -> Loop:
    """Return how selecting and executing take turns, with so many rounds that wait, or none."""
    return Loop() if queue is None else Loop(mode="overlapped", queue=queue)


def fake_settings(**entries: Any) -> Settings:
    """Return the numbers of a campaign that is over at once.

    Args:
        entries: otherwise than there, as in a configuration.
    """
    numbers = {
        "rounds": 3,
        "rollouts_per_round": 2,
        "rollout_steps": 5,
        "candidates": 4,
        "contexts": 2,
        "evaluation": {"starts": 2},
        "stop_when_solved": False,
    }
    return Settings.model_validate(numbers | entries)


FAKE_SETTINGS = fake_settings()
"""Of a campaign that is over at once."""
