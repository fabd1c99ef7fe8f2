"""A campaign that is asked and told by hand comes to what the loop would have made of it."""

import json
from dataclasses import replace

import pytest

from robo_al.campaign.campaign import Campaign
from robo_al.dataset.events import Evaluated, Noted, RoundDone
from robo_al.dataset.ledger import EvaluationRow
from robo_al.errors import UserError
from robo_al.loop.sequential import run
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings


def opened(folder, parts=None, **changes):
    settings = fake_settings(**changes)
    if (folder / "config.yaml").exists():
        return Campaign.open(folder, parts or fake_parts(), settings)
    return Campaign.create(folder, parts or fake_parts(), settings, "env: fake\n")


def by_hand(campaign, oracle):
    campaign.connect(oracle)
    while not campaign.finished:
        for candidate in campaign.evaluation() or campaign.ask():
            oracle.submit(candidate)
        for outcome in oracle.poll():
            campaign.tell(outcome)


def digest(campaign):
    return campaign.dataset.ledger.digest()


def metrics(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: line[key] for key in line if not key.endswith("seconds")} for line in lines]


@pytest.mark.parametrize("every", [0, 1, 2])
def test_it_is_evaluated_and_recorded_as_by_the_loop(tmp_path, every):
    with opened(tmp_path / "loop", evaluation={"starts": 2, "every": every}) as looped:
        run(looped, FakeOracle())
        expected = digest(looped)
    with opened(tmp_path / "hand", evaluation={"starts": 2, "every": every}) as campaign:
        by_hand(campaign, FakeOracle())
        assert digest(campaign) == expected and campaign.finished
    assert (
        metrics(tmp_path / "hand") == metrics(tmp_path / "loop")
        and len(metrics(tmp_path / "hand")) == 3
    )


def test_what_happens_is_told_as_by_the_loop(tmp_path):
    heard = {}
    for name in ("loop", "hand"):
        parts = fake_parts()
        parts = replace(parts, task=replace(parts.task, notes=("an attribute is not used",)))
        with opened(tmp_path / name, parts) as campaign:
            heard[name] = []
            campaign.observers.append(heard[name].append)
            if name == "loop":
                run(campaign, FakeOracle())
            else:
                by_hand(campaign, FakeOracle())
    kinds = (Noted, Evaluated)
    told = {name: [e for e in events if isinstance(e, kinds)] for name, events in heard.items()}
    assert told["hand"] == told["loop"] and len(told["hand"]) == 1 + 3
    closed = [event.record["round"] for event in heard["hand"] if isinstance(event, RoundDone)]
    assert closed == [1, 2, 3]


def test_an_evaluation_that_was_interrupted_is_made_again_under_the_same_ids(tmp_path):
    folder, oracle = tmp_path / "run", FakeOracle()
    with opened(folder) as campaign:
        campaign.connect(oracle)
        oracle.submit(*campaign.ask())
        campaign.tell(*oracle.poll())
        begun = campaign.evaluation()
        assert [candidate.id for candidate in begun] == ["e0001-00", "e0001-01"]
        oracle.submit(begun[0])
        assert campaign.tell(*oracle.poll()) is None
        assert campaign.evaluation() == () == campaign.ask()  # one start is not told yet
        with pytest.raises(UserError, match="an evaluation is under way"):
            campaign.ask(2)
        with pytest.raises(UserError, match="an evaluation is under way"):
            campaign.learn()
    with opened(folder) as campaign:
        assert [c.id for c in campaign.evaluation()] == [c.id for c in begun]
        assert campaign.dataset.ledger.rows(EvaluationRow) == []
    with opened(folder) as campaign:
        by_hand(campaign, FakeOracle())
        resumed = digest(campaign)
    with opened(tmp_path / "other") as campaign:
        by_hand(campaign, FakeOracle())
        assert digest(campaign) == resumed


def test_an_outcome_of_an_evaluation_may_be_told_twice(tmp_path):
    oracle = FakeOracle()
    with opened(tmp_path / "run") as campaign:
        campaign.connect(oracle)
        oracle.submit(*campaign.ask())
        campaign.tell(*oracle.poll())
        for candidate in campaign.evaluation():
            oracle.submit(candidate)
        outcomes = oracle.poll()
        for outcome in outcomes + outcomes:
            campaign.tell(outcome)
        assert len(campaign.dataset.ledger.rows(EvaluationRow)) == 1
        assert campaign.round_complete and len(campaign.dataset) == 1


def test_rounds_whose_evaluation_nobody_asks_for_are_closed_by_the_next(tmp_path):
    oracle = FakeOracle()
    with opened(tmp_path / "run", rounds=2) as campaign:
        campaign.connect(oracle)
        for _ in range(3):  # also beyond the budget, where it is said how many
            for candidate in campaign.ask(1):
                oracle.submit(candidate)
            for outcome in oracle.poll():
                campaign.tell(outcome)
        assert campaign.ask() == () and campaign.rounds == 3
    assert [line["round"] for line in metrics(tmp_path / "run")] == [1, 2]


def test_the_loop_finishes_what_was_left_by_hand(tmp_path):
    folder, oracle = tmp_path / "run", FakeOracle()
    with opened(folder) as campaign:
        campaign.connect(oracle)
        for _ in range(2):
            campaign.ask(1)  # two rounds of which nothing is told
    with opened(folder) as campaign:
        run(campaign, FakeOracle())
        assert campaign.finished
    assert [line["round"] for line in metrics(folder)] == [1, 2, 3]


class Named(FakeOracle):
    """A robot's: asks who asks it, and refuses what it would not do."""

    campaign = ""

    def acknowledge(self, ids):
        pass

    def refusal(self, candidate, actions):
        return None


def test_an_oracle_knows_the_campaign_by_one_name_at_each_start(tmp_path):
    names = set()
    for _ in range(2):
        with opened(tmp_path / "run") as campaign:
            oracle = Named()
            campaign.connect(oracle)
            names.add(oracle.campaign)
            assert campaign.refusal == oracle.refusal
    assert len(names) == 1 and names != {""}
