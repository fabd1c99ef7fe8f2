"""Two rollouts from the same start make a pair, once both are there."""

from robo_al.compare.ab.outcomes import Judged, paired


def test_rollouts_are_paired_by_their_start_when_the_second_is_there() -> None:
    rollouts = [
        Judged("new", "shelf", 1.0),
        Judged("old", "table", 0.0),
        Judged("other", "table", 1.0),
        Judged("new", "table", 0.5),
        Judged("old", "shelf", 0.25),
        Judged("old", "floor", 1.0),
    ]
    assert paired(rollouts, "old", "new") == ([0.0, 0.25], [0.5, 1.0], 0, 1)
    assert paired(rollouts, "new", "old") == ([0.5, 1.0], [0.0, 0.25], 0, 1)


def test_a_start_that_was_used_again_makes_another_pair() -> None:
    values = [("a", 1.0), ("a", 0.0), ("b", 0.5), ("b", 0.75), ("b", 1.0)]
    rollouts = [Judged(policy, "", value) for policy, value in values]
    assert paired(rollouts, "a", "b") == ([1.0, 0.0], [0.5, 0.75], 0, 1)


def test_a_pair_of_which_one_is_unsure_is_counted_and_left_out() -> None:
    rollouts = [Judged("a", "1", None), Judged("b", "1", 1.0), Judged("a", "2", 1.0)]
    assert paired([*rollouts, Judged("b", "2", 0.0)], "a", "b") == ([1.0], [0.0], 1, 0)
