from pathlib import Path

import numpy as np
import pytest

from robo_al.checks import check_encoder, check_plugin
from robo_al.checks.groups import groups_of
from robo_al.config.components import GROUPS
from robo_al.errors import PluginError
from robo_al.types import Channel, EnvSpec

FOREIGN = Path(__file__).parents[1] / "tasks/foreign_envs.py"
SHOWN = [np.zeros(2), np.ones(2)]


class Good:
    def __init__(self):
        self.channels = (Channel("x", "m"), Channel("y", "m"))
        self.buffer = np.zeros(2)

    def encode(self, observation):
        return observation.copy()


class Unnamed(Good):
    def __init__(self):
        self.channels = ("x", "y")


class Short(Good):
    def encode(self, observation):
        return observation[:1].copy()


class Infinite(Good):
    def encode(self, observation):
        return observation + np.inf


class Spoiling(Good):
    def encode(self, observation):
        observation += 1
        return observation.copy()


class Forgetful(Good):
    def encode(self, observation):
        self.buffer += 1
        return self.buffer.copy()


class Reusing(Good):
    def encode(self, observation):
        self.buffer[:] = observation
        return self.buffer


class Raising(Good):
    def encode(self, observation):
        raise KeyError("eye")


def test_an_encoder_that_keeps_its_contract_is_told_what_was_tried():
    assert check_encoder(Good(), SHOWN).tried == ("channels", "encode")


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (Unnamed, "Unnamed.channels: has a str; a Channel"),
        (Short, r"Short.encode: the result has shape \(1,\), not \(2,\)"),
        (Infinite, "Infinite.encode: the result is not finite"),
        (Spoiling, "Spoiling.encode: wrote into observation"),
        (Forgetful, "Forgetful.encode: gives other numbers for the same observation"),
        (Reusing, "Reusing.encode: returned an array that a later call changes"),
        (Raising, "Raising.encode: raised KeyError: 'eye'"),
    ],
)
def test_one_that_does_not_is_told_what_is_wrong(made, why):
    with pytest.raises(PluginError, match=why):
        check_encoder(made(), [shown.copy() for shown in SHOWN])


@pytest.mark.parametrize(
    ("name", "env"),
    [
        (f"{FOREIGN}:Sum", f"{FOREIGN}:Goals"),
        ("robo_al.encoding.flatten:Flatten", f"{FOREIGN}:Everything"),
        ("robo_al.encoding.downscale:Downscale", f"{FOREIGN}:Picturing"),
        ("robo_al.encoding.flatten:Flatten", f"{FOREIGN}:Choosing"),
    ],
)
def test_a_plugin_is_made_for_what_the_env_shows(name, env):
    assert groups_of(name, GROUPS) == ["encoders"]
    report = check_plugin("encoders", name, {}, EnvSpec(env))
    assert report.tried == ("channels", "encode") and report.not_tried == ()
