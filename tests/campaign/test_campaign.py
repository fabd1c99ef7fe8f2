import json
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import Explored, ModelFailed, Quarantined, TakenBack, WorseModel
from robo_al.dataset.ledger import FORMAT, FitRow, RolloutRow, RoundRow
from robo_al.errors import (
    IntegrityError,
    ModelError,
    PluginError,
    RunFolderError,
    StorageError,
    UserError,
)
from robo_al.loop.sequential import run
from robo_al.testing import FakeModel, FakeOracle
from robo_al.testing.campaign import FAKE_SETTINGS, fake_parts, fake_settings
from robo_al.types import Candidate, ClosedLoop, Failure, OpenLoop, Outcome


def execute(oracle, candidates, campaign=None):
    if campaign is not None:
        campaign.connect(oracle)
    for candidate in candidates:
        oracle.submit(candidate)
    return oracle.poll()


def create(folder, parts=None, **changes):
    return Campaign.create(folder, parts or fake_parts(), fake_settings(**changes), "env: fake\n")


@pytest.fixture
def campaign(tmp_path):
    with create(tmp_path / "run") as campaign:
        yield campaign


def turn(campaign, oracle, k=None):
    candidates = campaign.ask(k)
    for outcome in execute(oracle, candidates, campaign):
        campaign.tell(outcome)
    return candidates


def rows(campaign, **where):
    return campaign.dataset.ledger.rows(RolloutRow, **where)


def test_the_first_batch_is_the_explorers(campaign):
    (candidate,) = campaign.ask()
    assert candidate.id == "r0001-00" and isinstance(candidate.controller, OpenLoop)
    (row,) = rows(campaign)
    assert (row.state, row.acquisition, row.score) == ("dispatched", "explorer", None)
    assert campaign.dataset.ledger.row(RoundRow, 1).scores is None


def test_later_batches_say_why(campaign):
    turn(campaign, FakeOracle())
    candidates = campaign.ask(3)
    assert [c.id for c in candidates] == ["r0002-00", "r0002-01", "r0002-02"]
    assert all(isinstance(c.controller, ClosedLoop) for c in candidates)
    scores = json.loads(campaign.dataset.ledger.row(RoundRow, 2).scores)
    assert len(scores) == FAKE_SETTINGS.candidates
    chosen = rows(campaign, round=2)
    fit = campaign.dataset.ledger.last(FitRow)
    for row in chosen:
        assert row.score in scores
        assert row.rank == sorted(scores, reverse=True).index(row.score) + 1
        assert row.predicted_information > 0 and row.model_hash == fit.model_hash
        assert row.acquisition == "joint_information"
    gains = [row.gain for row in chosen]
    assert gains == sorted(gains, reverse=True)


def test_realised_information_is_under_the_model_that_chose(campaign):
    oracle = FakeOracle()
    turn(campaign, oracle)
    candidates = campaign.ask(2)
    outcomes = execute(oracle, candidates)
    expected = [campaign.learner.information(outcome.result) for outcome in outcomes]
    for outcome in outcomes:
        campaign.tell(outcome)
    assert [row.realised_information for row in rows(campaign, round=2)] == expected
    campaign.learn()
    again = [campaign.learner.information(outcome.result) for outcome in outcomes]
    assert all(new < old for new, old in zip(again, expected, strict=True))


def test_pending_rollouts_are_conditioned_on(tmp_path):
    def second_ask(wait):
        with create(tmp_path / f"run-{wait}", candidates=8) as campaign:
            turn(campaign, FakeOracle())
            if wait:
                campaign.ask(4)
                assert len(campaign.pending) == 4
            else:
                with campaign.dataset.ledger.transaction():
                    campaign.dataset.ledger.insert(RoundRow(2, None))
            campaign.ask(1)
            return rows(campaign, round=3)[0].gain

    assert second_ask(wait=True) < second_ask(wait=False)


@pytest.mark.parametrize(("k", "message"), [(0, "at least 1"), (5, "more than the 4")])
def test_impossible_batches_are_refused(campaign, k, message):
    with pytest.raises(UserError, match=message):
        campaign.ask(k)
    assert campaign.rounds == 0


