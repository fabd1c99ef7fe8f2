"""Whole campaigns, by the command line or in this process, in envs that never heard of us."""

import json
import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, load_run_config, make_oracle
from robo_al.cli import main
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.dataset.dataset import Dataset
from robo_al.dataset.episodes import decode
from robo_al.dataset.events import Noted
from robo_al.dataset.ledger import EvaluationRow, RolloutRow

FOREIGN = Path(__file__).with_name("foreign_envs.py")
SMALL = {
    "rounds": 2,
    "candidates": 4,
    "contexts": 2,
    "rollout_steps": 5,
    "policy": {"name": "icem", "planning_horizon": 3, "samples": 8, "iterations": 1, "elites": 2},
    "model": {"name": "gp", "samples": 2, "frequencies": 16, "max_points": 20, "fit_steps": 3},
    "evaluation": {"starts": 2},
    "device": "cpu",
}


def run(folder, env, **changes):
    """Turn the loop; return the recorded rollouts by id, and what was noted."""
    env = env if ":" in str(env) else f"{FOREIGN}:{env}"
    config = Config.model_validate(SMALL | {"env": env} | changes)
    events = []
    with create_campaign(config, folder) as campaign, make_oracle(config) as oracle:
        loop.run(campaign, oracle, events.append)
    return recorded(folder), [event.text for event in events if isinstance(event, Noted)]


def recorded(folder):
    dataset = Dataset(folder)
    rows = dataset.ledger.rows(RolloutRow)
    evaluations = dataset.ledger.rows(EvaluationRow)
    dataset.close()
    assert {row.state for row in rows} == {"recorded"}, [row.reason for row in rows]
    assert all(row.mean_return is not None for row in evaluations) and evaluations
    episodes = {}
    for row in rows:
        (episodes[row.id],), _ = decode((folder / "episodes" / f"{row.id}.parquet").read_bytes())
        start = json.loads(row.context)["observation"]
        np.testing.assert_array_equal(episodes[row.id].observations[0], start)
    return episodes


ORACLES = ["simulation", "gymnasium"]


@pytest.mark.first(1)
@pytest.mark.parametrize("oracle", ORACLES)
def test_an_env_that_returns_its_own_array_is_as_one_that_does_not(tmp_path, oracle):
    one, _ = run(tmp_path / "buffer", "Buffer", oracle=oracle, rollouts_per_round=2)
    other, _ = run(tmp_path / "plain", "Plain", oracle=oracle, rollouts_per_round=2)
    for name, episode in one.items():
        np.testing.assert_array_equal(episode.observations, other[name].observations)
        np.testing.assert_array_equal(episode.actions, other[name].actions)


@pytest.mark.parametrize("oracle", ORACLES)
def test_what_is_broken_off_is_recorded_and_is_no_end(tmp_path, oracle):
    episodes, notes = run(tmp_path / "run", "Truncating", oracle=oracle)
    assert [(e.steps, e.terminated, e.truncated) for e in episodes.values()] == [
        (3, False, True)
    ] * 2
    assert notes == []


POLICIES = [
    SMALL["policy"],
    "random",
    "primitives",
    {"name": "sb3", "hidden": [8], "policies": 1, "worlds": 8, "updates_per_transition": 1},
]
MODELS = [
    SMALL["model"],
    {"name": "ensemble", "members": 2, "hidden": 8, "max_steps": 20},
]


