"""A person decides about rollouts that may have run, or not to their end."""

from pathlib import Path

import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle, open_campaign
from robo_al.cli import main
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.dataset import decisions as inbox
from robo_al.dataset.events import Decided, Event
from robo_al.dataset.ledger import RolloutRow
from robo_al.dataset.view import RunView
from robo_al.errors import UserError
from robo_al.report.remarks import remark
from robo_al.types import Failure, Outcome, Trajectory


def config() -> Config:
    words = ["--env", "robo_al.testing:FakeEnv", "--policy", "robo_al.testing:FakePolicy"]
    words += ["--model", "robo_al.testing:FakeModel", "--oracle", "robo_al.testing:FakeOracle"]
    words += ["--explorer", "robo_al.testing:FakePolicy", "--rounds", "2", "--candidates", "4"]
    words += ["--contexts", "2", "--evaluation.starts", "2", "--stop_when_solved", "false"]
    return load_config("pendulum", words)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished campaign whose first rollout was interrupted half-way."""
    folder, made = tmp_path / "run", config()
    with create_campaign(made, folder) as campaign, make_oracle(made) as oracle:
        (candidate,) = campaign.ask()
        oracle.submit(candidate)
        (outcome,) = oracle.poll()
        whole = outcome.result
        assert isinstance(whole, Trajectory)
        half = whole.steps // 2
        part = Trajectory(
            whole.observations[: half + 1],
            whole.actions[:half],
            whole.requested[:half],
            whole.rewards[:half],
        )
        failure = Failure("indeterminate", "INTERRUPTED: the agent ended while it ran", part)
        campaign.tell(Outcome(candidate.id, failure, 0.5))
        loop.run(campaign, oracle, lambda event: None)
    return folder


def rows(folder: Path) -> dict[str, RolloutRow]:
    with open_campaign(folder) as campaign:
        return {row.id: row for row in campaign.dataset.ledger.rows(RolloutRow)}


def test_it_shows_what_waits(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inbox", str(run)]) == 0
    said = capsys.readouterr().out
    assert "r0001-00" in said and "steps measured" in said and "INTERRUPTED" in said
    assert "--accept|--discard|--again" in said


def test_accepted_data_are_learned_from(run: Path) -> None:
    before = rows(run)["r0001-00"]
    assert before.state == "indeterminate"
    assert main(["inbox", str(run), "--accept", "r0001-00"]) == 0
    after = rows(run)["r0001-00"]
    assert (after.state, after.steps, after.reason) == ("recorded", before.steps, None)
    with open_campaign(run) as campaign:
        fit = campaign.learn()
        assert fit is not None and fit.rollouts == 2


def test_discarded_data_are_not(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inbox", str(run), "--discard", "r0001-00"]) == 0
    assert rows(run)["r0001-00"].state == "aborted"
    capsys.readouterr()
    assert main(["inbox", str(run)]) == 0
    assert "No rollout waits for a decision." in capsys.readouterr().out


def test_again_runs_under_a_new_id_when_the_campaign_goes_on(run: Path) -> None:
    assert main(["inbox", str(run), "--again", "r0001-00"]) == 0
    found = rows(run)
    (fresh,) = [row for row in found.values() if row.state == "selected"]
    assert fresh.id == "r0002-01" and fresh.content_hash == found["r0001-00"].content_hash
    assert found["r0001-00"].state == "aborted" and fresh.id in str(found["r0001-00"].reason)
    made = config()
    with open_campaign(run) as campaign, make_oracle(made) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        assert campaign.finished
    assert rows(run)[fresh.id].state == "recorded"


def test_what_waits_for_nobody_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("r0002-00", "r9999-00"):
        assert main(["inbox", str(run), "--discard", name]) == UserError.exit_code
        assert "waiting for a decision: r0001-00" in capsys.readouterr().err
    assert main(["inbox", str(run / "no"), "--discard", "x"]) == UserError.exit_code


def test_without_data_nothing_can_be_accepted(run: Path) -> None:
    with open_campaign(run) as campaign:
        ledger = campaign.dataset.ledger
        with ledger.transaction():
            ledger.update(RolloutRow, "r0001-00", sha256=None, steps=None)
        with pytest.raises(UserError, match="nothing of r0001-00 was measured"):
            inbox.accept(campaign.dataset, "r0001-00")
        with pytest.raises(UserError, match="nothing of r0001-00 was measured"):
            inbox.leave(run, "accept", "r0001-00")
        assert not RunView(run).decisions


def test_what_was_measured_and_is_not_finite_is_not_accepted(run: Path) -> None:
    with open_campaign(run) as campaign:
        (candidate,) = campaign.ask(1)
        with make_oracle(config()) as oracle:
            campaign.connect(oracle)
            oracle.submit(candidate)
            (outcome,) = oracle.poll()
        assert isinstance(outcome.result, Trajectory)
        outcome.result.observations[1, 0] = float("nan")
        failure = Failure("indeterminate", "the agent died", outcome.result)
        campaign.tell(Outcome(candidate.id, failure, 0.1))
        with pytest.raises(UserError, match="cannot be learned from: observation is not finite"):
            inbox.accept(campaign.dataset, candidate.id)
        row = campaign.dataset.ledger.row(RolloutRow, candidate.id)
        assert row is not None and row.state == "indeterminate"


def test_a_running_campaign_does_what_was_decided_before_it_retrains(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    with open_campaign(run) as campaign:
        campaign.observers.append(events.append)
        assert main(["inbox", str(run), "--accept", "r0001-00"]) == 0
        assert "r0001-00: accept is noted" in capsys.readouterr().out
        assert main(["inbox", str(run), "--discard", "r0001-00"]) == UserError.exit_code
        assert "r0001-00 is decided: accept" in capsys.readouterr().err
        assert main(["inbox", str(run)]) == 0
        assert "decided: accept" in capsys.readouterr().out
        assert RunView(run).waiting and not events
        fit = campaign.learn()
        assert fit is not None and fit.rollouts == 2
        (decided,) = [event for event in events if isinstance(event, Decided)]
        assert remark(decided) == "r0001-00 was decided, accept: done"
        assert RunView(run).states["recorded"] == 2 and not RunView(run).waiting
        assert main(["inbox", str(run), "--accept", "r0001-00"]) == UserError.exit_code
    assert rows(run)["r0001-00"].state == "recorded"


def test_what_is_to_run_again_waits_until_the_campaign_is_resumed(run: Path) -> None:
    with open_campaign(run) as campaign:
        assert main(["inbox", str(run), "--again", "r0001-00"]) == 0
        campaign.learn()
        decision = RunView(run).decisions["r0001-00"]
        assert (decision.choice, decision.taken) == ("again", None) and campaign.round_complete
    with open_campaign(run) as campaign, make_oracle(config()) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        assert campaign.finished
    assert {name: row.state for name, row in rows(run).items()} == {
        "r0001-00": "aborted",
        "r0002-00": "recorded",
        "r0002-01": "recorded",
    }


def test_a_decision_that_cannot_be_done_is_refused_once_and_said(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with open_campaign(run) as campaign:
        events: list[Event] = []
        campaign.observers.append(events.append)
        assert main(["inbox", str(run), "--accept", "r0001-00"]) == 0
        file = run / "episodes" / "r0001-00.parquet"
        whole = file.read_bytes()
        file.write_bytes(b"?")
        campaign.learn()
        campaign.learn()
        (decided,) = [event for event in events if isinstance(event, Decided)]
        assert "refused: rollout r0001-00" in remark(decided)
        assert RunView(run).states["indeterminate"] == 1
        assert main(["inbox", str(run)]) == 0
        assert "accept, which was refused: rollout r0001-00" in capsys.readouterr().out
        file.write_bytes(whole)
    assert main(["inbox", str(run), "--accept", "r0001-00"]) == 0
    assert rows(run)["r0001-00"].state == "recorded"
