"""What a run says, while it runs and afterwards, and that of an earlier version."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from robo_al import loop
from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
from robo_al.campaign.campaign import Campaign
from robo_al.cli import main
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.dataset.view import RunView
from robo_al.errors import IntegrityError, RunFolderError, UserError
from robo_al.report.page import write_report
from robo_al.testing import FakeOracle
from robo_al.types import Failure, Label, Outcome, Trajectory

HERE = Path(__file__).parent
EARLIER = ("format3", "before_details")
"""Folders of runs that earlier versions made."""


class MeasuringOracle(FakeOracle):
    """Measures one thing of the rollout as a whole, and one at each observation."""

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        return [self.measured(outcome) for outcome in super().poll(timeout)]

    def measured(self, outcome: Outcome) -> Outcome:
        assert isinstance(outcome.result, Trajectory)
        force = np.arange(outcome.result.steps + 1, dtype=np.float32) - 0.5
        result = replace(outcome.result, signals={"grip_force": force})
        return replace(outcome, result=result, details={"room_temperature": 21.25})


def config(*more: str) -> Config:
    words = ["--env", "robo_al.testing:FakeEnv", "--policy", "robo_al.testing:FakePolicy"]
    words += ["--model", "robo_al.testing:FakeModel", "--oracle", "robo_al.testing:FakeOracle"]
    words += ["--explorer", "robo_al.testing:FakePolicy", "--rounds", "2", "--candidates", "4"]
    words += ["--contexts", "2", "--evaluation.starts", "2", "--stop_when_solved", "false"]
    return load_config("pendulum", [*words, *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished campaign whose oracle measures more than it must."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with create_campaign(config(), folder) as campaign, MeasuringOracle() as oracle:
        loop.run(campaign, oracle, lambda event: None)
        campaign.label("r0001-00", "success", True, by="Ada")
        campaign.label("r0001-00", "note", "slipped", by="Ada")
    return folder


def test_a_measure_is_shown_everywhere_once_it_is_measured(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(run), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    temperature = {"rollouts": 2, "min": 21.25, "mean": 21.25, "max": 21.25}
    assert shown["details"] == {"room_temperature": temperature}
    assert shown["signals"] == {"grip_force": {"rollouts": 2, "min": -0.5, "max": 19.5}}
    assert shown["labels"]["success"] == {"rollouts": 1, "true": 1}
    assert shown["labels"]["note"] == {"rollouts": 1, "values": {"slipped": 1}}

    assert main(["show", str(run)]) == 0
    text = capsys.readouterr().out
    assert "room_temperature 21.2" in text and "grip_force -0.5 to 19.5" in text

    page = write_report(run).read_text(encoding="utf-8").replace("\N{NO-BREAK SPACE}", " ")
    for heading, cell in (
        ("room_temperature", "21.2"),
        ("grip_force", "-0.5 to 19.5"),
        ("label success", "yes"),
        ("label note", "slipped"),
    ):
        assert f">{heading}</th>" in page and f">{cell}</td>" in page

    view = RunView(run)
    table = view.rollouts()
    assert table["room_temperature"].tolist() == [21.25, 21.25]
    assert table["grip_force[max]"].tolist() == [19.5, 19.5]
    assert table.loc["r0001-00", "label[success]"]
    steps = view.transitions()
    assert steps["grip_force"].tolist() == [*np.arange(20) - 0.5] * 2
    assert view.evaluations()["room_temperature"].tolist() == [21.25] * len(view.evaluations())
    force = view.episode("r0002-00").signals["grip_force"]
    np.testing.assert_array_equal(force, np.arange(21, dtype=np.float32) - 0.5)
    assert force.dtype == np.float32


def test_tables_say_what_the_run_folder_says(run: Path) -> None:
    view = RunView(run)
    rollouts, steps = view.rollouts(), view.transitions()
    assert isinstance(rollouts, pd.DataFrame) and list(rollouts.index) == ["r0001-00", "r0002-00"]
    assert rollouts["state"].tolist() == ["recorded"] * 2
    assert len(steps) == view.totals.transitions == rollouts["steps"].sum()
    episode = view.episode("r0002-00")
    rows = steps[steps["rollout"] == "r0002-00"]
    assert rows["step"].tolist() == list(range(episode.steps))
    for name, values in (
        ("observation", episode.observations[:-1]),
        ("next_observation", episode.observations[1:]),
        ("action", episode.actions),
    ):
        columns = [f"{name}[{i}]" for i in range(values.shape[1])]
        np.testing.assert_array_equal(rows[columns].to_numpy(), values)
    np.testing.assert_array_equal(rows["reward"], episode.rewards)
    evaluated = view.evaluations()
    assert len(evaluated) == sum(len(json.loads(row.returns)) for row in view.evaluation_rows)
    assert evaluated.groupby("round")["return"].mean().tolist() == pytest.approx(
        [row.mean_return for row in view.evaluation_rows]
    )


def test_a_view_says_what_it_is_of(run: Path) -> None:
    said = repr(RunView(run))
    assert "robo_al.testing:FakeEnv" in said and "2 of 2 rounds" in said
    assert "2 rollouts and 40 transitions recorded, 0 under way" in said


def test_what_is_not_there_is_said(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no rollout has the id 'r9999-00'"):
        RunView(run).episode("r9999-00")
    with pytest.raises(RunFolderError, match="no run here"):
        RunView(tmp_path)
    folder = shutil.copytree(run, tmp_path / "damaged")
    (folder / "episodes" / "r0001-00.parquet").write_bytes(b"?")
    with pytest.raises(IntegrityError, match="is not what was written"):
        RunView(folder).transitions()


def test_a_run_is_read_while_its_campaign_holds_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, made = tmp_path / "run", config("--rollouts_per_round", "2")
    with create_campaign(made, folder) as campaign, make_oracle(made) as oracle:
        assert RunView(folder).rollouts().empty and RunView(folder).transitions().empty
        assert RunView(folder).evaluations().empty
        one, other = campaign.ask(2)
        asked = RunView(folder)
        assert [row.id for row in asked.under_way] == [one.id, other.id]
        with pytest.raises(UserError, match="nothing of r0001-00 was measured; it is dispatched"):
            asked.episode(one.id)
        oracle.submit(one)
        (outcome,) = oracle.poll()
        campaign.tell(outcome)
        campaign.give_up([other.id])
        assert asked.totals.rollouts == 0  # it is of its moment
        now = RunView(folder)
        assert now.totals.rollouts == 1 and [row.id for row in now.waiting] == [other.id]

        assert main(["inbox", str(folder)]) == 0
        assert "r0001-01  nothing measured" in capsys.readouterr().out


@pytest.mark.parametrize("name", EARLIER)
def test_a_run_of_an_earlier_version_is_shown(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(HERE / name, tmp_path / "run")
    view = RunView(folder)
    assert len(view.transitions()) == view.totals.transitions > 0
    assert len(view.rollouts()) == len(view.rollout_rows) >= 2
    starts = view.config["evaluation"]["starts"]
    assert len(view.evaluations()) == starts * len(view.evaluation_rows) > 0
    assert set(view.details) == {row.id for row in view.rollout_rows}
    assert not any(view.details.values()) and not any(view.labels.values())
    assert {row.opening for row in view.rollout_rows} == {1}
    assert main(["show", str(folder), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["details"] == shown["signals"] == shown["labels"] == {}
    write_report(folder)


@pytest.mark.first(1)
@pytest.mark.parametrize("name", EARLIER)
def test_a_run_of_an_earlier_version_goes_on_and_measures_more(name: str, tmp_path: Path) -> None:
    folder = shutil.copytree(HERE / name, tmp_path / "run")
    before = RunView(folder)
    text = (folder / "config.yaml").read_text()
    rounds = before.config["rounds"]
    (folder / "config.yaml").write_text(text.replace(f"rounds: {rounds}", f"rounds: {rounds + 1}"))
    with (
        open_campaign(folder) as campaign,
        make_oracle(load_run_config(folder)) as oracle,
        MeasuringOracle() as measuring,
    ):
        fake = isinstance(oracle, FakeOracle)
        loop.run(campaign, measuring if fake else oracle, lambda event: None)
        first = before.rollout_rows[0].id
        campaign.label(first, "success", False, by="a program")
    after = RunView(folder)
    assert after.totals.rollouts > before.totals.rollouts
    assert after.rollout_rows[: len(before.rollout_rows)] == before.rollout_rows
    assert after.labels[first] == {"success": False}
    assert len(after.transitions()) == after.totals.transitions
    measured = [row.id for row in after.rollout_rows if after.details[row.id]]
    new = [row.id for row in after.rollout_rows[len(before.rollout_rows) :]]
    assert measured == (new if fake else []) and new


def test_what_is_said_is_recorded_once_and_may_be_said_otherwise_later(tmp_path: Path) -> None:
    folder, made = tmp_path / "run", config()
    with create_campaign(made, folder) as campaign, make_oracle(made) as oracle:
        (candidate,) = campaign.ask()
        campaign.label(candidate.id, "watched", True, by="Ada")  # before there is an outcome
        oracle.submit(candidate)
        (outcome,) = oracle.poll()
        said = [Label("success", np.bool_(True), "a classifier"), Label("progress", 0.5, "Ada")]
        campaign.tell(replace(outcome, labels=said))
        campaign.tell(replace(outcome, labels=said))
        first = campaign.label(candidate.id, "success", True, by="a classifier")
    with Campaign.open(folder, campaign.parts, campaign.settings) as again:
        assert again.label(candidate.id, "success", True, by="a classifier") == first
        again.label(candidate.id, "success", False, by="Ada")
        for wrong in (("", 1, "Ada"), ("two words", 1, "Ada"), ("x", 1, " ")):
            with pytest.raises(UserError, match="label"):
                again.label(candidate.id, *wrong)  # type: ignore[arg-type]
        with pytest.raises(UserError, match="no rollout of this campaign has the id 'r0'"):
            again.label("r0", "success", True, by="Ada")
    view = RunView(folder)
    assert [(row.sequence, row.name, row.value, row.by) for row in view.label_rows] == [
        (1, "watched", "true", "Ada"),
        (2, "success", "true", "a classifier"),
        (3, "progress", "0.5", "Ada"),
        (4, "success", "false", "Ada"),
    ]
    assert view.labels[candidate.id] == {"watched": True, "success": False, "progress": 0.5}


def test_what_was_measured_of_a_part_stays_when_the_part_is_accepted(tmp_path: Path) -> None:
    folder, made = tmp_path / "run", config()
    with create_campaign(made, folder) as campaign, MeasuringOracle() as oracle:
        (candidate,) = campaign.ask()
        oracle.submit(candidate)
        (outcome,) = oracle.poll()
        assert isinstance(outcome.result, Trajectory)
        campaign.tell(replace(outcome, result=Failure("indeterminate", "died", outcome.result)))
    assert main(["inbox", str(folder), "--accept", candidate.id]) == 0
    (row,) = RunView(folder).rollout_rows
    assert row.state == "recorded" and RunView(folder).details[row.id] == {
        "room_temperature": 21.25
    }
    assert "grip_force" in RunView(folder).episode(row.id).signals
    assert "grip_force" in RunView(folder).signals[row.id]
