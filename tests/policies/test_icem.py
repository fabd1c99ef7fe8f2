"""iCEM on the true dynamics: what it must be able to do when the model is right."""

import secrets
from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.errors import ConfigError
from robo_al.models.ensemble import Ensemble
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.plugins import make_env
from robo_al.seeds import Purpose, generator
from robo_al.tasks import describe, sample_contexts
from robo_al.testing import random_transitions
from robo_al.types import MEAN, ClosedLoop, EnvSpec
from robo_al_policies.icem import ICEM

SPEC = EnvSpec("pendulum")
SMALL = {"planning_horizon": 15, "samples": 50, "iterations": 3, "elites": 8}


def pendulum(n: int):
    env = make_env(SPEC)
    task = describe(env, SPEC)
    rngs = [generator(0, Purpose.CONTEXT, 0, i) for i in range(n)]
    contexts = sample_contexts(env, rngs)
    return env.unwrapped, task, contexts, TrueDynamics(task=task, device="cpu")


def test_swings_a_pendulum_up_from_several_starts_at_once():
    env, task, contexts, model = pendulum(4)
    actor = ICEM(task, **SMALL).start(model, [MEAN] * 4, [0, 1, 2, 3])
    observation = np.stack([context.observation for context in contexts])
    total = np.zeros(4)
    for _ in range(100):
        action = actor.act(observation)
        following = env.dynamics(observation, action)
        total += env.reward(observation, action, following)
        observation = following
    upright = np.abs((observation[:, 0] + np.pi) % (2 * np.pi) - np.pi)
    assert (upright < 0.1).all()
    assert total.mean() > -200


def test_actions_are_reproducible_and_within_the_limits():
    _, task, contexts, model = pendulum(2)
    observation = np.stack([context.observation for context in contexts])
    policy = ICEM(task, **SMALL)
    runs = []
    for _ in range(2):
        actor = policy.start(model, [MEAN, MEAN], [5, 6])
        runs.append([actor.act(observation) for _ in range(3)])
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (np.abs(runs[0]) <= task.action_high).all()


def test_an_action_is_held_for_its_repeat():
    _, task, contexts, model = pendulum(1)
    actor = ICEM(task, action_repeat=3, **SMALL).start(model, [MEAN], [0])
    observation = contexts[0].observation[None]
    actions = [actor.act(observation + 0.1 * t)[0, 0] for t in range(6)]
    assert len(set(actions[:3])) == 1 and len(set(actions[3:])) == 1
    assert actions[0] != actions[3]


class Sixteen(TrueDynamics):
    members = 16


def test_proposes_the_mean_for_each_context_and_then_members():
    _, task, contexts, _ = pendulum(2)
    model = Sixteen(task=task, device="cpu")
    candidates = ICEM(task, **SMALL).propose(8, contexts, 10, model, np.random.default_rng(0))
    members = [c.controller.member for c in candidates if isinstance(c.controller, ClosedLoop)]
    assert members[:2] == [MEAN, MEAN]
    assert len(set(members[2:])) == 6
    assert all(c.horizon == 10 for c in candidates)
    assert len({c.seed for c in candidates}) == 8


