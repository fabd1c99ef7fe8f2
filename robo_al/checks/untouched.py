"""Whether a plugin wrote into what it was given: compared with a copy that was made before."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch


def parts(name: str, value: Any) -> Iterable[tuple[str, bytes | int]]:
    """Yield the name of every array in a value and what is in it, and how long its lists are.

    Policies and models in it are left out: they may change while they work.

    Args:
        name: of the value, for messages.
        value: arrays, tensors, or what `robo_al.types` or containers make of them.
    """
    if isinstance(value, torch.Tensor):
        yield name, value.detach().cpu().numpy().tobytes()
    elif isinstance(value, np.ndarray):
        yield name, value.tobytes()
    elif is_dataclass(value):
        for field in fields(value):
            yield from parts(f"{name}.{field.name}", getattr(value, field.name))
    elif isinstance(value, Mapping):
        yield name, len(value)
        for key, item in value.items():
            yield from parts(f"{name}[{key!r}]", item)
    elif isinstance(value, list | tuple):
        yield name, len(value)
        for index, item in enumerate(value):
            yield from parts(f"{name}[{index}]", item)


def touched(before: Mapping[str, bytes | int], given: Mapping[str, Any]) -> list[str]:
    """Return the names of what is not as it was.

    Args:
        before: what `remember` returned of it.
        given: what a plugin was given, by name.
    """
    after = remember(given)
    return [name for name in before if before[name] != after.get(name)]


def remember(given: Mapping[str, Any]) -> dict[str, bytes | int]:
    """Return all that is in the values that a plugin is about to be given, by name."""
    return dict(part for name, value in given.items() for part in parts(name, value))