def test_telling_twice(campaign):
    (candidate,) = campaign.ask()
    (outcome,) = execute(FakeOracle(), [candidate], campaign)
    first = campaign.tell(outcome)
    assert campaign.tell(outcome) == first
    assert len(campaign.dataset) == 1
    other = replace(outcome, result=Failure("failed", "no"))
    with pytest.raises(IntegrityError, match="r0001-00 is recorded already"):
        campaign.tell(other)
    assert rows(campaign) == [first]


def test_telling_what_was_never_asked(campaign):
    with pytest.raises(UserError, match="'r0007-00'"):
        campaign.tell(Outcome("r0007-00", Failure("failed", "no"), 0.0))


def changed(outcome, **fields):
    """Return an outcome with other fields: its own, its result's, or its failure's."""
    result = outcome.result
    if "terminated" in fields:
        result = replace(result, terminated=fields.pop("terminated"))
    if fields.keys() & {"kind", "reason", "partial"}:
        result = replace(Failure("failed", "broke"), **fields)
        fields = {}
    return replace(outcome, **({"result": result} | fields))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"robot_seconds": np.inf}, "robot_seconds of rollout r0001-00 is inf"),
        ({"robot_seconds": np.nan}, "robot_seconds .* is nan"),
        ({"robot_seconds": -0.1}, "robot_seconds .* is -0.1"),
        ({"robot_seconds": 1e300}, "from 0 to 1e\\+09"),
        ({"robot_seconds": 10**400}, "robot_seconds"),
        ({"robot_seconds": True}, "robot_seconds .* is True"),
        ({"robot_seconds": "1"}, "robot_seconds .* is '1'"),
        ({"robot_seconds": None}, "robot_seconds .* is None"),
        ({"robot_seconds": np.ones(1)}, "robot_seconds"),
        ({"result": None}, "result of rollout r0001-00 is a NoneType"),
        ({"result": {"kind": "failed"}}, "is a dict; it must be a Trajectory or a Failure"),
        ({"terminated": "no"}, "terminated of rollout r0001-00 is 'no'"),
        ({"candidate_id": 3}, "candidate_id is 3"),
        ({"candidate_id": None}, "candidate_id is None"),
        ({"candidate_id": ["r0001-00"]}, "candidate_id"),
        ({"kind": "dispatched"}, "kind 'dispatched'; it must be one of failed, aborted"),
        ({"kind": "recorded"}, "kind 'recorded'"),
        ({"kind": ["failed"]}, "kind"),
        ({"kind": None}, "kind None"),
        ({"reason": None}, "reason of the failure of rollout r0001-00 is None"),
        ({"reason": b"broke"}, "reason"),
        ({"partial": "half"}, "is a str; it must be a Trajectory, or None"),
    ],
)
def test_what_cannot_be_recorded_is_refused_and_changes_nothing(campaign, fields, message):
    (candidate,) = campaign.ask()
    (outcome,) = execute(FakeOracle(), [candidate], campaign)
    before = rows(campaign), sorted(campaign.dataset.folder.rglob("*.parquet"))
    with pytest.raises(UserError, match=message):
        campaign.tell(changed(outcome, **fields))
    assert before == (rows(campaign), sorted(campaign.dataset.folder.rglob("*.parquet")))
    assert [c.id for c in campaign.pending] == ["r0001-00"]
    assert campaign.tell(outcome).state == "recorded"


def test_seconds_of_numpy_and_reasons_that_no_text_can_say_are_recorded(campaign):
    for kind in (np.float32, np.int64):
        (candidate,) = campaign.ask(1)
        (outcome,) = execute(FakeOracle(), [candidate], campaign)
        assert campaign.tell(replace(outcome, robot_seconds=kind(2))).robot_seconds == 2.0
    (candidate,) = campaign.ask(1)
    told = campaign.tell(Outcome(candidate.id, Failure("failed", "no \udc80 here"), 0.0))
    assert told.reason == "no \\udc80 here"


