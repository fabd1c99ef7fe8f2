from pathlib import Path

import pytest

from robo_al.config.load import load_config
from robo_al.config.sources import find_config, is_env, short_name
from robo_al.errors import ConfigError


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("gymnasium:Pendulum-v1", "Pendulum-v1"),
        ("gymnasium:lab/Arm-v0", "lab_Arm-v0"),
        ("my/arm.py:Arm", "Arm"),
        ("replay", "replay"),  # an env of which no configuration is shipped
    ],
)
def test_an_env_alone_is_a_configuration(source: str, name: str) -> None:
    assert is_env(source) and short_name(source) == name


def test_everything_else_of_it_is_as_by_default(tmp_path: Path) -> None:
    (tmp_path / "alone.yaml").write_text("env: gymnasium:Pendulum-v1")
    overrides = ["--rounds", "3"]
    found = load_config("gymnasium:Pendulum-v1", overrides)
    assert found == load_config(tmp_path / "alone.yaml", overrides)


def test_a_file_and_a_shipped_configuration_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not is_env("pendulum") and find_config("pendulum").stem == "pendulum"
    for name in ("replay", "a:b"):
        (tmp_path / name).write_text("env: pendulum\nseed: 7")
        assert not is_env(name) and load_config(name).seed == 7


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("pendulun", "did you mean pendulum"),
        ("nothing.yaml", "robo-al list envs"),
        ("nothing.py:Arm", "nothing.py"),
    ],
)
def test_what_is_neither_is_refused(source: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        load_config(source)
