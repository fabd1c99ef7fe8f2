"""What a comparison reads beside its plan is known by its content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_al.compare.folder import check_folder
from robo_al.compare.plan import load_plan
from robo_al.config import plain_yaml
from robo_al.errors import RunFolderError

PLUGIN = "from robo_al.testing import FakePolicy\n\n\nclass Lab(FakePolicy):\n    pass\n"


def test_a_plugin_s_file_that_has_changed_is_named(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lab.py").write_text(PLUGIN)
    path = write()
    campaign = plain_yaml.parse(Path("fake.yaml").read_text())
    Path("fake.yaml").write_text(plain_yaml.dump(campaign | {"explorer": "lab.py:Lab"}))
    plan = load_plan(path)
    assert list(plan.inputs) == ["lab.py:Lab"]  # what comes with robo-al has its version
    out = tmp_path / "out"
    out.mkdir()
    (out / "comparison.yaml").write_text(plan.text())
    check_folder(load_plan(path), out, resume=True)
    Path("lab.py").write_text(PLUGIN + "    better = True\n")
    with pytest.raises(RunFolderError, match="lab.py:Lab: its content is not what it was"):
        check_folder(load_plan(path), out, resume=True)


def test_a_recording_that_has_changed_is_named(
    write: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from robo_al import loop
    from robo_al.build import create_campaign, make_oracle
    from robo_al.config.schema import Config

    monkeypatch.chdir(tmp_path)

    def record(name: str) -> None:
        entries: dict[str, Any] = {
            "env": "robo_al.testing:FakeEnv",
            "policy": "random",
            "model": "robo_al.testing:FakeModel",
            "strategy": "random",
            "rounds": 1,
            "initial_rollouts": 8,
            "rollout_steps": 3,
            "evaluation": {"every": 0},
            "device": "cpu",
        }
        config = Config.model_validate(entries)
        with create_campaign(config, Path("logs") / name) as campaign:
            with make_oracle(config) as oracle:
                loop.run(campaign, oracle, lambda event: None)

    record("first")
    path = write(budget=3)
    campaign = plain_yaml.parse(Path("fake.yaml").read_text()) | {
        "env": {"name": "replay", "path": "logs"},
        **dict.fromkeys(("policy", "explorer", "oracle"), "replay"),
    }
    Path("fake.yaml").write_text(plain_yaml.dump(campaign))
    out = tmp_path / "out"
    out.mkdir()
    (out / "comparison.yaml").write_text(load_plan(path).text())
    check_folder(load_plan(path), out, resume=True)
    file = sorted(Path("logs/first/episodes").iterdir())[0]
    campaign["env"]["leave_out"] = [f"first/{file.stem}"]
    Path("fake.yaml").write_text(plain_yaml.dump(campaign))
    with pytest.raises(RunFolderError, match="the recording logs: its content is not"):
        check_folder(load_plan(path), out, resume=True)
