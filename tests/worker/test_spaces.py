import json

import numpy as np
import pytest
from gymnasium import spaces

from robo_al.foreign.env import space_of
from robo_al.worker.spaces import SpaceError, described, packed, size_of, unpacked

SPACES = [
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Box(0, 255, (2, 3, 3), np.uint8),
    spaces.Box(-np.inf, np.inf, (), np.float64),
    spaces.Discrete(3, start=-1),
    spaces.MultiDiscrete([[2, 3], [4, 5]], start=[[0, 1], [2, 3]]),
    spaces.MultiBinary((2, 2)),
    spaces.Tuple([]),
    spaces.Dict(
        {
            "b": spaces.Tuple([spaces.Discrete(2), spaces.Box(-1, 1, (2, 2))]),
            "a": spaces.Dict({"z": spaces.MultiBinary((3,))}),
        }
    ),
]


@pytest.mark.parametrize("space", SPACES, ids=str)
def test_a_space_and_its_values_come_through_as_they_were(space):
    description, arrays = described(space)
    assert space_of(json.loads(json.dumps(description)), iter(arrays)) == space
    space.seed(0)
    for _ in range(5):
        value = space.sample()
        numbers = packed(space, value)
        assert numbers.shape == (size_of(space),)
        again = unpacked(space, numbers)
        assert space.contains(again)
        np.testing.assert_array_equal(packed(space, again), numbers)


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Dict({"a": spaces.Sequence(SPACES[0])})])
def test_what_is_made_of_something_else_is_told(space):
    with pytest.raises(SpaceError, match="is made of something else than Box, Discrete"):
        described(space)


def test_a_part_of_another_shape_is_told():
    space = spaces.Dict({"a": SPACES[0]})
    with pytest.raises(SpaceError, match=r"shape \(2,\); its observation space has \(3,\)"):
        packed(space, {"a": np.zeros(2)})
