"""Shapes are checked while tests run: jaxtyping annotations, enforced by beartype.

And there are further environments: real ones, with a Python each, and little in them.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

CHECKED = [
    "robo_al.acquisition",
    "robo_al.models",
    "robo_al.oracles",
    "robo_al.dataset",
    "robo_al.campaign",
    "robo_al.loop",
    "robo_al_envs",
    "robo_al_policies",
]

install_import_hook(CHECKED, "beartype.beartype")


@pytest.fixture(autouse=True)
def _empty_shelf():
    """No test gets an env that another one has used, or looked at before it was patched."""
    yield
    if shelf := sys.modules.get("robo_al.tasks.shelf"):
        shelf.clear()


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
