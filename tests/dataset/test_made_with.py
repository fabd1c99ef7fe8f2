import subprocess
from pathlib import Path

import pytest

from robo_al.dataset.made_with import made_with


def git(*arguments: str) -> str:
    """Run Git in the present folder."""
    named = ["-c", "user.name=me", "-c", "user.email=me@here"]
    done = subprocess.run(["git", *named, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_of_one_s_own_files_is_told_and_whether_they_are_as_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "commit" not in made_with("cpu")
    Path("lab.py").write_text("a = 1\n")
    git("init", "--quiet")
    git("add", "lab.py")
    git("commit", "--quiet", "--message", "Begin")
    commit = git("rev-parse", "HEAD")[:12]
    assert f"commit {commit}" in made_with("cpu").split(", ")
    Path("lab.py").write_text("a = 2\n")
    assert f"commit {commit}-dirty" in made_with("cpu").split(", ")


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "commit" not in made_with("cpu")
    assert made_with("cpu").startswith("python ")
