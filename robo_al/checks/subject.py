"""What every check does: try a method, and say of which class it was and what was wrong."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from robo_al.checks.untouched import remember, touched
from robo_al.errors import PluginError


@dataclass(frozen=True)
class CheckReport:
    """What a check did with a plugin that keeps its contract, as far as it was tried."""

    tried: tuple[str, ...]
    """Methods and attributes."""
    not_tried: tuple[str, ...]
    """Methods that it has as well, and the reason where there is one to tell."""
    notes: tuple[str, ...] = ()
    """A sentence for each thing that is not as it should be, and that a campaign can do with."""

    def __str__(self) -> str:
        rest = f"\nnot tried: {'; '.join(self.not_tried)}" if self.not_tried else ""
        return f"tried: {', '.join(self.tried)}{rest}"


class Subject:
    """The object under test, and the method that is being tried."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.method = "__init__"
        self._tried: list[str] = []
        self._left: list[str] = []

    def need(self, condition: Any, wrong: str) -> None:
        """Raise `PluginError` unless the condition holds."""
        if not condition:
            raise PluginError(f"{type(self.thing).__qualname__}.{self.method}: {wrong}")

    @contextmanager
    def trying(self, method: str, **given: Any) -> Iterator[None]:
        """Name the method in whatever goes wrong inside.

        Args:
            method: or attribute, that is tried.
            given: what it is given, by name, and must not write into.
        """
        self.method = method
        self.need(hasattr(self.thing, method), "there is no such method")
        before = remember(given)
        try:
            yield
        except PluginError:
            raise
        except Exception as error:
            self.need(False, f"raised {type(error).__name__}: {error}")
        names = touched(before, given)
        self.need(not names, f"wrote into {', '.join(names)}, which it was given; copy it first")
        self._tried.append(method)

    def leave(self, what: str) -> None:
        """Note what is not tried, and why."""
        self._left.append(what)

    def report(self, *capabilities: str, notes: tuple[str, ...] = ()) -> CheckReport:
        """Return what was tried and what was not.

        Args:
            capabilities: methods that it may have beyond its contract.
            notes: on what is not as it should be.
        """
        tried = tuple(dict.fromkeys(self._tried))
        more = [name for name in capabilities if hasattr(self.thing, name) and name not in tried]
        return CheckReport(tried, (*self._left, *more), notes)

    def tensor(self, what: str, value: Any, shape: Sequence[int]) -> None:
        """Need a finite floating tensor of a shape."""
        import torch

        self.need(isinstance(value, torch.Tensor), f"{what} is {kind_of(value)}; a torch.Tensor")
        wanted = tuple(shape)
        self.need(value.shape == wanted, f"{what} has shape {tuple(value.shape)}, not {wanted}")
        self.need(value.is_floating_point(), f"{what} has dtype {value.dtype}; a floating one")
        self.need(bool(torch.isfinite(value).all()), f"{what} is not finite")

    def array(self, what: str, value: Any, shape: Sequence[int]) -> None:
        """Need a finite floating NumPy array of a shape."""
        self.need(isinstance(value, np.ndarray), f"{what} is {kind_of(value)}; a NumPy array")
        wanted = tuple(shape)
        self.need(value.shape == wanted, f"{what} has shape {value.shape}, not {wanted}")
        self.need(value.dtype.kind == "f", f"{what} has dtype {value.dtype}; a floating one")
        self.need(np.isfinite(value).all(), f"{what} is not finite")


def kind_of(value: Any) -> str:
    """Return `a Box`, for messages."""
    return f"a {type(value).__name__}"
