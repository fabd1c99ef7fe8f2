"""What formulas are sums of: components, distances and squared distances between runs of them."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

LINEAR, NORM, SQUARE = range(3)
"""Kinds of terms."""


class Term(NamedTuple):
    """One term of a formula, of a run of components and perhaps its distance to another."""

    kind: int
    first: int = 0
    second: int = -1
    """-1: none, so the length of the first run."""
    width: int = 1

    def __call__(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch"]:
        """Return its value for components z."""
        run = z[..., self.first : self.first + self.width]
        if self.second >= 0:
            run = run - z[..., self.second : self.second + self.width]
        if self.kind == LINEAR:
            return run[..., 0]
        square = run.square().sum(-1)
        return square.sqrt() if self.kind == NORM else square


class TermSum:
    """A weighted sum of terms, as a few products of matrices: planners ask at every step.

    Args:
        terms: to be summed.
        weights: of the terms.
    """

    def __init__(self, terms: Sequence[Term], weights: Sequence[float]) -> None:
        self._terms = terms
        self._weights = weights
        self._made: tuple[Tensor, ...] = ()

    def __call__(self, z: Float[Tensor, "*batch Z"]) -> Float[Tensor, "*batch"]:
        """Return the sum for components z."""
        if not self._terms:
            return torch.zeros_like(z[..., 0])
        linear, differences, lengths, squared, norms = self._matrices(z)
        squares = (z @ differences).square() @ lengths
        return z @ linear + squares @ squared + squares.sqrt() @ norms

    def _matrices(self, z: Float[Tensor, "*batch Z"]) -> tuple[Tensor, ...]:
        """Return the matrices where z lives: they are made there once.

        Returns:
            Weights of the components [Z]; the differences that distances are made of [Z,M]; which
            of them is part of which distance [M,K]; weights of squared distances [K] and of
            distances [K].
        """
        if self._made and (self._made[0].dtype, self._made[0].device) == (z.dtype, z.device):
            return self._made
        distances = [
            (t, w) for t, w in zip(self._terms, self._weights, strict=True) if t.kind != LINEAR
        ]
        linear = torch.zeros(z.shape[-1], dtype=torch.float64)
        for term, weight in zip(self._terms, self._weights, strict=True):
            if term.kind == LINEAR:
                linear[term.first] += weight
        parts = [(k, i) for k, (term, _) in enumerate(distances) for i in range(term.width)]
        differences = linear.new_zeros(len(linear), len(parts))
        lengths = linear.new_zeros(len(parts), len(distances))
        for m, (k, i) in enumerate(parts):
            term = distances[k][0]
            differences[term.first + i, m] = 1.0
            if term.second >= 0:
                differences[term.second + i, m] = -1.0
            lengths[m, k] = 1.0
        kinds = (SQUARE, NORM)
        weights = [
            linear.new_tensor([w * (t.kind == kind) for t, w in distances]) for kind in kinds
        ]
        with torch.inference_mode(False):  # whoever asks first: they are for all
            self._made = tuple(
                m.to(z.dtype).to(z.device) for m in (linear, differences, lengths, *weights)
            )
        return self._made
