"""The loop that selects while the oracle executes."""

import threading
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from robo_al import loop
from robo_al.build import create_campaign, open_campaign
from robo_al.campaign.campaign import Campaign
from robo_al.config.load import load_config
from robo_al.dataset.events import Evaluated, RoundDone
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow, RoundRow
from robo_al.loop import overlapped
from robo_al.oracles.simulation import SimulationOracle
from robo_al.testing import FakeOracle
from robo_al.testing.campaign import fake_parts, fake_settings, turns
from robo_al.types import Candidate, EnvSpec, Outcome

ROUNDS = 8


def config(**changes: object) -> Any:
    overrides = {
        "loop.mode": "overlapped",
        "loop.queue": 2,
        "rounds": ROUNDS,
        "candidates": 4,
        "contexts": 2,
        "imagination_members": 1,
        "rollout_steps": 5,
        "evaluation.starts": 2,
        "evaluation.every": 4,
        "model": "robo_al.testing:FakeModel",
        "policy": "robo_al.testing:FakePolicy",
        "stop_when_solved": False,
    } | changes
    words = [
        word
        for key, value in overrides.items()
        for word in (f"--{key}", str(value).lower() if isinstance(value, bool) else str(value))
    ]
    return load_config("pendulum", words)


class Robot:
    """A simulation in which one rollout takes its time, in a thread of its own, one by one.

    Args:
        seconds: of a training rollout.
        repeatable: whether it says that it may be asked again.
        stop_after: rollouts after which `poll` raises: the campaign's process dies.
    """

    capacity = 8

    def __init__(
        self, seconds: float = 0.0, repeatable: bool = True, stop_after: int = 10**9
    ) -> None:
        self.repeatable, self._seconds, self._left = repeatable, seconds, stop_after
        self._inner = SimulationOracle(EnvSpec("pendulum", {}))
        self.resolve = self._inner.resolve
        self._jobs: SimpleQueue[Candidate | None] = SimpleQueue()
        self._done: SimpleQueue[Outcome] = SimpleQueue()
        self.most, self.order = 0, list[str]()
        """Most training rollouts at once, and their order."""
        self._pending = 0
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def submit(self, candidate: Candidate) -> None:
        if candidate.id.startswith("r"):
            self.order.append(candidate.id)
            self._pending += 1
            self.most = max(self.most, self._pending)
        self._jobs.put(candidate)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        if timeout is not None:  # so that no test depends on how fast this machine is
            return []
        outcome = self._done.get(timeout=60)
        if self._left == 0:
            raise KeyboardInterrupt
        self._left -= 1
        self._pending -= outcome.candidate_id.startswith("r")
        return [outcome]

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._inner.close()

    def __enter__(self) -> "Robot":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _work(self) -> None:
        while (candidate := self._jobs.get()) is not None:
            if candidate.id.startswith("r"):
                time.sleep(self._seconds)
            self._inner.resolve = self.resolve
            self._inner.submit(candidate)
            for outcome in self._inner.poll():
                self._done.put(replace(outcome, robot_seconds=0.0))


def rows(campaign: Campaign) -> list[RolloutRow]:
    return campaign.dataset.ledger.rows(RolloutRow)


def test_the_next_rounds_are_selected_while_one_runs(tmp_path: Path) -> None:
    with create_campaign(config(), tmp_path / "run") as campaign, Robot(0.02) as robot:
        loop.run(campaign, robot, lambda event: None)
        assert [row.state for row in rows(campaign)] == ["recorded"] * ROUNDS
        after = [row.after for row in campaign.dataset.ledger.rows(RoundRow)]
        assert campaign.finished and campaign.solved is None
    assert robot.most == 3
    assert after[:2] == [None, 1]  # alone until there is a model
    under_way = [index - (last or 0) for index, last in enumerate(after)]
    assert max(under_way) == 2 and min(under_way) >= 0


class Unforeseen(FakeOracle):
    """Says that its rollouts take no time, so that no test depends on how fast this machine is."""

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        return [replace(outcome, robot_seconds=0.0) for outcome in super().poll(timeout)]


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_an_oracle_is_given_no_more_than_it_takes(tmp_path: Path, capacity: int) -> None:
    settings = fake_settings(rounds=6, loop=turns(2))
    with Campaign.create(tmp_path / "run", fake_parts(), settings, "") as campaign:
        with Unforeseen(capacity=capacity, delay=1) as oracle:
            loop.run(campaign, oracle, lambda event: None)  # it refuses one more
        evaluations = campaign.dataset.ledger.rows(EvaluationRow)
        fits = {row.rollouts for row in campaign.dataset.ledger.rows(FitRow)}
        evaluated = [row.rollouts for row in evaluations]
    assert evaluated == sorted(set(evaluated)) and evaluated[-1] == 11  # no policy twice
    assert set(evaluated) <= fits  # what was learned from, not what came meanwhile


