"""A command line of fakes: the loop is real, and quick."""

from collections.abc import Callable
from pathlib import Path

import pytest

from robo_al.cli import main

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


@pytest.fixture
def robo_al(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in a folder that holds `fake.yaml`: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake.yaml").write_text(FAKE)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return run
