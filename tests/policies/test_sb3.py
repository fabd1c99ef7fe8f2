"""The `sb3` policy: that it learns, repeats itself, and goes on where it was."""

import warnings
from contextlib import closing
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib import CrossQ
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from robo_al.campaign.campaign import Campaign
from robo_al.campaign.weights import load_weights, save_weights
from robo_al.checks import check_policy
from robo_al.dataset.events import Activity, RolloutDone
from robo_al.dataset.ledger import FitRow, RolloutRow
from robo_al.errors import ConfigError, ModelError, UserError
from robo_al.loop.sequential import run
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.oracles.simulation import SimulationOracle
from robo_al.plugins import make_env
from robo_al.tasks import describe, sample_contexts
from robo_al.testing import FAKE_ENV, FakeEnv, FakeModel, fake_task, random_transitions
from robo_al.testing.campaign import FAKE_SETTINGS, fake_parts
from robo_al.types import MEAN, Channel, EnvFacts, EnvSpec
from robo_al_policies.sb3 import SB3
from robo_al_policies.sb3_files import load_policy, save_policy
from robo_al_policies.sb3_training import MixedReplayBuffer, make_algorithm

ALGORITHMS = ("sac", "td3", "ppo", "crossq")
TINY = {"hidden": [8], "worlds": 8, "imagined_steps": 2, "updates_per_transition": 0.1}


def tiny(algorithm="sac", **parameters):
    return SB3(fake_task(), algorithm=algorithm, **(TINY | parameters))


def data(seed=0, rollouts=4):
    return random_transitions(np.random.default_rng(seed), rollouts)


def fitted(transitions):
    model = FakeModel(fake_task())
    model.fit(transitions, np.random.default_rng(0))
    return model


def updated(policy, seed=0):
    policy.update(data(), fitted(data()), np.random.default_rng(seed))
    return policy


def equal(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(v, other[k]) for k, v in one.items())


# ---------------------------------------------------------------- the contract


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_keeps_the_contract_of_a_policy(algorithm):
    contexts = sample_contexts(FakeEnv(), [np.random.default_rng(i) for i in range(2)])
    check_policy(tiny(algorithm), fake_task(), fitted(data()), contexts, data())


def test_candidates_are_spread_over_contexts_policies_and_members():
    contexts = sample_contexts(FakeEnv(), [np.random.default_rng(i) for i in range(3)])
    policy, model = tiny(), fitted(data())
    candidates = policy.propose(12, contexts, 10, model, np.random.default_rng(0))
    assert [c.context for c in candidates] == contexts * 4
    members = [c.controller.member for c in candidates]
    assert members[:3] == [MEAN] * 3 and set(members[3:]) == set(range(model.members))
    assert len({c.seed for c in candidates}) == 12 and {c.horizon for c in candidates} == {10}
    observations = np.tile(contexts[0].observation, (12, 1))
    actor = policy.start(model, members, [c.seed for c in candidates])
    actions = actor.act(observations)
    assert len(np.unique(actions[:3], axis=0)) == 1  # what is evaluated
    assert len(np.unique(actions[3:], axis=0)) == 9
    assert set(actor._policies.tolist()) == {0, 1}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_actions_depend_on_the_seed_not_on_what_runs_beside(algorithm):
    policy, model, observations = tiny(algorithm), fitted(data()), data().observations[:5]
    together = policy.start(model, [0, 1, 2, 0, MEAN], range(5)).act(observations)
    for i, member in enumerate([0, 1, 2, 0, MEAN]):
        alone = policy.start(model, [member], [i]).act(observations[i : i + 1])
        np.testing.assert_allclose(alone[0], together[i], atol=1e-6)
    assert (np.abs(together) <= fake_task().action_high + 1e-6).all()


def test_the_mean_of_the_policies_is_what_is_evaluated():
    policy, observations = tiny(), data().observations[:6]
    apart = [
        algorithm.policy.predict(observations.astype(np.float32), deterministic=True)[0]
        for algorithm in policy._algorithms
    ]
    actions = policy.start(fitted(data()), [MEAN] * 6, range(6)).act(observations)
    expected = np.mean(apart, axis=0) * fake_task().action_high
    np.testing.assert_allclose(actions, expected, atol=1e-6)


