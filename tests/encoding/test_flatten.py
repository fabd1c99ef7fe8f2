import numpy as np
import pytest
from gymnasium import spaces

from robo_al.encoding.flatten import Flatten, has_pictures, is_plain

BOX = spaces.Box(-1, 1, (2, 2), np.float64)
MANY = spaces.Dict(
    {
        "arm": spaces.Tuple([BOX, spaces.Discrete(3, start=-1)]),
        "gears": spaces.MultiDiscrete([2, 3], start=[0, 5]),
        "lamps": spaces.MultiBinary(2),
        "inner": spaces.Dict({"time": spaces.Box(0, 9, ()), "one": spaces.Box(0, 9, (1,))}),
    }
)
SPACES = [
    MANY,
    BOX,
    spaces.Box(-1, 1, (3,), np.float32),
    spaces.Tuple([MANY, BOX]),
    spaces.Discrete(4),
    spaces.MultiDiscrete([[2, 3], [4, 5]]),
    spaces.MultiBinary((2, 3)),
]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: type(space).__name__)
def test_numbers_and_names_follow_gymnasium_s_own_rules(space):
    assert is_plain(space)
    encoder = Flatten(space)
    names = [channel.name for channel in encoder.channels]
    assert len(set(names)) == len(names) == spaces.flatdim(space)
    space.seed(0)
    for _ in range(20):
        sample = space.sample()
        code = encoder.encode(sample)
        assert code.dtype == np.float64 and code.shape == (len(names),)
        np.testing.assert_array_equal(code, spaces.flatten(space, sample))


def test_each_number_has_the_name_of_the_part_that_it_is_of():
    encoder = Flatten(MANY)
    value = {
        "arm": (np.array([[1.0, 2.0], [3.0, 4.0]]), -1),
        "gears": np.array([1, 5]),
        "lamps": np.array([0, 1], np.int8),
        "inner": {"time": np.float32(7), "one": np.float32([8])},
    }
    named = {c.name: x for c, x in zip(encoder.channels, encoder.encode(value), strict=True)}
    assert named == {
        "arm[0][0,0]": 1,
        "arm[0][0,1]": 2,
        "arm[0][1,0]": 3,
        "arm[0][1,1]": 4,
        "arm[1]=-1": 1,
        "arm[1]=0": 0,
        "arm[1]=1": 0,
        "gears[0]=0": 0,
        "gears[0]=1": 1,
        "gears[1]=5": 1,
        "gears[1]=6": 0,
        "gears[1]=7": 0,
        "lamps[0]": 0,
        "lamps[1]": 1,
        "inner.time": 7,
        "inner.one": 8,
    }


def test_an_observation_is_copied():
    shown = np.zeros((2, 2))
    code = Flatten(BOX).encode(shown)
    shown += 1
    assert (code == 0).all()


def test_only_an_env_of_goals_has_one_by_its_name():
    goals = {key: BOX for key in ("observation", "achieved_goal", "desired_goal")}
    nested = spaces.Dict({"at": spaces.Dict(goals), "desired_goal": BOX})
    constant = {c.name for c in Flatten(nested).channels if c.kind == "constant"}
    assert constant == {f"at.desired_goal[{i},{j}]" for i in range(2) for j in range(2)}


@pytest.mark.parametrize("space", [spaces.Text(3), spaces.Sequence(BOX), spaces.OneOf([BOX, BOX])])
def test_what_is_no_plain_numbers_is_told_apart(space):
    assert not is_plain(space) and not is_plain(spaces.Dict({"a": space}))


def test_pictures_are_told_apart():
    picture = spaces.Box(0, 255, (8, 8, 3), np.uint8)
    assert has_pictures(spaces.Tuple([BOX, picture])) and not has_pictures(BOX)
    assert not has_pictures(spaces.Box(0, 255, (128,), np.uint8))  # bytes of a memory
