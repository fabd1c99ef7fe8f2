import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.config.schema import Config


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that makes a run of random rollouts in `FakeEnv`."""

    def make(name: str, rollouts: int = 6, **changes: Any) -> Path:
        config = Config.model_validate(
            {
                "env": "robo_al.testing:FakeEnv",
                "policy": "random",
                "model": "robo_al.testing:FakeModel",
                "strategy": "random",
                "rounds": 1,
                "initial_rollouts": rollouts,
                "rollout_steps": 5,
                "evaluation": {"every": 0},
                "device": "cpu",
            }
            | changes
        )
        with create_campaign(config, tmp_path / name) as campaign, make_oracle(config) as oracle:
            loop.run(campaign, oracle, lambda event: None)
        return tmp_path / name

    return make


@pytest.fixture
def write_lerobot(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes frames as LeRobot v3 lays them out, two episodes a file."""

    def write(
        states: Sequence[np.ndarray[Any, Any]],
        actions: Sequence[np.ndarray[Any, Any]],
        rewards: Sequence[np.ndarray[Any, Any]] | None = None,
        names: Any = None,
        **info: Any,
    ) -> Path:
        folder = tmp_path / "lerobot"
        shutil.rmtree(folder, ignore_errors=True)
        features: dict[str, Any] = {
            "observation.state": {"dtype": "float32", "shape": [2], "names": names},
            "action": {"dtype": "float32", "shape": [1], "names": ["torque"]},
            "episode_index": {"dtype": "int64", "shape": [1], "names": None},
            "frame_index": {"dtype": "int64", "shape": [1], "names": None},
            "timestamp": {"dtype": "float32", "shape": [1], "names": None},
        }
        if rewards is not None:
            features["next.reward"] = {"dtype": "float32", "shape": [1], "names": None}
        start = 0
        for number in range(0, len(states), 2):
            columns: dict[str, list[Any]] = {name: [] for name in [*features, "index"]}
            for episode in range(number, min(number + 2, len(states))):
                frames = range(len(states[episode]))
                columns["observation.state"] += states[episode].tolist()
                columns["action"] += actions[episode].tolist()
                columns["episode_index"] += [episode for _ in frames]
                columns["frame_index"] += list(frames)
                columns["timestamp"] += [frame / 20 for frame in frames]
                columns["index"] += [start + frame for frame in frames]
                if rewards is not None:
                    columns["next.reward"] += rewards[episode].tolist()
                start += len(frames)
            types = {
                "observation.state": pa.list_(pa.float32()),
                "action": pa.float32(),  # a feature of shape [1] is stored as a plain number
                "timestamp": pa.float32(),
                "next.reward": pa.float32(),
            }
            schema = pa.schema([(name, types.get(name, pa.int64())) for name in columns])
            file = folder / "data" / "chunk-000" / f"file-{number // 2:03d}.parquet"
            file.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns, schema=schema), file)
        (folder / "meta").mkdir(exist_ok=True)
        content = {
            "codebase_version": "v3.0",
            "robot_type": "so100",
            "total_episodes": len(states),
            "total_frames": start,
            "chunks_size": 1000,
            "fps": 20,
            "splits": {"train": f"0:{len(states)}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "features": features,
        } | info
        (folder / "meta" / "info.json").write_text(json.dumps(content))
        return folder

    return write
