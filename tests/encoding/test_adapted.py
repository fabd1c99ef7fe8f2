from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from robo_al.encoding.adapted import Adapted
from robo_al.errors import EnvFault, PluginError
from robo_al.plugins import known, make_env
from robo_al.tasks import describe
from robo_al.tasks.layers import is_bare
from robo_al.types import Channel, EnvFacts, EnvSpec

FOREIGN = Path(__file__).parents[1] / "tasks/foreign_envs.py"


class Odd:
    """An encoder with a habit."""

    def __init__(self, space, habit):
        self.channels = (Channel("one", "1"),)
        self.habit = habit
        if habit == "raises when made":
            raise RuntimeError("no weights")
        if habit == "no channels":
            self.channels = ["one"]

    def encode(self, observation):
        if self.habit == "raises":
            raise ValueError("too dark")
        return np.zeros(2 if self.habit == "two" else 1)


def made(name, **facts):
    return make_env(EnvSpec(f"{FOREIGN}:{name}", facts=EnvFacts(**facts)))


def odd(habit):
    return {"name": f"{__file__}:Odd", "habit": habit}


def test_what_is_shipped_has_names():
    assert known("encoders") == {
        "downscale": "robo_al.encoding.downscale:Downscale",
        "embedding": "robo_al.encoding.embedding:Embedding",
        "flatten": "robo_al.encoding.flatten:Flatten",
        "torch_module": "robo_al.models.torch_module:TorchModule",
    }


def test_a_flat_env_is_left_as_it_is():
    assert not isinstance(made("Plain"), Adapted)
    assert not isinstance(make_env(EnvSpec("reacher")), Adapted)


def test_an_encoder_is_named_in_the_configuration():
    with closing(made("Goals", encoder={"name": f"{FOREIGN}:Sum", "scale": 2.0})) as env:
        first, _ = env.reset(seed=0)
        assert first.tolist() == [2.0 * float(env.unwrapped.shown()["observation"].sum())]
        assert env.channels == (Channel("sum", "m"),)


@pytest.mark.parametrize("habit", ["raises when made", "no channels"])
def test_an_encoder_that_is_none_is_refused(habit):
    with pytest.raises(PluginError, match="encoder .*(no weights|robo_al.types.Channel)"):
        made("Goals", encoder=odd(habit))


@pytest.mark.parametrize(
    ("habit", "why"),
    [("raises", "Odd.encode raised ValueError: too dark"), ("two", r"shape \(2,\); it has 1 chan")],
)
def test_an_encoder_that_fails_costs_a_rollout(habit, why):
    env = made("Goals", encoder=odd(habit))
    with pytest.raises(EnvFault, match=why):
        env.reset(seed=0)


def test_other_limits_hide_nothing_and_another_encoder_does():
    pusher = "gymnasium:Pusher-v5"
    limited = EnvSpec(pusher, facts=EnvFacts(action_limits=((-0.5, 0.5),)))
    env = make_env(limited)
    assert is_bare(env) and describe(env, limited).reward is not None
    name = "robo_al.encoding.flatten:Flatten"
    encoded = EnvSpec(pusher, facts=EnvFacts(encoder={"name": name}))
    env = make_env(encoded)
    assert not is_bare(env) and describe(env, encoded).reward is None
