"""The policy `bc`: that it does what was shown, says what it does not know, and goes on."""

import numpy as np
import onnxruntime
import pytest
import torch

from robo_al import loop
from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.select import GreedyJoint
from robo_al.build import create_campaign, load_run_config, make_oracle, open_campaign
from robo_al.checks import check_policy
from robo_al.config.schema import Config
from robo_al.dataset.ledger import EvaluationRow, FitRow, RolloutRow
from robo_al.deploy.policy import open_policy
from robo_al.errors import ConfigError, ModelError, PluginError
from robo_al.models.imagination import imagine
from robo_al.models.still import Still
from robo_al.plugins import make_env
from robo_al.protocols import Acting, CandidatePool
from robo_al.tasks import describe, sample_contexts
from robo_al.testing import FakeEnv, FakeModel, FakePolicy, fake_task, random_transitions
from robo_al.types import MEAN, Candidate, Context, Demonstration, EnvSpec, Transitions
from robo_al_envs.so101 import HIGH, LOW
from robo_al_policies.bc import BehaviouralCloning
from robo_al_policies.imitation import chunks

MODEL = FakeModel(fake_task())
SMALL = {"members": 3, "hidden": 24, "max_steps": 150, "learning_rate": 5e-3}
TINY = {"members": 2, "hidden": 16, "max_steps": 60, "learning_rate": 1e-2}
EXPERT = """
import numpy as np


class Expert:
    def reset(self, seed):
        self.noise = np.random.default_rng(seed)

    def act(self, observation):
        x, v, goal = observation
        thrust = np.clip(3 * (goal - x) - 2 * v, -1, 1)
        return np.array([thrust, 0.5]) + [0.02 * self.noise.standard_normal(), 0]
"""


def shown(rollouts=6, seed=0, low=-1.0, high=1.0):
    """Return steps that a linear expert does, and the second thrust always alike."""
    rng = np.random.default_rng(seed)
    size = 10 * rollouts
    seen = rng.uniform(low, high, (size, 3))
    done = np.stack([np.clip(seen[:, 2] - seen[:, 0], -1, 1), np.full(size, 0.7)], axis=1)
    index = np.repeat(np.arange(rollouts), 10)
    ended = np.zeros(size, np.bool_)
    return Transitions(seen, done, seen, np.zeros(size), index, ended)


def learned(data=None, seed=0, **parameters):
    policy = BehaviouralCloning(fake_task(), **(SMALL | parameters))
    policy.update(data or shown(), MODEL, np.random.default_rng(seed))
    return policy


def answers(policy, observations, members=None):
    members = [MEAN] * len(observations) if members is None else members
    return policy.start(MODEL, members, range(len(members))).act(observations)


def test_keeps_the_contract_of_a_policy():
    task = fake_task()
    data = random_transitions(np.random.default_rng(0), 3)
    contexts = sample_contexts(FakeEnv(), [np.random.default_rng(i) for i in range(2)])
    model = FakeModel(task)
    model.fit(data, np.random.default_rng(0))
    check_policy(BehaviouralCloning(task, **SMALL), task, model, contexts, data)


def test_it_does_what_was_shown_and_exactly_so_what_never_varied():
    policy, new = learned(shown(12)), shown(3, seed=1)
    actions = answers(policy, new.observations)
    assert np.abs(actions[:, 0] - new.actions[:, 0]).mean() < 0.1
    assert np.abs(actions[:, 1] - 0.7).max() < 1e-12


def test_it_imitates_only_what_a_person_did():
    data, others = shown(), random_transitions(np.random.default_rng(0), 6, 10)
    both = Transitions(
        *(
            np.concatenate([getattr(part, name) for part in (data, others)])
            for name in ("observations", "actions", "next_observations", "rewards")
        ),
        np.concatenate([data.rollouts, others.rollouts + 6]),
        np.concatenate([data.terminated, others.terminated]),
        np.arange(len(data) + len(others)) < len(data),
    )
    one, other = learned(data).state_dict(), learned(both).state_dict()
    assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_it_cannot_learn_from_nothing_that_was_shown():
    data = shown()
    nobody = Transitions(*list(vars(data).values())[:6], np.zeros(len(data), np.bool_))
    with pytest.raises(ModelError, match="2 demonstrated steps are needed, given 0"):
        learned(nobody)


def test_a_chunk_is_done_to_its_end_before_it_looks_again():
    policy = learned(chunk=3)
    one, other = shown(1, seed=2).observations[:2]
    actor = policy.start(MODEL, [MEAN], [0])
    first = [actor.act(np.array([seen])) for seen in (one, other, other, other)]
    assert not np.array_equal(first[1], first[3])  # of what was seen at the first
    assert np.array_equal(first[3], answers(policy, np.array([other])))


