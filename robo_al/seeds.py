"""Counted randomness: every draw is a function of what it is for, never of when it happens.

A generator comes from `SeedSequence([campaign seed, round, candidate, purpose])`, so results
depend neither on the number of workers nor on the order in which rollouts complete, and a killed
campaign resumed draws the numbers that it would have drawn.
"""

from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What random numbers are for. Values are part of the record: never renumber them."""

    CONTEXT = 0
    PROPOSE = 1
    IMAGINE = 2
    SELECT = 3
    EXECUTE = 4
    TRAIN = 5
    EVALUATE = 6


def generator(
    seed: int, purpose: Purpose, round_index: int = 0, candidate: int = 0
) -> np.random.Generator:
    """Return the generator for one purpose of one candidate of one round."""
    return np.random.default_rng(
        np.random.SeedSequence([seed, round_index, candidate, int(purpose)])
    )


def integer(rng: np.random.Generator) -> int:
    """Draw a seed that fits what Gymnasium, torch and MuJoCo accept: 31 bits."""
    return int(rng.integers(2**31 - 1))
