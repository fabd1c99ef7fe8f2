import numpy as np
import pytest
import torch

from robo_al.checks import check_model
from robo_al.models.imagination import imagine
from robo_al.models.still import Still
from robo_al.protocols import Acting
from robo_al.testing import FakePolicy, fake_task, random_transitions
from robo_al.testing.env import FakeEnv
from robo_al.types import Candidate, Context, Demonstration


@pytest.mark.parametrize("rewarded", [True, False])
def test_it_keeps_the_contract_of_a_model(rewarded):
    task = fake_task()
    if not rewarded:
        task = type(task)(**(vars(task) | {"reward": None}))
    check_model(Still(task), task, random_transitions(np.random.default_rng(0), 2, env=FakeEnv()))


def test_a_demonstration_is_imagined_where_it_starts_and_by_the_policy():
    task = fake_task()
    model, policy = Still(task), FakePolicy(task, streamed=True)
    start = Context(np.array([0.1, 0.2, 0.3]), 0)
    asked = []

    def resolve(controller):
        asked.append(controller.policy)
        return Acting(policy, model)

    imagined = imagine([Candidate(start, Demonstration(), 4, 7)], model, task, resolve=resolve)
    assert torch.equal(imagined.observations[0, 0], torch.tensor([[0.1, 0.2, 0.3]] * 5))
    assert asked == ["policy"] and bool(imagined.actions.any())