class Timed(FakeOracle):
    """A robot whose rollouts take a second each, in a time that is counted and not waited for.

    Args:
        said: seconds that it says they take.
    """

    now, idle = 0.0, 0.0

    def __init__(self, said: float) -> None:
        super().__init__()
        self._said = said
        self._ends: list[float] = []
        self._outcomes: list[Outcome] = []

    def submit(self, candidate: Candidate) -> None:
        super().submit(candidate)
        self._outcomes += [replace(o, robot_seconds=self._said) for o in super().poll()]
        free = self._ends[-1] if self._ends else self.now
        if candidate.id > "r0003":  # the first can only be waited for
            self.idle += max(0.0, self.now - free)
        self._ends.append(max(self.now, free) + 1.0)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        left = self._ends[len(self._ends) - len(self._outcomes) :]
        if left:
            wait = left[0] - self.now
            self.now += 1e-6 + max(0.0, wait if timeout is None else min(wait, timeout))
        come = sum(end <= self.now for end in left)
        outcomes, self._outcomes = self._outcomes[:come], self._outcomes[come:]
        return outcomes


@pytest.mark.first(4)
@pytest.mark.parametrize("said", [1.0, 0.7, 0.0])
@pytest.mark.parametrize(
    ("learning", "selecting", "batch", "lag"),
    [(0.1, 0.3, 1, 1), (0.45, 0.45, 1, 1), (0.1, 0.8, 1, 1), (0.1, 1.1, 1, 2), (0.5, 0.3, 2, 1)],
)
def test_a_rollout_is_selected_as_late_as_it_can_be(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: float,
    learning: float,
    selecting: float,
    batch: int,
    lag: int,
) -> None:
    settings = fake_settings(rounds=12, loop=turns(2), evaluation={"starts": 2, "every": 0})
    settings = settings.model_copy(update=dict(rollouts_per_round=batch))
    with Campaign.create(tmp_path / "run", fake_parts(), settings, "") as campaign:
        oracle = Timed(said)
        learn, select = campaign.learn, campaign.select

        def slow_learn() -> Any:
            row = learn()
            oracle.now += learning if row is not None else 0.0
            return row

        def slow_select(k: int | None = None) -> Any:
            candidates = select(k)
            oracle.now += selecting
            return candidates

        monkeypatch.setattr(campaign, "learn", slow_learn)
        monkeypatch.setattr(campaign, "select", slow_select)
        monkeypatch.setattr(overlapped, "monotonic", lambda: oracle.now)
        loop.run(campaign, oracle, lambda event: None)
        after = [row.after or 0 for row in campaign.dataset.ledger.rows(RoundRow)]
    selected = [0, *(1 + batch * index for index in range(len(after) - 1))]
    lags = [before - known for before, known in zip(selected, after, strict=True)]
    assert max(lags[6:]) == lag  # once it is known how long a rollout takes
    assert oracle.idle < 0.01 or learning + selecting > 1.0


@pytest.mark.first(6)
@pytest.mark.parametrize("kind", [Evaluated, RoundDone])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize(("capacity", "solved"), [(1, True), (8, True), (8, False)])
def test_a_campaign_stopped_around_an_evaluation_goes_on(
    tmp_path: Path, kind: type, count: int, capacity: int, solved: bool
) -> None:
    parts, left = fake_parts(), [count]
    parts = replace(parts, task=replace(parts.task, threshold=-1e9))
    settings = fake_settings(rounds=7, loop=turns(2), stop_when_solved=solved)

    def stop(event: object) -> None:
        left[0] -= isinstance(event, kind)
        if not left[0]:
            raise KeyboardInterrupt

    with Campaign.create(tmp_path / "run", parts, settings, "") as campaign:
        with Unforeseen(capacity=capacity, delay=1) as oracle, suppress(KeyboardInterrupt):
            loop.run(campaign, oracle, stop)
        begun = {row.id for row in rows(campaign) if row.state in ("dispatched", "recorded")}
    with Campaign.open(tmp_path / "run", parts, settings) as campaign:
        with Unforeseen(capacity=capacity, delay=1) as oracle:
            loop.run(campaign, oracle, lambda event: None)
        assert campaign.finished and campaign.solved is not None
        evaluations = len(campaign.dataset.ledger.rows(EvaluationRow))
        assert evaluations == 2 if solved else evaluations > 2
        states = {row.id: row.state for row in rows(campaign)}
    assert {states[name] for name in begun} == {"recorded"}  # what was begun is not lost
    assert set(states.values()) <= {"recorded", "aborted"}


def test_what_has_come_is_learned_from_before_the_next_is_selected(tmp_path: Path) -> None:
    settings = fake_settings(
        rounds=8, loop=turns(2), rollouts_per_round=1, evaluation={"starts": 2, "every": 0}
    )
    with Campaign.create(tmp_path / "run", fake_parts(), settings, "") as campaign:
        with Unforeseen(delay=2) as oracle:  # done when it was asked twice more
            loop.run(campaign, oracle, lambda event: None)
        after = [row.after for row in campaign.dataset.ledger.rows(RoundRow)]
        fits = [row.rollouts for row in campaign.dataset.ledger.rows(FitRow)]
    assert after == [None, 1, 1, 1, 2, 3, 4, 5] and fits == [1, 2, 3, 4, 5, 6, 7, 8]


