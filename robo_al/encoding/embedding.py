"""One part of an observation, computed by whoever made it."""

from typing import Any

import numpy as np
from gymnasium import spaces
from jaxtyping import Float

from robo_al.encoding.flatten import Flatten
from robo_al.errors import ConfigError


class Embedding:
    """A part of a dictionary that is observed, as it is: what an encoder made of pictures before.

    Args:
        space: of the observations, a `Dict`.
        column: key of the part.

    Raises:
        ConfigError: there is no such part, or it is no array of numbers.
    """

    def __init__(self, space: spaces.Space[Any], column: str) -> None:
        parts = dict(space.spaces) if isinstance(space, spaces.Dict) else {}
        part = parts.get(column)
        if not isinstance(part, spaces.Box):
            arrays = [str(key) for key, each in parts.items() if isinstance(each, spaces.Box)]
            raise ConfigError(
                f"encoder embedding: no array of numbers {column!r} is observed; there are "
                f"{', '.join(arrays) or 'none, for no dictionary is'}. Of a recorded dataset, give "
                f"the env the column: {{name: replay, path: ..., column: {column}}}"
            )
        self._column = column
        self._flatten = Flatten(spaces.Dict({column: part}))
        self.channels = self._flatten.channels

    def encode(self, observation: Any) -> Float[np.ndarray, "O"]:
        """Return the numbers of the part."""
        return self._flatten.encode({self._column: observation[self._column]})
