import dataclasses

import torch

from robo_al.acquisition.scores import only_finite
from robo_al.testing import random_imagined


def test_even_nan_scores_of_what_is_not_finite_become_minus_infinity(rng):
    imagined = random_imagined(rng, candidates=3)
    imagined = dataclasses.replace(imagined, finite=torch.tensor([True, False, True]))
    scores = only_finite(torch.tensor([1.5, torch.nan, -2.0]), imagined)
    assert scores.dtype == torch.float64
    assert scores.tolist() == [1.5, -torch.inf, -2.0]
