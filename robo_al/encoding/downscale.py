"""Small pictures as the brightness of a few fields."""

from typing import Annotated, Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float, Shaped
from pydantic import Field

from robo_al.encoding.flatten import Flatten, is_picture
from robo_al.errors import ConfigError


class Downscale:
    """Every picture as the mean brightness of `size` x `size` fields; the rest is flattened.

    Args:
        space: of the observations.
        size: fields along each side.

    Raises:
        ConfigError: a picture is smaller, or has other axes than height, width and colour.
    """

    def __init__(
        self, space: spaces.Space[Any], size: Annotated[int, Field(ge=1, le=1000)] = 8
    ) -> None:
        self._space = space
        self._size = size
        self._flatten = Flatten(self._small_space(space))
        self.channels = self._flatten.channels

    def encode(self, observation: Any) -> Float[np.ndarray, "O"]:
        """Return brightness from 0 to 1 for the pictures, and the numbers of the rest."""
        return self._flatten.encode(self._small(self._space, observation))

    def _small_space(self, space: spaces.Space[Any]) -> spaces.Space[Any]:
        """Return the space of what `_small` makes of an observation."""
        match space:
            case spaces.Dict():
                inner = space.spaces.items()
                return spaces.Dict([(key, self._small_space(each)) for key, each in inner])
            case spaces.Tuple():
                return spaces.Tuple([self._small_space(each) for each in space.spaces])
        if not is_picture(space):
            return space
        assert space.shape is not None
        sides = sorted(space.shape)[-2:]
        if len(space.shape) > 3 or min(sides) < self._size:
            raise ConfigError(
                f"encoder downscale: a picture of shape {space.shape} has no {self._size} x "
                f"{self._size} fields; height, width and perhaps colours are needed, and a "
                "`size` that fits into them"
            )
        return spaces.Box(0.0, 1.0, (self._size, self._size), np.float64)

    def _small(self, space: spaces.Space[Any], observation: Any) -> Any:
        """Return an observation with small pictures."""
        match space:
            case spaces.Dict():
                return {k: self._small(each, observation[k]) for k, each in space.spaces.items()}
            case spaces.Tuple():
                pairs = zip(space.spaces, observation, strict=True)
                return tuple(self._small(each, part) for each, part in pairs)
        return self._brightness(np.asarray(observation)) if is_picture(space) else observation

    def _brightness(self, picture: Shaped[np.ndarray, "..."]) -> Float[np.ndarray, "size size"]:
        grey = picture / 255.0
        if grey.ndim == 3:  # colours are the shortest axis, the first or the last
            grey = grey.mean(axis=int(np.argmin(grey.shape)))
        for axis, length in enumerate(grey.shape):
            edges = np.arange(self._size) * length // self._size
            widths = np.diff([*edges, length])
            sums = np.add.reduceat(grey, edges, axis=axis)
            grey = sums / np.expand_dims(widths, 1 - axis)
        return grey
