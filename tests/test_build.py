from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import (
    create_campaign,
    dry_run,
    load_run_config,
    make_oracle,
    open_campaign,
)
from robo_al.config.changes import differences
from robo_al.config.components import Component, arguments
from robo_al.config.load import load_config, resolve
from robo_al.config.schema import Config
from robo_al.dataset.events import Withheld
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.errors import ConfigError, PluginError, RunFolderError
from robo_al.testing import FakeOracle, FakePolicy


def fakes(**changes: Any) -> Config:
    """Return the configuration of a quick campaign of fakes."""
    parts = {
        "env": "robo_al.testing:FakeEnv",
        "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
        "explorer": "robo_al.testing:FakePolicy",
        "model": "robo_al.testing:FakeModel",
        "oracle": "robo_al.testing:FakeOracle",
    }
    numbers = {"candidates": 4, "contexts": 2, "rounds": 2, "evaluation": {"starts": 2}}
    return Config.model_validate({"device": "cpu"} | parts | numbers | changes)


def turn(config: Config, folder: Path) -> None:
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)


def test_a_campaign_is_what_its_configuration_says(tmp_path: Path) -> None:
    config = fakes(seed=5, rollouts_per_round=2, rollout_steps=7)
    with create_campaign(config, tmp_path / "run") as campaign:
        settings = campaign.settings
        assert (settings.seed, settings.rounds, settings.rollouts_per_round) == (5, 2, 2)
        assert (settings.evaluation.starts, settings.evaluation.every) == (2, 1)
        assert campaign.parts.device == "cpu"
        assert isinstance(campaign.parts.policy, FakePolicy) and campaign.parts.policy.streamed
        assert [c.horizon for c in campaign.ask(1)] == [7]


def test_the_record_says_what_was_used(tmp_path: Path) -> None:
    config = fakes()
    turn(config, tmp_path / "run")
    stored = load_run_config(tmp_path / "run")
    with open_campaign(tmp_path / "run") as campaign:
        rows = campaign.dataset.ledger.rows(RolloutRow)
    assert {row.config_hash for row in rows} == {stored.sha256()}
    assert [row.acquisition for row in rows] == ["explorer", "joint_information"]
    assert rows[1].selector == "greedy_joint"
    assert (rows[1].model, rows[1].oracle) == (config.model.name, config.oracle.name)
    for name in ("python", "robo-al", "torch", "mujoco", "gymnasium", "numpy"):
        assert f"{name} " in rows[0].versions


def test_the_stored_configuration_is_whole(tmp_path: Path) -> None:
    with create_campaign(fakes(), tmp_path / "run"):
        pass
    stored = load_run_config(tmp_path / "run")
    assert stored.strategy.selector == Component(name="greedy_joint")
    assert stored.threshold == -5.0  # the env's own
    assert stored.horizon == 10  # likewise
    assert stored.control_period == 0.1  # its `dt`
    assert stored.starts == "asked"  # as was found out
    known = ("threshold", "horizon", "control_period", "starts", "inputs")
    assert stored.inputs == {}  # nothing but what comes with robo-al
    assert stored.evaluation.kind == "full"  # the oracle is a simulation
    left_open: dict[str, Any] = dict.fromkeys(known)
    left_open["evaluation"] = stored.evaluation.model_copy(update={"kind": None})
    assert stored.model_copy(update=left_open) == resolve(fakes())


def test_a_recorded_configuration_is_that_which_left_open_what_was_filled_in() -> None:
    config = resolve(fakes(oracle="simulation"))
    filled_in = {"threshold": -5.0, "horizon": 10, "starts": "asked"}
    one_env = Component.model_validate({"name": "simulation", "envs": 1})
    recorded = config.model_copy(update=filled_in | {"oracle": one_env})
    assert differences(recorded, config) == {}
    for changes in ({"seed": 1}, {"horizon": 9}, {"starts": "found"}, {"threshold": -4.0}):
        assert list(differences(recorded, config.model_copy(update=changes))) == list(changes)
    two = Component.model_validate({"name": "simulation", "envs": 2})
    changed = differences(recorded, config.model_copy(update={"oracle": two}))
    assert changed == {"oracle.envs": (1, 2)}


@pytest.mark.parametrize(
    ("horizon", "starts"), [(10, 20), (200, 20), (400, 10), (1000, 4), (9999, 3)]
)
def test_a_long_horizon_is_evaluated_from_fewer_starts(
    tmp_path: Path, horizon: int, starts: int
) -> None:
    config = fakes(evaluation={}, horizon=horizon)
    with create_campaign(config, tmp_path / "run") as campaign:
        assert campaign.settings.evaluation.starts == starts
    stored = load_run_config(tmp_path / "run")
    assert stored.evaluation.starts == starts
    assert differences(stored, resolve(config)) == {}
    with open_campaign(tmp_path / "run") as campaign:
        assert campaign.settings.evaluation.starts == starts


