"""A run's configuration is that of its ledger; what may change is a list."""

import shutil
from pathlib import Path

import pytest

from robo_al import loop
from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
from robo_al.cli import main
from robo_al.config import plain_yaml
from robo_al.config.changes import MAY_CHANGE, differences
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.dataset.ledger import ConfigurationRow, RolloutRow
from robo_al.errors import RunFolderError
from robo_al.testing import FakeOracle

OLDER = Path(__file__).parents[1] / "dataset" / "format3"


def config(*words: str) -> Config:
    fakes = ["--env", "robo_al.testing:FakeEnv", "--policy", "robo_al.testing:FakePolicy"]
    fakes += ["--model", "robo_al.testing:FakeModel", "--oracle", "robo_al.testing:FakeOracle"]
    fakes += ["--explorer", "robo_al.testing:FakePolicy", "--rounds", "1", "--candidates", "4"]
    fakes += ["--contexts", "2", "--evaluation.starts", "2", "--stop_when_solved", "false"]
    return load_config("pendulum", [*fakes, *words])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run."""
    with create_campaign(config(), tmp_path / "run") as campaign, FakeOracle() as oracle:
        loop.run(campaign, oracle, lambda event: None)
    return tmp_path / "run"


def edit(folder: Path, **changes: object) -> None:
    path = folder / "config.yaml"
    entries = plain_yaml.parse(path.read_text(encoding="utf-8"))
    for key, value in changes.items():
        first, _, second = key.partition("__")
        if second:
            entries[first][second] = value
        else:
            entries[first] = value
    path.write_text(plain_yaml.dump(entries), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"env": "pendulum"}, "env.name: it was robo_al.testing:FakeEnv, and is pendulum"),
        ({"seed": 3}, "seed: it was 0, and is 3"),
        ({"candidates": 5}, "candidates: it was 4, and is 5"),
        ({"rollout_steps": 7}, ", and is 7\n"),
        ({"oracle": "simulation"}, "oracle.name: it was robo_al.testing:FakeOracle"),
        ({"strategy__cost": "seconds"}, "strategy.cost.name: it was null, and is seconds"),
        ({"strategy__acquisition": "random"}, "strategy.acquisition.name"),
    ],
)
def test_another_experiment_is_refused(run: Path, change: dict[str, object], told: str) -> None:
    edit(run, rounds=3, **change)
    with pytest.raises(RunFolderError) as raised:
        open_campaign(run)
    assert told in str(raised.value) and "put it back" in str(raised.value)
    assert "\n  rounds:" not in str(raised.value)
    assert main(["resume", str(run)]) == RunFolderError.exit_code


def test_a_cost_is_not_taken_away(tmp_path: Path) -> None:
    create_campaign(config("--strategy.cost", "seconds"), tmp_path / "run").close()
    edit(tmp_path / "run", strategy__cost=None)
    with pytest.raises(RunFolderError, match=r"strategy\.cost\.name: it was seconds, and is null"):
        open_campaign(tmp_path / "run")


def test_what_may_change_is_taken_up_and_noted(run: Path) -> None:
    edit(run, rounds=2, evaluation__every=0, threshold=1e9, loop__mode="overlapped")
    with open_campaign(run) as campaign, make_oracle(load_run_config(run)) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        noted = campaign.dataset.ledger.rows(ConfigurationRow)
        assert len(campaign.dataset) == 2 and campaign.parts.task.threshold == 1e9
    assert [row.opening for row in noted] == [None, 2]
    first, second = (plain_yaml.parse(row.text) for row in noted)
    assert (first["rounds"], second["rounds"], second["evaluation"]["every"]) == (1, 2, 0)
    open_campaign(run).close()  # no change: nothing to note
    with open_campaign(run) as campaign:
        assert campaign.dataset.ledger.rows(ConfigurationRow) == noted


def test_what_is_left_open_goes_on_as_it_was_decided(run: Path) -> None:
    decided = load_run_config(run)
    edit(run, threshold=None, strategy={"acquisition": None, "selector": None})
    assert load_run_config(run) == decided
    open_campaign(run).close()


def test_a_parameter_that_was_decided_at_the_creation_counts_as_equal() -> None:
    was = config("--oracle", "simulation", "--oracle.threads", "1", "--model.members", "3")
    now = config("--oracle", "simulation", "--rounds", "4")
    assert differences(was, now) == {"rounds": (1, 4)}
    assert differences(now, was) == {
        "model.members": (None, 3),
        "oracle.threads": (None, 1),
        "rounds": (4, 1),
    }


def test_every_key_that_may_change_is_one() -> None:
    known = set(Config.model_fields)
    assert {key.partition(".")[0] for key in MAY_CHANGE} <= known


@pytest.mark.proof
def test_a_run_of_an_earlier_version_opens_resumes_and_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(OLDER, folder)
    assert main(["show", str(folder)]) == 0
    assert main(["inbox", str(folder)]) == 0
    edit(folder, rounds=3)
    assert main(["resume", str(folder)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "3 rollouts and 15 transitions" in shown
    with open_campaign(folder) as campaign:
        states = [row.state for row in campaign.dataset.ledger.rows(RolloutRow)]
        (noted,) = campaign.dataset.ledger.rows(ConfigurationRow)
    assert states == ["recorded"] * 3 and plain_yaml.parse(noted.text)["rounds"] == 3
    edit(folder, env="cartpole")
    assert main(["resume", str(folder)]) == RunFolderError.exit_code
