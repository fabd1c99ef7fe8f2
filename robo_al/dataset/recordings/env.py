"""Recorded rollouts as a `gymnasium.Env`: a task of which every outcome is known already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from robo_al.config.ranges import Share
from robo_al.dataset.recordings.reading import read_recording
from robo_al.dataset.recordings.recording import Array
from robo_al.errors import UserError
from robo_al.types import Trajectory


class RecordedEnv(gymnasium.Env[Array, Array]):
    """Starts where a recorded rollout did, and then plays that rollout, whatever the action.

    It cannot simulate: a step returns the recorded next observation. What makes it a task to
    choose rollouts from is `episodes`, what makes it one to compare strategies on `held_out`.

    Args:
        path: a folder that `robo_al.dataset.recordings.reading` reads.
        held_out: share of the rollouts that models are evaluated on and that cannot be chosen.
        sha256: of the recording; by default its content is not compared with anything.
        split: another number holds out other rollouts, the same ones in all campaigns.
        leave_out: names of rollouts that are not used, as messages tell them.
        column: of a LeRobot dataset, what is observed: `observation.embedding`, say, that an
            encoder of its pictures has written; by default `observation.state`.

    Raises:
        UserError: the recording cannot be used, is too small, or is not the one of the hash.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(
        self,
        path: str,
        held_out: Share = 0.2,
        sha256: str | None = None,
        split: int = 0,
        leave_out: Sequence[str] = (),
        column: str | None = None,
    ) -> None:
        if split < 0:
            raise UserError(f"split is {split}; a number from 0 is needed")
        recording = read_recording(Path(path), leave_out, column)
        if sha256 not in (None, recording.sha256):
            raise UserError(f"{path}: its sha256 is {recording.sha256}, not {sha256}: it changed")
        self.episodes, self.held_out = _split(recording.episodes, held_out, split, path)
        """What can be chosen, and what models are evaluated on."""
        task = recording.task
        self.channels = task.channels
        self.dt = task.control_period
        self.horizon = max(episode.steps for episode in recording.episodes)
        if task.reward is not None:
            self.reward = task.reward
        if task.constraint is not None:
            self.constraint = task.constraint
        self.observation_space = spaces.Box(-np.inf, np.inf, (len(task.channels),), np.float64)
        self.action_space = spaces.Box(task.action_low, task.action_high, dtype=np.float64)
        self._episode, self._steps = self.episodes[0], 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Array, dict[str, Any]]:
        """Start where episode `seed` did, counted round and round; without a seed, at any."""
        super().reset(seed=seed)
        index = self.np_random.integers(len(self.episodes)) if seed is None else seed
        self._episode, self._steps = self.episodes[int(index) % len(self.episodes)], 0
        return self._episode.observations[0].copy(), {}

    def step(self, action: Array) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Play the next recorded step; after the last, that one again."""
        episode = self._episode
        step = min(self._steps, episode.steps - 1)
        before, after = episode.observations[step], episode.observations[step + 1]
        reward = episode.rewards[step]
        if hasattr(self, "reward"):
            sent = np.asarray(action, dtype=np.float64)
            reward = self.reward(before[None], sent[None], after[None])[0]
        self._steps += 1
        over = self._steps >= episode.steps
        terminated = over and episode.terminated
        return after.copy(), float(reward), terminated, over and not terminated, {}


def _split(
    episodes: Sequence[Trajectory], share: float, split: int, path: str
) -> tuple[tuple[Trajectory, ...], tuple[Trajectory, ...]]:
    """Return the episodes to choose from, and those held out, in their recorded order."""
    if not 0 < share < 1:
        raise UserError(f"held_out is {share}; a share of the rollouts is needed, such as 0.2")
    count = max(1, round(share * len(episodes)))
    if count >= len(episodes):
        raise UserError(
            f"{path}: {len(episodes)} different rollouts, of which {count} would be held out: "
            "none is left to choose; record more"
        )
    chosen = np.random.default_rng(split).permutation(len(episodes))[:count]
    held_out = set(chosen.tolist())
    apart = tuple(episode for i, episode in enumerate(episodes) if i in held_out)
    changes = np.concatenate([np.diff(episode.observations, axis=0) for episode in apart])
    if not changes.std(axis=0).any():
        raise UserError(f"{path}: no channel of the held-out rollouts ever changes its course")
    return tuple(episode for i, episode in enumerate(episodes) if i not in held_out), apart
