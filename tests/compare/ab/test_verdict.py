"""What is claimed of two policies, and that equal ones are seldom told apart."""

import json

import numpy as np
import pytest

from robo_al.compare.ab.outcomes import SUCCESS, Judged, Scale
from robo_al.compare.ab.verdict import judge, policies_of
from robo_al.errors import UserError


def judged(old: list[float | None], new: list[float | None]) -> list[Judged]:
    """Return rollouts of two policies from the same starts."""
    rollouts = []
    for start, values in enumerate(zip(old, new, strict=True)):
        for policy, value in zip(("old", "new"), values, strict=True):
            rollouts.append(Judged(policy, str(start), value))
    return rollouts


def test_the_better_policy_is_named_whichever_comes_first() -> None:
    rollouts = judged([0.0] * 4 + [1.0] * 3, [1.0] * 7)
    assert judge(rollouts, ["old", "new"], SUCCESS, None)["decided"] is False
    rollouts += judged([0.0] * 2, [1.0] * 2)
    there = judge(rollouts, ["old", "new"], SUCCESS, None)
    back = judge(rollouts, ["new", "old"], SUCCESS, None)
    assert there["difference"]["above"] is True
    assert there["difference"]["decided_after"] == 9
    assert back["difference"]["above"] is False
    assert there["answer"] == back["answer"]
    assert there["answer"].startswith(
        "new succeeds more often than old: 9 against 3 successes in 9 pairs of rollouts, a "
        "difference of 67 percentage points (95 % confidence sequence "
    )
    assert there["difference"]["low"] == pytest.approx(-back["difference"]["high"])
    assert (there["difference"]["wins"], there["difference"]["ties"]) == (6, 3)
    json.dumps(there, allow_nan=False)


def test_what_is_not_decided_is_told_as_that() -> None:
    found = judge(judged([0.0, 1.0], [1.0, 0.0]), ["old", "new"], SUCCESS, None)
    assert found["answer"].startswith(
        "new and old are not told apart yet: 1 against 1 successes in 2 pairs of rollouts, new "
        "minus old is 0 percentage points (95 % confidence sequence -9"
    )
    none = judge(judged([None], [1.0]), ["old", "new"], SUCCESS, None)
    assert none["answer"] == "new and old have no pair of rollouts yet."
    assert (none["difference"]["low"], none["difference"]["high"]) == (-1, 1)


def test_one_policy_is_held_against_a_threshold() -> None:
    rollouts = [Judged("new", "", 1.0)] * 19 + [Judged("new", "", None)]
    found = judge(rollouts, ["new"], SUCCESS, 0.8)
    assert found["policies"]["new"]["decided_after"] == 19
    assert found["answer"] == (
        "new succeeds in more than 80 % of its rollouts: 19 successes in 19 rollouts (95 % "
        "confidence sequence 80 to 100 %)."
    )
    low = judge([Judged("new", "", 0.0)] * 3, ["new"], Scale("score", -1.0, 30.0), 10.0)
    assert low["answer"].startswith(
        "whether new scores more than 10 in the mean is not decided yet"
    )
    assert low["decided"] is False


@pytest.mark.parametrize("against", [0.0, 1.0, float("nan"), 80.0])
def test_a_threshold_that_no_mean_can_pass_is_refused(against: float) -> None:
    with pytest.raises(UserError, match="--against"):
        judge([Judged("new", "", 1.0)], ["new"], SUCCESS, against)


def test_which_policies_are_looked_at() -> None:
    rollouts = [Judged(name, "", 1.0) for name in ("a", "b", "c")]
    assert policies_of(rollouts, ["c", "a"], None, "x.csv") == ["c", "a"]
    assert policies_of(rollouts[:2], [], None, "x.csv") == ["a", "b"]
    assert policies_of(rollouts[:1], [], 0.5, "x.csv") == ["a"]
    for names, kept, told in (
        ([], 3, "name two of them"),
        (["a", "a"], 3, "with itself"),
        (["a", "d"], 3, "no rollout is of policy 'd'"),
        ([], 1, "alone"),
        ([], 0, "no rollout yet"),
    ):
        with pytest.raises(UserError, match=told):
            policies_of(rollouts[:kept], names, None, "x.csv")


def test_equal_policies_are_seldom_told_apart_by_whoever_looks_after_every_pair() -> None:
    rng, told_apart = np.random.default_rng(0), 0
    for _ in range(30):
        old, new = (rng.random((2, 20)) < 0.6).astype(float).tolist()
        told_apart += judge(judged(old, new), ["old", "new"], SUCCESS, None)["decided"]
    assert told_apart <= 5  # 1.5 are allowed in the mean: more than 5 have a chance of 1/200