def test_chunks_go_on_with_the_last_action_of_their_own_episode():
    actions = np.arange(5.0)[:, None]
    found = chunks(actions, np.array([0, 0, 0, 7, 7]), 3)
    assert found.tolist() == [[0, 1, 2], [1, 2, 2], [2, 2, 2], [3, 4, 4], [4, 4, 4]]


def test_a_network_of_its_own_for_each_member_and_their_mean():
    policy, seen = learned(), np.array([[0.1, 0.0, 0.4]])
    each = answers(policy, np.tile(seen, (3, 1)), [0, 1, 2])
    assert len(np.unique(each[:, 0])) == 3
    assert np.allclose(answers(policy, seen), each.mean(0))


def test_a_rollout_keeps_the_policy_that_it_began_with():
    policy, seen = learned(), shown(1).observations[:2]
    actor = policy.start(MODEL, [MEAN] * 2, [0, 1])
    before = actor.act(seen)
    policy.update(shown(seed=9), MODEL, np.random.default_rng(9))
    assert np.array_equal(actor.act(seen), before)


def test_the_covariance_is_that_of_its_features_and_shrinks_where_it_was_shown():
    policy = learned(shown(6, low=-0.2, high=0.2))
    near, far = torch.full((1, 1, 3), 0.1), torch.full((1, 1, 3), 2.0)
    x = torch.cat([near, far], dim=1).double()
    nothing = torch.zeros(1, 2, 2)
    block = policy.covariance((x, nothing), (x, nothing))
    phi = policy.features(x, nothing)
    assert torch.allclose(block, (phi @ policy.feature_posterior()[:, None] @ phi.mT))
    assert float(block[0, 0, 1, 1]) > 5 * float(block[0, 0, 0, 0])
    assert float(block[1].max()) < 1e-6  # what is always done alike: nothing is left to learn


def test_a_saved_policy_acts_to_the_bit_like_the_one_that_was_saved():
    policy, seen = learned(), shown(1, seed=4).observations
    other = BehaviouralCloning(fake_task(), **SMALL)
    other.load_state_dict({key: value.clone() for key, value in policy.state_dict().items()})
    assert np.array_equal(answers(policy, seen), answers(other, seen))
    with pytest.raises(ModelError, match="other sizes"):
        BehaviouralCloning(fake_task(), members=2).load_state_dict(policy.state_dict())
    with pytest.raises(ModelError, match="not finite"):
        other.load_state_dict({k: v * np.nan for k, v in policy.state_dict().items()})


def test_the_same_demonstrations_and_seed_give_the_same_policy():
    one, other, third = learned(), learned(), learned(seed=1)
    pairs = [(one.state_dict()[key], value) for key, value in other.state_dict().items()]
    assert all(torch.equal(first, second) for first, second in pairs)
    assert not torch.equal(one.state_dict()["weight_0"], third.state_dict()["weight_0"])


def test_onnx_answers_as_the_policy_does(tmp_path):
    policy = learned(chunk=2)
    (tmp_path / "policy.onnx").write_bytes(policy.graph())
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    seen = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    (actions,) = session.run(["action"], {"observation": seen})
    np.testing.assert_allclose(actions, answers(policy, seen.astype(np.float64)), atol=1e-5)


def test_a_robots_agent_commands_what_the_policy_would():
    spec = EnvSpec("so101_reach")
    policy = BehaviouralCloning(describe(make_env(spec), spec), members=2, hidden=8)
    session = onnxruntime.InferenceSession(policy.robot_graph(0, (LOW, HIGH)))
    rng = np.random.default_rng(0)
    joints, rates, targets = 0.3 * rng.normal(size=(3, 5))
    goal = np.array([0.2, 0.1, 0.1])
    measured = {"positions": joints, "velocities": rates, "targets": targets, "start.goal": goal}
    given = {name: values[None].astype(np.float32) for name, values in measured.items()}
    (command,) = session.run(["command"], given)
    seen = np.concatenate([joints, rates, targets - joints, goal])
    wanted = targets + 0.1 * answers(policy, seen[None])[0]
    np.testing.assert_allclose(command[0], np.clip(wanted, LOW, HIGH), atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"chunk": 0}, "chunk is 0"), ({"learning_rate": 0.0}, "learning_rate is 0.0")],
)
def test_wrong_parameters_are_told(wrong, message):
    with pytest.raises(ConfigError, match=f"policy bc: {message}"):
        BehaviouralCloning(fake_task(), **wrong)


# ---------------------------------------------------------------- what is asked of a person


def pool(policy, starts):
    """Return the demonstrations from some starts, where nothing moves in imagination."""
    task = fake_task()
    contexts = [Context(np.full(3, value), i) for i, value in enumerate(starts)]
    candidates = [Candidate(context, Demonstration(), 3, 0) for context in contexts]
    model = Still(task)
    imagined = imagine(candidates, model, task, resolve=lambda controller: Acting(policy, model))
    return CandidatePool(tuple(candidates), imagined, model, task, policy=policy)


