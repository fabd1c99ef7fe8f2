"""What is no trajectory, or no command, at all: refused before a number of it is looked at."""

from typing import Any

import numpy as np

from robo_al_agent.envelope.rules import SMALLEST, Violation

MAX_STEPS = 100_000
"""T beyond which a trajectory is refused."""


def malformed(
    names: tuple[str, ...],
    positions: Any,
    axes: tuple[str, ...],
    period: Any,
    start: Any,
    joints: Any,
    start_axes: tuple[str, ...] = (),
) -> Violation | None:
    """Return why something, of whatever type, is not what the checks take.

    Args:
        names: of the envelope's joints.
        positions: should be float64 of the shape of `axes`, then J.
        axes: `N` and `T`, as far as it has them.
        period: should be a number of seconds.
        start: should be finite float64 of the shape of `start_axes`, then J.
        joints: should be the names, or None.
        start_axes: numbers.
    """
    wrong = _wrong_names(joints, names)
    if wrong is None and not _is_period(period):
        wrong = f"period {period!r:.40}: a finite number of seconds above 0 is needed"
    wrong = wrong or _wrong_array("positions", positions, (*axes, str(len(names))))
    wrong = wrong or _wrong_array("start", start, (*start_axes, str(len(names))))
    if wrong is None and not np.isfinite(start).all():
        wrong = "start is not finite"
    return refusal(wrong) if wrong else None


def refusal(reason: str) -> Violation:
    """Return the violation that something is no trajectory."""
    return Violation("malformed", reason)


def _wrong_names(joints: Any, names: tuple[str, ...]) -> str | None:
    if joints is None:
        return None
    if not isinstance(joints, list | tuple) or any(type(name) is not str for name in joints):
        return f"joints: names are needed, given {joints!r:.80}"
    if tuple(joints) == names:
        return None
    return f"joints are {', '.join(joints):.200}; in their order they must be {', '.join(names)}"


def _is_period(period: Any) -> bool:
    number = type(period) in {float, int, np.float64}
    return number and bool(SMALLEST <= period <= 1 / SMALLEST)


def _wrong_array(name: str, array: Any, axes: tuple[str, ...]) -> str | None:
    """Return what is wrong with an array; axes are T or N, or a number that it must have."""
    # a subclass may compare in its own way: a masked array hides what it holds
    if type(array) is not np.ndarray:
        return f"{name}: a numpy array is needed, given a {type(array).__name__}"
    if array.dtype != np.float64:
        return f"{name}: float64 is needed, given {array.dtype}"
    wanted = f"[{', '.join(axes)}]"
    fits = len(array.shape) == len(axes) and all(
        axis in {"N", "T", str(size)} for axis, size in zip(axes, array.shape, strict=True)
    )
    if not fits:
        return f"{name}: shape {wanted} is needed, given {list(array.shape)}"
    steps = array.shape[-2] if "T" in axes else 1
    if not 1 <= steps <= MAX_STEPS:
        return f"{name}: {steps} commands; 1 to {MAX_STEPS} are needed"
    return None
