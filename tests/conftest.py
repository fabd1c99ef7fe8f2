"""Shapes are checked while tests run: jaxtyping annotations, enforced by beartype.

And there are further environments: real ones, with a Python each, and little in them.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

CHECKED = [
    "robo_al.acquisition",
    "robo_al.models",
    "robo_al.campaign.campaign",
    "robo_al.loop.sequential",
    "robo_al_policies",
]
AT_EACH_STEP = ["robo_al.dataset", "robo_al.oracles", "robo_al_envs"]
"""What is called so often that checking it takes a third of the tests' time: `make proofs` does."""

checked = CHECKED + (AT_EACH_STEP if os.environ.get("SHAPES") == "all" else [])
install_import_hook(checked, "beartype.beartype")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--short", action="store_true", help="run the first case of each test")


@pytest.hookimpl(tryfirst=True)  # before pytest looks which marks are asked for
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make proofs of the cases after a test's first ones; with --short, only a first one stays."""
    cases: Counter[str] = Counter()
    dropped: list[pytest.Item] = []
    for item in items:
        test = item.nodeid.partition("[")[0]
        cases[test] += 1
        first = item.get_closest_marker("first")
        if first is not None and cases[test] > first.args[0]:
            item.add_marker("proof")
        if config.getoption("--short") and cases[test] > 1:
            dropped.append(item)
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if item not in dropped]
    # What needs a time limit of its own takes longest, and begins first.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


@pytest.fixture(autouse=True)
def _empty_shelf():
    """No test gets an env that another one has used, or looked at before it was patched."""
    yield
    if shelf := sys.modules.get("robo_al.tasks.shelf"):
        shelf.clear()


@pytest.fixture(scope="session")
def with_rights() -> Callable[..., list[str]]:
    """Return commands for which the rights of files hold, also where tests are run by root."""

    def command(*words: object) -> list[str]:
        if os.geteuid() != 0:
            return [str(word) for word in words]
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv, and root may enter every folder")
        return ["setpriv", "--bounding-set=-dac_override,-dac_read_search", *map(str, words)]

    return command


def environment(folder, *modules):
    """Make a virtual environment of our own packages' folders, offline; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (packages,) = folder.glob("lib/python*/site-packages")
    for module in modules:
        found = Path(importlib.util.find_spec(module).origin)
        found = found.parent if found.name == "__init__.py" else found
        (packages / found.name).symlink_to(found)
        libraries = found.with_name(f"{found.name}.libs")  # what a wheel brings along
        if libraries.is_dir():
            (packages / libraries.name).symlink_to(libraries)
    return packages, str(folder / "bin" / "python")


@pytest.fixture(scope="session")
def python(tmp_path_factory):
    """The Python of an environment with Gymnasium, and what that needs."""
    needed = ("numpy", "gymnasium", "cloudpickle", "typing_extensions", "farama_notifications")
    return environment(tmp_path_factory.mktemp("gymnasium") / "venv", *needed)[1]


@pytest.fixture(scope="session")
def old_python(tmp_path_factory):
    """The Python of an environment with the old Gym's stand-in, and no Gymnasium."""
    packages, made = environment(tmp_path_factory.mktemp("gym") / "venv", "numpy")
    (packages / "gym").symlink_to(Path(__file__).parent / "worker/stand_ins/gym")
    return made


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """The Python of an environment with nothing."""
    return environment(tmp_path_factory.mktemp("bare") / "venv")[1]


FAKE = """
env: robo_al.testing:FakeEnv
policy: {name: "robo_al.testing:FakePolicy", streamed: true}
explorer: robo_al.testing:FakePolicy
model: robo_al.testing:FakeModel
oracle: robo_al.testing:FakeOracle
rounds: 2
candidates: 4
contexts: 2
evaluation: {starts: 2}
device: cpu
"""
"""A campaign of fakes: the loop is real, and quick."""


@pytest.fixture
def robo_al(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in a folder that holds `fake.yaml`: exit code, output, errors."""
    from robo_al.cli import main

    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake.yaml").write_text(FAKE)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
