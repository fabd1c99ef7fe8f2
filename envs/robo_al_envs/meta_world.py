"""The tasks of Meta-World, by name: `metaworld:reach-v3` is the benchmark's own.

Yu et al., Meta-World: A Benchmark and Evaluation for Multi-Task and Meta Reinforcement Learning,
2019; version 3 of the tasks, one at a time. The goal is observed and drawn anew at each reset, as
those who compare on single tasks have it. Meta-World 3.1.1 runs on MuJoCo 3.3.0, and not on 3.17.
"""

import difflib
from collections.abc import Callable
from typing import Any

import gymnasium
import mujoco

from robo_al.errors import PluginError

INSTALL = (
    "in an environment of its own: pip install 'robo-al[metaworld]', which brings MuJoCo 3.3.0"
)


class MetaWorld(gymnasium.Wrapper[Any, Any, Any, Any]):
    """A task of Meta-World that starts where a seed asks it to.

    Args:
        env: made by Meta-World, its goal observed.
    """

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        self.horizon = int(env.max_path_length)
        # a goal is drawn at each reset, from the env's own generator
        env.seeded_rand_vec = True
        env._freeze_rand_vec = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draw a goal and begin; Meta-World itself does not look at the seed of a reset."""
        if seed is not None:
            self.env.unwrapped.seed(seed)  # type: ignore[attr-defined]
        return self.env.reset(seed=seed, options=options)


def meta_world(name: str) -> Callable[..., MetaWorld]:
    """Return what makes a task of Meta-World, by its name."""

    def make(render_mode: str | None = None) -> MetaWorld:
        """Make a task of Meta-World.

        Args:
            render_mode: `rgb_array` for pictures, None for none.
        """
        task = _task(name)
        try:
            return MetaWorld(task(seed=0, render_mode=render_mode))
        except Exception as error:
            said = f"metaworld:{name} cannot be made on MuJoCo {mujoco.__version__} ({error})"
            raise PluginError(f"{said}; Meta-World 3.1.1 runs {INSTALL}") from error

    return make


def _task(name: str) -> Callable[..., Any]:
    """Return the class of a task, as Meta-World has it."""
    try:
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE as tasks
    except ModuleNotFoundError as error:
        said = f"metaworld:{name} needs {error.name}, which is not installed"
        raise PluginError(f"{said}; {INSTALL}") from error
    key = f"{name}-goal-observable"
    if key not in tasks:
        known = [task.removesuffix("-goal-observable") for task in tasks]
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; nearest: {', '.join(near)}" if near else f"; it has {', '.join(known)}"
        raise PluginError(f"metaworld: there is no task {name!r}{hint}")
    task: Callable[..., Any] = tasks[key]
    return task
