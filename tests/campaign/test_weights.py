import numpy as np
import torch

from robo_al.campaign.weights import load_weights, save_weights, snapshot, take_up
from robo_al.testing import FakeModel, FakePolicy, fake_task, random_transitions


class Learned(FakePolicy):
    """A policy with weights."""

    def __init__(self, task):
        super().__init__(task)
        self.bias = torch.tensor(3.0)

    def state_dict(self):
        return {"bias": self.bias}

    def load_state_dict(self, state):
        self.bias = state["bias"]


def fitted():
    model = FakeModel(fake_task())
    model.fit(random_transitions(np.random.default_rng(0)), np.random.default_rng(0))
    return model


def test_round_trip():
    model, policy = fitted(), Learned(fake_task())
    data = save_weights(model, policy)
    assert data == save_weights(model, policy)
    other, another = FakeModel(fake_task()), Learned(fake_task())
    another.bias = torch.tensor(0.0)
    load_weights(data, other, another)
    assert another.bias == 3.0
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key])


def test_what_cannot_be_saved_is_left_alone():
    assert save_weights(object(), Learned(fake_task())) is None
    assert "policy" not in snapshot(fitted(), FakePolicy(fake_task()))


def test_a_snapshot_does_not_change_with_the_model():
    model, policy = fitted(), FakePolicy(fake_task())
    before = snapshot(model, policy)
    mean = model.state_dict()["mean"].clone()
    model.state_dict()["mean"].zero_()
    take_up(before, model, policy)
    assert torch.equal(model.state_dict()["mean"], mean)
