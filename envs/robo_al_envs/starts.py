"""What every task checks of what it is given: reset options and actions."""

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from robo_al.errors import UserError

Array = NDArray[np.float64]


def chosen(options: Mapping[str, Any] | None, known: Mapping[str, spaces.Box]) -> dict[str, Array]:
    """Return the options of a reset as vectors.

    Args:
        options: as given to `reset`.
        known: the space that each option must lie in.

    Raises:
        UserError: an unknown option, or a value that is outside of its space.
    """
    starts = {}
    for name, value in (options or {}).items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UserError(f"reset option {name!r} is not known, only {sorted(known)}{hint}")
        space = known[name]
        try:
            vector = np.array(value, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(f"reset option {name!r}: {value!r} is no list of numbers") from None
        if vector.shape != space.shape:
            raise UserError(
                f"reset option {name!r}: {value!r} has shape {vector.shape}; needed {space.shape}"
            )
        if (
            not np.isfinite(vector).all()
            or (vector < space.low).any()
            or (vector > space.high).any()
        ):
            raise UserError(
                f"reset option {name!r}: {vector.tolist()} is not within"
                f" {space.low.tolist()} and {space.high.tolist()}"
            )
        starts[name] = vector
    return starts


def finite_action(action: Any, space: spaces.Box) -> Array:
    """Return an action [A] clipped to its limits.

    Raises:
        UserError: it is not finite, or of a wrong shape.
    """
    vector = np.asarray(action, dtype=np.float64)
    if vector.shape != space.shape:
        raise UserError(f"action {action!r} has shape {vector.shape}; needed {space.shape}")
    if not np.isfinite(vector).all():
        raise UserError(f"action {vector.tolist()} is not finite")
    return np.clip(vector, space.low, space.high)
