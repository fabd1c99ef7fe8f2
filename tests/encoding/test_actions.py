import numpy as np
import pytest
from gymnasium import spaces

from robo_al.encoding.actions import FlatActions

WHOLE = spaces.Dict(
    {
        "arm": spaces.Box(np.float32([[-1], [0]]), np.float32([[1], [3]])),
        "hand": spaces.Tuple([spaces.Discrete(3, start=-1), spaces.MultiBinary(2)]),
        "gear": spaces.MultiDiscrete([2, 4]),
    }
)


def test_numbers_are_put_where_they_belong():
    flat = FlatActions(WHOLE, [(-1, 1), (0, 3), (0, 2), (0, 4), (0, 3), (-1, 1), (-1, 1)], "mine")
    action = flat.restored(np.array([0.5, 2.5, 1.5, 2.5, 2.9, -0.1, 0.1]))
    assert WHOLE.contains(action)
    np.testing.assert_array_equal(action["arm"], np.float32([[0.5], [2.5]]))
    assert action["hand"][0] == 1 and action["hand"][1].tolist() == [0, 1]
    assert action["gear"].tolist() == [1, 2]


def test_limits_are_cut_into_equal_parts():
    flat = FlatActions(spaces.Discrete(4, start=2), [(-1.0, 1.0)], "mine")
    chosen = [int(flat.restored(np.array([x]))) for x in np.linspace(-1, 1, 401)]
    assert chosen == sorted(chosen)
    assert [chosen.count(i) for i in (2, 3, 4, 5)] == [100, 100, 100, 101]  # both ends belong to it


@pytest.mark.parametrize("limits", [[(0.0, 1.0)], [(0.0, 0.5)], [(0.3, 0.3)]])
def test_every_number_within_the_limits_is_an_action(limits):
    flat, rng = FlatActions(WHOLE, limits, "mine"), np.random.default_rng(0)
    for _ in range(100):
        assert WHOLE.contains(flat.restored(rng.uniform(flat.box.low, flat.box.high)))
    for end in (flat.box.low, flat.box.high):
        assert WHOLE.contains(flat.restored(end))


def test_limits_of_whole_numbers_are_whole():
    flat = FlatActions(spaces.Box(-5, 5, (1,), np.int64), [(-1.5, 2.5)], "mine")
    assert (flat.box.low, flat.box.high) == (-1, 2) and flat.box.dtype == np.int64


def test_limits_that_no_float32_is_are_within_those_of_the_same_name():
    space = spaces.Box(np.float32([0.1]), np.float32([0.7]))
    flat = FlatActions(space, [(0.1, 0.7)], "mine")
    assert flat.box == space and flat.change_nothing
