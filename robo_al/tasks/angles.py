"""Which of the numbers that nobody named are angles: by a hinge of MuJoCo's, or by their range.

Models see sine and cosine of an angle, and so know after a turn what they learned before it.
"""

import math
from collections.abc import Iterator, Mapping

import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import TransformObservation

from robo_al.tasks.layers import Env
from robo_al.tasks.trial import play
from robo_al.types import ChannelKind

_STEPS, _ROLLOUTS = 10, 2
"""In which a number that is not the position of a hinge shows it."""
_ALIKE = 1e-5
"""Rad by which a number may be off that is kept in float32."""
_TURNS = ((-math.pi, math.pi), (0.0, 2 * math.pi))
"""Limits of a number that starts again after a turn."""


def angles_of(env: Env) -> Mapping[int, ChannelKind]:
    """Return which numbers of an observation are angles, and of which kind.

    A number that has the limits of one turn jumps there. One that was the position of a hinge
    throughout short rollouts of random actions grows past them. A hinge that turns by half a turn
    at most is left out: its sine and cosine tell nothing that its angle does not.

    Args:
        env: of flat observations.

    Raises:
        PluginError: it raises when it is tried.
    """
    found: dict[int, ChannelKind] = {}
    found |= {i: "angle" for i in _positions_of_hinges(env)}
    found |= {i: "wrapped_angle" for i in _full_turns(env)}
    return found


def _full_turns(env: Env) -> Iterator[int]:
    space = env.observation_space
    assert isinstance(space, spaces.Box), "it is of flat observations"
    for i, limits in enumerate(zip(space.low.tolist(), space.high.tolist(), strict=True)):
        if any(np.allclose(limits, turn, rtol=0, atol=_ALIKE) for turn in _TURNS):
            yield i


def _positions_of_hinges(env: Env) -> Iterator[int]:
    """Yield nothing for an env that is not simulated by MuJoCo in this process."""
    model, data = (getattr(env.unwrapped, name, None) for name in ("model", "data"))
    if model is None:
        return
    import mujoco

    if not (isinstance(model, mujoco.MjModel) and isinstance(data, mujoco.MjData)):
        return
    turning = (model.jnt_limited == 0) | (np.ptp(model.jnt_range, axis=1) > math.pi)
    hinges = (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & turning
    places = model.jnt_qposadr[hinges]
    if not len(places):
        return
    both = TransformObservation(env, lambda seen: np.append(seen, data.qpos[places]), None)
    rollouts = [play(both, _STEPS, seed) for seed in range(_ROLLOUTS)]
    seen = np.concatenate([rollout.next_observations for rollout in rollouts])
    observed, positions = np.split(seen, [-len(places)], axis=1)
    moved = np.ptp(observed, axis=0) > _ALIKE
    off = np.abs(observed[:, :, None] - positions[:, None, :]).max(axis=0).min(axis=1)  # [O]
    yield from np.flatnonzero(moved & (off < _ALIKE)).tolist()
