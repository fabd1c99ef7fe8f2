"""What every check does: try a method, and say of which class it was and what was wrong."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from robo_al.errors import PluginError


class Subject:
    """The object under test, and the method that is being tried."""

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.method = "__init__"

    def need(self, condition: Any, wrong: str) -> None:
        """Raise `PluginError` unless the condition holds."""
        if not condition:
            raise PluginError(f"{type(self.thing).__qualname__}.{self.method}: {wrong}")

    @contextmanager
    def trying(self, method: str) -> Iterator[None]:
        """Name the method in whatever goes wrong inside."""
        self.method = method
        self.need(hasattr(self.thing, method), "there is no such method")
        try:
            yield
        except PluginError:
            raise
        except Exception as error:
            self.need(False, f"raised {type(error).__name__}: {error}")

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