def test_random_actions_are_drawn_as_sb3_draws_them():
    for algorithm in ("sac", "ppo", "crossq"):  # TD3's own policy has no noise
        policy = tiny(algorithm, policies=1)
        one = data().observations[:1]
        many = np.repeat(one, 4000, axis=0)
        ours = policy.start(fitted(data()), [0] * 4000, range(4000)).act(many)
        ours = ours / fake_task().action_high
        with torch.random.fork_rng():
            torch.manual_seed(0)
            predict = policy._algorithms[0].policy.predict
            theirs, _ = predict(many.astype(np.float32), deterministic=False)
        np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.06)
        np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.04)


def test_crossq_acts_by_the_averages_that_it_learned():
    policy = updated(tiny("crossq", policies=1, updates_per_transition=0.5))
    averages = [value for key, value in policy.state_dict().items() if key.endswith("ra_var")]
    assert averages and all((value != 1).all() for value in averages)
    observations = data().observations[:6]
    actions = policy.start(fitted(data()), [MEAN] * 6, range(6)).act(observations)
    seen = observations.astype(np.float32)
    expected, _ = policy._algorithms[0].policy.predict(seen, deterministic=True)
    np.testing.assert_allclose(actions, expected * fake_task().action_high, atol=1e-5)


def test_a_rollout_keeps_the_policy_that_it_began_with():
    policy, observations = tiny(), data().observations[:2]
    actor = policy.start(fitted(data()), [MEAN] * 2, [0, 1])
    before = actor.act(observations)
    updated(policy)
    np.testing.assert_array_equal(actor.act(observations), before)
    after = policy.start(fitted(data()), [MEAN] * 2, [0, 1]).act(observations)
    assert (after != before).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"policies": 0}, "policies is 0"),
        ({"worlds": 0}, "worlds is 0"),
        ({"imagined_steps": 0}, "imagined_steps is 0"),
        ({"updates_per_transition": 0.0}, "updates_per_transition"),
        ({"recorded_share": 1.5}, "recorded_share"),
        ({"hidden": []}, "hidden"),
        ({"critic_hidden": [0]}, "critic_hidden is"),
        ({"arguments": {"gama": 0.9}}, "gama"),
        ({"arguments": {"seed": 1}}, "arguments.seed: it is set by the policy"),
        ({"arguments": {"batch_size": 0}}, "arguments.batch_size is 0"),
        ({"arguments": {"target_update_interval": 0}}, "arguments.target_update_interval is 0"),
        ({"algorithm": "td3", "arguments": {"policy_delay": 0}}, "arguments.policy_delay is 0"),
        ({"algorithm": "crossq", "arguments": {"batch_size": 1}}, "arguments.batch_size is 1"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        tiny(**wrong)


# ---------------------------------------------------------------- learning


def returns(policy):
    """Return the mean return from rest, over goals, of the policy on the true task."""
    env, model = FakeEnv(), TrueDynamics(fake_task())
    observations = np.stack([[0, 0, goal] for goal in np.linspace(-1, 1, 20)])
    actor, total = policy.start(model, [MEAN] * 20, range(20)), np.zeros(20)
    for _ in range(10):
        actions = actor.act(observations)
        after = env.dynamics(observations, actions)
        total += env.reward(observations, actions, after)
        observations = after
    return total.mean()


LEARNING = {
    "sac": {"gamma": 0.9, "learning_rate": 3e-3, "tau": 0.05, "ent_coef": 0.01},
    "td3": {"gamma": 0.9, "learning_rate": 3e-3, "tau": 0.05},
    "crossq": {"gamma": 0.9, "learning_rate": 3e-3, "ent_coef": 0.01},
    "ppo": {"gamma": 0.7, "learning_rate": 1e-2, "batch_size": 320},
}


@pytest.mark.first(1)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_learns_in_the_model_over_rounds(algorithm):
    policy = SB3(
        fake_task(),
        algorithm=algorithm,
        policies=1,
        hidden=[32, 32],
        worlds=128,
        updates_per_transition=2.0,
        recorded_share=0.5,
        arguments=LEARNING[algorithm],
    )
    before = returns(policy)
    for i in range(1, 6):
        transitions = random_transitions(np.random.default_rng(0), 10 * i, 10)
        policy.update(transitions, TrueDynamics(fake_task()), np.random.default_rng(i))
    assert returns(policy) > before + 1.0, (before, returns(policy))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_repeats_itself_and_leaves_the_global_generators_alone(algorithm):
    draws = []
    for work in (False, True):
        torch.manual_seed(3)
        np.random.seed(3)
        one = updated(tiny(algorithm)) if work else None
        draws.append((torch.rand(1).item(), np.random.rand()))
    assert draws[0] == draws[1]
    torch.manual_seed(4)
    assert equal(one, updated(tiny(algorithm)))
    assert not equal(one, updated(tiny(algorithm), seed=1))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_goes_on_bitwise_from_saved_weights(algorithm):
    policy, other = updated(tiny(algorithm)), tiny(algorithm)
    saved = save_weights(fitted(data()), policy)
    load_weights(saved, FakeModel(fake_task()), other)
    assert equal(policy, other)
    more, model = data(0, 6), fitted(data(0, 6))
    for each in (policy, other):
        each.update(more, model, np.random.default_rng(5))
    assert equal(policy, other)


def test_warm_starts_from_the_last_round():
    policy = updated(tiny())
    before = {key: value.clone() for key, value in policy.state_dict().items()}
    slow = {"updates_per_transition": 1e-6}  # one step
    policy.parameters |= slow
    updated(policy, seed=7)
    name = "0/policy/actor.mu.weight"
    assert 0 < (policy.state_dict()[name] - before[name]).abs().max() < 1e-2


def test_a_failed_update_is_told():
    with pytest.raises(ModelError, match="diverged"):
        updated(tiny(arguments={"learning_rate": 1e30}, updates_per_transition=1.0))


def steps_of(value, n, features=3, actions=2, ended=0.0):
    """n recorded steps, all of whose numbers are one value."""
    widths = (features, actions, features, 1, 1)
    columns = [torch.full((n, width), value) for width in widths]
    columns[3][:] = ended
    return ReplayBufferSamples(*columns)


def test_recorded_steps_have_their_share_of_each_batch():
    env, device = tiny()._env, torch.device("cpu")
    recorded = steps_of(7.0, 5, ended=1.0)
    buffer = MixedReplayBuffer(recorded, 0.25, 64, env, device)
    observations = torch.as_tensor(data().observations)
    env.imagine(fitted(data()), observations, np.random.default_rng(0))
    seen = env.reset()
    after, rewards, dones, infos = env.step(np.zeros((8, 2)))
    buffer.add(seen, after, np.zeros((8, 2)), rewards, dones, infos)
    batch = buffer.sample(40)
    known = (batch.observations == 7.0).all(1)
    assert known.sum() == 10 and batch.rewards[known].unique().tolist() == [7.0]
    assert (batch.dones[known] == 1).all() and (batch.dones[~known] == 0).all()
    pairs = {tuple(row.tolist()) for row in torch.cat([batch[0], batch[2]], 1)[~known]}
    assert pairs <= {tuple(row) for row in np.concatenate([seen, after], 1).tolist()}
    only = MixedReplayBuffer(recorded, 1.0, 64, env, device)
    assert (only.sample(10).observations == 7.0).all()


def test_imagined_steps_replace_the_oldest_and_end_only_where_the_task_does():
    env, device = tiny()._env, torch.device("cpu")
    buffer = MixedReplayBuffer(steps_of(0.0, 1), 0.0, 16, env, device)
    infos = [{} for _ in range(8)]
    infos[0] = {"TimeLimit.truncated": True}
    infos[1] = {"TimeLimit.truncated": False}
    dones = np.array([True, True] + [False] * 6)
    for value in (1.0, 2.0, 3.0):
        seen, rewards = np.full((8, 3), value, np.float32), np.arange(8.0)
        buffer.add(seen, seen, np.zeros((8, 2)), rewards, dones, infos)
    batch = buffer.sample(500)
    assert batch.observations.unique().tolist() == [2.0, 3.0]
    assert batch.rewards.unique().tolist() == list(range(8))
    assert batch.rewards[batch.dones == 1].unique().tolist() == [1.0]
    assert {column.dtype for column in batch[:5]} == {torch.float32}


def test_recorded_actions_are_scaled_and_ends_are_the_tasks():
    channels = tuple(Channel(f"observation[{i}]", "1") for i in range(11))
    spec = EnvSpec("gymnasium:Hopper-v5", facts=EnvFacts(channels=channels))
    with closing(make_env(spec)) as env:
        task = describe(env, spec)
        steps = random_transitions(np.random.default_rng(0), 3, 60, env)
    policy = SB3(task, **TINY)
    recorded = policy._recorded(policy._resident(steps))
    np.testing.assert_allclose(recorded.actions.numpy(), steps.actions, rtol=1e-6)
    np.testing.assert_allclose(recorded.observations.numpy(), steps.observations, rtol=1e-6)
    np.testing.assert_allclose(recorded.rewards[:, 0].numpy(), steps.rewards, rtol=1e-6)
    fallen = np.abs(steps.next_observations[:, 1]) >= 0.2
    assert fallen.any() and (recorded.dones[:, 0].numpy() >= fallen).all()


# ---------------------------------------------------------------- campaigns


class Stop(Exception):
    """Stands for whatever ends a process."""


def finish(folder, algorithm, kind=None, count=0):
    """Run a campaign, or go on with it; stop at the count-th event of a kind."""
    parts = fake_parts()
    parts = replace(parts, policy=tiny(algorithm, updates_per_transition=0.3))
    left = [count]

    def emit(event):
        left[0] -= kind is not None and isinstance(event, kind)
        if kind and left[0] == 0:
            raise Stop

    started = (folder / "config.yaml").exists()
    campaign = (
        Campaign.open(folder, parts, FAKE_SETTINGS)
        if started
        else Campaign.create(folder, parts, FAKE_SETTINGS, "env: fake\n")
    )
    with campaign, SimulationOracle(FAKE_ENV) as oracle:
        run(campaign, oracle, emit)
        weights = [row.model_hash for row in campaign.dataset.ledger.rows(FitRow)]
        chosen = [row.rank for row in campaign.dataset.ledger.rows(RolloutRow)]
        return campaign.dataset.ledger.digest(), weights, chosen


@pytest.mark.first(1)
@pytest.mark.parametrize("algorithm", ["sac", "crossq"])
def test_a_campaign_that_was_stopped_is_bitwise_one_that_was_not(tmp_path, algorithm):
    expected = finish(tmp_path / "whole", algorithm)
    assert len(set(expected[1])) == 3 and expected[2][1:] != [None] * 4
    for kind, count in ((RolloutDone, 3), (Activity, 8), (Activity, 11)):
        folder = tmp_path / f"{kind.__name__}{count}"
        with pytest.raises(Stop):
            finish(folder, algorithm, kind, count)
        assert finish(folder, algorithm) == expected


# ---------------------------------------------------------------- files


@pytest.mark.parametrize("algorithm", ["td3", "crossq"])
def test_saves_to_safetensors_and_json_and_back(tmp_path, algorithm):
    policy = updated(tiny(algorithm, critic_hidden=[9], arguments={"gamma": 0.9}))
    save_policy(policy, tmp_path / "made")
    assert sorted(p.name for p in (tmp_path / "made").iterdir()) == [
        "policy.json",
        "policy.safetensors",
    ]
    other = load_policy(tmp_path / "made", fake_task())
    assert equal(policy, other) and other.parameters == policy.parameters


def test_files_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(UserError, match="no sb3 policy here"):
        load_policy(tmp_path, fake_task())
    save_policy(tiny(), tmp_path)
    task = fake_task()
    renamed = replace(task, channels=tuple(replace(c, name=c.name + "!") for c in task.channels))
    with pytest.raises(UserError, match="position, velocity, goal"):
        load_policy(tmp_path, renamed)
    for description in ("{}", "[]", "not JSON"):
        (tmp_path / "policy.json").write_text(description)
        with pytest.raises(UserError, match="no sb3 policy here"):
            load_policy(tmp_path, task)


def test_states_that_do_not_fit_are_refused():
    policy = tiny()
    with pytest.raises(ModelError, match="hidden"):
        policy.load_state_dict(tiny(hidden=[9]).state_dict())
    with pytest.raises(ModelError, match="missing"):
        policy.load_state_dict(tiny("td3").state_dict())
    state = policy.state_dict()
    state["0/policy/actor.mu.bias"] = torch.full((2,), float("nan"))
    with pytest.raises(ModelError, match="not finite"):
        policy.load_state_dict(state)


class Scaled(gymnasium.Env):
    """An env with the spaces that a user's policy was trained in."""

    def __init__(self, high=(1.0, 2.0), size=3):
        self.observation_space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        limit = np.array(high, np.float32)
        self.action_space = spaces.Box(-limit, limit)


def zipped(folder, algorithm=SAC, layers=(8,), kwargs=None, **env):
    policy = {"net_arch": list(layers)} | (kwargs or {})
    made = algorithm("MlpPolicy", Scaled(**env), policy_kwargs=policy)
    made.save(folder / "theirs.zip")
    return made, str(folder / "theirs.zip")


def test_a_users_zip_is_loaded_only_when_asked_for_and_with_a_warning(tmp_path):
    theirs, path = zipped(tmp_path)
    observations = data().observations[:6]
    expected, _ = theirs.predict(observations.astype(np.float32), deterministic=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        policy = tiny(load_zip=path)
    assert {str(w.message).split(":")[0] for w in caught} == {"policy sb3"}
    assert "execute any code" in str(caught[0].message)
    actions = policy.start(fitted(data()), [MEAN] * 6, range(6)).act(observations)
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    before = policy.state_dict()["0/policy/actor.mu.weight"].clone()
    policy.parameters |= {"updates_per_transition": 1e-6}
    updated(policy)  # goes on from it
    assert (policy.state_dict()["0/policy/actor.mu.weight"] - before).abs().max() < 1e-2
    save_policy(policy, tmp_path / "mine")
    assert equal(policy, load_policy(tmp_path / "mine", fake_task()))


@pytest.mark.filterwarnings("ignore:policy sb3")
@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"high": (1.0, 1.0)}, "its actions are"),
        ({"size": 4}, r"see an observation of shape \(4,\), and here it is"),
        ({"layers": (9,)}, "do not fit"),
        ({"algorithm": PPO}, "name the algorithm that saved it"),
        ({"algorithm": CrossQ}, "name the algorithm that saved it"),
    ],
)
def test_a_users_zip_that_does_not_fit_is_refused(tmp_path, made, message):
    _, path = zipped(tmp_path, **made)
    with pytest.raises(ConfigError, match=message):
        tiny(load_zip=path)


