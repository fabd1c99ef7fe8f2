import stat
from pathlib import Path

import pytest

from robo_al_agent.config import is_loopback, load_config
from robo_al_agent.drivers.loading import make_driver
from robo_al_agent.errors import SetupError
from robo_al_agent.protocol import keys

GOOD = "driver: {name: gymnasium, id: Pendulum-v1}\nenvelope: e.yaml\njournal: j\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "agent.yaml"
    path.write_text(text)
    return path


def test_defaults_are_careful(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, GOOD))
    assert config.address == "tcp://127.0.0.1:5555"
    assert config.abort_address == "tcp://127.0.0.1:5556"
    assert config.approval.mode == "every"
    assert config.envelope == tmp_path / "e.yaml"


@pytest.mark.parametrize(
    "address", ["tcp://0.0.0.0:5555", "tcp://192.168.1.4:5555", "tcp://*:5555"]
)
def test_another_address_without_keys_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(SetupError, match="robo-al-agent keys"):
        load_config(write(tmp_path, GOOD + f"address: {address}\n"))
    load_config(write(tmp_path, GOOD + f"address: {address}\nkeys: k\n"))


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "key: value"),
        ("[1]", "key: value"),
        (GOOD + "adress: tcp://127.0.0.1:1\n", "adress"),
        ("driver: {}\nenvelope: e\njournal: j\n", "driver.name"),
        ("driver: {name: x}\n", "envelope: missing"),
        (GOOD + "approval: {mode: sometimes}\n", "approval.mode"),
        (GOOD + "address: http://127.0.0.1:80\n", "tcp://HOST:PORT"),
        (GOOD + "address: tcp://127.0.0.1:99999\n", "tcp://HOST:PORT"),
        ("a: &a [1]\nb: *a\n", "aliases"),
        ("a: !!python/object/apply:os.system ['x']\n", "line 1"),
        ("a: [", "line 1, column 5"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(SetupError) as refused:
        load_config(write(tmp_path, text))
    assert message in str(refused.value) and str(tmp_path) in str(refused.value)


def test_loopback_is_told_from_what_others_reach() -> None:
    assert all(map(is_loopback, ["127.0.0.1", "127.8.0.1", "localhost", "[::1]"]))
    assert not any(map(is_loopback, ["0.0.0.0", "*", "10.0.0.1", "robot.lab", "[::]"]))


def test_an_unknown_driver_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="did you mean feetech"):
        make_driver({"name": "feetec"}, tmp_path)


def test_a_driver_of_a_file_and_its_parameters(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("class Mine:\n    def __init__(self, port: str): ...\n")
    with pytest.raises(SetupError, match=r"missing a required argument: 'port'.*port: str"):
        make_driver({"name": "mine.py:Mine"}, tmp_path)
    with pytest.raises(SetupError, match="lacks describe, connect"):
        make_driver({"name": "mine.py:Mine", "port": "x"}, tmp_path)
    with pytest.raises(SetupError, match="has no Other"):
        make_driver({"name": "mine.py:Other"}, tmp_path)
    with pytest.raises(SetupError, match="no such file"):
        make_driver({"name": "others.py:Other"}, tmp_path)


def test_keys_are_made_once_and_secret(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    keys.make_keys(folder)
    secrets = sorted(folder.glob("*.key_secret"))
    assert [path.name for path in secrets] == ["agent.key_secret", "host.key_secret"]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in secrets)
    assert keys.secret(folder, "host")[0] == keys.public(folder, "host")
    with pytest.raises(SetupError, match="has keys already"):
        keys.make_keys(folder)
    secrets[0].chmod(0o644)
    with pytest.raises(SetupError, match="others can read it"):
        keys.secret(folder, "agent")
    with pytest.raises(SetupError, match="robo-al-agent keys"):
        keys.secret(tmp_path, "host")
