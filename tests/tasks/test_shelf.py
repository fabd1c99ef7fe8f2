import shutil
from pathlib import Path

import pytest

from robo_al.errors import PluginError
from robo_al.tasks.shelf import borrowed, clear, give_back, lend, lend_another, seconds_to_make
from robo_al.testing import FAKE_ENV
from robo_al.types import EnvSpec


@pytest.fixture
def alone(tmp_path):
    """An env of which there can be one in all, in a module of this test's own."""
    copied = shutil.copy(Path(__file__).with_name("alone_env.py"), tmp_path)
    return EnvSpec(f"{copied}:Alone")


def test_what_was_given_back_is_lent_again():
    with borrowed(FAKE_ENV) as first:
        other = lend(FAKE_ENV)
        assert other is not first
        give_back(FAKE_ENV, other)
        with borrowed(FAKE_ENV) as again:
            assert again is other
    with borrowed(FAKE_ENV) as again:
        assert again is first


def test_envs_of_other_parameters_or_of_another_folder_are_others(tmp_path, monkeypatch):
    specs = [EnvSpec("robo_al.testing:FakeEnv"), EnvSpec("pendulum")]
    with borrowed(specs[0]) as one, borrowed(specs[1]) as other:
        assert type(one.unwrapped) is not type(other.unwrapped)
    with borrowed(FAKE_ENV) as here:
        pass
    monkeypatch.chdir(tmp_path)
    with borrowed(FAKE_ENV) as there:
        assert there is not here


def test_an_env_of_which_there_is_but_one_is_lent_to_one_after_the_other(alone):
    with borrowed(alone) as first:
        assert lend_another(alone) is None
        with pytest.raises(PluginError, match="a simulator runs in this process already"):
            lend(alone)
    with borrowed(alone) as again:
        assert again is first


def test_it_is_known_how_long_making_one_takes():
    assert 0 < seconds_to_make(FAKE_ENV) < 60


def test_all_are_closed_at_the_end(monkeypatch):
    closed = []
    with borrowed(FAKE_ENV) as env:
        monkeypatch.setattr(env.unwrapped, "close", lambda: closed.append(1))
    clear()
    assert closed == [1]
    with borrowed(FAKE_ENV) as other:
        assert other is not env