def test_once_solved_nothing_more_is_executed(tmp_path: Path) -> None:
    parts = fake_parts()
    parts = replace(parts, task=replace(parts.task, threshold=-1e9))
    settings = fake_settings(rounds=9, loop=turns(2), rollouts_per_round=1)
    settings = settings.model_copy(update=dict(stop_when_solved=True))
    with Campaign.create(tmp_path / "run", parts, settings, "") as campaign:
        with Unforeseen(capacity=1) as oracle:
            loop.run(campaign, oracle, lambda event: None)
        assert campaign.finished and campaign.solved is not None and campaign.solved.round == 2
        assert len(campaign.dataset.ledger.rows(EvaluationRow)) == 2
        states = [row.state for row in rows(campaign)]
    # The third was being executed while the policy was evaluated.
    assert states == ["recorded"] * 3 + ["aborted"] * (len(states) - 3) and len(states) > 3


class Prompt(Robot):
    """Answers with all outcomes that have come."""

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        outcomes = super().poll()
        while not self._done.empty():
            outcomes += super().poll()
        return outcomes


def test_where_retraining_takes_longer_than_a_rollout_the_queue_is_filled_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_campaign(config(), tmp_path / "run") as campaign, Prompt(0.2) as robot:
        learn, select, stale, waiting = campaign.learner.learn, campaign.select, [], []

        def slowly(index: int) -> Any:
            row = learn(index)
            time.sleep(0.5 if row is not None else 0.0)
            return row

        def watched(k: int | None = None) -> Any:
            learned = campaign.dataset.ledger.rows(FitRow)
            stale.append(bool(learned) and learned[-1].rollouts < len(campaign.dataset))
            waiting.append(robot._pending)
            return select(k)

        monkeypatch.setattr(campaign.learner, "learn", slowly)
        monkeypatch.setattr(campaign, "select", watched)
        loop.run(campaign, robot, lambda event: None)
        assert [row.state for row in rows(campaign)] == ["recorded"] * ROUNDS
    assert any(stale)
    assert all(pending < 2 for pending, old in zip(waiting, stale, strict=True) if old)


def test_every_round_has_its_record_and_evaluations_come_when_due(tmp_path: Path) -> None:
    with create_campaign(config(), tmp_path / "run") as campaign, Robot() as robot:
        loop.run(campaign, robot, lambda event: None)
        assert all(row.record for row in campaign.dataset.ledger.rows(RoundRow))
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == ROUNDS
    assert ['"mean_return"' in line for line in lines] == [i % 4 == 3 for i in range(ROUNDS)]


def test_the_order_of_arrival_decides_everything(tmp_path: Path) -> None:
    digests = []
    for name, seconds in (("slow", 0.03), ("fast", 0.0)):
        with create_campaign(config(), tmp_path / name) as campaign, Robot(seconds) as robot:
            loop.run(campaign, robot, lambda event: None)
            digests.append(campaign.dataset.ledger.digest())
    assert digests[0] == digests[1]


@pytest.mark.first(1)
@pytest.mark.parametrize("stop_after", [0, 1, 3, 5, 7])
@pytest.mark.parametrize("policy", ["robo_al.testing:FakePolicy", "streamed"])
def test_a_stopped_campaign_goes_on(tmp_path: Path, stop_after: int, policy: str) -> None:
    changes: dict[str, object] = {}
    if policy == "streamed":
        changes = {"policy.name": "robo_al.testing:FakePolicy", "policy.streamed": True}
        changes |= {"policy": "robo_al.testing:FakePolicy"}
    with create_campaign(config(**changes), tmp_path / "whole") as campaign, Robot() as robot:
        loop.run(campaign, robot, lambda event: None)
        whole = [(row.id, row.content_hash, row.sha256) for row in rows(campaign)]
    with create_campaign(config(**changes), tmp_path / "run") as campaign:
        with Robot(stop_after=stop_after) as robot, pytest.raises(KeyboardInterrupt):
            loop.run(campaign, robot, lambda event: None)
    with open_campaign(tmp_path / "run") as campaign, Robot() as robot:
        loop.run(campaign, robot, lambda event: None)
        again = [(row.id, row.content_hash, row.sha256) for row in rows(campaign)]
    assert again == whole


def test_what_may_have_run_is_not_run_again(tmp_path: Path) -> None:
    with create_campaign(config(), tmp_path / "run") as campaign:
        with Robot(repeatable=False, stop_after=3) as robot, pytest.raises(KeyboardInterrupt):
            loop.run(campaign, robot, lambda event: None)
        flying = [row.id for row in rows(campaign) if row.state == "dispatched"]
    assert flying
    with open_campaign(tmp_path / "run") as campaign, Robot(repeatable=False) as robot:
        loop.run(campaign, robot, lambda event: None)
        states = {row.id: row.state for row in rows(campaign)}
    assert {states[name] for name in flying} == {"indeterminate"}
    assert not set(flying) & set(robot.order)
    assert sum(state == "recorded" for state in states.values()) == ROUNDS - len(flying)