def test_the_starts_that_tell_most_about_the_policy_are_selected_each_once():
    policy = learned(shown(6, low=-0.2, high=0.2))
    joint = JointInformation(steps=1, about="policy")
    starts = [0.0, 0.1, 2.0, 2.0, -2.0, -0.1]
    picked = GreedyJoint()(joint, pool(policy, starts), 2, np.random.default_rng(0))
    assert sorted(starts[i] for i in picked.indices) == [-2.0, 2.0]


def test_what_is_pending_is_not_asked_again():
    policy = learned(shown(6, low=-0.2, high=0.2))
    joint, whole = JointInformation(steps=1, about="policy"), pool(policy, [2.0, -2.0])
    alone = joint(whole, np.random.default_rng(0))
    waiting = CandidatePool(
        whole.candidates,
        whole.imagined,
        whole.model,
        whole.task,
        pending=pool(policy, [2.0]).imagined,
        policy=policy,
    )
    left = joint(waiting, np.random.default_rng(0))
    assert float(left[0]) < 0.7 * float(alone[0])
    assert float(left[1] / alone[1]) > float(left[0] / alone[0])


def test_about_a_policy_that_knows_no_covariance_is_refused():
    task = fake_task()
    with pytest.raises(ConfigError, match="the policy FakePolicy cannot say.*use the policy bc"):
        joint = JointInformation(about="policy")
        joint(pool(FakePolicy(task, streamed=True), [0.0, 1.0]), np.random.default_rng(0))


# ---------------------------------------------------------------- a campaign


@pytest.fixture
def config(tmp_path):
    (tmp_path / "expert.py").write_text(EXPERT)
    return Config.model_validate(
        {
            "env": "robo_al.testing:FakeEnv",
            "policy": {"name": "robo_al_policies.bc:BehaviouralCloning", **TINY},
            "explorer": "robo_al_policies.demonstrations:Demonstrations",
            "oracle": {
                "name": "robo_al.oracles.expert:ExpertOracle",
                "expert": f"{tmp_path}/expert.py:Expert",
                "delay": 5.0,
            },
            "model": "robo_al.models.still:Still",
            "strategy": {"acquisition": {"name": "joint_information", "about": "policy"}},
            "initial_rollouts": 2,
            "rollouts_per_round": 2,
            "rounds": 3,
            "candidates": 6,
            "contexts": 6,
            "evaluation": {"starts": 4},
            "stop_when_solved": False,
            "device": "cpu",
        }
    )


def turn(config, folder, resumed=False):
    made = open_campaign(folder) if resumed else create_campaign(config, folder)
    with made as campaign, make_oracle(load_run_config(folder)) as oracle:
        loop.run(campaign, oracle, lambda event: None)
        ledger = campaign.dataset.ledger
        rows = [
            (row.id, row.state, row.content_hash, row.sha256, row.score, row.gain, row.details)
            for row in ledger.rows(RolloutRow)
        ]
        fits = [(row.data_hash, row.model_hash) for row in ledger.rows(FitRow)]
        return rows, fits, [row.sha256 for row in ledger.rows(EvaluationRow)]


def test_a_campaign_collects_learns_and_goes_on_to_the_bit(config, tmp_path):
    whole = turn(config, tmp_path / "whole")
    first = config.model_copy(update={"rounds": 1})
    turn(first, tmp_path / "parts")
    with open_campaign(tmp_path / "parts", ["--rounds", "3"]) as campaign:
        (one, other) = campaign.ask()
        with make_oracle(config) as oracle:  # one of two, and then it is killed
            campaign.connect(oracle)
            oracle.submit(one)
            campaign.tell(*oracle.poll())
        assert isinstance(other.controller, Demonstration)
    rows, fits, evaluations = turn(config, tmp_path / "parts", resumed=True)
    assert (fits, evaluations) == whole[1:]
    assert rows == whole[0]
    assert [state for _, state, *_ in rows] == ["recorded"] * 6
    assert "person_seconds" in rows[0][-1]
    policy = open_policy(tmp_path / "parts", "cpu")
    action = policy.act(np.array([0.0, 0.0, 0.5]))
    assert action[0] > 0.1 and action[1] == pytest.approx(0.5)


def test_a_demonstration_that_nobody_can_do_is_refused_before_anything_is_written(config, tmp_path):
    alone = config.model_copy(update={"oracle": Config.model_validate({"env": "pendulum"}).oracle})
    with pytest.raises(PluginError, match="nobody who could: set `oracle: {name: expert"):
        create_campaign(alone, tmp_path / "run")
    assert not (tmp_path / "run").exists()
