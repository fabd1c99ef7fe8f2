"""What the stations need to know of a `gymnasium.Env`, read off the env itself."""

import numpy as np

from robo_al.errors import ConfigError
from robo_al.plugins import known_reward, known_termination
from robo_al.tasks.boxes import boxes
from robo_al.tasks.channels import channels_of
from robo_al.tasks.layers import Env, is_bare, time_limit
from robo_al.tasks.offers import Offers, offers_of
from robo_al.types import EnvSpec, Task

UNKNOWN_END = 1000
"""Steps of an evaluation of an env that ends, but is never broken off."""
DEFAULT_PERIOD = 1.0
"""Seconds between two actions where an env does not say them."""


def describe(env: Env, spec: EnvSpec, endless: int | None = None) -> Task:
    """Describe an env: what neither it nor its spec says gets a plain default.

    Args:
        env: that `robo_al.plugins` made of the spec, or one of flat observations and actions.
        spec: what it was made from. An env that is not registered with Gymnasium says its
            `horizon` (steps) and, if it has one, its `threshold` (return) as attributes; what
            the spec's `facts` say is in place of what the env says.
        endless: the horizon of an env that says none and never ends; None: it is refused.

    Raises:
        ConfigError: a space that is no flat box, an unbounded action, channels that are not as
            many as the numbers observed, or an env without a horizon that never ends.
        PluginError: it has no spaces, or raises when it is tried.
    """
    observation, action = boxes(env, spec.name)
    offers, facts = offers_of(env), spec.facts
    channels, noted = channels_of(env, spec, observation.shape[0])
    reward = offers.reward or (known_reward(spec) if is_bare(env) else None)
    termination = offers.termination or (known_termination(spec) if is_bare(env) else None)
    chosen, held_out = offers.episodes or (None, ())
    notes: tuple[str, ...] = ()
    horizon = facts.horizon
    if horizon is None:
        horizon, notes = _horizon(env, offers, spec.name, endless)
    return Task(
        env=spec,
        channels=channels,
        action_low=action.low.astype(np.float64),
        action_high=action.high.astype(np.float64),
        horizon=horizon,
        control_period=control_period(env, spec),
        reward=reward,
        threshold=offers.threshold if facts.threshold is None else facts.threshold,
        termination=termination,
        constraint=offers.constraint,
        starts=None if chosen is None else len(chosen),
        held_out=held_out,
        notes=(*notes, *noted, *offers.ignored),
    )


def control_period(env: Env, spec: EnvSpec) -> float:
    """Return the seconds between two actions."""
    return spec.facts.control_period or offers_of(env).control_period or DEFAULT_PERIOD


def _horizon(
    env: Env, offers: Offers, name: str, endless: int | None
) -> tuple[int, tuple[str, ...]]:
    """Return the steps of an evaluation, and what is to be said of how they were found.

    Raises:
        ConfigError: the env does not say them, random actions do not find them, and none are given
            for an env that is `endless`.
    """
    limit = time_limit(env)
    if limit is None and env.unwrapped.spec is not None:
        limit = env.unwrapped.spec.max_episode_steps
    known = [steps for steps in (offers.horizon, limit) if steps]
    if known:
        return min(known), ()
    steps, terminated = offers.ending
    set_it = "set another by `horizon:` in the configuration"
    if steps is not None:
        found = f"random actions were broken off after {steps} steps, which is its horizon now"
        return steps, (f"env {name} says no horizon; {found}; {set_it}",)
    if terminated:
        found = f"it ends by itself, and is given {UNKNOWN_END} steps"
        return UNKNOWN_END, (f"env {name} says no horizon; {found}; {set_it}",)
    ignored = offers.why_not("horizon")
    said = ignored or "no horizon"
    told = (
        f"env {name}: {said}, and random actions do not end it within {UNKNOWN_END} steps; "
        "write how many steps an evaluation has: `horizon: 200` in the configuration of a run, or "
        "an attribute `horizon` of the env"
    )
    if endless is None or ignored:
        raise ConfigError(told)
    return endless, (told,)