def test_rewards_that_add_up_to_no_number_are_quarantined_and_shown(campaign):
    (candidate,) = campaign.ask()
    (outcome,) = execute(FakeOracle(), [candidate], campaign)
    outcome.result.rewards[:] = 1e308
    row = campaign.tell(outcome)
    assert (row.state, row.total_reward) == ("quarantined", None)
    assert "rewards add up to no finite number" in row.reason


@pytest.mark.parametrize("kind", ["failed", "aborted", "quarantined", "indeterminate"])
def test_failures_are_kept_and_not_trained_on(campaign, kind):
    (candidate,) = campaign.ask()
    (outcome,) = execute(FakeOracle(failures={0: kind}), [candidate], campaign)
    row = campaign.tell(outcome)
    assert (row.state, row.reason) == (kind, f"made to be {kind}")
    assert campaign.dataset.trajectory(row).steps == row.steps == 5
    assert campaign.learn() is None and len(campaign.dataset) == 0


def test_values_that_are_not_finite_never_reach_training(campaign):
    oracle = FakeOracle()
    turn(campaign, oracle)
    bad, good = execute(oracle, campaign.ask(2))
    bad.result.observations[3, 1] = np.nan
    row = campaign.tell(bad)
    assert row.state == "quarantined" and "rollout r0002-00: observation" in row.reason
    campaign.tell(good)
    campaign.learn()
    assert np.isfinite(campaign.dataset.transitions().observations).all()
    assert campaign.dataset.ledger.last(FitRow).rollouts == 2


def test_a_late_outcome_of_an_indeterminate_rollout_is_welcome(campaign):
    (candidate,) = campaign.ask()
    campaign.give_up([candidate.id])
    assert campaign.pending == () and rows(campaign)[0].state == "indeterminate"
    (outcome,) = execute(FakeOracle(), [candidate], campaign)
    assert campaign.tell(outcome).state == "recorded"


def test_order_of_completion_does_not_matter(tmp_path):
    digests = set()
    for shuffle in (False, True):
        with create(tmp_path / f"{shuffle}") as campaign:
            for _ in range(3):
                turn(campaign, FakeOracle(shuffle=shuffle), 3)
            campaign.learn()
            digests.add(campaign.dataset.ledger.digest())
    assert len(digests) == 1


@pytest.mark.parametrize("damage", ["truncated", "altered", "missing"])
def test_damaged_episodes_are_quarantined_and_the_campaign_goes_on(tmp_path, damage):
    with create(tmp_path / "run") as campaign:
        oracle = FakeOracle()
        turn(campaign, oracle)
        turn(campaign, oracle, 2)
    path = tmp_path / "run" / "episodes" / "r0002-00.parquet"
    data = path.read_bytes()
    path.unlink()
    if damage != "missing":
        half = len(data) // 2
        path.write_bytes(data[:half] if damage == "truncated" else data[:half] + b"?" + data[half:])
    events = []
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        campaign.observers.append(events.append)
        turn(campaign, FakeOracle(), 1)
        found = [event for event in events if isinstance(event, Quarantined)]
        assert [event.what for event in found] == ["r0002-00"]
        assert campaign.dataset.ledger.row(RolloutRow, "r0002-00").state == "quarantined"
        campaign.learn()
        assert campaign.dataset.ledger.last(FitRow).rollouts == 3
        assert len(campaign.dataset.transitions()) == 15


@pytest.mark.parametrize("part", ["episodes", "evaluations", "models"])
def test_a_folder_that_is_away_stops_the_campaign_and_loses_nothing(tmp_path, part):
    folder, away = tmp_path / "run", tmp_path / "away"
    with create(folder) as campaign:
        run(campaign, FakeOracle(), lambda event: None)
        before = campaign.dataset.ledger.digest()
    (folder / part).rename(away)
    with pytest.raises(StorageError, match=f"{part}: is not there, and . files were written"):
        Campaign.open(folder, fake_parts(), FAKE_SETTINGS)
    away.rename(folder / part)
    with Campaign.open(folder, fake_parts(), FAKE_SETTINGS) as campaign:
        assert campaign.learn() is None and campaign.dataset.ledger.digest() == before


