"""What is seen of an env's pictures, and filmed when somebody wants to keep it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from jaxtyping import UInt8

from robo_al.encoding.film import FilmWriter
from robo_al.encoding.flatten import is_picture
from robo_al.errors import EnvFault
from robo_al.types import Film, PictureCodec

Seen: TypeAlias = Mapping[str, UInt8[np.ndarray, "..."]]
"""Pictures, by the name of what they are in an observation: `pixels`, `cameras.top`."""


class Camera:
    """Looks at each observation of an env, one rollout after the other.

    Args:
        shapes: of the pictures, by name.
        codec: of films.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]], codec: PictureCodec) -> None:
        self.shapes = shapes
        self.last: Seen = {}
        """What was seen last, while nothing was filmed."""
        self._codec = codec
        self._film: FilmWriter | None = None

    def see(self, pictures: Seen) -> None:
        """Take note of what is shown; raises `StorageError` where it cannot be filmed."""
        if self._film is None:
            self.last = {name: picture.copy() for name, picture in pictures.items()}
        else:
            self._film.add(pictures)

    def begin(self, path: Path, period: float) -> None:
        """Film a rollout, from what was seen last on: where it starts.

        Args:
            path: of the file to write.
            period: seconds between two observations.

        Raises:
            StorageError: the disk is full or refuses.
        """
        self._film = FilmWriter(path, self.shapes, self._codec, period)
        self._film.add(self.last)

    def end(self) -> Film | None:
        """Return the film, if one was begun; raises `StorageError` like `see`."""
        film, self._film = self._film, None
        return None if film is None else film.end()

    def drop(self) -> None:
        """Leave no film behind: its rollout came to nothing."""
        film, self._film = self._film, None
        if film is not None:
            film.drop()


def camera_of(space: spaces.Space[Any], codec: PictureCodec) -> Camera | None:
    """Return the camera for observations of a space; None where there are no pictures in it."""
    shapes = {name: leaf.shape or () for name, leaf, _ in _pictures(space)}
    return Camera(shapes, codec) if shapes else None


def pictures_in(space: spaces.Space[Any], observation: Any) -> Seen:
    """Return the pictures of an observation.

    Raises:
        EnvFault: one is missing, or is not what the space says.
    """
    seen = {}
    for name, leaf, keys in _pictures(space):
        part = observation
        try:
            for key in keys:
                part = part[key]
            picture = np.asarray(part)
            seen[name] = picture.astype(np.uint8, copy=False)
        except (LookupError, TypeError, ValueError) as error:
            said = f"the env answered with no picture {name}: {type(error).__name__}: {error}"
            raise EnvFault("failed", said) from error
        if picture.shape != leaf.shape or not np.array_equal(seen[name], picture):
            told = f"{picture.dtype} of shape {picture.shape}; its space is {leaf}"
            raise EnvFault("failed", f"the env answered with a picture {name} of {told}")
    return seen


def _pictures(
    space: spaces.Space[Any], name: str = "", keys: tuple[Any, ...] = ()
) -> Iterator[tuple[str, spaces.Space[Any], tuple[Any, ...]]]:
    """Yield the name of each picture, its space, and by which keys it is found."""
    whole = name or "observation"
    match space:
        case spaces.Dict():
            for key, inner in space.spaces.items():
                yield from _pictures(inner, f"{name}.{key}" if name else str(key), (*keys, key))
        case spaces.Tuple():
            for place, inner in enumerate(space.spaces):
                yield from _pictures(inner, f"{whole}[{place}]", (*keys, place))
        case _:
            if is_picture(space):
                yield whole, space, keys
