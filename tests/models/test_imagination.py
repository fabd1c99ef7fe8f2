"""Imagination against the same model stepped in a plain loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.models.gp import GaussianProcess
from robo_al.models.imagination import imagine
from robo_al.testing import FakeEnv, FakeModel, FakePolicy, fake_task, random_transitions, resolver
from robo_al.types import MEAN, Candidate, ClosedLoop, Context, OpenLoop
from robo_al_policies.icem import ICEM
from robo_al_policies.sb3 import SB3


def fitted() -> FakeModel:
    model = FakeModel(task=fake_task(), device="cpu")
    rng = np.random.default_rng(0)
    model.fit(random_transitions(rng, 3, 10, FakeEnv()), rng)
    return model


def context(seed: int) -> Context:
    size = len(fake_task().channels)
    return Context(np.random.default_rng(seed).normal(size=size), seed)


def open_loop(horizon: int, seed: int) -> Candidate:
    task = fake_task()
    rng = np.random.default_rng(seed)
    actions = rng.uniform(task.action_low, task.action_high, (horizon, len(task.action_low)))
    return Candidate(context(seed), OpenLoop(actions), horizon, seed)


def play(model: FakeModel, candidate: Candidate, member: int) -> tuple[np.ndarray, np.ndarray]:
    task = fake_task()
    observation = torch.as_tensor(candidate.context.observation, dtype=torch.float32)[None, None]
    visited, rewards = [observation], []
    for action in candidate.controller.actions:
        act = torch.as_tensor(action, dtype=torch.float32)[None, None]
        following, _ = model.step(observation, act, torch.tensor([member]))
        rewards.append(float(task.reward(observation, act, following)[0, 0]))
        observation = following
        visited.append(observation)
    return torch.cat(visited)[:, 0].numpy(), np.array(rewards)


def test_open_loop_candidates_in_every_member_equal_a_plain_loop():
    model = fitted()
    candidates = [open_loop(6, 1), open_loop(4, 2), open_loop(6, 3)]
    members = list(range(model.members))
    imagined = imagine(candidates, model, fake_task(), members)
    assert imagined.observations.shape[:3] == (model.members, 3, 7)
    for e in members:
        for n, candidate in enumerate(candidates):
            visited, rewards = play(model, candidate, e)
            steps = candidate.horizon
            got = imagined.observations[e, n, : steps + 1].numpy()
            np.testing.assert_allclose(got, visited, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(
                imagined.rewards[e, n, :steps].numpy(), rewards, rtol=1e-4, atol=1e-5
            )
            total = float(imagined.returns[e, n])
            np.testing.assert_allclose(total, rewards.sum(), rtol=1e-4, atol=1e-4)


def test_shorter_candidates_are_masked():
    imagined = imagine([open_loop(6, 1), open_loop(4, 2)], fitted(), fake_task())
    assert imagined.mask.tolist() == [[[1] * 6, [1] * 4 + [0] * 2]]
    assert len(imagined) == 2
    assert imagined.members.tolist() == [[MEAN, MEAN]]


def test_candidates_in_closed_loop_answer_what_they_imagine():
    model, task = fitted(), fake_task()
    policy = FakePolicy(task=task, device="cpu", streamed=True)
    candidates = [
        Candidate(context(5), ClosedLoop(1), 5, 11),
        open_loop(5, 4),
        Candidate(context(6), ClosedLoop(0), 5, 12),
    ]
    imagined = imagine(candidates, model, task, resolve=resolver(policy, model))
    assert imagined.members.tolist() == [[1, MEAN, 0]]
    for n in (0, 2):
        candidate = candidates[n]
        actor = policy.start(model, [candidate.controller.member], [candidate.seed])
        for t in range(5):
            observation = imagined.observations[0, n, t].numpy().astype(np.float64)
            action = np.clip(actor.act(observation[None])[0], task.action_low, task.action_high)
            np.testing.assert_allclose(
                imagined.actions[0, n, t].numpy(), action, rtol=1e-4, atol=1e-5
            )


class Exploding(FakeModel):
    def step(self, observations, actions, members):
        following, reward = super().step(observations, actions, members)
        return following * torch.where(members == 1, torch.inf, 1.0)[:, None, None], reward


def test_a_candidate_that_leaves_the_finite_numbers_is_marked():
    model = Exploding(task=fake_task(), device="cpu")
    rng = np.random.default_rng(0)
    model.fit(random_transitions(rng, 3, 10, FakeEnv()), rng)
    policy = FakePolicy(task=fake_task(), device="cpu", streamed=True)
    good = Candidate(context(1), ClosedLoop(0), 3, 0)
    bad = Candidate(context(1), ClosedLoop(1), 3, 0)
    imagined = imagine([good, bad], model, fake_task(), resolve=resolver(policy, model))
    assert imagined.finite.tolist() == [True, False]
    assert torch.isfinite(imagined.observations).all()


def beyond(limit):
    """Return an end: the position is more than so far from the middle."""

    def termination(observation, action, following):
        return abs(following[..., 0]) > limit

    return termination


@pytest.mark.parametrize("limit", [0.3, 0.8, 1.5, 1e6])
def test_each_member_ends_where_a_plain_loop_finds_the_end(limit):
    model, task = fitted(), replace(fake_task(), termination=beyond(limit))
    candidates = [open_loop(8, 1), open_loop(5, 2), open_loop(8, 3), open_loop(8, 4)]
    members = list(range(model.members))
    imagined = imagine(candidates, model, task, members)
    assert imagined.horizons.tolist() == [8, 5, 8, 8]
    assert bool(imagined.finite.all())
    for e in members:
        for n, candidate in enumerate(candidates):
            visited, rewards = play(model, candidate, e)
            ended = np.flatnonzero(abs(visited[1:, 0]) > limit)
            steps = ended[0] + 1 if len(ended) else candidate.horizon
            assert imagined.mask[e, n].tolist() == [1] * steps + [0] * (8 - steps)
            got = imagined.observations[e, n].numpy()
            np.testing.assert_allclose(got[: steps + 1], visited[: steps + 1], rtol=1e-4, atol=1e-5)
            if len(ended):
                assert (got[steps:] == got[steps]).all()
                assert (imagined.rewards[e, n, steps:] == 0).all()
            total = rewards[:steps].sum()
            np.testing.assert_allclose(imagined.returns[e, n], total, rtol=1e-4, atol=1e-4)


def test_members_end_at_steps_of_their_own():
    task = replace(fake_task(), termination=beyond(0.8))
    candidates = [open_loop(8, seed) for seed in range(12)]
    model = FakeModel(fake_task())  # knows nothing: its members differ
    lengths = imagine(candidates, model, task, [0, 1, 2]).mask.sum(-1)
    assert (lengths != lengths[0]).any() and (lengths < 8).any()


class Bursting(FakeModel):
    """Leaves the finite numbers at its third step."""

    def step(self, observations, actions, members):
        self.steps = getattr(self, "steps", 0) + 1
        following, reward = super().step(observations, actions, members)
        return following * (torch.nan if self.steps == 3 else 1.0), reward


def test_what_would_come_after_an_end_harms_nothing():
    def after_two(observation, action, following):
        after_two.calls += 1
        return torch.full(following.shape[:-1], after_two.calls == 2)

    after_two.calls = 0
    task = replace(fake_task(), termination=after_two)
    imagined = imagine([open_loop(6, 1)], Bursting(fake_task()), task)
    assert imagined.finite.tolist() == [True] and imagined.mask.sum() == 2
    plain = imagine([open_loop(6, 1)], Bursting(fake_task()), fake_task())
    assert plain.finite.tolist() == [False]


def test_how_far_it_is_is_told():
    told = []
    imagine([open_loop(4, 1)], fitted(), fake_task(), advanced=lambda *step: told.append(step))
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]


class NumbersOnly:
    """A policy whose actors answer arrays alone."""

    def __init__(self, policy):
        self._policy = policy

    def start(self, model, members, seeds):
        class Actor:
            act = staticmethod(self._policy.start(model, members, seeds).act)

        return Actor()


@pytest.fixture
def stays(monkeypatch):
    """Refuse to take anything from torch to the host while this is called."""

    def call(function):
        def refuse(*given, **named):
            raise AssertionError("numbers leave the device")

        with monkeypatch.context() as patched:
            for name in ("cpu", "numpy", "__array__", "tolist", "item"):
                patched.setattr(torch.Tensor, name, refuse)
            return function()

    return call


@pytest.mark.parametrize("name", ["icem", "sb3"])
def test_policies_that_answer_tensors_are_imagined_where_the_model_is(name, stays):
    task, rng = fake_task(), np.random.default_rng(0)
    transitions = random_transitions(rng, 3, 10, FakeEnv())
    model = GaussianProcess(task, samples=3, frequencies=16, max_points=20, fit_steps=3)
    model.fit(transitions, rng)
    if name == "icem":
        policy = ICEM(task, planning_horizon=3, samples=8, iterations=2, elites=2, action_repeat=2)
    else:
        policy = SB3(task, policies=2, hidden=[8])
    proposed = policy.propose(4, [context(1), context(2)], 5, model, rng)

    def play(of):
        resolve = resolver(of, model)
        return imagine(proposed, model, task, members=[0, 1, MEAN], resolve=resolve)

    arrays, tensors = play(NumbersOnly(policy)), stays(lambda: play(policy))
    for field in ("observations", "actions", "rewards"):
        assert torch.equal(getattr(tensors, field), getattr(arrays, field))
    with pytest.raises(AssertionError, match="leave the device"):
        stays(lambda: play(NumbersOnly(policy)))