def test_an_empty_folder_where_a_disk_is_to_be_mounted_stops_the_campaign(tmp_path):
    folder, away = tmp_path / "run", tmp_path / "away"
    with create(folder) as campaign:
        turn(campaign, FakeOracle())
        turn(campaign, FakeOracle(), 2)
    (folder / "episodes").rename(away)
    (folder / "episodes").mkdir()
    with Campaign.open(folder, fake_parts(), FAKE_SETTINGS) as campaign:
        with pytest.raises(StorageError, match="none of the 3 recorded episodes is there"):
            campaign.ask()
    (folder / "episodes").rmdir()
    away.rename(folder / "episodes")
    with Campaign.open(folder, fake_parts(), FAKE_SETTINGS) as campaign:
        campaign.learn()
        assert campaign.dataset.ledger.last(FitRow).rollouts == 3


def test_empty_folders_that_a_copy_left_out_are_made_again(tmp_path):
    create(tmp_path / "run").close()
    for name in ("episodes", "evaluations", "models"):
        (tmp_path / "run" / name).rmdir()
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        turn(campaign, FakeOracle())
        campaign.learn()
        assert len(campaign.dataset) == 1


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_episode_that_is_put_back_comes_back(tmp_path, damage):
    with create(tmp_path / "run") as campaign:
        turn(campaign, FakeOracle())
        turn(campaign, FakeOracle(), 2)
        campaign.learn()
        row, before = rows(campaign)[1], campaign.dataset.data_hash()
    path = tmp_path / "run" / "episodes" / f"{row.id}.parquet"
    backup = path.read_bytes()
    path.unlink() if damage == "missing" else path.write_bytes(backup[:100])
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        campaign.learn()
        assert campaign.dataset.ledger.row(RolloutRow, row.id).state == "quarantined"
    events = []
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        campaign.observers.append(events.append)
        assert campaign.learn() is None and events == []
        path.write_bytes(backup)  # while the campaign goes on
        fit = campaign.learn()
        assert events[0] == TakenBack(row.id)
        assert campaign.dataset.ledger.row(RolloutRow, row.id) == row
        assert fit.rollouts == 3 and fit.data_hash == before == campaign.dataset.data_hash()


def test_what_an_oracle_quarantined_never_comes_back(tmp_path):
    with create(tmp_path / "run") as campaign:
        turn(campaign, FakeOracle(failures={0: "quarantined"}))
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        campaign.learn()
        assert [row.state for row in rows(campaign)] == ["quarantined"]


def test_weights_are_the_newest_two_and_are_taken_up(tmp_path):
    with create(tmp_path / "run", rounds=4) as campaign:
        for _ in range(4):
            turn(campaign, FakeOracle())
        campaign.learn()
        state = campaign.parts.model.state_dict()
        model_hash = campaign.learner.model_hash
    names = sorted(path.name for path in (tmp_path / "run" / "models").iterdir())
    assert names == ["round-0003.safetensors", "round-0004.safetensors"]
    parts = fake_parts()
    with Campaign.open(tmp_path / "run", parts, FAKE_SETTINGS) as campaign:
        assert campaign.learner.model_hash == model_hash
        for key, value in parts.model.state_dict().items():
            assert torch.equal(value, state[key])
        assert campaign.learn() is None


def test_lost_weights_are_fitted_again(tmp_path):
    with create(tmp_path / "run") as campaign:
        turn(campaign, FakeOracle())
        campaign.learn()
    (path,) = (tmp_path / "run" / "models").iterdir()
    path.write_bytes(b"altered")
    with Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS) as campaign:
        assert not campaign.learner.fitted
        campaign.learner.recover(campaign.rounds)
        assert campaign.learner.fitted and len(campaign.ask(2)) == 2


def test_a_folder_belongs_to_one_campaign_at_a_time(tmp_path):
    with create(tmp_path / "run"):
        with pytest.raises(RunFolderError, match="another process"):
            Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS)
    Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS).close()


def test_what_is_no_run_is_refused_and_untouched(tmp_path):
    folder = tmp_path / "run"
    for make in (None, folder.mkdir, lambda: (folder / "notes.txt").write_text("mine")):
        if make:
            make()
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(RunFolderError, match="no run here"):
            Campaign.open(folder, fake_parts(), FAKE_SETTINGS)
        assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(RunFolderError, match=r"not empty \(it has notes.txt\)"):
        create(folder)
    assert sorted(tmp_path.rglob("*")) == before


