"""Does an encoder keep its contract?"""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from robo_al.checks.subject import CheckReport, Subject, kind_of
from robo_al.encoding.adapted import Adapted
from robo_al.tasks import Env
from robo_al.tasks.trial import trying
from robo_al.types import Channel

STEPS = 2
"""Whose observations are encoded, after the first."""


def shown_by(env: Env) -> tuple[spaces.Space[Any], list[Any]]:
    """Return the space of what an env itself shows, and observations of a few random steps.

    Raises:
        PluginError: it raises.
    """
    inner = env.env if isinstance(env, Adapted) else env
    inner.action_space.seed(0)
    with trying(inner, "reset"):
        shown = [copy.deepcopy(inner.reset(seed=0)[0])]
    for _ in range(STEPS):
        with trying(inner, "step"):
            observation, _, terminated, truncated, _ = inner.step(inner.action_space.sample())
        shown.append(copy.deepcopy(observation))
        if terminated or truncated:
            break
    return inner.observation_space, shown


def check_encoder(encoder: Any, observations: Sequence[Any]) -> CheckReport:
    """Check an encoder: a finite number for each of its channels, of every observation.

    Args:
        encoder: made for the env's space.
        observations: what the env showed, two at least.

    Returns:
        What was tried.

    Raises:
        PluginError: naming the method and what was wrong with it.
    """
    subject = Subject(encoder)
    with subject.trying("channels"):
        channels = encoder.channels
        listed = isinstance(channels, (tuple, list)) and len(channels) > 0
        subject.need(listed, f"is {kind_of(channels)}; a tuple of robo_al.types.Channel")
        for channel in channels:
            subject.need(isinstance(channel, Channel), f"has {kind_of(channel)}; a Channel")
    kept, codes = list[Any](), list[Any]()
    for observation in observations:
        with subject.trying("encode", observation=observation):
            code = encoder.encode(observation)
            subject.array("the result", code, (len(channels),))
        kept.append(code.copy())
        codes.append(code)
        with subject.trying("encode", observation=observation):
            again = np.array_equal(kept[-1], encoder.encode(observation))
            subject.need(again, "gives other numbers for the same observation")
    same = all(np.array_equal(code, was) for code, was in zip(codes, kept, strict=True))
    subject.need(same, "returned an array that a later call changes; return a copy")
    return subject.report()
