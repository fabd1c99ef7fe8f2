"""Training rollouts get longer once they tell little: told, to the bit, and only where due."""

from dataclasses import fields, replace
from math import log

import gymnasium
import numpy as np
import pytest

from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.campaign.lengths import lengthened
from robo_al.config.schema import Config
from robo_al.config.settings import Settings
from robo_al.dataset.events import Lengthened
from robo_al.dataset.ledger import RolloutRow
from robo_al.loop.sequential import run
from robo_al.testing import fake_task

TASK = replace(fake_task(), horizon=180)
OUTPUTS = 2
"""Of that task, whose goal is not predicted."""


class Line(gymnasium.Env):
    """A point that is pushed along a line: a handful of steps tell everything."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,))
    action_space = gymnasium.spaces.Box(-1, 1, (1,))
    horizon = 180

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.normal(size=1)
        return self.place.astype(np.float32), {}

    def step(self, action):
        self.place = self.place + 0.1 * action
        return self.place.astype(np.float32), -float(abs(self.place[0])), False, False, {}


def campaign_of(folder, rounds):
    parts = {
        "env": f"{__file__}:Line",
        "policy": "robo_al.testing:FakePolicy",
        "model": "robo_al.testing:FakeModel",
    }
    numbers = {"rounds": rounds, "evaluation": {"every": 0}, "device": "cpu"}
    config = Config.model_validate(parts | numbers)
    if (folder / "config.yaml").exists():
        return open_campaign(folder, ["--rounds", str(rounds)]), make_oracle(config)
    return create_campaign(config, folder), make_oracle(config)


def rows_of(folder, rounds, events):
    campaign, oracle = campaign_of(folder, rounds)
    with campaign, oracle as executing:
        run(campaign, executing, events.append)
        return campaign.dataset.ledger.rows(RolloutRow)


def test_rollouts_that_tell_little_get_longer_and_a_resumed_campaign_has_the_same(tmp_path):
    events = []
    straight = rows_of(tmp_path / "straight", 5, events)
    rows_of(tmp_path / "resumed", 3, [])
    resumed = rows_of(tmp_path / "resumed", 5, [])
    assert [row.horizon for row in straight] == [50, 50, 100, 180, 180]
    told = [event for event in events if isinstance(event, Lengthened)]
    assert told == [Lengthened(3, 100, 8), Lengthened(4, 180, 4)]
    assert [row.content_hash for row in straight] == [row.content_hash for row in resumed]
    assert [row.sha256 for row in straight] == [row.sha256 for row in resumed]


def rollout(**changes):
    told: dict[str, object] = {
        field.name: {int: 0, str: ""}.get(field.type) for field in fields(RolloutRow)
    }
    little = {"realised_information": 0.49 * log(2) * OUTPUTS * 50}
    lasted = {"state": "recorded", "horizon": 50, "steps": 50, "sequence": 1}
    return RolloutRow(**(told | lasted | little | changes))


def steps_after(*rollouts, task=TASK, **entries):
    settings = lengthened(Settings(**entries), task, rollouts, 1)
    return settings.steps(task), settings.candidates


@pytest.mark.parametrize(
    ("last", "steps"),
    [
        ({}, 100),
        ({"steps": 49}, 50),  # ended by itself
        ({"realised_information": 0.51 * log(2) * OUTPUTS * 50}, 50),
        ({"realised_information": None}, 50),  # the explorer's
        ({"state": "failed", "sequence": None, "steps": None}, 50),
    ],
)
def test_one_that_lasted_and_told_little_makes_the_next_ones_longer(last, steps):
    assert steps_after(rollout(**last)) == (steps, 16 * 50 // steps)


def test_nothing_gets_shorter_again_and_nothing_is_skipped():
    news = rollout(horizon=100, sequence=2, steps=20)
    assert steps_after(rollout(), news) == (100, 8)
    assert steps_after(rollout(sequence=2), replace(news, state="dispatched", sequence=None)) == (
        100,
        8,
    )


def test_the_horizon_is_the_longest_and_what_is_said_stays():
    assert steps_after(rollout(), task=replace(TASK, horizon=60)) == (60, 13)
    assert steps_after(rollout(), task=replace(TASK, horizon=50)) == (50, 16)
    assert steps_after(rollout(), rollout_steps=50) == (50, 16)
    assert steps_after(rollout(), task=replace(TASK, starts=9)) == (50, 16)
    assert steps_after(rollout(), candidates=1) == (100, 1)
