import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.errors import OracleError
from robo_al.models.feature_map import FeatureMap
from robo_al.models.imagination import imagine
from robo_al.tasks import sample_contexts
from robo_al.testing import (
    FakeAcquisition,
    FakeEnv,
    FakeModel,
    FakeOracle,
    FakePolicy,
    fake_task,
    pool_of,
    random_imagined,
    random_transitions,
    resolver,
)
from robo_al.types import MEAN, Failure, OpenLoop, Trajectory

TASK = fake_task()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def proposed(rng, n=3, horizon=4, streamed=False):
    contexts = sample_contexts(FakeEnv(), [rng, rng])
    candidates = FakePolicy(TASK, streamed=streamed).propose(
        n, contexts, horizon, FakeModel(TASK), rng
    )
    return [replace(c, id=f"c{i}") for i, c in enumerate(candidates)]


def test_importing_loads_neither_torch_nor_mujoco():
    program = "import sys, robo_al.testing; print({'torch', 'mujoco'} & set(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "set()"


def test_the_env_refuses_what_an_env_should():
    env = FakeEnv()
    with pytest.raises(AssertionError, match="before reset"):
        env.step(np.zeros(2))
    env.reset(seed=0)
    with pytest.raises(AssertionError, match="action"):
        env.step(np.array([1.5, 0.0]))
    with pytest.raises(AssertionError, match="unknown options"):
        env.reset(options={"mass": [1.0]})


def test_the_model_is_bayesian_linear_regression(rng):
    """Against the textbook's formula in the dual: k(x, x) - k(x, X) (K + I)^-1 k(X, x)."""
    transitions, model = random_transitions(rng), FakeModel(TASK)
    report = model.fit(transitions, rng)
    observations = torch.from_numpy(rng.normal(size=(5, 3)))
    actions = torch.from_numpy(rng.uniform(-1, 1, (5, 2)))

    def features(o, a):
        phi = FeatureMap.of(TASK).features(torch.as_tensor(o), torch.as_tensor(a)).numpy()
        return np.concatenate([phi, np.ones((len(phi), 1))], axis=1)

    seen, asked = (
        features(transitions.observations, transitions.actions),
        features(observations, actions),
    )
    gram = seen @ seen.T + np.eye(len(seen))
    expected = asked @ asked.T - asked @ seen.T @ np.linalg.solve(gram, seen @ asked.T)
    block = model.covariance((observations, actions), (observations, actions))
    assert block.shape == (2, 5, 5)  # position and velocity; the goal is constant
    np.testing.assert_allclose(block[0], expected, atol=1e-9)
    prediction = model.predict(observations, actions)
    np.testing.assert_allclose(
        prediction.epistemic[:, 0], model.noise * np.diag(expected), atol=1e-9
    )
    assert (prediction.epistemic[:, 2] == 0).all() and (prediction.aleatoric > 0).all()
    change = (transitions.next_observations - transitions.observations)[:, :2]
    mean = asked @ seen.T @ np.linalg.solve(gram, change)
    np.testing.assert_allclose((prediction.mean - observations)[:, :2], mean, atol=1e-9)
    assert report.loss >= 0


def test_members_of_the_model_scatter_as_it_says_they_do(rng):
    model = FakeModel(TASK, members=4000)
    model.fit(random_transitions(rng), rng)
    o, a = torch.zeros(4001, 1, 3).double() + 0.5, torch.ones(4001, 1, 2).double()
    following, reward = model.step(o, a, torch.tensor([MEAN, *range(4000)]))
    prediction = model.predict(o[0], a[0])
    assert reward is None
    torch.testing.assert_close(following[0], prediction.mean)
    variance = following[1:, 0, :2].var(0)
    torch.testing.assert_close(variance, prediction.epistemic[0, :2], rtol=0.1, atol=0)


