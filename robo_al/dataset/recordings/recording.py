"""A recording: rollouts that exist already, and the task that they are of."""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robo_al.dataset.episodes import examine
from robo_al.dataset.recordings.times import check_rate, gap
from robo_al.errors import UserError
from robo_al.types import Channel, EnvSpec, Failure, Task, Trajectory

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Recording:
    """Recorded rollouts, all different, finite and of the task's sizes; made by `of`."""

    source: Path
    """The folder that they were read from."""
    task: Task
    """Their channels, action limits and control period; its horizon is the longest's steps."""
    episodes: tuple[Trajectory, ...]
    names: tuple[str, ...]
    """Of the episodes, as messages tell them."""

    @classmethod
    def of(cls, source: Path, task: Task, episodes: Mapping[str, Trajectory]) -> "Recording":
        """Check rollouts, and keep one of those that are the same.

        Runs of a comparison share their first rollouts: kept twice, one could be held out while
        models learn from the other.

        Args:
            source: the folder that they were read from.
            task: what they are of.
            episodes: by name, for messages.

        Raises:
            UserError: none, some that no model can learn from, all of them by name, or time stamps
                of another rate than the task's.
        """
        check_rate(source, task.control_period, episodes)
        different: dict[str, tuple[str, Trajectory]] = {}
        bad: dict[str, str] = {}
        for name, episode in episodes.items():
            result = examine(name, episode, task, horizon=episode.steps)
            late = gap(episode, task.control_period)
            if isinstance(result, Failure):
                bad[name] = result.reason
            elif late is not None:
                bad[name] = f"rollout {name}: {late}"
            else:
                different.setdefault(digest(result), (name, result))
        if bad:
            raise UserError(
                f"{source}: {len(bad)} of {len(episodes)} rollouts cannot be learned from:\n  "
                + "\n  ".join(bad.values())
                + f"\nrepair them, or leave them out: env: {{leave_out: {json.dumps(list(bad))}}}"
            )
        if not different:
            raise UserError(f"{source}: no recorded rollouts in it")
        names, kept = zip(*different.values(), strict=True)
        return cls(source, task, kept, names)

    @property
    def sha256(self) -> str:
        """Hash of all observations, actions and rewards."""
        digests = "".join(digest(episode) for episode in self.episodes)
        return hashlib.sha256(digests.encode()).hexdigest()


def without(
    source: Path, episodes: Mapping[str, Trajectory], leave_out: Collection[str]
) -> dict[str, Trajectory]:
    """Return rollouts but for those that a configuration leaves out.

    Raises:
        UserError: there is none of such a name.
    """
    refuse_unknown(source, episodes, leave_out)
    return {name: episode for name, episode in episodes.items() if name not in leave_out}


def refuse_unknown(source: Path, names: Collection[str], leave_out: Collection[str]) -> None:
    """Refuse rollouts to leave out that are not there.

    Raises:
        UserError: there is none of such a name; says how they are called.
    """
    unknown = [name for name in leave_out if name not in names]
    if unknown:
        raise UserError(
            f"{source}: leave_out: there is no rollout {unknown[0]!r}; there are "
            f"{', '.join(list(names)[:5])}{', ...' * (len(names) > 5)}"
        )


def task_of(
    source: Path,
    channels: tuple[Channel, ...],
    control_period: float,
    rewarded: bool,
    episodes: Mapping[str, Trajectory],
) -> Task:
    """Return the task of rollouts of which nothing else is known.

    Action limits are the smallest and largest recorded. Where no rewards were recorded the
    reward is known: zero, so that no model spends an output on it.

    Args:
        source: the folder that they were read from.
        channels: of the observation.
        control_period: seconds between two actions.
        rewarded: whether rewards were recorded.
        episodes: by name.

    Raises:
        UserError: there are none, or their sizes differ.
    """
    if not episodes:
        raise UserError(f"{source}: no recorded rollouts in it")
    first = next(iter(episodes))
    for name in episodes:
        for what in ("observations", "actions"):
            shape, other = (np.shape(getattr(episodes[key], what)) for key in (name, first))
            if len(shape) != 2 or shape[1:] != other[1:]:
                raise UserError(
                    f"{source}: {what} of rollout {name} have shape {shape}, of rollout {first} "
                    f"{other}; each row is to be one vector, as long in every rollout"
                )
    actions = np.concatenate([episode.actions for episode in episodes.values()])
    if not len(actions):
        raise UserError(f"{source}: its rollouts have no steps")
    low, high = actions.min(axis=0), actions.max(axis=0)
    width = np.where(high > low, 0.0, 1.0)  # models divide by the range between the limits
    return Task(
        env=EnvSpec("replay", {"path": str(source)}),
        channels=channels,
        action_low=low - width,
        action_high=high + width,
        horizon=max(episode.steps for episode in episodes.values()),
        control_period=control_period,
        reward=None if rewarded else _no_reward,
        threshold=None,
    )


def _no_reward(observation, action, next_observation):  # type: ignore[no-untyped-def]
    """Return 0 for each step; NumPy arrays or torch tensors."""
    return 0.0 * next_observation[..., 0]


def digest(episode: Trajectory) -> str:
    """Return the SHA-256 of what was observed, sent and rewarded."""
    content = hashlib.sha256()
    for array in (episode.observations, episode.actions, episode.rewards):
        content.update(f"{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
