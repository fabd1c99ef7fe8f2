"""Names, units and kinds of what is observed: told, or found out by a dry run."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Bool

from robo_al.encoding.adapted import Adapted
from robo_al.errors import ConfigError
from robo_al.tasks.angles import angles_of
from robo_al.tasks.layers import Env, clear_layers
from robo_al.tasks.offers import offers_of
from robo_al.types import Channel, EnvSpec

MOST_NAMED = 5
"""Channels that a sentence names."""


def channels_of(env: Env, spec: EnvSpec, size: int) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """Return a channel for each number that is observed, and what is to be said of them.

    Args:
        env: which.
        spec: what it was made from.
        size: of an observation, O.

    Raises:
        ConfigError: there are as many channels as there are no numbers.
    """
    given, told = spec.facts.channels, offers_of(env).channels
    if given is not None:
        if len(given) != size:
            shown = _named([channel.name for channel in told]) if told else "numbers without names"
            raise ConfigError(
                f"channels: {len(given)} names for the {size} numbers that env {spec.name} is "
                f"observed by, which are {shown}; give one for each"
            )
        return given, ()
    if told is not None and len(told) != size:
        raise ConfigError(f"env {spec.name}: {len(told)} channels for {size} observations")
    if told is not None and not _is_flattened(env):
        return told, ()
    return _tried(env, told or tuple(Channel(f"observation[{i}]", "1") for i in range(size)))


def _tried(env: Env, channels: tuple[Channel, ...]) -> tuple[tuple[Channel, ...], tuple[str, ...]]:
    """Return channels that nobody chose, no constant one among them that changes in a rollout."""
    steady, differs = offers_of(env).steadiness
    notes = list[str]()
    constant = np.array([channel.kind == "constant" for channel in channels])
    if moved := _where(channels, constant & ~steady):
        notes.append(
            f"{_named(moved)}: a goal by its name, which changes within a rollout; it is predicted "
            "like whatever else is observed"
        )
    # where the goal is known, what stayed where it was waits to be moved
    if not constant.any() and (goals := _where(channels, steady & differs)):
        notes.append(
            f"{_named(goals)}: did not change in short rollouts of random actions, and differs "
            "between them. The model need not predict what is constant throughout a rollout, a "
            "goal: say so by `kind: constant` under `channels` in the configuration"
        )
    kept = [replace(c, kind="linear") if c.name in moved else c for c in channels]
    angles = angles_of(env)
    for i, kind in angles.items():
        kept[i] = replace(kept[i], unit="rad", kind=kind)
    if angles:
        named = _named([kept[i].name for i in sorted(angles)])
        notes.append(
            f"{named}: an angle by its range or by a hinge of MuJoCo's, of which sine and cosine "
            "are learned from; `channels` in the configuration can say otherwise"
        )
    return tuple(kept), tuple(notes)


def _is_flattened(env: Env) -> bool:
    """Whether its observations are flattened, and nobody chose how."""
    return any(isinstance(layer, Adapted) and layer.is_flattened for layer in clear_layers(env))


def _where(channels: Sequence[Channel], chosen: Bool[np.ndarray, "O"]) -> list[str]:
    return [channel.name for channel, is_it in zip(channels, chosen, strict=True) if is_it]


def _named(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
