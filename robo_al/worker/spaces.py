"""An env's spaces, and the values in them, as what goes over a pipe: JSON and arrays of numbers.

A value is one array: the numbers of its parts one after the other, in the order of the space's.
Spaces are told apart by the names of their classes, for those of the old Gym are none of
Gymnasium's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .watch import wrong_shape

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_KINDS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict", "Tuple")


class SpaceError(Exception):
    """A space that cannot be sent, or a value that is none of its space; the message says which."""


def described(space: Any) -> tuple[dict[str, Any], list[NDArray[np.float64]]]:
    """Return what a space is: JSON, and low and high of each box in it.

    Raises:
        SpaceError: it holds something else than numbers.
    """
    kind = kind_of(space)
    if kind == "Box":
        description = {"kind": kind, "dtype": space.dtype.name, "shape": list(space.shape)}
        return description, [space.low, space.high]
    if kind == "Discrete":
        return {"kind": kind, "n": int(space.n), "start": int(getattr(space, "start", 0))}, []
    if kind == "MultiDiscrete":
        start = getattr(space, "start", space.nvec * 0)
        return {"kind": kind, "nvec": space.nvec.tolist(), "start": start.tolist()}, []
    if kind == "MultiBinary":
        return {"kind": kind, "shape": list(space.shape)}, []
    keys = [key for key, _ in parts(space)]
    told = [described(each) for _, each in parts(space)]
    description = {"kind": kind, "keys": keys, "spaces": [each for each, _ in told]}
    return description, [array for _, arrays in told for array in arrays]


def kind_of(space: Any) -> str:
    """Return the name of the class that a space is of; raises `SpaceError` for one of others."""
    for base in type(space).__mro__:
        if base.__name__ in _KINDS:
            return base.__name__
    raise SpaceError(f"{space} is made of something else than {', '.join(_KINDS)}")


def parts(space: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the keys, or places, and the spaces that a `Dict` or `Tuple` is made of."""
    yield from space.spaces.items() if kind_of(space) == "Dict" else enumerate(space.spaces)


def packed(space: Any, value: Any) -> NDArray[np.float64]:
    """Return the numbers of a value in a space.

    Raises:
        SpaceError: a part has another shape than its space.
        LookupError: a part is missing.
    """
    import numpy as np

    if kind_of(space) in ("Dict", "Tuple"):
        inner = [packed(each, value[key]) for key, each in parts(space)]
        return np.concatenate(inner) if inner else np.zeros(0)
    numbers, shape = np.array(value, dtype=np.float64), tuple(space.shape or ())
    if numbers.shape != shape:
        raise SpaceError(wrong_shape(numbers.shape, shape))
    return numbers.ravel()


def unpacked(space: Any, numbers: NDArray[np.float64]) -> Any:
    """Return the value whose numbers were packed."""
    import numpy as np

    kind = kind_of(space)
    if kind in ("Dict", "Tuple"):
        values, start = {}, 0
        for key, each in parts(space):
            size = size_of(each)
            values[key] = unpacked(each, numbers[start : start + size])
            start += size
        return values if kind == "Dict" else tuple(values.values())
    if kind == "Discrete":
        return int(numbers[0])
    shape: tuple[int, ...] = tuple(space.shape or ())
    return np.asarray(numbers).astype(space.dtype).reshape(shape)


def parted(space: Any, value: Any) -> list[NDArray[Any]]:
    """Return an observation as an array for each part: bytes stay bytes, for pictures are large.

    Raises:
        SpaceError: a part has another shape than its space.
        LookupError: a part is missing.
    """
    import numpy as np

    if kind_of(space) in ("Dict", "Tuple"):
        return [array for key, each in parts(space) for array in parted(each, value[key])]
    array = np.asarray(value)
    if array.dtype != np.uint8 or not is_bytes(space):
        return [packed(space, value)]
    shape = tuple(space.shape)
    if array.shape != shape:
        raise SpaceError(wrong_shape(array.shape, shape))
    return [array]


def joined(space: Any, arrays: Iterator[NDArray[Any]]) -> Any:
    """Return the observation whose parts are next."""
    kind = kind_of(space)
    if kind == "Dict":
        return {key: joined(each, arrays) for key, each in parts(space)}
    if kind == "Tuple":
        return tuple(joined(each, arrays) for _, each in parts(space))
    array = next(arrays)
    return unpacked(space, array.ravel())


def is_bytes(space: Any) -> bool:
    """Return whether a space is a box of bytes."""
    return kind_of(space) == "Box" and str(space.dtype) == "uint8"


def size_of(space: Any) -> int:
    """Return how many numbers a value has."""
    import numpy as np

    if kind_of(space) in ("Dict", "Tuple"):
        return sum(size_of(each) for _, each in parts(space))
    return int(np.prod(space.shape or ()))
