"""A short run of benchmarks/robot_faults.py: the agent and the host are killed, the link is cut."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.proof
def test_nothing_is_lost_and_nothing_runs_twice(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("k")  # short: an agent's sockets are in folders below it
    done = subprocess.run(
        [sys.executable, ROOT / "benchmarks" / "robot_faults.py"]
        + ["--agent-kills", "4", "--host-kills", "1", "--keep", folder / "work"]
        + ["--out", folder / "figures.json"],
        capture_output=True,
        text=True,
        check=False,
        timeout=550,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    figures = json.loads((folder / "figures.json").read_text())
    for name, kills in (("streamed", 3), ("trajectories", 1)):
        assert figures[name]["violations"] == 0 and figures[name]["executed"] > 0
        assert sum(figures[name]["agent_kills"].values()) == kills
