"""The queue, by its own functions: no socket, no thread, no process, and a time that is given."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from robo_al_agent.devices.calibration import Rate
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import AgentError, LeaseError, NotYetError, WireError
from robo_al_agent.journal.folder import FileJournal
from robo_al_agent.journal.records import Rollout
from robo_al_agent.protocol import requests
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue import approval, waiting
from robo_al_agent.queue.approval import Approval, Approvals
from robo_al_agent.queue.lease import LEASE_SECONDS, Leases
from robo_al_agent.queue.rollouts import RolloutQueue
from robo_al_agent.queue.waiting import Waiting
from robo_al_agent.robot import Joint, RobotSpec

SECOND = 10**9
SPEC = RobotSpec("slider", (Joint("left", -1.0, 1.0),), 100.0, "none", None, 0.1)
LIMITS = {"unit": "rad", "position": [-0.9, 0.9], "velocity": 2.0, "acceleration": 99, "jerk": 9999}
ENVELOPE = Envelope.model_validate(
    {
        "joints": [{"name": "left", **LIMITS}],
        "duration": 30.0,
        "start_distance": 0.1,
        "tracking_error": 0.2,
        "sample_age": 1.0,
        "missed_deadlines": 50,
    }
)
RATE = Rate(0.001, 0.002, 0.003, 0, 500, 0.01)


class Bench:
    """A queue whose host and person ask what a test says, at the time that it says."""

    def __init__(self, folder: Path, mode: Literal["auto", "first-n", "every"] = "auto") -> None:
        self.now = 100 * SECOND
        self.journal = FileJournal(folder)
        self.leases = Leases(self.journal)
        approvals = Approvals(Approval(mode=mode, n=1), self.journal.approved)
        plans = Waiting(self.journal, SPEC, ENVELOPE)
        self.queue = RolloutQueue(self.journal, self.leases, plans, approvals)
        self.fencing_token = 0

    def lease(self, client: str = "host", fencing_token: int | None = None) -> int:
        asked = requests.Lease(request=0, client=client, fencing_token=fencing_token)
        self.fencing_token = self.leases.grant(asked, self.now).fencing_token
        return self.fencing_token

    def submit(self, id: str, late: int = 60, step: float = 0.001, **changes: Any) -> None:
        content = {
            "controller": "open_loop",
            "joints": ["left"],
            "period": 0.05,
            "horizon": 3,
            "start": {"joints": [0.0]},
            "seed": 0,
        } | changes
        actions = {"actions": np.arange(1, 4)[:, None] * step}
        fields = {
            "request": 0,
            "fencing_token": self.fencing_token,
            "id": id,
            "not_after_ns": self.now + late * SECOND,
            "content": content,
        }
        message = Message("submit", fields, actions)
        submit = requests.parse(message)
        assert isinstance(submit, requests.Submit)
        self.queue.submit(submit, message, RATE, self.now)

    def say(self, id: str, approved: bool, hash: str | None = None) -> None:
        hash = hash or self.rollout(id).hash
        self.queue.say(
            requests.Operator(request=0, operator="me", id=id, hash=hash), approved, self.now
        )

    def rollout(self, id: str) -> Rollout:
        return self.journal.rollouts[id]

    def next(self, may_start: bool = True) -> str | None:
        """Begin what may begin; return which."""
        turn = self.queue.next(self.now, may_start)
        if turn is None:
            return None
        self.queue.begin(turn)
        return turn.plan.id

    def waiting(self) -> list[str]:
        return [plan.id for plan in self.queue.waiting]

    def why(self, id: str, faulty: bool = False, busy: bool = False) -> str | None:
        return self.queue.waits_for(id, self.now, faulty, busy)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.lease()
    yield made
    made.journal.close()


@pytest.fixture
def asking(tmp_path: Path) -> Iterator[Bench]:
    """A queue where a person approves every rollout."""
    made = Bench(tmp_path, "every")
    made.lease()
    made.submit("a")
    yield made
    made.journal.close()


def test_a_rollout_that_is_accepted_is_in_the_journal_and_has_its_turn(bench: Bench) -> None:
    bench.submit("a")
    assert (bench.rollout("a").state, bench.waiting(), bench.why("a")) == ("accepted", ["a"], None)
    assert bench.journal.request("a").fields["id"] == "a"
    assert bench.next() == "a"
    assert (bench.rollout("a").state, bench.waiting(), bench.next()) == ("started", [], None)


def test_rollouts_have_their_turns_in_the_order_of_acceptance(bench: Bench) -> None:
    for id in "cab":
        bench.submit(id)
    bench.submit("c")  # a copy comes no later and no earlier
    assert [bench.why(id) for id in "cab"] == [None, "turn", "turn"]
    assert [bench.next() for _ in range(4)] == ["c", "a", "b", None]


def test_a_copy_of_a_request_changes_nothing_whenever_it_comes(bench: Bench) -> None:
    bench.submit("a")
    bench.submit("a")
    assert bench.waiting() == ["a"] and bench.next() == "a"
    bench.submit("a")
    bench.journal.end("a", "SUCCEEDED", "", 1.0, None)
    bench.submit("a")
    bench.journal.acknowledge("a")
    bench.submit("a")
    assert bench.next() is None and bench.rollout("a").state == "acknowledged"


def test_a_copy_may_say_that_it_can_begin_later(bench: Bench) -> None:
    bench.submit("a", late=1)
    bench.submit("a", late=60)
    bench.now += 2 * SECOND
    bench.lease()
    assert bench.next() == "a"


def test_the_words_about_a_rollout_are_no_part_of_it_and_all_else_is(bench: Bench) -> None:
    bench.submit("a")
    bench.submit("a", why="another reason")
    for change in ({"seed": 1}, {"step": 0.002}, {"horizon": 2}):
        with pytest.raises(WireError, match="accepted already with another content"):
            bench.submit("a", **change)
    assert bench.waiting() == ["a"]


def test_what_was_accepted_by_an_agent_that_died_waits_when_it_is_asked_for_again(
    tmp_path: Path,
) -> None:
    first = Bench(tmp_path)
    first.lease()
    first.submit("a")
    first.journal.close()
    second = Bench(tmp_path)
    assert second.rollout("a").state == "accepted" and second.waiting() == []
    assert second.lease() == first.fencing_token + 1
    second.submit("a")
    assert second.next() == "a"
    second.journal.close()


def test_what_leaves_the_envelope_ends_at_once(bench: Bench) -> None:
    bench.submit("a", step=0.5)
    assert (bench.rollout("a").kind, bench.waiting()) == ("REJECTED_ENVELOPE", [])
    assert "joint left" in bench.rollout("a").reason


def test_no_more_than_so_many_wait_and_those_that_do_are_kept(bench: Bench) -> None:
    for k in range(waiting.MOST):
        bench.submit(f"r{k}")
    with pytest.raises(NotYetError, match="waiting already"):
        bench.submit("more")
    assert "more" not in bench.journal.rollouts
    bench.submit("r3")  # a copy is answered nevertheless
    assert bench.next() == "r0"
    bench.submit("more")
    assert bench.waiting()[-1] == "more"


def test_what_is_none_for_this_robot_is_refused_and_not_written_down(bench: Bench) -> None:
    with pytest.raises(WireError, match="joints right; this robot's are, in this order, left"):
        bench.submit("a", joints=["right"])
    with pytest.raises(WireError, match=r"actions are float64 of shape \(3, 1\)"):
        bench.submit("a", horizon=4)
    assert not bench.journal.rollouts


# ------------------------------------------------------------ the lease


def test_one_host_has_the_robot_until_it_is_silent(bench: Bench) -> None:
    with pytest.raises(WireError, match="host has the robot"):
        bench.lease("other")
    bench.now += round(0.9 * LEASE_SECONDS * SECOND)
    held = bench.fencing_token
    assert bench.lease("host", held) == held
    bench.now += round(0.9 * LEASE_SECONDS * SECOND)
    assert bench.leases.held(bench.now) is not None
    bench.now += round(0.1 * LEASE_SECONDS * SECOND)
    assert bench.leases.held(bench.now) is None
    with pytest.raises(LeaseError):
        bench.lease("host", held)
    assert bench.lease("other") == held + 1 == bench.journal.fencing_token


def test_nothing_is_accepted_and_nothing_begins_without_the_lease(bench: Bench) -> None:
    bench.submit("a")
    bench.now += SECOND
    assert bench.next() is None and bench.waiting() == ["a"]
    with pytest.raises(LeaseError):
        bench.submit("a")
    with pytest.raises(LeaseError):
        bench.submit("b")
    assert "b" not in bench.journal.rollouts
    bench.lease("another host")
    assert bench.next() == "a"


def test_a_lease_that_is_given_back_is_over_and_no_other_is(bench: Bench) -> None:
    with pytest.raises(LeaseError):
        bench.leases.give_back(bench.fencing_token + 1, bench.now)
    bench.leases.give_back(bench.fencing_token, bench.now)
    assert bench.leases.held(bench.now) is None and bench.leases.latest is None


# ------------------------------------------------------------ what keeps a rollout from its turn


def test_what_is_withdrawn_ends_and_the_others_do_not(bench: Bench) -> None:
    for id in "abc":
        bench.submit(id)
    bench.queue.withdraw("me", "b")
    assert bench.waiting() == ["a", "c"]
    ended = bench.rollout("b")
    assert (ended.kind, ended.reason) == ("ABORTED_OPERATOR", "me stopped it before it began")
    bench.queue.withdraw("me", None)
    assert bench.waiting() == [] and bench.next() is None


def test_what_comes_too_late_ends_whatever_is_wrong_with_the_robot(bench: Bench) -> None:
    bench.submit("a", late=1)
    bench.submit("b")
    bench.now += 2 * SECOND
    bench.lease()
    assert bench.next(may_start=False) is None
    assert bench.rollout("a").kind == "EXPIRED" and bench.waiting() == ["b"]


def test_a_robot_that_is_not_well_or_was_paused_begins_nothing(bench: Bench) -> None:
    bench.submit("a")
    assert bench.next(may_start=False) is None and bench.why("a", faulty=True) == "clear"
    bench.journal.pause("me")
    assert bench.next() is None and bench.why("a") == "resume"
    bench.journal.resume("me")
    assert bench.why("a", busy=True) == "turn" and bench.next() == "a"


def test_a_rollout_waits_until_a_person_approves_it(asking: Bench) -> None:
    assert asking.next() is None and asking.why("a") == "approval"
    asking.say("a", True)
    assert asking.why("a") is None and asking.next() == "a"
    assert asking.journal.approved == 1


def test_a_rollout_that_a_person_rejects_ends(asking: Bench) -> None:
    asking.say("a", False)
    assert asking.next() is None
    assert (asking.rollout("a").kind, asking.rollout("a").reason) == (
        "REJECTED_OPERATOR",
        "me said no",
    )


def test_an_approval_is_of_one_content_and_not_for_ever(asking: Bench) -> None:
    for id, hash in (("a", "another"), ("b", "another")):
        with pytest.raises(AgentError, match="no rollout with this id and hash"):
            asking.say(id, True, hash)
    asking.say("a", True)
    asking.now += round((approval.SECONDS + 1) * SECOND)
    asking.lease()
    asking.submit("a")
    assert asking.next() is None and asking.why("a") == "approval"


def test_the_first_are_approved_by_a_person_and_the_rest_run_by_themselves(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "first-n")
    bench.lease()
    bench.submit("a")
    bench.submit("b")
    assert bench.next() is None
    bench.say("a", True)
    assert [bench.next(), bench.next()] == ["a", "b"]
    bench.journal.close()
