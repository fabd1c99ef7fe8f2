from pathlib import Path

import pytest

from robo_al.errors import ConfigError
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.types import EnvSpec

FOREIGN = Path(__file__).with_name("foreign_envs.py")


def described(name, horizon=None):
    spec = EnvSpec(f"{FOREIGN}:{name}")
    return describe(make_env(spec), spec, horizon)


@pytest.mark.parametrize(
    ("name", "steps"),
    [("Plain", 6), ("Truncating", 6), ("limited", 4), ("named", 5), ("stacked", 6)],
)
def test_a_horizon_that_is_told_is_taken(name, steps):
    task = described(name)
    assert task.horizon == steps and task.notes == ()


@pytest.mark.parametrize(
    ("name", "steps", "said"),
    [
        ("Untold", 3, "random actions were broken off after 3 steps, which is its horizon now"),
        ("Falling", 1000, "it ends by itself, and is given 1000 steps"),
    ],
)
def test_a_horizon_that_is_not_told_is_found(name, steps, said):
    task = described(name)
    assert task.horizon == steps
    assert len(task.notes) == 1 and said in task.notes[0] and "`horizon:`" in task.notes[0]


def test_an_env_that_never_ends_is_refused_with_what_to_write():
    with pytest.raises(ConfigError, match="no horizon, .* `horizon: 200` in the configuration of"):
        described("Endless")
    assert described("Endless", horizon=8).horizon == 8


def test_the_registry_s_time_limit_is_a_horizon(monkeypatch):
    make_env(EnvSpec(f"{FOREIGN}:Plain"))  # which registers it
    spec = EnvSpec("gymnasium:elsewhere/Plain-v0")
    assert describe(make_env(spec), spec).horizon == 5


def test_what_is_not_used_is_among_the_notes():
    notes = described("Namesake").notes
    assert "Namesake says no horizon" in notes[0]
    assert any("Namesake.reward is not used as robo-al's `reward`: it is 0.5" in x for x in notes)
