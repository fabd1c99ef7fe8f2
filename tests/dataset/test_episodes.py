from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robo_al.dataset.episodes import decode, encode, examine
from robo_al.testing import fake_task
from robo_al.types import Failure, Trajectory

ARRAYS = ("observations", "actions", "requested", "rewards")


def trajectory(steps=4, channels=3, size=2, seed=0):
    rng = np.random.default_rng(seed)
    return Trajectory(
        rng.normal(size=(steps + 1, channels)),
        rng.normal(size=(steps, size)),
        rng.normal(size=(steps, size)),
        rng.normal(size=steps),
        terminated=bool(seed % 2),
        truncated=bool(seed % 3 == 2),
    )


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 4), st.integers(1, 3)), max_size=4))
def test_round_trip_is_exact(sizes):
    kept = [trajectory(*size, seed=i) for i, size in enumerate(sizes)]
    data = encode(kept, {"x": [1, 0.1]})
    assert data == encode(kept, {"x": [1, 0.1]})
    again, metadata = decode(data)
    assert metadata == {"x": [1, 0.1]}
    assert len(again) == len(kept)
    for one, two in zip(kept, again, strict=True):
        assert (one.terminated, one.truncated) == (two.terminated, two.truncated)
        for name in ARRAYS:
            a, b = getattr(one, name), getattr(two, name)
            assert len(a) == len(b) and a.tobytes() == b.tobytes()
            assert b.flags.writeable and (len(a) == 0 or a.shape == b.shape)


def test_a_file_of_an_older_version_is_read_and_written_as_it_was():
    whole = [trajectory(seed=seed) for seed in (0, 1)]
    data = encode(whole, {"id": "r0001-00"})
    metadata = pq.read_schema(pa.BufferReader(data)).metadata
    assert set(metadata) - {b"ARROW:schema"} == {b"format", b"terminated", b"robo_al"}
    again, _ = decode(data)
    assert [(t.terminated, t.truncated) for t in again] == [(False, False), (True, False)]
    assert encode(again, {"id": "r0001-00"}) == data


def test_what_was_broken_off_stays_so():
    result = examine("r1", replace(changed(), truncated=True), fake_task(), 10)
    assert result.truncated and not result.terminated
    assert decode(encode([result], {}))[0][0].truncated


def test_values_that_are_not_finite_are_kept():
    bad = trajectory()
    bad.observations[2, 1], bad.rewards[1] = np.nan, -np.inf
    again = decode(encode([bad], {}))[0][0]
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(bad, name), getattr(again, name))


def changed(**arrays):
    good = trajectory()
    return Trajectory(**({name: getattr(good, name) for name in ARRAYS} | arrays))


def with_nan(name):
    array = getattr(trajectory(), name)
    array[1] = np.nan
    return {name: array}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (changed(**with_nan("observations")), "observation is not finite at step 1"),
        (changed(**with_nan("actions")), "action is not finite at step 1"),
        (changed(**with_nan("requested")), "requested is not finite"),
        (changed(**with_nan("rewards")), "reward is not finite at step 1"),
        (changed(observations=np.zeros((4, 3))), r"observation has shape \(4, 3\)"),
        (changed(observations=np.zeros((5, 2))), r"should be \(5, 3\)"),
        (changed(actions=np.zeros((4, 3))), "action has shape"),
        (changed(rewards=np.zeros(3)), "reward has shape"),
        (changed(rewards=np.zeros((4, 1))), "cannot be a trajectory"),
        (changed(rewards=np.array(["a"])), "cannot be a trajectory"),
        (changed(rewards=np.array(["1", "2", "3", "4"])), "cannot be a trajectory"),
        (changed(actions=[[1.0], [1.0, 2.0]]), "action list.* cannot be a trajectory"),
        (changed(actions=np.zeros((4, 2), complex)), "cannot be a trajectory"),
        (changed(observations=None), "observation NoneType"),
        (changed(rewards=np.full(4, 1e308)), "rewards add up to no finite number"),
        (trajectory(steps=0), "no steps"),
        (trajectory(steps=5), "5 steps; 4 were asked for"),
    ],
)
def test_what_cannot_be_trusted_is_quarantined(result, reason):
    judged = examine("r0001-00", result, fake_task(), 4)
    assert isinstance(judged, Failure) and judged.kind == "quarantined"
    with pytest.raises(AssertionError, match=f"rollout r0001-00.*{reason}"):
        raise AssertionError(judged.reason)
    if judged.partial is not None:
        encode([judged.partial], {})  # it can be kept


def test_good_trajectories_and_failures_pass():
    good = changed(actions=np.zeros((4, 2), np.float32))
    judged = examine("r", good, fake_task(), 4)
    assert isinstance(judged, Trajectory) and judged.actions.dtype == np.float64
    failure = Failure("aborted", "a person", trajectory(steps=2))
    kept = examine("r", failure, fake_task(), 4)
    assert isinstance(kept, Failure) and (kept.kind, kept.reason) == ("aborted", "a person")
    assert kept.partial is not None and kept.partial.steps == 2
    assert examine("r", Failure("failed", "broke"), fake_task(), 4) == Failure("failed", "broke")


def test_what_a_failure_has_in_place_of_a_trajectory_is_told_and_left_out():
    part = changed(actions=np.zeros((4, 2, 2)))
    kept = examine("r", Failure("aborted", "a person", part), fake_task(), 4)
    assert isinstance(kept, Failure) and (kept.kind, kept.partial) == ("aborted", None)
    assert kept.reason.startswith("a person; rollout r: observation ndarray of shape (5, 3), ")