def test_what_is_said_of_starts_is_done(tmp_path: Path) -> None:
    with create_campaign(fakes(horizon=5000, evaluation={"starts": 7}), tmp_path / "run"):
        assert load_run_config(tmp_path / "run").evaluation.starts == 7


def test_a_threshold_can_be_given(tmp_path: Path) -> None:
    turn(fakes(threshold=-100.0, rounds=5), tmp_path / "run")
    with open_campaign(tmp_path / "run") as campaign:
        assert campaign.parts.task.threshold == -100.0
        assert campaign.solved is not None
        assert len(campaign.dataset.ledger.rows(EvaluationRow)) == 2  # and it stopped there


def test_an_interrupted_campaign_goes_on(tmp_path: Path) -> None:
    turn(fakes(rounds=3), tmp_path / "whole")
    config = fakes(rounds=3)
    with create_campaign(config, tmp_path / "run") as campaign:
        campaign.ask(1)  # dispatched, and never answered
    with open_campaign(tmp_path / "run") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        digest = campaign.dataset.ledger.digest()
    with open_campaign(tmp_path / "whole") as campaign:
        assert campaign.dataset.ledger.digest() == digest


def test_what_is_no_run_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="no run here"):
        open_campaign(tmp_path)
    (tmp_path / "config.yaml").write_text("env: pendulum")
    with pytest.raises(RunFolderError, match="no run here"):
        open_campaign(tmp_path)


