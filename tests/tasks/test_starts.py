from pathlib import Path

import numpy as np
import pytest

from robo_al.errors import PluginError
from robo_al.plugins import make_env
from robo_al.tasks import contexts_from
from robo_al.tasks.starts import finds_starts
from robo_al.testing import FakeEnv, random_transitions
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


class Jamming(FakeEnv):
    """Raises in one of its methods, once it was called often enough."""

    def __init__(self, method: str, calls: int) -> None:
        super().__init__()
        self.method, self.left = method, calls

    def reset(self, **given):
        self.count("reset")
        return super().reset(**given)

    def step(self, action):
        self.count("step")
        return super().step(action)

    def count(self, method):
        self.left -= method == self.method
        if self.left < 0:
            raise RuntimeError("the gripper jammed")


@pytest.mark.parametrize("method", ["reset", "step"])
def test_what_raises_while_starts_are_drawn_and_steps_tried_is_named(method):
    wrong = rf"Jamming\.{method}: raised RuntimeError: the gripper jammed"
    with pytest.raises(PluginError, match=wrong):
        finds_starts(Jamming(method, 2))
    with pytest.raises(PluginError, match=wrong):
        random_transitions(np.random.default_rng(0), env=Jamming(method, 2))