@pytest.mark.filterwarnings("ignore:policy sb3")
def test_a_users_crossq_is_taken_up_with_its_averages_unless_it_normalises_otherwise(tmp_path):
    made, path = zipped(tmp_path, CrossQ)
    made.actor.latent_pi[0].ra_mean += 1.0
    made.save(path)
    observations = data().observations[:6]
    expected, _ = made.predict(observations.astype(np.float32), deterministic=True)
    actor = tiny("crossq", load_zip=path).start(fitted(data()), [MEAN] * 6, range(6))
    np.testing.assert_allclose(actor.act(observations), expected, atol=1e-5)
    _, path = zipped(tmp_path, CrossQ, kwargs={"batch_norm_eps": 1.0})
    with pytest.raises(ConfigError, match="normalisation"):
        tiny("crossq", load_zip=path)
    _, path = zipped(tmp_path)
    with pytest.raises(ConfigError, match="are a SACPolicy and not a CrossQPolicy"):
        tiny("crossq", load_zip=path)


@pytest.mark.filterwarnings("ignore:policy sb3")
def test_a_ppo_is_refused_where_its_units_are_not_the_tasks(tmp_path):
    _, path = zipped(tmp_path, PPO)
    with pytest.raises(ConfigError, match="from -1 to 1"):
        tiny("ppo", load_zip=path)
    with pytest.raises(ConfigError, match="nowhere"):
        tiny(load_zip=str(tmp_path / "nowhere.zip"))


def test_algorithms_take_sb3s_own_arguments():
    policy = tiny(arguments={"gamma": 0.5, "learning_rate": 1e-2})
    made = make_algorithm("sac", policy._env, [8], [8], {"gamma": 0.5}, "cpu", 0)
    assert made.gamma == policy._algorithms[0].gamma == 0.5