def test_cuda_where_there_is_none_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ConfigError, match="device: cuda"):
        create_campaign(fakes(device="cuda"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_auto_is_the_accelerator_where_there_is_one(tmp_path: Path) -> None:
    import torch

    with create_campaign(fakes(device="auto"), tmp_path / "run") as campaign:
        assert campaign.parts.device == ("cuda" if torch.cuda.is_available() else "cpu")


# ---------------------------------------------------------------- dry run


BROKEN = """
from dataclasses import replace

import torch
from robo_al.testing import FakeAcquisition, FakeEnv, FakeModel, FakeOracle, FakePolicy
from robo_al.acquisition.select import TopK


class Env(FakeEnv):
    def step(self, action):
        observation, reward, *rest = super().step(action)
        return observation, reward * float("nan"), *rest


class Policy(FakePolicy):
    def propose(self, n, contexts, horizon, model, rng):
        return super().propose(n - 1, contexts, horizon, model, rng)


class Explorer(FakePolicy):
    def propose(self, n, contexts, horizon, model, rng):
        raise KeyError("joint 7")


class Model(FakeModel):
    def predict(self, observations, actions):
        prediction = super().predict(observations, actions)
        return type(prediction)(prediction.mean * torch.nan, prediction.mean, prediction.mean)


class Acquisition(FakeAcquisition):
    def __call__(self, pool, rng):
        return super().__call__(pool, rng)[:-1]


class Selector(TopK):
    def __call__(self, acquisition, pool, k, rng):
        return super().__call__(acquisition, pool, k - 1, rng)


class Oracle(FakeOracle):
    def poll(self, timeout=None):
        return [replace(outcome, candidate_id="?") for outcome in super().poll(timeout)]


class Constructor(FakeModel):
    def __init__(self, task, device):
        raise OSError("no such camera")
"""


@pytest.mark.parametrize(
    ("part", "name", "message"),
    [
        ("env", "Env", r"Env\.step: a reward of nan"),
        ("policy", "Policy", r"Policy\.propose: 2 candidates, not n = 3"),
        ("explorer", "Explorer", r"Explorer\.propose: raised KeyError: 'joint 7'"),
        ("model", "Model", r"Model\.predict: .* not finite"),
        ("strategy.acquisition", "Acquisition", r"Acquisition\.__call__: scores has shape"),
        ("strategy.selector", "Selector", r"Selector\.__call__: 1 picks, not k = 2"),
        ("oracle", "Oracle", r"Oracle\.poll: answered '\?', which was not submitted"),
        ("model", "Constructor", "model .*Constructor: its constructor.*OSError: no such camera"),
    ],
)
def test_a_part_that_breaks_its_contract_is_refused_before_anything_is_written(
    tmp_path: Path, part: str, name: str, message: str
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    (first, _, second), spec = part.partition("."), f"{tmp_path}/broken.py:{name}"
    config = fakes(**{first: {second: spec} if second else spec})
    with pytest.raises(PluginError, match=message):
        create_campaign(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": {"acquisition": "greedy_return", "selector": "greedy_joint"}}, "joint"),
        ({"model": "true_dynamics", "env": "gymnasium:Reacher-v5", "policy": "icem"}, "dynamics"),
    ],
)
def test_parts_that_do_not_go_together_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((PluginError, ConfigError), match=message):
        create_campaign(fakes(oracle="simulation", **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Robot(FakeOracle):
    """An oracle whose rollouts cannot be undone."""

    repeatable = False

    def submit(self, candidate: Any) -> None:
        raise AssertionError("nothing is to be executed in a dry run")


def test_a_rehearsal_moves_no_robot() -> None:
    dry_run(fakes(oracle=f"{__file__}:Robot"))


def test_a_rehearsal_leaves_the_number_of_threads_as_it_was() -> None:
    import torch

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        dry_run(fakes())
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_default_parts_go_together(tmp_path: Path) -> None:
    path = tmp_path / "minimal.yaml"
    path.write_text("env: pendulum")
    dry_run(load_config(path))


# ---------------------------------------------------------------- parameters


class Gadget:
    """Parameters of all simple kinds."""

    def __init__(
        self,
        env: object,
        gains: tuple[float, ...],
        mode: "str | None" = None,
        limits: dict[str, float] | None = None,
        table: np.ndarray | None = None,
        plain=3,  # type: ignore[no-untyped-def]
    ) -> None:
        self.gains = gains


def gadget(**parameters: Any) -> dict[str, Any]:
    return arguments("oracles", Component(name=f"{__file__}:Gadget", **parameters))


def test_parameters_become_what_the_constructor_says() -> None:
    found = gadget(gains=[1, 2.5], limits={"x": 1}, plain="anything")
    assert found == {"gains": (1.0, 2.5), "limits": {"x": 1.0}, "plain": "anything"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "gains: missing"),
        ({"gains": [1, "2"]}, r"gains\.1: expected a number, given \"2\""),
        ({"gains": 1}, "gains: expected"),
        ({"gains": [], "env": 1}, "env: .* has no such parameter"),
        ({"gains": [], "mod": "x"}, "mod: .*did you mean mode?"),
        ({"gains": [], "mode": 3}, "mode"),
        ({"gains": [], "limits": {"x": None}}, r"limits\..*x: expected a number, given null"),
    ],
)
def test_wrong_parameters_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        gadget(**parameters)


# ---------------------------------------------------------------- strategies


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ("ucb", "imagination_members: 4"),
        ({"cost": {"name": "seconds", "budget": 0.1}}, "one rollout of 10 steps takes 1 s"),
        ({"constraint": {"delta": 0.01, "draws": 20}}, "take more draws"),
    ],
)
def test_a_strategy_that_cannot_work_is_refused_before_anything_is_written(
    tmp_path: Path, strategy: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        create_campaign(fakes(strategy=strategy), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_without_covariance_is_refused_by_name(tmp_path: Path) -> None:
    config = load_config("pendulum", ["--model", "true_dynamics", "--strategy", "k_center"])
    with pytest.raises(ConfigError, match="k_center needs a model that knows"):
        create_campaign(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_costs_and_risks_are_recorded(tmp_path: Path) -> None:
    strategy = {"cost": {"name": "seconds", "reset": 2.0}, "constraint": {"delta": 0.9}}
    turn(fakes(strategy=strategy, rollouts_per_round=2, rounds=3), tmp_path / "run")
    with open_campaign(tmp_path / "run") as campaign:
        rows = [row for row in campaign.dataset.ledger.rows(RolloutRow) if row.rank is not None]
    assert rows and all(row.predicted_seconds == pytest.approx(3.0) for row in rows)
    assert all(row.predicted_risk is not None and row.predicted_risk <= 0.9 for row in rows)
    assert {row.strategy for row in rows} == {"joint_information+per_seconds+constrained"}


def test_nothing_is_explored_where_nothing_is_allowed(tmp_path: Path) -> None:
    """Every candidate starts beyond what is allowed: rounds after the first run nothing."""
    env = tmp_path / "cliff.py"
    env.write_text(
        "from robo_al.testing import FakeEnv\n"
        "class Cliff(FakeEnv):\n"
        "    def constraint(self, observation, action, next_observation):\n"
        "        return 1.0 + 0 * next_observation[..., 0]\n"
    )
    events: list[Any] = []
    config = fakes(env=f"{env}:Cliff", strategy={"constraint": {"delta": 0.5}}, rounds=3)
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, events.append)
        assert campaign.finished and len(campaign.dataset) == 1
    withheld = [event for event in events if isinstance(event, Withheld)]
    assert [(event.round, event.rollouts) for event in withheld] == [(2, 1), (3, 1)]