@pytest.mark.first(3)
@pytest.mark.parametrize("policy", POLICIES, ids=["icem", "random", "primitives", "sb3"])
@pytest.mark.parametrize("model", MODELS, ids=["gp", "ensemble"])
def test_a_locked_joint_is_held(tmp_path, policy, model):
    more = {"strategy": "variance"} if model != SMALL["model"] else {}
    never = {"evaluation": {"starts": 2, "every": 0}} if policy == "random" else {}
    config = SMALL | {"env": f"{FOREIGN}:Locked", "policy": policy, "model": model} | more | never
    with create_campaign(Config.model_validate(config), tmp_path / "run") as campaign:
        made = campaign.settings
        with make_oracle(Config.model_validate(config)) as oracle:
            loop.run(campaign, oracle, lambda event: None)
        rows = campaign.dataset.ledger.rows(RolloutRow)
        transitions = campaign.dataset.transitions()
    assert len(rows) == made.rounds and {row.state for row in rows} == {"recorded"}
    assert any(row.rank is not None for row in rows), "the model chose none"
    assert (transitions.actions[:, 1] == 0.3).all()
    assert np.ptp(transitions.actions[:, 0]) > 0
    assert np.isfinite(transitions.next_observations).all()


@pytest.mark.first(3)
@pytest.mark.parametrize(
    "name", ["rescaled", "discounted", "stacked", "limited", "named", "Similar", "Honest"]
)
def test_a_wrapped_env_runs_and_passes_the_check(tmp_path, name, capsys):
    run(tmp_path / "run", name)
    assert main(["check", f"{FOREIGN}:{name}"]) == 0
    assert f"{name} keeps the contract of envs" in capsys.readouterr().out


def test_the_user_is_told_at_the_start_and_once(tmp_path, capsys):
    small = tmp_path / "small.yaml"
    small.write_text(json.dumps(SMALL | {"rounds": 1}))
    command = ["run", str(small), "--env", f"{FOREIGN}:Namesake", "--out", str(tmp_path / "run")]
    assert main(command) == 0
    _, _, title, *lines = capsys.readouterr().out.splitlines()
    assert "Namesake" in title
    assert "says no horizon; random actions were broken off after 3 steps" in lines[0]
    assert "Namesake.reward is not used as robo-al's `reward`: it is 0.5" in "\n".join(lines)
    begun = next(i for i, line in enumerate(lines) if line.startswith("round 1"))
    assert all("is not used as" in line for line in lines[1:begun])
    assert load_run_config(tmp_path / "run").horizon == 3
    assert load_config(tmp_path / "run" / "config.yaml").horizon == 3
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert "is not used as" not in capsys.readouterr().out


def test_an_env_that_never_ends_is_given_a_horizon(tmp_path):
    episodes, notes = run(tmp_path / "run", "Endless", horizon=4, rollout_steps=None)
    assert {episode.steps for episode in episodes.values()} == {4} and notes == []


@pytest.mark.parametrize("spec", ["gymnasium:{module}:elsewhere/Plain-v0"])
def test_an_id_with_its_module_runs(tmp_path, monkeypatch, spec):
    shutil.copy(FOREIGN, tmp_path / "elsewhere_envs.py")
    monkeypatch.chdir(tmp_path)
    import gymnasium

    gymnasium.registry.pop("elsewhere/Plain-v0", None)
    episodes, _ = run(tmp_path / "run", spec.format(module="elsewhere_envs"))
    assert {episode.steps for episode in episodes.values()} == {5}


def test_one_simulator_a_process_runs(tmp_path):
    alone = shutil.copy(FOREIGN.with_name("alone_env.py"), tmp_path)
    changes = {"rollouts_per_round": 3, "initial_rollouts": 2}
    one, _ = run(tmp_path / "alone", f"{alone}:Alone", **changes)
    other, _ = run(tmp_path / "plain", "Plain", oracle={"name": "simulation", "envs": 1}, **changes)
    for name, episode in one.items():
        np.testing.assert_array_equal(episode.observations, other[name].observations)


@pytest.fixture
def counts(tmp_path, monkeypatch):
    folder = tmp_path / "counts"
    folder.mkdir()
    monkeypatch.setenv("COUNTS", str(folder))
    return lambda what: (folder / what).stat().st_size


def test_one_env_is_made_where_making_it_takes_long(tmp_path, counts, monkeypatch):
    monkeypatch.setattr("robo_al.build.SLOW_SECONDS", 0.0)
    run(tmp_path / "run", "Counted", rollouts_per_round=3, initial_rollouts=3)
    assert counts("made") == 1
    assert load_run_config(tmp_path / "run").oracle.parameters == {"envs": 1}