@pytest.mark.parametrize("wrong", [{"planning_horizon": 0}, {"samples": 10, "elites": 10}])
def test_parameters_out_of_range_are_refused(wrong):
    _, task, _, _ = pendulum(1)
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        ICEM(task, **wrong)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_cuda_it_values_plans_as_on_the_cpu():
    """The same returns of the same plans; roundings may decide between those that are as good."""
    seed = secrets.randbelow(2**32)
    rng = np.random.default_rng(seed)
    _, task, contexts, _ = pendulum(3)
    data = random_transitions(rng, rollouts=5, steps=40, env=make_env(SPEC))
    here, there = Ensemble(task, max_steps=300), Ensemble(task, "cuda", max_steps=300)
    here.fit(data, rng)
    there.load_state_dict(here.state_dict())
    observation = np.stack([context.observation for context in contexts])
    plans = torch.rand(3, 40, 15, 1, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    returns = []
    for device, model in (("cpu", here), ("cuda", there)):
        actor = ICEM(task, device, **SMALL).start(model, [MEAN, 0, 3], [5, 6, 7])
        start = torch.as_tensor(observation, dtype=torch.float32, device=device)
        for _ in range(5):  # steps are called first, then replayed
            returns.append(actor._returns(start, plans.to(device))[0].cpu())
            assert (np.abs(actor.act(observation)) <= task.action_high).all()
    for found in returns[1:]:
        off = (found - returns[0]).abs().max()
        assert off < 0.05 * returns[0].std(), f"seed {seed}"


@pytest.mark.parametrize("repeat", [1, 2])
def test_a_plan_earns_nothing_after_the_end(repeat):
    env, task, contexts, model = pendulum(3)

    def termination(observation, action, following):
        return abs(following[..., 1]) > 4.0  # turns fast

    ending = replace(task, termination=termination)
    start = torch.as_tensor(np.stack([c.observation for c in contexts]), dtype=torch.float32)
    plans = torch.as_tensor(np.random.default_rng(0).uniform(-1, 1, (3, 40, 12, 1))).float()
    actor = ICEM(ending, action_repeat=repeat, **SMALL).start(model, [MEAN] * 3, [0, 1, 2])
    returns, _ = actor._returns(start, plans)
    ended = 0
    for b in range(3):
        for s in range(40):
            observation, total = start[b], 0.0
            for h in range(12 * repeat):
                action = plans[b, s, h // repeat] * float(task.action_high[0])
                following = env.dynamics(observation, action)
                total += float(task.reward(observation, action, following))
                observation = following
                if termination(None, None, following):
                    ended += 1
                    break
            np.testing.assert_allclose(returns[b, s], total, rtol=1e-4, atol=1e-4)
    assert 20 < ended <= 120
    plain = ICEM(task, action_repeat=repeat, **SMALL).start(model, [MEAN] * 3, [0, 1, 2])
    assert not torch.equal(plain._returns(start, plans)[0], returns)


class Balance(TrueDynamics):
    """The truth of a point (x, v) that is pushed away from x = 0, and falls where abs(x) > 1."""

    def step(self, observations, actions, members):
        x, v = observations.unbind(-1)
        v = v + 0.05 * (9.0 * x + 20.0 * actions[..., 0])
        return torch.stack([x + 0.05 * v, v], dim=-1), None


def balanced(seeds, reward=1.0):
    """Return states [T,B,2] of a policy that balances by the truth, with rewards in each step."""
    task = replace(
        describe(make_env(SPEC), SPEC),
        action_low=np.array([-1.0]),
        action_high=np.array([1.0]),
        reward=lambda before, action, after: reward * torch.ones_like(after[..., 0]),
        termination=lambda before, action, after: abs(after[..., 0]) > 1,
    )
    model = Balance(task=pendulum(1)[1])
    actor = ICEM(task, **SMALL).start(model, [MEAN] * len(seeds), seeds)
    members = torch.full((len(seeds),), MEAN)
    state, states = torch.tensor([[0.05, 0.0]] * len(seeds)), []
    for _ in range(60):
        state, _ = model.step(state[:, None], actor.act_on(state)[:, None], members)
        state = state[:, 0]
        states.append(state)
    return torch.stack(states)


def test_where_all_that_counts_is_not_to_fall_it_holds_still():
    states = balanced(range(4))
    assert (states[..., 0].abs() < 1).all()
    assert states[20:, :, 1].abs().mean() < 0.1


def test_where_going_on_earns_nothing_it_does_not_come_to_rest():
    assert balanced(range(4), reward=-1.0)[20:, :, 1].abs().mean() > 1.0
