import numpy as np
import pytest
from gymnasium import spaces

from robo_al.encoding.embedding import Embedding
from robo_al.errors import ConfigError

SPACE = spaces.Dict({"seen": spaces.Box(-9, 9, (2, 2), np.float32), "choice": spaces.Discrete(3)})


def test_a_part_of_what_is_observed_is_taken_as_it_is():
    encoder = Embedding(SPACE, "seen")
    assert [channel.name for channel in encoder.channels] == [
        f"seen[{i},{j}]" for i in (0, 1) for j in (0, 1)
    ]
    observation = SPACE.sample()
    np.testing.assert_array_equal(encoder.encode(observation), observation["seen"].ravel())


@pytest.mark.parametrize(
    ("space", "column", "why"),
    [
        (SPACE, "felt", "'felt' is observed; there are seen. "),
        (SPACE, "choice", "'choice' is observed; there are seen. "),
        (SPACE["seen"], "seen", "there are none, for no dictionary is.*column: seen}"),
    ],
)
def test_a_part_that_is_not_there_is_told(space, column, why):
    with pytest.raises(ConfigError, match=why):
        Embedding(space, column)
