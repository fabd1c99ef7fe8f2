"""A comparison of fakes: every part is real, and quick."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_al.config import plain_yaml

FAKE = {
    "env": "robo_al.testing:FakeEnv",
    "policy": {"name": "robo_al.testing:FakePolicy", "streamed": True},
    "explorer": "robo_al.testing:FakePolicy",
    "model": "robo_al.testing:FakeModel",
    "oracle": "robo_al.testing:FakeOracle",
    "candidates": 4,
    "contexts": 2,
    "evaluation": {"starts": 2},
    "stop_when_solved": False,
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a comparison's YAML, these entries changed (None: left out), and a campaign's."""

    def _write(**entries: Any) -> Path:
        campaign, path = tmp_path / "fake.yaml", tmp_path / "comparison.yaml"
        campaign.write_text(plain_yaml.dump(FAKE))
        content = {
            "tasks": {"fake": {"config": str(campaign)}},
            "strategies": ["random", "joint_information"],
            "seeds": 2,
            "budget": 3,
        } | entries
        given = {key: value for key, value in content.items() if value is not None}
        path.write_text(plain_yaml.dump(given))
        return path

    return _write