def test_another_version_is_refused(tmp_path):
    with create(tmp_path / "run") as campaign:
        campaign.dataset.ledger._connection.execute(f"PRAGMA user_version={FORMAT + 1}")
    before = {path: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    with pytest.raises(RunFolderError, match=f"format {FORMAT + 1}"):
        Campaign.open(tmp_path / "run", fake_parts(), FAKE_SETTINGS)
    assert before == {path: path.read_bytes() for path in before}


def test_a_policy_that_cannot_act_cannot_be_evaluated(tmp_path):
    class Proposer:
        def propose(self, n, contexts, horizon, model, rng):
            return fake_parts().explorer.propose(n, contexts, horizon, model, rng)

    parts = replace(fake_parts(), policy=Proposer())
    with pytest.raises(UserError, match="Proposer cannot control a rollout"):
        create(tmp_path / "run", parts)
    assert not (tmp_path / "run").exists()
    create(tmp_path / "run", parts, evaluation={"starts": 2, "every": 0}).close()


class Broken(FakeModel):
    """A model whose numbers go wrong."""

    fails = False
    explodes = False

    def fit(self, transitions, rng):
        if self.fails:
            self._set(self._covariance * 7, self._mean)
            raise ModelError("the fit is not finite")
        return super().fit(transitions, rng)

    def step(self, observations, actions, members):
        following, reward = super().step(observations, actions, members)
        if self.explodes:
            following[len(following) // 2 :] = torch.nan
        return following, reward


def test_a_failed_fit_keeps_the_model_before(tmp_path):
    parts = replace(fake_parts(), model=Broken(fake_parts().task))
    events = []
    with create(tmp_path / "run", parts) as campaign:
        campaign.observers.append(events.append)
        turn(campaign, FakeOracle())
        turn(campaign, FakeOracle())
        state = {key: value.clone() for key, value in parts.model.state_dict().items()}
        parts.model.fails = True
        assert campaign.learn() is None
        assert any(isinstance(event, ModelFailed) for event in events)
        assert all(torch.equal(value, state[k]) for k, value in parts.model.state_dict().items())
        assert len(campaign.ask(2)) == 2
        assert rows(campaign, round=3)[0].acquisition == "joint_information"


class Doubtful(FakeModel):
    """A model whose second fit is bad, and which notes what it is told and does."""

    def __init__(self, task):
        super().__init__(task)
        self.log = []

    def doubt(self):
        self.log.append("doubt")

    def fit(self, transitions, rng):
        report = super().fit(transitions, rng)
        self.log.append("fit")
        if self.log.count("fit") == 2:
            self._set(self._covariance, self._mean + 3)
        return report


def test_a_model_that_got_worse_is_told_so_before_the_next_fit(tmp_path):
    parts = replace(fake_parts(), model=Doubtful(fake_parts().task))
    events = []
    with create(tmp_path / "run", parts, evaluation={"starts": 8}) as campaign:
        run(campaign, FakeOracle(), events.append)
    worse = [event.round for event in events if isinstance(event, WorseModel)]
    assert worse == [2]
    assert parts.model.log == ["fit", "fit", "doubt", "fit"]


def test_without_any_fit_the_explorer_goes_on(tmp_path):
    parts = replace(fake_parts(), model=Broken(fake_parts().task))
    parts.model.fails = True
    with create(tmp_path / "run", parts) as campaign:
        turn(campaign, FakeOracle())
        turn(campaign, FakeOracle())
        assert {row.acquisition for row in rows(campaign)} == {"explorer"}


def test_candidates_that_are_not_finite_are_never_selected(tmp_path):
    parts = replace(fake_parts(), model=Broken(fake_parts().task))
    events = []
    with create(tmp_path / "run", parts) as campaign:
        campaign.observers.append(events.append)
        turn(campaign, FakeOracle())
        campaign.learn()
        parts.model.explodes = True  # two of the four candidates
        assert len(campaign.ask(3)) == 3
        chosen = [row.acquisition for row in rows(campaign, round=2)]
        assert chosen == ["joint_information"] * 2 + ["explorer"]
        assert [e.rollouts for e in events if isinstance(e, Explored)] == [1]


@pytest.mark.parametrize("fault", ["too few", "not finite", "wrong shape", "too long"])
def test_a_policy_that_proposes_nonsense_is_named(tmp_path, fault):
    parts = fake_parts(streamed=False)

    class Wrong:
        start = parts.policy.start

        def propose(self, n, contexts, horizon, model, rng):
            good = parts.explorer.propose(n, contexts, horizon, model, rng)
            actions = good[0].controller.actions
            if fault == "not finite":
                actions[0, 0] = np.inf
            elif fault == "wrong shape":
                good[0] = replace(good[0], controller=OpenLoop(actions[:, :1]))
            elif fault == "too long":
                good[0] = replace(good[0], horizon=horizon + 1)
            return good[1:] if fault == "too few" else good

    with create(tmp_path / "run", replace(parts, policy=Wrong())) as campaign:
        turn(campaign, FakeOracle())
        with pytest.raises(PluginError, match=r"Wrong\.propose"):
            campaign.ask()
        assert campaign.rounds == 1


class Interleavings(RuleBasedStateMachine):
    """Asks and tells in any order, with failures, repetitions and reopenings in between."""

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "run"
        self.oracle = FakeOracle()
        self.expected = {}
        self.told = []
        self.waiting = []
        self.campaign = create(self.path, evaluation={"starts": 2, "every": 0})

    def teardown(self):
        self.campaign.close()
        self.folder.cleanup()

    @rule(k=st.integers(1, 3))
    def ask(self, k):
        for candidate in self.campaign.ask(k):
            assert candidate.id not in self.expected
            self.expected[candidate.id] = "dispatched"
            self.waiting += execute(self.oracle, [candidate], self.campaign)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data(), kind=st.sampled_from([None, None, "failed", "aborted"]))
    def tell(self, data, kind):
        outcome = self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1)))
        if kind:
            outcome = replace(outcome, result=Failure(kind, "so", outcome.result))
        self.campaign.tell(outcome)
        self.expected[outcome.candidate_id] = kind or "recorded"
        self.told.append(outcome)

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def tell_again(self, data):
        self.campaign.tell(data.draw(st.sampled_from(self.told)))

    @rule()
    def reopen(self):
        self.campaign.close()
        settings = fake_settings(evaluation={"starts": 2, "every": 0})
        self.campaign = Campaign.open(self.path, fake_parts(), settings)

    @rule()
    def learn(self):
        self.campaign.learn()

    @invariant()
    def the_ledger_is_what_happened(self):
        found = {row.id: row.state for row in rows(self.campaign)}
        assert found == self.expected
        pending = {candidate.id for candidate in self.campaign.pending}
        assert pending == {outcome.candidate_id for outcome in self.waiting}
        recorded = [i for i, state in sorted(self.expected.items()) if state == "recorded"]
        if recorded:
            by_id = {outcome.candidate_id: outcome.result for outcome in self.told}
            expected = np.concatenate([by_id[i].actions for i in recorded])
            np.testing.assert_array_equal(self.campaign.dataset.transitions().actions, expected)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=15, deadline=None
)


def test_a_candidate_is_made_again_as_it_was(tmp_path):
    with create(tmp_path / "run") as campaign:
        turn(campaign, FakeOracle())
        before = campaign.ask(2)
    parts = fake_parts()
    with Campaign.open(tmp_path / "run", parts, FAKE_SETTINGS) as campaign:
        after = campaign.pending
        acting = [campaign.resolve(candidate.controller) for candidate in after]
    assert acting == [(parts.policy, parts.model)] * 2
    for one, two in zip(before, after, strict=True):
        assert isinstance(two, Candidate)
        assert (one.id, one.seed, one.horizon) == (two.id, two.seed, two.horizon)
        np.testing.assert_array_equal(one.context.observation, two.context.observation)
        assert one.context.options == two.context.options
        assert one.controller == two.controller
