import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from robo_al.plugins import make_env
from robo_al.tasks.offers import offers_of
from robo_al.tasks.trial import Ending
from robo_al.testing import FakeEnv
from robo_al.types import EnvSpec

FOREIGN = Path(__file__).with_name("foreign_envs.py")


def offers(name):
    return offers_of(make_env(EnvSpec(f"{FOREIGN}:{name}")))


def test_all_of_a_fake_env_is_taken():
    found = offers_of(FakeEnv())
    assert (found.horizon, found.threshold, found.control_period) == (10, -5.0, 0.1)
    assert found.channels == FakeEnv.channels
    functions = found.reward, found.constraint, found.dynamics, found.context
    assert all(map(callable, functions)) and found.ignored == ()
    assert found.ending == Ending(None, False)


def test_a_namesake_is_not_taken_and_said():
    found = offers("Namesake")
    names = ["channels", "context", "constraint", "reward", "dynamics", "termination", "answer"]
    names += ["episodes", "horizon", "threshold"]
    assert all(getattr(found, name) is None for name in [*names, "control_period", "robot"])
    assert len(found.ignored) == len(names) + 1
    for name in [*names, "dt"]:
        (sentence,) = (text for text in found.ignored if text.startswith(f"Namesake.{name} is not"))
        assert f"robo-al's `{name}`: " in sentence


def test_what_takes_our_arguments_is_not_taken_unless_it_gives_what_step_gives():
    found = offers("Similar")
    assert found.reward is found.dynamics is found.context is None
    said = "\n".join(found.ignored)
    assert "Similar.reward is not used as robo-al's `reward`: it differs from what step" in said
    assert "Similar.dynamics is not used as robo-al's `dynamics`: it differs from" in said
    assert "reset(options=context()) starts at another observation" in said


class Broken(FakeEnv):
    """Steps as it should; its reward function is as `how` says."""

    def __init__(self, how):
        super().__init__()
        self.how = how

    def step(self, action):
        whole = FakeEnv()
        whole._state = self._state
        after, *rest = whole.step(action)
        self._state = after
        return after, *rest

    def reward(self, observation, action, next_observation):
        return self.how(super().reward(observation, action, next_observation))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (np.asarray, "given Tensors it returned a ndarray"),
        (lambda x: x.numpy(), "given ndarrays it raised AttributeError"),
        (lambda x: x[..., None], r"it returned shape \(3, 1\) for 3 steps"),
        (lambda x: x * np.nan, "it returned numbers that are not finite"),
        (lambda x: x + 1, "it differs from what step gives"),
        (lambda x: float(x[0]), "given ndarrays it returned a float"),
    ],
)
def test_a_reward_is_tried_on_arrays_and_tensors(how, said):
    found = offers_of(Broken(how))
    assert found.reward is None and len(found.ignored) == 1
    assert re.search(said, found.ignored[0])


@pytest.mark.parametrize("name", ["rescaled", "discounted", "stacked"])
def test_what_tells_of_steps_is_not_seen_through_a_wrapper_that_changes_them(name):
    found = offers(name)
    assert found.reward is None and found.ignored == ()
    assert found.horizon == 6
    assert found.threshold == (None if name == "discounted" else -0.5)
    assert offers("Honest").reward is not None


def test_what_is_said_of_the_wrapper_itself_is_seen():
    found = offers("named")
    assert found.horizon == 5 and found.reward is not None and found.ignored == ()


def test_a_reward_wrapper_s_own_method_is_no_namesake():
    class Halved(gymnasium.RewardWrapper):
        def reward(self, reward):
            return reward / 2

    found = offers_of(Halved(FakeEnv()))
    assert found.reward is None and found.ignored == ()


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("Truncating", Ending(3, False)),
        ("Falling", Ending(None, True)),
        ("Endless", Ending(None, False)),
        ("limited", Ending(4, False)),
    ],
)
def test_it_is_found_how_rollouts_end(name, ending):
    assert offers(name).ending == ending
