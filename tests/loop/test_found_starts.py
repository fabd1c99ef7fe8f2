"""Tasks whose starts cannot be asked for: looked at, chosen for, recorded as they were."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
from robo_al.checks import check_plugin
from robo_al.config.schema import Config
from robo_al.dataset.events import Event, Noted, RolloutDone
from robo_al.dataset.ledger import EvaluationRow, RolloutRow
from robo_al.errors import PluginError, UserError
from robo_al.types import Candidate, Context, EnvSpec, Failure, OpenLoop, Trajectory

ENV = f"{Path(__file__).with_name('found_env.py')}:Wandering"


def wandering(**changes: Any) -> Config:
    parts = {
        "env": ENV,
        "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
        "explorer": "robo_al.testing:FakePolicy",
        "model": "robo_al.testing:FakeModel",
    }
    numbers = {"candidates": 4, "rounds": 3, "evaluation": {"starts": 2}}
    return Config.model_validate({"device": "cpu"} | parts | numbers | changes)


def turn(folder: Path, emit: Any = lambda event: None, **changes: Any) -> None:
    config = wandering(**changes)
    begun = (folder / "config.yaml").exists()
    made = open_campaign(folder) if begun else create_campaign(config, folder)
    with made as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, emit)


@pytest.mark.parametrize("oracle", ["simulation", "gymnasium"])
def test_the_ledger_says_where_each_rollout_really_began(tmp_path: Path, oracle: str) -> None:
    events: list[Event] = []
    turn(tmp_path / "run", events.append, oracle=oracle)
    with open_campaign(tmp_path / "run") as campaign:
        rows = campaign.dataset.ledger.rows(RolloutRow)
        for row in rows:
            start = json.loads(row.context)
            trajectory = campaign.dataset.trajectory(row)
            assert start["found"] and row.state == "recorded"
            assert start["observation"] == trajectory.observations[0].tolist()
        for evaluation in campaign.dataset.ledger.rows(EvaluationRow):
            kept = campaign.dataset.evaluation(evaluation)
            assert len(kept) == 2
            for context, trajectory, failure in kept:
                assert context.found and failure is None
                np.testing.assert_array_equal(context.observation, trajectory.observations[0])
    assert len(rows) == 3
    assert load_run_config(tmp_path / "run").starts == "found"
    (note,) = [event.text for event in events if isinstance(event, Noted)]
    assert "does not start where a seed asks it to" in note


def test_an_env_is_reset_as_often_as_there_are_rollouts(tmp_path: Path) -> None:
    from robo_al.plugins import load

    config = wandering()
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        kind = load("envs", ENV)
        before = kind.resets
        loop.run(campaign, oracle, lambda event: None)
        assert kind.resets - before == 3 + 3 * 2  # trained on, and evaluated


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rollouts_per_round": 2}, "rollouts_per_round is 2; set it to 1"),
        ({"initial_rollouts": 3}, "initial_rollouts is 3; set it to 1"),
        ({"loop": {"mode": "overlapped"}}, "loop.mode is overlapped; set it to sequential"),
    ],
)
def test_what_needs_several_starts_at_once_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        create_campaign(wandering(**changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Stop(Exception):
    """Stands for whatever ends a process."""


def test_a_rollout_whose_start_is_gone_is_not_run_from_elsewhere(tmp_path: Path) -> None:
    config = wandering()
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        campaign.look = oracle.look  # type: ignore[attr-defined]
        (candidate,) = campaign.select()  # and then the process dies
    turn(tmp_path / "run")
    with open_campaign(tmp_path / "run") as campaign:
        first, *others = campaign.dataset.ledger.rows(RolloutRow)
    assert (first.id, first.state) == (candidate.id, "aborted")
    assert "no longer at the start that was found" in (first.reason or "")
    assert [row.state for row in others] == ["recorded", "recorded"]


def test_a_campaign_by_hand_is_told_the_start_that_is_there(tmp_path: Path) -> None:
    with create_campaign(wandering(), tmp_path / "run") as campaign:
        with pytest.raises(UserError, match=r"ask\(contexts=\[...\]\)"):
            campaign.ask()
        here = Context(np.array([0.5, -0.5]), seed=7, found=True)
        (candidate,) = campaign.ask(contexts=[here])
        assert candidate.context.found
        np.testing.assert_array_equal(candidate.context.observation, here.observation)


def test_an_env_that_is_asked_again_is_at_the_new_start_only() -> None:
    with make_oracle(wandering()) as oracle:
        (gone,) = oracle.look([1])  # type: ignore[attr-defined]
        here = oracle.look([2, 3])  # type: ignore[attr-defined]
        plan = OpenLoop(np.zeros((2, 1)))
        for i, context in enumerate([here[1], gone, here[0]]):
            oracle.submit(Candidate(context, plan, 2, 0, id=f"{i}"))
        second, failure, first = [outcome.result for outcome in oracle.poll()]
        assert isinstance(failure, Failure) and failure.kind == "aborted"
        for context, result in ((here[1], second), (here[0], first)):
            assert isinstance(result, Trajectory)
            np.testing.assert_array_equal(result.observations[0], context.observation)


def test_of_several_workers_none_can_be_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="set oracle.workers to 1"):
        config = wandering(oracle={"name": "gymnasium", "workers": 2})
        create_campaign(config, tmp_path / "run")


def test_an_oracle_that_cannot_look_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="it needs a method `look`"):
        create_campaign(wandering(oracle="robo_al.testing:FakeOracle"), tmp_path / "run")


def test_the_check_finds_such_an_env() -> None:
    notes = check_plugin("envs", ENV, {}, EnvSpec(ENV)).notes
    (note,) = [text for text in notes if "start" in text]
    assert "does not start where a seed asks it to" in note


def test_a_task_that_is_asked_for_its_starts_says_so(tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, RolloutDone):
            raise Stop

    config = wandering(env="robo_al.testing:FakeEnv")
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        with pytest.raises(Stop):
            loop.run(campaign, oracle, stop)
        (row,) = campaign.dataset.ledger.rows(RolloutRow)
    assert "found" not in json.loads(row.context)
    assert load_run_config(tmp_path / "run").starts == "asked"
