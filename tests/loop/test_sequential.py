import itertools
import json
import sqlite3
from dataclasses import replace

import numpy as np
import pytest

from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.select import GreedyJoint
from robo_al.acquisition.strategy import Strategy
from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import (
    Activity,
    Diverged,
    Evaluated,
    Indeterminate,
    RolloutDone,
    RoundDone,
)
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow
from robo_al.errors import OracleError
from robo_al.loop.sequential import run
from robo_al.models.gp import GaussianProcess
from robo_al.oracles.simulation import SimulationOracle
from robo_al.testing import FAKE_ENV, FakeOracle
from robo_al.testing.campaign import FAKE_SETTINGS, fake_parts, fake_settings, turns
from robo_al.types import ClosedLoop
from robo_al_policies.icem import ICEM


def ignore(event):
    pass


class Lasting(FakeOracle):
    """An oracle whose rollouts cannot be done again."""

    repeatable = False


class Stop(Exception):
    """Stands for whatever ends a process."""


def stop_at(kind, count):
    """Return a listener that stops the campaign at the count-th event of a kind."""
    left = [count]

    def listen(event):
        if isinstance(event, kind):
            left[0] -= 1
            if left[0] == 0:
                raise Stop

    return listen


def finish(folder, oracle=None, parts=None, settings=FAKE_SETTINGS, emit=ignore):
    parts = parts or fake_parts()
    started = (folder / "config.yaml").exists()
    campaign = (
        Campaign.open(folder, parts, settings)
        if started
        else Campaign.create(folder, parts, settings, "env: fake\n")
    )
    with campaign, oracle or FakeOracle() as opened:
        run(campaign, opened, emit)
        return campaign.dataset.ledger.digest()


def rows(folder, table=RolloutRow):
    with Campaign.open(folder, fake_parts(), FAKE_SETTINGS) as campaign:
        return campaign.dataset.ledger.rows(table)


