"""Does an env keep what its capabilities promise?"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.checks.oracles import CHANCE
from robo_al.checks.subject import CheckReport, Subject
from robo_al.errors import ConfigError, PluginError
from robo_al.seeds import integer
from robo_al.tasks import Env, describe
from robo_al.tasks.boxes import random_action
from robo_al.tasks.offers import offers_of
from robo_al.tasks.starts import FOUND
from robo_al.tasks.trial import play
from robo_al.types import EnvSpec

Array = NDArray[np.float64]
STEPS = 3
"""That are tried, of one rollout."""
_CAPABILITIES = ("context", "reward", "constraint", "termination", "dynamics")
"""What is tried where an env is described: see `robo_al.tasks.offers`."""


def check_env(env: Env, spec: EnvSpec) -> CheckReport:
    """Check an env: its spaces, its starts, a few steps, and each capability against the steps.

    Args:
        env: which.
        spec: what it was made from.

    Returns:
        What was tried, what was not, and a note for each thing that is not as it should be.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(env.unwrapped)
    try:
        task = describe(env, spec, endless=STEPS)
    except ConfigError as error:
        raise PluginError(str(error)) from error
    shape, rng = (len(task.channels),), np.random.default_rng(0)
    seed, context = integer(rng), offers_of(env).context
    with subject.trying("reset"):
        first, _ = env.reset(seed=seed)
        start = _observed(subject, first, shape)
        env.reset(seed=seed + 1)
        reused = _reused(subject, first, start)
        again, _ = env.reset(seed=seed)
        alike = np.array_equal(start, _observed(subject, again, shape))
        found = () if alike or context is not None else (FOUND,)
    for _ in range(STEPS):
        before = _observed(subject, again, shape)
        action = random_action(env.action_space, rng)
        with subject.trying("step"):
            after, reward, terminated, truncated, _ = env.step(action.copy())
            _observed(subject, after, shape)
            earned = np.asarray(reward, dtype=np.float64)
            subject.need(not earned.ndim and np.isfinite(earned), f"a reward of {reward!r}")
            reused = reused or _reused(subject, again, before)
        again = after
        if terminated or truncated:
            break
    # how many sensors a robot has, only its agent says: its oracle tries `robot_observation`
    report = subject.report("render", "robot_observation", notes=(*reused, *found, *task.notes))
    offered = [name for name in _CAPABILITIES if getattr(offers_of(env), name) is not None]
    return replace(report, tried=(*report.tried, *offered))


def by_chance(env: Env) -> tuple[str, ...]:
    """Return a sentence if the same actions from the same start do not give the same steps."""
    once, again = play(env, STEPS), play(env, STEPS)
    started_alike = np.array_equal(once.observations[0], again.observations[0])
    same = all(np.array_equal(getattr(once, n), getattr(again, n)) for n in once._fields)
    if same or not started_alike:  # of other starts is said what follows from them
        return ()
    return (f"the same actions from the same start do not give the same steps; {CHANCE}",)


def _observed(subject: Subject, value: Any, shape: tuple[int, ...]) -> Array:
    """Need a finite observation; return it in an array of its own."""
    observation = np.array(value, dtype=np.float64)
    wrong = f"the observation has shape {observation.shape}, not {shape}"
    subject.need(observation.shape == shape, wrong)
    subject.need(np.isfinite(observation).all(), "the observation is not finite")
    return observation


def _reused(subject: Subject, observation: Any, kept: Array) -> tuple[str, ...]:
    """Return a sentence if an observation changed after it was returned."""
    if np.array_equal(np.asarray(observation, dtype=np.float64), kept):
        return ()
    name = f"{type(subject.thing).__qualname__}.{subject.method}"
    return (
        f"{name} returned an array that a later call changes; robo-al copies it, others may not: "
        "return a copy",
    )
