"""Ends that are learned: against the rule that made them, and in whole campaigns."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from robo_al import loop
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.config.schema import Config
from robo_al.dataset.ledger import RolloutRow
from robo_al.models.ends import LearnedEnds, learn_ends, termination_of
from robo_al.models.ensemble import Ensemble
from robo_al.models.feature_map import FeatureMap
from robo_al.models.gp import GaussianProcess
from robo_al.models.resident import Resident
from robo_al.testing import FakeModel, fake_task, random_transitions
from robo_al.types import Channel, Transitions

TASK = fake_task()
INPUTS = FeatureMap.of(TASK)
CPU = torch.device("cpu")
MODELS = {
    "gp": lambda: GaussianProcess(TASK, samples=2, frequencies=8, fit_steps=3),
    "ensemble": lambda: Ensemble(TASK, members=2, hidden=4, layers=1, max_steps=10),
    "fake": lambda: FakeModel(TASK),
}


def walk(rng, rule, steps=400) -> Transitions:
    """Return steps all over the place, each of which ends a rollout where the rule says so."""
    before, after = rng.normal(size=(2, steps, 3))
    actions = rng.uniform(-1, 1, (steps, 2))
    return Transitions(before, actions, after, np.zeros(steps), np.arange(steps), rule(after))


def learned(data: Transitions) -> LearnedEnds | None:
    return LearnedEnds.of(INPUTS, learn_ends(INPUTS, Resident(CPU)(data)))


RULES = {
    "half_space": lambda x: x[:, 0] > 1.0,
    "band": lambda x: abs(x[:, 0]) > 1.2,
    "ball": lambda x: (x[:, :2] ** 2).sum(1) > 3.0,
    "slope": lambda x: x[:, 0] + 0.5 * x[:, 1] < -1.0,
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_common_rules_are_learned_from_some_ends(rule):
    rng = np.random.default_rng(0)
    ends = learned(walk(rng, rule))
    test = walk(rng, rule, 2000)
    found = ends(test.observations, test.actions, test.next_observations)
    assert test.terminated.sum() > 100
    assert (found != test.terminated).mean() < 0.03


def test_arrays_and_tensors_of_any_shape_and_kind_get_the_same_answer():
    rng = np.random.default_rng(1)
    ends = learned(walk(rng, RULES["band"]))
    o, a, after = rng.normal(size=(4, 5, 3)), rng.normal(size=(4, 5, 2)), rng.normal(size=(4, 5, 3))
    found = ends(o, a, after)
    assert found.dtype == bool and found.shape == (4, 5) and found.any() and not found.all()
    for kind in (torch.float64, torch.float32):
        tensors = [torch.as_tensor(x).to(kind) for x in (o, a, after)]
        assert ends(*tensors).dtype == torch.bool
        np.testing.assert_array_equal(ends(*tensors).numpy(), found)


def test_the_data_alone_decide():
    data = walk(np.random.default_rng(2), RULES["ball"])
    one, other = (learn_ends(INPUTS, Resident(CPU)(data)) for _ in range(2))
    assert one.keys() == other.keys() and len(one) > 0
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_a_model_learns_ends_saves_them_and_takes_them_up(make):
    rng = np.random.default_rng(3)
    data = walk(rng, RULES["half_space"], 60)
    model, other = make(), make()
    model.fit(data, np.random.default_rng(0))
    other.fit(random_transitions(rng), np.random.default_rng(0))
    without = other.state_dict()
    assert other.termination is None  # no rollout of it ended by itself
    assert termination_of(TASK, other) is None
    other.load_state_dict({key: value.clone() for key, value in model.state_dict().items()})
    inputs = data.observations, data.actions, data.next_observations
    found = termination_of(TASK, model)(*inputs)
    np.testing.assert_array_equal(termination_of(TASK, other)(*inputs), found)
    assert (found == data.terminated).mean() > 0.95
    other.load_state_dict(without)
    assert other.termination is None


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
def test_ends_change_nothing_else_of_a_model(make):
    rng = np.random.default_rng(4)
    data = walk(rng, RULES["half_space"], 40)
    going_on = replace(data, terminated=np.zeros(40, dtype=bool))
    models = []
    for each in (data, going_on):
        models.append(make())
        models[-1].fit(each, np.random.default_rng(0))
    one, other = (model.state_dict() for model in models)
    assert set(one) > set(other)
    assert all(torch.equal(one[key], other[key]) for key in other)


def test_what_the_task_says_is_not_learned():
    def says(observation: Any, action: Any, following: Any) -> Any:
        return following[..., 0] > 5

    task = replace(TASK, termination=says)
    model = FakeModel(task)
    model.fit(walk(np.random.default_rng(5), RULES["band"]), np.random.default_rng(0))
    assert model.termination is None
    assert termination_of(task, model) is says


# ---------------------------------------------------------------- in a campaign


class Falling(gymnasium.Env[Any, Any]):
    """A mass that is pushed off a table: it ends where it is beyond the edge, at 1 m."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(0.5, 1.5, (1,), np.float64)
    channels = (Channel("position", "m"), Channel("speed", "m/s"))
    horizon, dt = 30, 0.1

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-0.1, 0.1, 2)
        return self.state.copy(), {}

    def step(self, action: Any) -> Any:
        position, speed = self.state
        self.state = np.array([position + 0.1 * speed, speed + 0.1 * float(action[0])])
        return self.state.copy(), 1.0, bool(self.state[0] > 1), False, {}


class SaidToFall(Falling):
    def termination(self, observation: Any, action: Any, next_observation: Any) -> Any:
        return next_observation[..., 0] > 1


def rows_of(env: type[Falling], folder: Path, **changes: Any) -> list[RolloutRow]:
    parts = {
        "env": f"{__file__}:{env.__name__}",
        "policy": "robo_al.testing:FakePolicy",
        "explorer": "robo_al.testing:FakePolicy",
        "model": "robo_al.testing:FakeModel",
    }
    numbers = {"candidates": 3, "contexts": 1, "evaluation": {"every": 0}, "device": "cpu"}
    config = Config.model_validate(parts | numbers | {"rounds": 6} | changes)
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        return campaign.dataset.ledger.rows(RolloutRow)


@pytest.mark.parametrize("env", [SaidToFall, Falling], ids=["said", "learned"])
def test_the_information_that_is_predicted_is_of_the_steps_that_are_realised(env, tmp_path):
    rows = rows_of(env, tmp_path / "run")[2:]  # a first one ended, and is learned from
    assert all(row.steps < row.horizon for row in rows)
    for row in rows[1:]:
        assert row.predicted_information == pytest.approx(row.realised_information, rel=0.25)


def test_a_rollout_that_was_cut_off_is_no_end(tmp_path):
    rows = rows_of(Falling, tmp_path / "run", rollout_steps=5)
    assert [row.steps for row in rows] == [5] * 6
    with open_campaign(tmp_path / "run") as campaign:
        assert not campaign.dataset.transitions().terminated.any()
        campaign.learner.recover(6)
        assert campaign.parts.model.termination is None


def test_the_dataset_says_which_steps_ended(tmp_path):
    rows = rows_of(Falling, tmp_path / "run", rounds=3)
    with open_campaign(tmp_path / "run") as campaign:
        data = campaign.dataset.transitions()
        assert (
            np.flatnonzero(data.terminated).tolist()
            == (np.cumsum([row.steps for row in rows]) - 1).tolist()
        )
        taken_up = campaign.parts.model.termination
        assert taken_up is not None
        np.testing.assert_array_equal(
            taken_up(data.observations, data.actions, data.next_observations), data.terminated
        )
