"""Why an attribute of an env is not what ours of the same name is: None where it is."""

import inspect
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from robo_al.types import Channel, Trajectory

Array: TypeAlias = NDArray[Any]


def no_count(value: Any) -> str | None:
    """Return why a value is no number of steps."""
    fits = isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0
    return None if fits else f"it is {_shown(value)}; a number of steps is needed"


def no_number(value: Any) -> str | None:
    """Return why a value is no finite number."""
    fits = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    return None if fits else f"it is {_shown(value)}; a number is needed"


def no_period(value: Any) -> str | None:
    """Return why a value is no time in seconds."""
    if no_number(value) is None and value > 0:
        return None
    return f"it is {_shown(value)}; seconds between two actions are needed"


def no_channels(value: Any) -> str | None:
    """Return why a value does not name an observation's components."""
    return _no_sequence(value, Channel)


def no_episodes(value: Any) -> str | None:
    """Return why a value is no recorded rollouts."""
    return _no_sequence(value, Trajectory)


def _no_sequence(value: Any, kind: type) -> str | None:
    if isinstance(value, (tuple, list)) and value and all(isinstance(x, kind) for x in value):
        return None
    return f"it is {_shown(value)}; a tuple of robo_al.types.{kind.__name__} is needed"


def no_function(value: Any, arguments: int) -> str | None:
    """Return why a value cannot be called with so many arguments."""
    if not callable(value):
        return f"it is {_shown(value)}; a function is needed"
    try:
        inspect.signature(value).bind(*[None] * arguments)
    except TypeError as error:
        return f"called with {arguments} arguments: {error}"
    except ValueError:  # a function of another language does not tell
        pass
    return None


def no_formula(function: Any, arguments: Sequence[Array], expected: Array) -> str | None:
    """Return what is wrong with what a function makes of a batch of steps, in float64.

    Args:
        function: of observations, actions and perhaps next observations.
        arguments: of the function, for NumPy; tensors of them are tried too.
        expected: what `step` gave, NaN where it does not tell.
    """
    import torch

    for kind, convert in ((np.ndarray, np.copy), (torch.Tensor, torch.tensor)):
        try:
            answer = function(*map(convert, arguments))
            if not isinstance(answer, kind):
                return f"given {kind.__name__}s it returned {kind_of(answer)}"
            found = np.asarray(answer, dtype=np.float64)
        except Exception as error:
            return f"given {kind.__name__}s it raised {type(error).__name__}: {error}"
        if found.shape != expected.shape:
            return f"it returned shape {found.shape} for {len(expected)} steps"
        if not np.isfinite(found).all():
            return "it returned numbers that are not finite"
        known = np.isfinite(expected)
        if not np.allclose(found[known], expected[known], atol=1e-5):
            return "it differs from what step gives"
    return None


def kind_of(value: Any) -> str:
    """Return `a Box`, for messages."""
    return f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    return "a function" if callable(value) else f"{value!r:.60}"