def test_it_is_made_for_each_rollout_of_a_batch_otherwise(tmp_path, counts, monkeypatch):
    monkeypatch.setattr("robo_al.build.SLOW_SECONDS", 3600.0)
    run(tmp_path / "run", "Counted", rollouts_per_round=3, initial_rollouts=3)
    assert counts("made") == 3
    assert load_run_config(tmp_path / "run").oracle.parameters == {}


def test_it_is_reset_for_each_rollout_and_each_start_that_is_looked_at(
    tmp_path, counts, monkeypatch
):
    monkeypatch.setattr("robo_al.build.SLOW_SECONDS", 0.0)
    config = Config.model_validate(
        SMALL | {"env": f"{FOREIGN}:Counted", "contexts": 1, "rounds": 3}
    )
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        before = counts("reset")
        # the dry run: starts, a few steps, two rollouts, both again, and two to find constants
        assert before <= 17
        loop.run(campaign, oracle, lambda event: None)
    rollouts, evaluations, starts = 3, 3 * 2, 2
    # A training rollout starts where the env is since its start was looked at.
    assert counts("reset") - before == rollouts + evaluations + starts


@pytest.mark.first(2)
@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("name", ["Goals", "Everything", "Choosing", "Boundless", "Picturing"])
def test_an_env_of_any_spaces_runs_and_its_facts_are_kept(tmp_path, name, oracle):
    facts = {"horizon": 5, "control_period": 0.25, "threshold": 7.0}
    if name in ("Choosing", "Boundless"):
        facts |= {"action_limits": [-1, 1], "channels": ["x", {"name": "y", "unit": "m"}]}
    if name == "Picturing":
        facts["encoder"] = {"name": "robo_al.encoding.downscale:Downscale", "size": 4}
    episodes, notes = run(tmp_path / "run", name, oracle=oracle, **facts)
    lamp = "lamps[1]: did not change in short rollouts"  # which only a longer one switches
    assert [note[: len(lamp)] for note in notes] == [lamp] * (name == "Everything")
    assert {len(e.actions.T) for e in episodes.values()} == {2 if name == "Choosing" else 1}
    kept = load_run_config(tmp_path / "run")
    assert (kept.horizon, kept.control_period, kept.threshold) == (5, 0.25, 7.0)
    if "channels" in facts:
        assert kept.action_limits == [[-1.0, 1.0]]
        assert [(c.name, c.unit, c.kind) for c in kept.channels] == [
            ("x", "1", "linear"),
            ("y", "m", "linear"),
        ]
    with closing(Dataset(tmp_path / "run")) as dataset:
        seconds = {row.robot_seconds for row in dataset.ledger.rows(RolloutRow)}
    assert seconds == {5 * 0.25}


def test_facts_can_be_given_on_the_command_line_and_go_with_the_run(tmp_path, capsys):
    small = tmp_path / "small.yaml"
    small.write_text(json.dumps(SMALL | {"rounds": 1}))
    folder = tmp_path / "run"
    command = ["run", str(small), "--env", f"{FOREIGN}:Boundless", "--out", str(folder)]
    assert main(command) == 2
    assert "`action_limits: [-1, 1]` in the configuration" in capsys.readouterr().err
    assert not folder.exists()
    told = ["--action_limits", "[-1, 1]", "--horizon", "4", "--channels", "[x, {name: y, unit: m}]"]
    assert main(command + told) == 0
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("rounds: 1", "rounds: 2"))
    assert main(["resume", str(folder)]) == 0
    before = recorded(folder)
    assert len(before) == 2 and load_run_config(folder).horizon == 4
    (folder / "config.yaml").write_text(config.replace("- 1.0", "- 0.5"))
    capsys.readouterr()
    assert main(["resume", str(folder)]) == 2
    assert "action_limits: it was" in capsys.readouterr().err
