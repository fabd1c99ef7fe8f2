"""Observations of Gymnasium's spaces as flat numbers with names."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from robo_al.types import Channel, ChannelKind

LEAVES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)
"""Spaces of numbers, which `Dict` and `Tuple` are made of."""
_GOAL_ENV = {"observation", "achieved_goal", "desired_goal"}
"""The keys by which an env of goals is known (`gymnasium_robotics.core.GoalEnv`)."""


class Flatten:
    """Every number of an observation, one after the other: `gymnasium.spaces.flatten`.

    A `Discrete` is one 1 among 0s. The goal that an env of goals has for a rollout
    (`desired_goal`) is `constant`.

    Args:
        space: of the observations, made of `LEAVES`, `Dict` and `Tuple`.
    """

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.channels = tuple(_channels(space, "", "linear"))
        self._space = space

    def encode(self, observation: Any) -> Float[np.ndarray, "O"]:
        """Return the numbers of an observation."""
        return np.array(spaces.flatten(self._space, observation), dtype=np.float64)


def is_plain(space: spaces.Space[Any]) -> bool:
    """Whether a space is made of `LEAVES`, `Dict` and `Tuple` alone."""
    return all(isinstance(leaf, LEAVES) for leaf in leaves(space))


def has_pictures(space: spaces.Space[Any]) -> bool:
    """Whether pictures are among what a space holds."""
    return any(map(is_picture, leaves(space)))


def is_picture(leaf: spaces.Space[Any]) -> bool:
    """Whether a space is one of pictures: bytes with two axes at least."""
    return isinstance(leaf, spaces.Box) and leaf.dtype == np.uint8 and len(leaf.shape) > 1


def leaves(space: spaces.Space[Any]) -> Iterator[spaces.Space[Any]]:
    """Yield what a space is made of, in the order in which it is flattened."""
    match space:
        case spaces.Dict():
            inner = list(space.spaces.values())
        case spaces.Tuple():
            inner = list(space.spaces)
        case _:
            yield space
            return
    for each in inner:
        yield from leaves(each)


def _channels(space: spaces.Space[Any], name: str, kind: ChannelKind) -> Iterator[Channel]:
    """Yield a channel for each number, in the order in which a space is flattened.

    Args:
        space: part of the observation's.
        name: of the part, empty for the whole.
        kind: of its channels.
    """
    whole = name or "observation"
    match space:
        case spaces.Dict():
            of_goals = space.spaces.keys() >= _GOAL_ENV
            for key, inner in space.spaces.items():
                inner_kind = "constant" if of_goals and key == "desired_goal" else kind
                yield from _channels(inner, f"{name}.{key}" if name else str(key), inner_kind)
        case spaces.Tuple():
            for place, inner in enumerate(space.spaces):
                yield from _channels(inner, f"{whole}[{place}]", kind)
        case spaces.Discrete():
            for value in range(int(space.start), int(space.start + space.n)):
                yield Channel(f"{whole}={value}", "1", kind)
        case spaces.MultiDiscrete():
            for place, index in enumerate(_indices(space.nvec.shape)):
                first = int(space.start.flat[place])
                for value in range(first, first + int(space.nvec.flat[place])):
                    yield Channel(f"{whole}{index}={value}", "1", kind)
        case _:
            assert isinstance(space, (spaces.Box, spaces.MultiBinary)), space
            # what an observation calls by a name of its own needs no index if it is one number
            single = bool(name) and space.shape in ((), (1,))
            for index in [""] if single else _indices(space.shape):
                yield Channel(f"{whole}{index}", "1", kind)


def _indices(shape: tuple[int, ...]) -> Iterator[str]:
    """Yield `[0,0]`, `[0,1]`, ... for each number of an array; nothing to add for a bare number."""
    for index in product(*map(range, shape)):
        yield f"[{','.join(map(str, index))}]" if index else ""
