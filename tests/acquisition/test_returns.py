import dataclasses

import numpy as np
import torch

from robo_al.acquisition.returns import GreedyReturn
from robo_al.testing import FakeModel, fake_task, random_imagined


def test_is_the_mean_imagined_return_of_valid_steps(rng):
    imagined = random_imagined(rng, members=2, candidates=5)
    imagined = dataclasses.replace(imagined, finite=torch.arange(5) != 2)
    scores = GreedyReturn()(imagined, FakeModel(fake_task()), None, rng).numpy()
    for n in (0, 1, 3, 4):
        steps = int(imagined.mask[n].sum())
        expected = np.mean([imagined.rewards[e, n, :steps].sum() for e in range(2)])
        assert np.isclose(scores[n], expected, rtol=1e-12)
    assert scores[2] == -np.inf
