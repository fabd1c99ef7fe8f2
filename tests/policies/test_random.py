import numpy as np
import pytest

from robo_al.errors import ConfigError
from robo_al.testing import fake_task
from robo_al.types import Context, OpenLoop
from robo_al_policies.random import Random


def contexts(n):
    return [Context(np.zeros(len(fake_task().channels)), i) for i in range(n)]


def test_candidates_are_spread_over_contexts_and_stay_within_the_limits():
    task = fake_task()
    candidates = Random(task).propose(7, contexts(3), 12, None, np.random.default_rng(0))
    assert [c.context.seed for c in candidates] == [0, 1, 2, 0, 1, 2, 0]
    for candidate in candidates:
        assert isinstance(candidate.controller, OpenLoop)
        actions = candidate.controller.actions
        assert actions.shape == (12, len(task.action_low))
        assert (actions >= task.action_low).all() and (actions <= task.action_high).all()
    assert len({c.controller.actions.tobytes() for c in candidates}) == 7


def test_the_same_generator_gives_the_same_candidates():
    one, two = (
        Random(fake_task()).propose(2, contexts(1), 5, None, np.random.default_rng(3))
        for _ in range(2)
    )
    assert all(
        (a.controller.actions == b.controller.actions).all() for a, b in zip(one, two, strict=True)
    )


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ConfigError, match="scale"):
        Random(fake_task(), scale=0.0)
