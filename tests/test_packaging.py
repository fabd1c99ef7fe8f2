"""What the distribution installs, and that its pins are for everyone."""

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """File names of a wheel built from this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return archive.namelist()


def test_only_our_own_top_level_names_are_installed(wheel: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel}
    modules = {name for name in top if not name.endswith(".dist-info")}
    assert modules == {"robo_al", "robo_al_envs", "robo_al_policies"}


def test_wheel_holds_everything_that_the_packages_hold(wheel: list[str]) -> None:
    homes = {"robo_al": "robo_al", "robo_al_envs": "envs", "robo_al_policies": "policies"}
    expected = set()
    for package, home in homes.items():
        folder = ROOT if package == home else ROOT / home
        for path in (folder / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                expected.add(path.relative_to(folder).as_posix())
    configs = ROOT / "configs"
    expected |= {
        f"robo_al/_configs/{path.relative_to(configs).as_posix()}"
        for path in configs.rglob("*.yaml")
    }
    assert expected - set(wheel) == set()
    assert {f"{package}/py.typed" for package in homes} <= set(wheel)


def test_constraints_pin_exactly_and_name_no_host() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line), line
    names = [line.split("==")[0].lower() for line in lines]
    assert len(names) == len(set(names))


def test_constraints_pin_every_dependency_that_is_declared() -> None:
    project, agent = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        for folder in (".", "agent")
    )
    extras = agent["optional-dependencies"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    declared += agent["dependencies"]
    declared += [line for name in extras if name != "franka" for line in extras[name]]
    declared = [line for line in declared if not line.startswith("robo-al-agent")]
    names = {re.split(r"[\[<>=!~; ]", line)[0] for line in declared}
    pinned = {line.split("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines()}

    def canonical(all_names: set[str]) -> set[str]:
        return {re.sub(r"[-_.]+", "-", name).lower() for name in all_names}

    assert canonical(names) - canonical(pinned) == set()


def test_changelog_tells_of_the_present_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## \[{re.escape(version)}\]", (ROOT / "CHANGELOG.md").read_text(), re.M)