def test_the_model_refuses_what_is_not_finite(rng):
    transitions = random_transitions(rng)
    transitions.rewards[3] = np.nan
    with pytest.raises(AssertionError):
        FakeModel(TASK).fit(transitions, rng)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_oracle_really_executes(rng, streamed):
    candidates = proposed(rng, streamed=streamed)
    with FakeOracle() as oracle:
        oracle.resolve = resolver(FakePolicy(TASK), FakeModel(TASK))
        for candidate in candidates:
            oracle.submit(candidate)
        outcomes = oracle.poll()
    assert [o.candidate_id for o in outcomes] == ["c0", "c1", "c2"]
    env = FakeEnv()
    for outcome, candidate in zip(outcomes, candidates, strict=True):
        trajectory = outcome.result
        np.testing.assert_array_equal(trajectory.observations[0], candidate.context.observation)
        for t in range(4):
            before, after = trajectory.observations[t : t + 2]
            np.testing.assert_allclose(env.dynamics(before, trajectory.actions[t]), after)
        assert outcome.robot_seconds == pytest.approx(0.4)


def test_the_oracle_answers_late_out_of_order_and_with_failures(rng):
    candidates = proposed(rng)
    oracle = FakeOracle(failures={1: "aborted"}, shuffle=True, delay=2)
    for candidate in candidates:
        oracle.submit(candidate)
    assert oracle.poll(0.0) == [] and oracle.poll(0.0) == []
    outcomes = oracle.poll(0.0)
    assert [o.candidate_id for o in outcomes] == ["c2", "c1", "c0"]
    assert isinstance(outcomes[1].result, Failure) and outcomes[1].result.kind == "aborted"
    assert isinstance(outcomes[0].result, Trajectory)
    oracle.submit(replace(candidates[0], id="again"))
    assert len(oracle.poll()) == 1  # without a timeout, waits for one
    assert oracle.poll() == []


def test_the_oracle_refuses_what_an_oracle_should(rng):
    candidates = proposed(rng)
    oracle = FakeOracle(capacity=1)
    with pytest.raises(OracleError, match="empty"):
        oracle.submit(replace(candidates[0], id=""))
    oracle.submit(candidates[0])
    with pytest.raises(OracleError, match="pending"):
        oracle.submit(candidates[1])
    oracle.poll()
    with pytest.raises(OracleError, match="before"):
        oracle.submit(candidates[0])
    with pytest.raises(AssertionError):
        oracle.submit(replace(candidates[1], controller=OpenLoop(np.zeros((9, 2)))))
    oracle.close()
    with pytest.raises(OracleError, match="closed"):
        oracle.submit(candidates[2])


def test_random_data_are_what_they_are_called(rng):
    transitions = random_transitions(rng, rollouts=3, steps=4)
    assert len(transitions) == 12 and set(transitions.rollouts) == {0, 1, 2}
    env = FakeEnv()
    np.testing.assert_allclose(
        env.dynamics(transitions.observations, transitions.actions), transitions.next_observations
    )
    np.testing.assert_allclose(
        env.reward(transitions.observations, transitions.actions, transitions.next_observations),
        transitions.rewards,
    )
    imagined = random_imagined(rng, members=2, candidates=5, steps=3)
    assert len(imagined) == 5 and imagined.returns.shape == (2, 5)
    real = imagine(proposed(rng, n=5, horizon=3), FakeModel(TASK), TASK, members=[0, 1])
    names = ("observations", "actions", "rewards", "members", "horizons", "mask", "finite")
    for name in names:
        assert getattr(imagined, name).shape == getattr(real, name).shape, name


def test_the_acquisition_grows_with_the_mean_return(rng):
    imagined = random_imagined(rng)
    scores = FakeAcquisition()(pool_of(imagined, FakeModel(TASK)), rng)
    torch.testing.assert_close(scores, imagined.returns.mean(0).exp())
    joint = FakeAcquisition().joint(pool_of(imagined, FakeModel(TASK)))
    joint.add(2)
    assert float(joint.gains([1])[0]) == pytest.approx(float(scores[1]))
    with pytest.raises(AssertionError):
        joint.add(2)
