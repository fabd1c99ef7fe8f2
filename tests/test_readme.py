"""Every code block that a newcomer is shown does what it says."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
FILE = re.compile(r"# ([\w/]+\.\w+)\n")
"""A first line that is a comment with a path: the block is the content of that file."""


def blocks(document: str) -> list[tuple[str, str]]:
    """Return language and text of each code block."""
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab's folder, in which the documents are followed."""
    return tmp_path_factory.mktemp("lab")


def execute(language: str, text: str, folder: Path) -> str:
    """Do what a reader does with a block; return what was printed."""
    named = FILE.match(text)
    if named:
        path = folder / named[1]
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return ""
    if language == "toml":
        assert tomllib.loads(text)
        return ""
    programs = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    search = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*programs[language], text],
        cwd=folder,
        env=os.environ | {"PATH": search, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.proof
def test_plugins(lab: Path) -> None:
    printed = [execute(language, text, lab) for language, text in blocks("docs/plugins.md")]
    said = "".join(printed)
    for group in ("envs", "oracles", "acquisitions"):
        assert f"keeps the contract of {group}" in said


@pytest.mark.proof
def test_readme(lab: Path) -> None:
    for language, text in blocks("docs/plugins.md"):
        if FILE.match(text):
            execute(language, text, lab)
    for language, text in blocks("README.md"):
        if not text.startswith(("make ", "robo-al compare ")):
            execute(language, text, lab)
    for language, text in blocks("docs/run-folder.md"):
        execute(language, text, lab)
    for name in ("first", "arm"):
        assert (lab / "runs" / name / "report.html").stat().st_size > 10_000


@pytest.mark.proof
@pytest.mark.timeout(1800)
def test_the_comparison_of_the_readme(lab: Path) -> None:
    (block,) = (block for block in blocks("README.md") if block[1].startswith("robo-al compare "))
    printed = execute(*block, lab)
    comparison = json.loads((lab / "runs" / "quick" / "comparison.json").read_text())
    task = comparison["tasks"]["recorded_pendulum"]
    strategies = task["strategies"]
    assert list(strategies) == ["random", "joint_information", "one_by_one"]
    for figures in strategies.values():
        assert [run["failed"] for run in figures["runs"]] == [None] * 12
    assert strategies["joint_information"]["ended"] == "higher"
    assert strategies["joint_information"]["sentence"] in " ".join(printed.split())
    assert task["answer"] == comparison["answer"]
    assert (lab / "runs" / "quick" / "comparison.html").stat().st_size > 10_000


@pytest.mark.proof
def test_replay(lab: Path) -> None:
    for language, text in blocks("docs/replay.md"):
        if not text.startswith("robo-al compare "):
            execute(language, text, lab)
    assert (lab / "runs" / "replayed" / "report.html").stat().st_size > 10_000


def test_make_commands_are_those_of_the_readme() -> None:
    """They are too long to run here: that they do what they say is seen from the Makefile."""
    (text,) = (text for _, text in blocks("README.md") if text.startswith("make "))
    targets = re.findall(r"^make (\w+)", text, re.MULTILINE)
    assert targets == ["install", "demo", "test"]
    planned = subprocess.run(
        ["make", "--dry-run", "--always-make", *targets],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "robo-al run configs/cartpole_swingup.yaml" in planned
    assert "-m pytest" in planned
    assert (ROOT / "configs" / "cartpole_swingup.yaml").is_file()


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *sorted(
    path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md")
)])  # fmt: skip
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith("http"):
            assert (ROOT / document).parent.joinpath(target).exists(), target


def test_jobs_and_api_are_as_short_as_promised() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for title in ("Run it in simulation", "Connect a lab robot", "Compare strategies"):
        section = text.split(f"### {title}\n")[1].split("\n##")[0]
        assert sum(len(block.splitlines()) for _, block in BLOCK.findall(section)) < 10, title
    section = text.split("## Ask and tell\n")[1].split("\n##")[0]
    assert [len(block.splitlines()) <= 15 for _, block in BLOCK.findall(section)] == [True]
