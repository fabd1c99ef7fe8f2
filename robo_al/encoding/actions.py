"""Actions of any bounded space as flat numbers within limits."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from robo_al.encoding.flatten import leaves
from robo_al.errors import ConfigError

Array: TypeAlias = NDArray[Any]


class FlatActions:
    """The actions of a space, as a flat box of numbers.

    A box, also in a `Dict` or `Tuple`, is its numbers. A choice among n (`Discrete`, and each of
    `MultiDiscrete` and `MultiBinary`) is one number, whose limits are cut into n equal parts.

    Args:
        space: of the actions, made of boxes and choices.
        limits: one pair for all axes, or one for each; None: those of the boxes.
        name: of the env, for messages.

    Raises:
        ConfigError: as many limits as there are no axes, or limits beyond those of a box.
    """

    def __init__(
        self,
        space: spaces.Space[Any],
        limits: Sequence[tuple[float, float]] | None,
        name: str,
    ) -> None:
        self._space = space
        low, high = _own_limits(space)
        if limits is not None:
            low, high = _narrowed(low, high, limits, name)
        dtype: Any = space.dtype if isinstance(space, spaces.Box) else np.float64
        self.box = spaces.Box(low.astype(dtype), high.astype(dtype), dtype=dtype)

    @property
    def change_nothing(self) -> bool:
        """Whether the env is sent the same actions, and only their limits are others."""
        return isinstance(self._space, spaces.Box) and len(self._space.shape) == 1

    def restored(self, action: Shaped[np.ndarray, "A"]) -> Any:
        """Return the action of the env's own space that flat numbers stand for."""
        if self.change_nothing:
            return action
        shares = _shares(np.asarray(action, dtype=np.float64), self.box)
        return _restored(self._space, _Reader(np.asarray(action)), _Reader(shares))


def is_bounded(space: spaces.Space[Any]) -> bool:
    """Whether a space of actions says all its limits: it is made of boxes that do."""
    return all(isinstance(leaf, spaces.Box) and leaf.is_bounded() for leaf in leaves(space))


def _own_limits(space: spaces.Space[Any]) -> tuple[Array, Array]:
    """Return what a space says of its limits, infinite where it says nothing."""
    lows, highs = list[Array](), list[Array]()
    for leaf in leaves(space):
        if isinstance(leaf, spaces.Box):
            lows.append(leaf.low.ravel())
            highs.append(leaf.high.ravel())
        else:
            choices = np.full(int(np.prod(leaf.shape or ())), np.inf)
            lows.append(-choices)
            highs.append(choices)
    return np.concatenate(lows), np.concatenate(highs)


def _narrowed(
    low: Array, high: Array, limits: Sequence[tuple[float, float]], name: str
) -> tuple[Array, Array]:
    """Return limits that a configuration gives, as the space's type has them."""
    if len(limits) not in (1, len(low)):
        raise ConfigError(
            f"action_limits: {len(limits)} pairs for the {len(low)} actions of env {name}; give "
            "one pair for all of them, or one for each"
        )
    pairs = np.broadcast_to(np.array(limits, dtype=np.float64), (len(low), 2))
    whole = low.dtype.kind in "iu"
    given_low = (np.ceil(pairs[:, 0]) if whole else pairs[:, 0]).astype(low.dtype)
    given_high = (np.floor(pairs[:, 1]) if whole else pairs[:, 1]).astype(high.dtype)
    for axis in np.flatnonzero((given_low < low) | (given_high > high) | (given_low > given_high)):
        raise ConfigError(
            f"action_limits: {pairs[axis].tolist()} for action {axis} of env {name}, which itself "
            f"takes {low[axis]:g} to {high[axis]:g}; give limits within these"
        )
    return given_low, given_high


class _Reader:
    """Hands out numbers, some at a time."""

    def __init__(self, numbers: Array) -> None:
        self._numbers = numbers
        self._at = 0

    def take(self, count: int) -> Array:
        """Return the next numbers."""
        self._at += count
        return self._numbers[self._at - count : self._at]


def _shares(action: Float[np.ndarray, "A"], box: spaces.Box) -> Float[np.ndarray, "A"]:
    """Return how far each number is from its low to its high limit, from 0 to 1."""
    low, high = box.low.astype(np.float64), box.high.astype(np.float64)
    width = np.where(high > low, high - low, 1.0)
    shares: Array = np.clip((action - low) / width, 0.0, 1.0)
    return shares


def _restored(space: spaces.Space[Any], numbers: _Reader, shares: _Reader) -> Any:
    match space:
        case spaces.Dict():
            inner = space.spaces.items()
            return {key: _restored(each, numbers, shares) for key, each in inner}
        case spaces.Tuple():
            return tuple(_restored(each, numbers, shares) for each in space.spaces)
    count = int(np.prod(space.shape or ()))
    own, share = numbers.take(count), shares.take(count)
    match space:
        case spaces.Box():
            return own.astype(space.dtype).reshape(space.shape)
        case spaces.Discrete():
            return space.start + _choice(share, space.n)[0]
        case spaces.MultiDiscrete():
            chosen = space.start.ravel() + _choice(share, space.nvec.ravel())
            return chosen.reshape(space.shape).astype(space.dtype)
    assert isinstance(space, spaces.MultiBinary), space
    return _choice(share, 2).reshape(space.shape).astype(space.dtype)


def _choice(share: Float[np.ndarray, "n"], among: Any) -> NDArray[np.int64]:
    """Return the part, of so many equal ones, that each share of the way lies in."""
    part: NDArray[np.int64] = (share * among).astype(np.int64)
    return np.minimum(part, np.asarray(among, dtype=np.int64) - 1)
