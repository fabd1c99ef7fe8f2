import dataclasses

import numpy as np
import torch

from robo_al.acquisition.random import Random
from robo_al.testing import FakeModel, fake_task, pool_of, random_imagined


def test_every_candidate_is_as_likely_to_be_best(rng):
    imagined = random_imagined(rng, candidates=4)
    model = FakeModel(fake_task())
    best = [int(Random()(pool_of(imagined, model), rng).argmax()) for _ in range(2000)]
    shares = np.bincount(best, minlength=4) / len(best)
    assert np.abs(shares - 0.25).max() < 0.05  # five standard deviations


def test_depends_on_the_generator_alone(rng):
    model = FakeModel(fake_task())
    first, second = random_imagined(rng), random_imagined(rng)
    scores = [
        Random()(pool_of(imagined, model), np.random.default_rng(3)) for imagined in (first, second)
    ]
    assert torch.equal(*scores)


def test_what_is_not_finite_is_never_best(rng):
    imagined = random_imagined(rng)
    finite = torch.tensor([True, False, True, True, False, True])
    imagined = dataclasses.replace(imagined, finite=finite)
    scores = Random()(pool_of(imagined, FakeModel(fake_task())), rng)
    assert torch.equal(torch.isneginf(scores), ~finite)
    assert torch.isfinite(scores[finite]).all()
