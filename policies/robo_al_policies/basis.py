"""Bases of movement primitives: normalized radial functions of the phase, and what they command.

With phase z from 0 to 1 and centres c_b evenly spaced by h,

    phi_b(z) = exp(-(z - c_b)^2 / (2 h^2)) / sum_j exp(-(z - c_j)^2 / (2 h^2))

(Paraschos et al. 2013, "Probabilistic movement primitives", eq. 3 with its normalisation).

A joint moves by d(z) = phi(z)' w. The weights are conditioned on the start, d(0) = 0 and d'(0) = 0,
and on coming to rest, d'(1) = 0. That leaves the weights w = N v with N an orthonormal basis of the
null space of the three conditions. If w has a standard normal distribution, so has v.
"""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float

Command: TypeAlias = Literal["position", "velocity", "action"]
"""What an action is; see `SupportsRobot`."""


def radial(phase: Float[np.ndarray, "T"], functions: int) -> Float[np.ndarray, "T B"]:
    """Return the values of the B normalized functions; they sum to 1 at each phase."""
    centres = np.linspace(0.0, 1.0, functions)
    bells = np.exp(-0.5 * ((phase[:, None] - centres) * (functions - 1)) ** 2)
    values: np.ndarray = bells / bells.sum(1, keepdims=True)
    return values


def radial_slopes(phase: Float[np.ndarray, "T"], functions: int) -> Float[np.ndarray, "T B"]:
    """Return the derivatives of `radial` with respect to the phase."""
    centres = np.linspace(0.0, 1.0, functions)
    values = radial(phase, functions)
    pull = (centres - phase[:, None]) * (functions - 1) ** 2
    slopes: np.ndarray = values * (pull - (values * pull).sum(1, keepdims=True))
    return slopes


def from_rest_to_rest(functions: int) -> Float[np.ndarray, "B P"]:
    """Return N [B, P = B - 3]: weights N v begin at 0, with rate 0, and end with rate 0.

    Of all bases of that space, the one that Gram-Schmidt makes of the projected functions, without
    the two first and the last: it is unique, whatever the linear algebra library.
    """
    ends = np.array([0.0, 1.0])
    slopes = radial_slopes(ends, functions)
    conditions = np.stack([radial(ends, functions)[0], *slopes])
    project = np.eye(functions) - np.linalg.pinv(conditions) @ conditions
    basis, triangle = np.linalg.qr(project[:, 2:-1])
    unique: np.ndarray = basis * np.sign(np.diag(triangle))
    return unique


def command_basis(command: Command, functions: int, steps: int) -> Float[np.ndarray, "T P"]:
    """Return G: the motion commanded in each step is G v, of mean square 1 if v ~ N(0, I).

    The motion is what is commanded beyond holding still. Velocities are differences of the
    trajectory, so that they add up to it exactly. An `action` is a trajectory itself, from
    anywhere to anywhere.

    Args:
        command: what an action is.
        functions: B.
        steps: T, that the primitive takes.
    """
    phase = np.linspace(0.0, 1.0, steps + 1)
    if command == "action":
        basis = radial((phase[1:] + phase[:-1]) / 2, functions)
    else:
        trajectory = radial(phase, functions) @ from_rest_to_rest(functions)
        basis = np.diff(trajectory, axis=0) if command == "velocity" else trajectory[1:]
    scaled: np.ndarray = basis / np.sqrt((basis**2).sum(1).mean())
    return scaled