def metrics(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_campaign_from_end_to_end(tmp_path):
    events = []
    finish(tmp_path / "run", emit=events.append)
    lines = metrics(tmp_path / "run")
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert [line["rollouts"] for line in lines] == [1, 3, 5]
    assert [line["transitions"] for line in lines] == [5, 15, 25]
    assert lines == [json.loads(json.dumps(e.record)) for e in events if isinstance(e, RoundDone)]
    assert [len(line["returns"]) for line in lines] == [1, 2, 2]
    assert lines[0]["held_out"] is None and lines[0]["predicted_information"] == [None]
    for line in lines[1:]:
        assert set(line["held_out"]) == {"old", "new", "worse"}
        assert all(value > 0 for value in line["predicted_information"])
    assert lines[-1]["robot_seconds"] == pytest.approx(2.5)
    for name, value in lines[-1]["seconds"].items():
        assert value >= lines[0]["seconds"][name] >= 0
    done = [event.rollout for event in events if isinstance(event, RolloutDone)]
    assert done == rows(tmp_path / "run")
    assert {"propose", "imagine", "select", "feedback", "train", "evaluate"} == {
        event.name for event in events if isinstance(event, Activity)
    }


def test_evaluations_are_on_fixed_starts_and_apart_from_the_data(tmp_path):
    oracle = FakeOracle()
    finish(tmp_path / "run", oracle)
    evaluated = [c for c in oracle.submitted if c.id.startswith("e")]
    assert len(evaluated) == 3 * FAKE_SETTINGS.evaluation.starts
    first, second = evaluated[:2], evaluated[2:4]
    for one, two in zip(first, second, strict=True):
        assert one.context.seed == two.context.seed and one.seed == two.seed
    assert all(c.horizon == 10 and isinstance(c.controller, ClosedLoop) for c in evaluated)
    starts = {c.context.seed for c in oracle.submitted if c.id.startswith("r")}
    assert not starts & {c.context.seed for c in evaluated}
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        assert len(campaign.dataset.transitions()) == 25
        (_, _, last) = campaign.dataset.ledger.rows(EvaluationRow)
        kept = campaign.dataset.evaluation(last)
    assert [t.total_reward for _, t, _ in kept] == json.loads(last.returns)
    assert last.mean_return == pytest.approx(np.mean(json.loads(last.returns)))


@pytest.mark.parametrize(("every", "rounds"), [(0, []), (1, [1, 2, 3]), (2, [2, 3])])
def test_evaluates_every_so_often_and_at_the_end(tmp_path, every, rounds):
    finish(tmp_path / "run", settings=fake_settings(evaluation={"starts": 2, "every": every}))
    assert [row.round for row in rows(tmp_path / "run", EvaluationRow)] == rounds


def test_a_failed_evaluation_rollout_is_no_success(tmp_path):
    finish(tmp_path / "run", FakeOracle(failures={2: "failed"}))  # r0001-00, e0001-00, e0001-01
    first, second, _ = rows(tmp_path / "run", EvaluationRow)
    assert first.mean_return is None and json.loads(first.returns)[1] is None
    assert second.mean_return is not None


def test_stops_when_solved(tmp_path):
    parts = fake_parts()
    parts = replace(parts, task=replace(parts.task, threshold=-1e9))
    settings = fake_settings(rounds=5, stop_when_solved=True)
    finish(tmp_path / "run", parts=parts, settings=settings)
    assert len(metrics(tmp_path / "run")) == 2
    with Campaign.open(tmp_path / "run", parts, settings) as campaign:
        assert campaign.solved.round == 2 and campaign.finished
        assert (campaign.solved.rollouts, campaign.solved.transitions) == (3, 15)
    settings = settings.model_copy(update=dict(stop_when_solved=False))
    finish(tmp_path / "run", parts=parts, settings=settings)
    assert len(metrics(tmp_path / "run")) == 5


@pytest.mark.parametrize("oracle", [{"capacity": 1}, {"shuffle": True}, {"delay": 3}])
def test_slow_and_narrow_oracles_make_no_difference(tmp_path, oracle):
    assert finish(tmp_path / "one") == finish(tmp_path / "two", FakeOracle(**oracle))


def test_an_oracle_that_answers_nothing_stops_the_campaign(tmp_path):
    class Silent(FakeOracle):
        def poll(self, timeout=None):
            return []

    with pytest.raises(OracleError, match="Silent.poll"):
        finish(tmp_path / "run", Silent())


MOMENTS = [
    (RolloutDone, 1),
    (RolloutDone, 2),
    (RolloutDone, 5),
    (Evaluated, 1),
    (RoundDone, 1),
    (RoundDone, 2),
    *((Activity, n) for n in (1, 2, 3, 4, 6, 9, 11, 13, 16)),
]


@pytest.mark.first(6)
@pytest.mark.parametrize(("kind", "count"), MOMENTS)
def test_interrupted_is_bitwise_undisturbed(tmp_path, kind, count):
    expected = finish(tmp_path / "whole")
    with pytest.raises(Stop):
        finish(tmp_path / "run", emit=stop_at(kind, count))
    assert finish(tmp_path / "run") == expected
    assert [line["round"] for line in metrics(tmp_path / "run")] == [1, 2, 3]
    for folder in ("episodes", "evaluations", "models"):
        files = sorted((tmp_path / "whole" / folder).iterdir())
        assert files and [path.read_bytes() for path in files] == [
            (tmp_path / "run" / folder / path.name).read_bytes() for path in files
        ]


def real_parts():
    parts = fake_parts()
    return replace(
        parts,
        model=GaussianProcess(parts.task, samples=4, frequencies=32, fit_steps=10),
        policy=ICEM(parts.task, planning_horizon=5, samples=24, iterations=2, elites=4),
        strategy=Strategy(JointInformation(), GreedyJoint()),
    )


@pytest.mark.first(1)
@pytest.mark.parametrize(("kind", "count"), [(RolloutDone, 3), (Activity, 8), (Activity, 9)])
def test_interrupted_is_bitwise_undisturbed_with_real_parts(tmp_path, kind, count):
    def go(folder, emit=ignore):
        return finish(folder, SimulationOracle(FAKE_ENV), real_parts(), emit=emit)

    expected = go(tmp_path / "whole")
    with pytest.raises(Stop):
        go(tmp_path / "run", stop_at(kind, count))
    assert go(tmp_path / "run") == expected


def test_what_may_have_run_on_a_robot_is_never_run_again(tmp_path):
    settings = fake_settings(rollouts_per_round=4)
    with pytest.raises(Stop):
        # r0001-00, then r0002-00 is told; r0002-01 is out, 02 and 03 wait for the robot
        oracle = Lasting(capacity=1)
        submit = oracle.submit

        def dying(candidate):
            if candidate.id == "r0002-01":
                raise Stop
            submit(candidate)

        oracle.submit = dying
        finish(tmp_path / "run", oracle, settings=settings)
    events, after = [], Lasting(capacity=1)
    finish(tmp_path / "run", after, settings=settings, emit=events.append)
    states = {row.id: row.state for row in rows(tmp_path / "run") if row.round == 2}
    assert states["r0002-01"] == "indeterminate"
    assert [states[f"r0002-0{i}"] for i in (0, 2, 3)] == ["recorded"] * 3
    assert Indeterminate(("r0002-01",)) in events
    executed = [c.id for c in after.submitted if c.id.startswith("r0002")]
    assert executed == ["r0002-02", "r0002-03"]


def test_a_repetition_that_comes_out_otherwise_is_told(tmp_path):
    with pytest.raises(Stop):
        finish(tmp_path / "run", emit=stop_at(RolloutDone, 2))
    before = rows(tmp_path / "run")[1]

    class Noisy(FakeOracle):
        def _execute(self, candidate):
            trajectory = super()._execute(candidate)
            return replace(trajectory, rewards=trajectory.rewards + 1)

    events = []
    finish(tmp_path / "run", Noisy(), emit=events.append)
    assert Diverged("r0002-00") in events
    assert rows(tmp_path / "run")[1] == before


def test_more_rounds_may_be_asked_for_later(tmp_path):
    finish(tmp_path / "run", settings=fake_settings(rounds=1))
    finish(tmp_path / "run")
    assert [line["round"] for line in metrics(tmp_path / "run")] == [1, 2, 3]
    assert [row.round for row in rows(tmp_path / "run", FitRow)] == [1, 2, 3]


@pytest.mark.parametrize("torn", ['{"round": 3, "roll', "", '{"round": 9}\n'])
def test_metrics_that_were_torn_are_mended_when_the_run_is_opened(tmp_path, torn):
    finish(tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    whole = path.read_text()
    path.write_text("".join(whole.splitlines(keepends=True)[:2]) + torn)
    rows(tmp_path / "run")
    assert path.read_text() == whole


@pytest.mark.first(1)
@pytest.mark.parametrize("queue", [None, 1])
def test_a_round_reads_no_more_from_the_ledger_the_more_is_recorded(tmp_path, monkeypatch, queue):
    read, select = [0], sqlite3.Connection.execute

    class Counting(sqlite3.Connection):
        def execute(self, *args):
            cursor = super().execute(*args)
            if not args[0].startswith("SELECT"):
                return cursor
            found = cursor.fetchall()
            read[0] += len(found)
            return select(self, "SELECT 1 WHERE 0") if not found else _Answer(found)

    class _Answer:
        def __init__(self, found):
            self.found = found

        def fetchall(self):
            return self.found

        def fetchone(self):
            return self.found[0]

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *args, **kw: connect(*args, **kw, factory=Counting)
    )
    settings = fake_settings(rounds=40, stop_when_solved=False, loop=turns(queue))
    spent = []

    def listen(event):
        if isinstance(event, RoundDone):
            spent.append(read[0])
            read[0] = 0

    finish(tmp_path / "run", settings=settings, emit=listen)
    assert len(spent) == 40
    assert max(spent[30:]) <= max(spent[3:13])


@pytest.mark.parametrize("back", [False, True])
def test_where_one_rollout_is_lost_and_one_gained_the_policy_is_evaluated(tmp_path, back):
    """As many rollouts and transitions as before, and not the same: it learned from others."""
    settings = fake_settings(rollouts_per_round=1)
    finish(tmp_path, settings=settings.model_copy(update=dict(rounds=2)))
    path = tmp_path / "episodes" / "r0001-00.parquet"
    kept = path.read_bytes()
    path.write_bytes(kept[:50])
    finish(tmp_path, settings=settings)
    rounds = [1, 2, 3]
    if back:  # the lost one, and no other
        path.write_bytes(kept)
        (tmp_path / "episodes" / "r0003-00.parquet").unlink()
        failing = FakeOracle(failures={0: "failed"})
        finish(tmp_path, failing, settings=settings.model_copy(update=dict(rounds=4)))
        rounds = [1, 2, 3, 4]
    found, fits = rows(tmp_path, EvaluationRow), rows(tmp_path, FitRow)
    assert [row.round for row in found] == rounds
    assert {(row.rollouts, row.transitions) for row in found[1:]} == {(2, 10)}
    assert found[-1].data_hash == fits[-1].data_hash
    assert all(one.data_hash != two.data_hash for one, two in itertools.pairwise(found))
    assert (found[-1].data_hash == found[1].data_hash) == back
