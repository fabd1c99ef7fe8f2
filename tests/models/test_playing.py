import copy
import secrets

import numpy as np
import pytest
import torch

from robo_al.models import playing
from robo_al.models.ensemble import Ensemble
from robo_al.models.graphs import ORDINARY, Replayed
from robo_al.testing import FakeEnv, fake_task, random_transitions
from robo_al.types import MEAN

SIZES = {"members": 4, "hidden": 16, "layers": 2, "max_steps": 20}
GROUPS = {
    "mean": [MEAN, MEAN],
    "one": [2],
    "in order": [0, 0, 1, 1, 2, 2, 3, 3],
    "some in order": [1, 1, 2, 2],
    "out of order": [3, 0, 3, 3, 1],
    "mixed": [2, MEAN, 0, 2, 2, MEAN, 3],
}


def fitted(device="cpu", seed=0):
    model = Ensemble(fake_task(), device, **SIZES)
    model.fit(random_transitions(np.random.default_rng(seed), 3, 10, FakeEnv()), rng(seed))
    return model


def rng(seed):
    return np.random.default_rng(seed)


def inputs(groups, seed, points=3, dtype=torch.float32):
    task, fresh = fake_task(), torch.Generator().manual_seed(seed)
    sizes = (len(task.channels), len(task.action_low))
    return tuple(torch.randn(groups, points, s, generator=fresh, dtype=dtype) for s in sizes)


@pytest.mark.parametrize("members", GROUPS.values(), ids=GROUPS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_group_plays_in_its_own_member(members, dtype):
    """As the mixture says, which computes in float64 and with the normalisers apart."""
    seed = secrets.randbelow(2**32)
    model, steps = fitted(), inputs(len(members), seed, dtype=dtype)
    following, _ = model.step(*steps, torch.tensor(members))
    assert following.dtype == dtype
    mean, _ = model.mixture(*steps)
    for g, member in enumerate(members):
        expected = mean[:, g].mean(0) if member == MEAN else mean[member, g]
        torch.testing.assert_close(
            following[g].double(), expected, rtol=1e-6, atol=3e-6, msg=f"group {g}, seed {seed}"
        )


def test_members_are_looked_at_again_when_they_change():
    model, steps = fitted(), inputs(2, 1)
    members = torch.tensor([0, 1])
    before, _ = model.step(*steps, members)
    members[0] = 3
    after, _ = model.step(*steps, members)
    assert torch.equal(after[1], before[1]) and not torch.equal(after[0], before[0])
    model.fit(random_transitions(rng(5), 3, 10, FakeEnv()), rng(5))
    assert not torch.equal(model.step(*steps, members)[0], after)


def test_members_that_keep_no_version_are_looked_at_each_time():
    model, steps = fitted(), inputs(2, 1)
    with torch.inference_mode():
        members = torch.tensor([0, 1])
        before, _ = model.step(*steps, members)
        members[0] = 3
        after, _ = model.step(*steps, members)
    assert torch.equal(after[1], before[1]) and not torch.equal(after[0], before[0])


def test_members_that_are_gone_are_forgotten():
    model, steps = fitted(), inputs(2, 1)
    for _ in range(5):
        model.step(*steps, torch.tensor([0, 1]))
    assert len(model._player._steps) == 0


def test_a_copy_steps_the_same_and_is_not_changed_by_a_fit():
    model, steps, members = fitted(), inputs(2, 1), torch.tensor([0, MEAN])
    before, _ = model.step(*steps, members)
    other = copy.deepcopy(model)
    model.fit(random_transitions(rng(5), 3, 10, FakeEnv()), rng(5))
    assert torch.equal(other.step(*steps, members)[0], before)


def test_recorded_steps_are_the_called_ones(recorder, monkeypatch):
    model, members = fitted(), torch.tensor([0, MEAN, 2])
    expected = [model.step(*inputs(3, seed), members)[0] for seed in range(2 * ORDINARY)]
    model = copy.deepcopy(model)
    monkeypatch.setattr(playing, "Replayed", lambda f, device: Replayed(f, device, recorder))
    found = [model.step(*inputs(3, seed), members)[0] for seed in range(2 * ORDINARY)]
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))
    assert recorder.replayed == ORDINARY


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("members", GROUPS.values(), ids=GROUPS)
def test_on_cuda_a_step_is_that_of_the_cpu(members):
    """Called and replayed; TF32 rounds inputs of products to 11 bits."""
    seed = secrets.randbelow(2**32)
    here, there = fitted(), Ensemble(fake_task(), "cuda", **SIZES)
    there.load_state_dict(here.state_dict())
    chosen = torch.tensor(members)
    on_gpu = chosen.cuda()
    scale = here.state_dict()["y_scale"].max()
    for i in range(2 * ORDINARY):
        steps = inputs(len(members), seed + i)
        expected, _ = here.step(*steps, chosen)
        found, _ = there.step(*(value.cuda() for value in steps), on_gpu)
        assert found.is_cuda
        assert (found.cpu() - expected).abs().max() < 1e-2 * scale, f"seed {seed + i}"
    assert torch.backends.cuda.matmul.fp32_precision != "tf32"  # as it was
