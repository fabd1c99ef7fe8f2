from pathlib import Path

import numpy as np

from robo_al.plugins import make_env
from robo_al.tasks import contexts_from
from robo_al.types import EnvSpec

FOREIGN = Path(__file__).with_name("foreign_envs.py")


def test_starts_of_an_env_that_returns_its_own_array_are_apart():
    starts = [
        contexts_from(make_env(EnvSpec(f"{FOREIGN}:{name}")), range(4))
        for name in ("Buffer", "Plain")
    ]
    for one, other in zip(*starts, strict=True):
        np.testing.assert_array_equal(one.observation, other.observation)
    assert len({context.observation[0] for context in starts[0]}) == 4
