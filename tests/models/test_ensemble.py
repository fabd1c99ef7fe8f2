import dataclasses
import functools
import secrets

import numpy as np
import pytest
import torch

from robo_al.acquisition.joint import JointInformation
from robo_al.errors import ConfigError, ModelError
from robo_al.models.ensemble import Ensemble
from robo_al.models.imagination import imagine
from robo_al.models.last_layer import held_out_by
from robo_al.models.resident import Resident
from robo_al.protocols import SupportsCovariance, SupportsState
from robo_al.testing import FakePolicy, pool_of
from robo_al.types import MEAN, Candidate, Channel, Context, EnvSpec, OpenLoop, Task, Transitions

SMALL = {"members": 4, "hidden": 32, "layers": 2, "max_steps": 600, "learning_rate": 5e-3}


def reward(observation, action, following):
    return -(following[..., 0] ** 2)


TASK = Task(
    env=EnvSpec("curve"),
    channels=(Channel("x", "m"), Channel("goal", "m", "constant"), Channel("turn", "rad", "angle")),
    action_low=np.array([-1.0]),
    action_high=np.array([3.0]),
    horizon=10,
    control_period=0.1,
    reward=reward,
    threshold=None,
)
NOISE = 0.02


def change(observations, actions):
    """Return the true mean change of x and turn [..., 2]: nothing linear about it."""
    x, turn, action = observations[..., 0], observations[..., 2], actions[..., 0]
    return np.stack([0.5 * np.sin(3 * x) + 0.3 * action * x, np.cos(turn) * action], axis=-1)


def curve(rng, size=300, spread=1.0):
    """Return transitions of the curve in x within +-spread, in rollouts of 30."""
    observations = np.stack(
        [
            rng.uniform(-spread, spread, size),
            rng.uniform(-1, 1, size),
            rng.uniform(-np.pi, np.pi, size),
        ],
        axis=-1,
    )
    actions = rng.uniform(-1, 3, (size, 1))
    following = observations.copy()
    following[:, [0, 2]] += change(observations, actions) + rng.normal(0, NOISE, (size, 2))
    rewards = reward(observations, actions, following)
    rollouts, ends = np.arange(size) // 30, np.zeros(size, dtype=bool)
    return Transitions(observations, actions, following, rewards, rollouts, ends)


def tensors(transitions):
    return torch.from_numpy(transitions.observations), torch.from_numpy(transitions.actions)


@pytest.fixture(scope="module")
def data():
    return curve(np.random.default_rng(0))


@pytest.fixture(scope="module")
def fitted(data):
    model = Ensemble(TASK, **SMALL)
    model.report = model.fit(data, np.random.default_rng(1))
    return model


@pytest.fixture(scope="module")
def unseen():
    return curve(np.random.default_rng(2), size=200)


def test_learns_a_curve_that_no_line_fits(fitted, data, unseen):
    prediction = fitted.predict(*tensors(unseen))
    truth = change(unseen.observations, unseen.actions)
    error = (prediction.mean.numpy() - unseen.observations)[:, [0, 2]] - truth

    def inputs(transitions):
        o, a = transitions.observations, transitions.actions
        return np.c_[o[:, :2], np.sin(o[:, 2]), np.cos(o[:, 2]), a, np.ones(len(a))]

    targets = (data.next_observations - data.observations)[:, [0, 2]]
    line = inputs(unseen) @ np.linalg.lstsq(inputs(data), targets, rcond=None)[0] - truth
    assert (np.mean(error**2, 0) < 0.1 * np.mean(line**2, 0)).all()
    assert torch.equal(prediction.mean[:, 1], torch.from_numpy(unseen.observations[:, 1]))


def test_intervals_cover_what_happens(fitted, unseen):
    prediction = fitted.predict(*tensors(unseen))
    spread = (prediction.epistemic + prediction.aleatoric).sqrt().numpy()[:, [0, 2]]
    error = (prediction.mean.numpy() - unseen.next_observations)[:, [0, 2]]
    assert (np.mean(np.abs(error) < 1.96 * spread, axis=0) > 0.85).all()
    assert (np.mean(np.abs(error) < 0.3 * spread, axis=0) < 0.6).all()  # and not by being vast


def test_uncertainty_grows_away_from_the_data(fitted, unseen):
    near, far = tensors(unseen), tensors(curve(np.random.default_rng(3), 200, spread=6.0))
    outside = far[0][:, 0].abs() > 3
    epistemic = [fitted.predict(*steps).epistemic[:, 0] for steps in (near, far)]
    assert epistemic[1][outside].median() > 5 * epistemic[0].median()
    informative = [
        fitted.covariance((o[:, None], a[:, None]), (o[:, None], a[:, None]))[0, :, 0, 0]
        for o, a in (near, far)
    ]
    assert informative[1][outside].median() > 5 * informative[0].median()


def test_moments_are_those_of_the_members(fitted, unseen):
    observations, actions = tensors(unseen)
    steps = [
        fitted.step(observations[None], actions[None], torch.tensor([member]))[0][0]
        for member in (0, 1, 2, 3, MEAN)
    ]
    prediction = fitted.predict(observations, actions)
    members = torch.stack(steps[:4])
    torch.testing.assert_close(members.mean(0), prediction.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(steps[4], prediction.mean, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        members.var(0, correction=0), prediction.epistemic, rtol=1e-3, atol=1e-10
    )
    assert (prediction.epistemic[:, 1] == 0).all() and (prediction.aleatoric > 0).all()


def test_mixture_is_each_members_own_prediction(fitted, unseen):
    observations, actions = (value[:40].reshape(4, 10, -1) for value in tensors(unseen))
    mean, variance = fitted.mixture(observations, actions)
    assert mean.shape == variance.shape == (4, 4, 10, 3) and mean.dtype == torch.float64
    for member in range(4):
        following, _ = fitted.step(observations, actions, torch.full((4,), member))
        torch.testing.assert_close(mean[member], following, rtol=0, atol=1e-6)
    prediction = fitted.predict(observations, actions)
    predicted = [0, 2]
    torch.testing.assert_close(
        variance.mean(0)[..., predicted], prediction.aleatoric[..., predicted], rtol=1e-5, atol=0
    )
    assert (variance[0] != variance[1])[..., predicted].any()
    assert torch.equal(mean[..., 1], observations[..., 1].expand(4, -1, -1))
    assert (variance[..., 1] == 1).all()


def test_mixture_does_not_wrap_an_angle(fitted, unseen):
    turning = Channel("turn", "rad", "wrapped_angle")
    task = dataclasses.replace(TASK, channels=(*TASK.channels[:2], turning))
    wrapping = Ensemble(task, **SMALL)
    wrapping.load_state_dict(fitted.state_dict())
    observations, actions = tensors(unseen)
    mean, _ = wrapping.mixture(observations, actions)
    assert mean[..., 2].max() > np.pi  # where steps beyond pi are predicted
    assert torch.equal(mean, fitted.mixture(observations, actions)[0])
    assert wrapping.predict(observations, actions).mean[:, 2].max() <= np.pi


def test_groups_step_in_their_own_members_in_any_order(fitted, unseen):
    members = torch.tensor([2, MEAN, 0, 2, 2, MEAN, 3])
    observations, actions = (value[:21].reshape(7, 3, -1) for value in tensors(unseen))
    together, none = fitted.step(observations, actions, members)
    assert none is None
    for group, member in enumerate(members):
        alone, _ = fitted.step(observations[[group]], actions[[group]], member[None])
        torch.testing.assert_close(together[[group]], alone, rtol=0, atol=1e-6)


def test_a_reward_that_is_not_known_is_learned(data, unseen):
    model = Ensemble(dataclasses.replace(TASK, reward=None), **SMALL)
    model.fit(data, np.random.default_rng(1))
    predicted = model.predict(*tensors(unseen)).reward.numpy()
    assert np.mean((predicted - unseen.rewards) ** 2) < 0.1 * unseen.rewards.var()
    observations, actions = tensors(unseen)
    _, rewards = model.step(observations[None], actions[None], torch.tensor([MEAN]))
    np.testing.assert_allclose(rewards[0], predicted, atol=1e-5)


def test_covariance_is_that_of_a_ridge_regression_on_the_features(fitted, data, unseen):
    phi = fitted.features(*tensors(data)).numpy()
    assert np.isclose((phi**2).sum(-1).mean(), 1.0)
    observations, actions = (value[:40].reshape(2, 4, 5, -1) for value in tensors(unseen))
    first, second = (observations, actions), (observations[:, :, :3], actions[:, :, :3])
    covariance = fitted.covariance(first, second)
    assert covariance.shape == (2, 2, 4, 5, 3)
    for d, noise in enumerate(fitted.state_dict()["noise"].numpy()):
        posterior = np.linalg.inv(np.eye(phi.shape[1]) + phi.T @ phi / noise)
        left, right = (fitted.features(*steps).numpy() for steps in (first, second))
        expected = left @ posterior @ right.swapaxes(-1, -2) / noise
        np.testing.assert_allclose(covariance[d], expected, rtol=1e-6, atol=1e-9)


def test_covariance_is_symmetric_and_positive(fitted, unseen):
    matrices = fitted.covariance(tensors(unseen), tensors(unseen))
    torch.testing.assert_close(matrices, matrices.mT, rtol=0, atol=1e-12)
    values = torch.linalg.eigvalsh(matrices)
    assert (values > -1e-9).all()
    assert (values > 1e-6).sum(-1).max() <= fitted.covariance_rank == 32


def test_imagines_and_chooses_what_it_does_not_know(fitted):
    rng = np.random.default_rng(5)
    contexts = [Context(np.array([x, 0.0, 0.0]), seed=0) for x in (0.0, 6.0)]
    candidates = FakePolicy(TASK).propose(6, contexts, 5, fitted, rng)
    imagined = imagine(candidates, fitted, TASK, members=[0, 1])
    assert imagined.observations.shape == (2, 6, 6, 3) and imagined.finite.all()
    scores = JointInformation()(pool_of(imagined, fitted), rng)
    assert scores[1::2].min() > scores[::2].max()  # those that start where no data are


def test_a_saved_state_predicts_exactly(fitted, unseen):
    state = fitted.state_dict()
    assert all(isinstance(value, torch.Tensor) for value in state.values())
    copy = Ensemble(TASK, **SMALL)
    copy.load_state_dict({key: value.clone() for key, value in state.items()})
    steps = tensors(unseen)
    for field in ("mean", "epistemic", "aleatoric"):
        assert torch.equal(
            getattr(copy.predict(*steps), field), getattr(fitted.predict(*steps), field)
        )
    assert torch.equal(copy.covariance(steps, steps), fitted.covariance(steps, steps))
    assert isinstance(copy, SupportsState) and isinstance(copy, SupportsCovariance)


def test_a_state_of_another_size_is_refused(fitted):
    other = Ensemble(TASK, **(SMALL | {"hidden": 16}))
    with pytest.raises(ModelError, match=r"saved weight_0 is \(4, 5, 32\) and not \(4, 5, 16\)"):
        other.load_state_dict(fitted.state_dict())
    with pytest.raises(ModelError, match="weight_0 is missing"):
        other.load_state_dict({})


def test_a_fit_depends_on_data_and_generator_alone(data, unseen):
    few = SMALL | {"max_steps": 40}
    fresh, used = Ensemble(TASK, **few), Ensemble(TASK, **few)
    used.fit(unseen, np.random.default_rng(8))
    for model in (fresh, used):
        model.fit(data, np.random.default_rng(9))
    first, second = fresh.state_dict(), used.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    used.fit(data, np.random.default_rng(10))
    assert not torch.equal(used.state_dict()["weight_0"], first["weight_0"])


def test_a_fit_on_data_that_stayed_is_bitwise_one_on_data_that_came(data):
    few = SMALL | {"max_steps": 40}
    fresh, used = Ensemble(TASK, **few), Ensemble(TASK, **few)
    used._recorded = Resident(used.device, keep=True)
    used.fit(data.of_rollouts(data.rollouts < 8), np.random.default_rng(8))
    for model in (fresh, used):
        model.fit(data, np.random.default_rng(9))
    assert used._recorded.moved == (data.rollouts >= 8).sum() < len(data)
    first, second = fresh.state_dict(), used.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_global_generators_are_left_alone(data):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    Ensemble(TASK, **(SMALL | {"max_steps": 10})).fit(data, np.random.default_rng(0))
    assert torch.equal(torch.get_rng_state(), before)


def test_members_hold_out_whole_rollouts_and_together_learn_from_all():
    rollouts = np.array([3, 3, 3, 7, 7, 9, 9, 9, 9])
    held_out = held_out_by(torch.from_numpy(rollouts), 5).numpy()
    for member in held_out:
        assert len(set(rollouts[member])) == 1
        assert all(len(set(member[rollouts == r])) == 1 for r in (3, 7, 9))
    assert (~held_out).any(0).all() and held_out.any(0).all()


def test_a_single_rollout_holds_out_its_end():
    held_out = held_out_by(torch.full((10,), 4), 3).numpy()
    assert (held_out == np.tile(np.arange(10) >= 8, (3, 1))).all()
    assert held_out_by(torch.full((2,), 4), 1).tolist() == [[False, True]]


def test_two_transitions_are_enough_and_one_is_not(data):
    few = Ensemble(TASK, **(SMALL | {"max_steps": 20}))
    two, one = (data.of_rollouts(np.arange(len(data)) < n) for n in (2, 1))
    assert np.isfinite(few.fit(two, np.random.default_rng(0)).loss)
    with pytest.raises(ModelError, match="2 transitions are needed to fit it, given 1"):
        few.fit(one, np.random.default_rng(0))


def test_what_is_not_finite_is_refused(data):
    broken = data.next_observations.copy()
    broken[5, 0] = np.nan
    with pytest.raises(ModelError, match="NaN or infinite"):
        Ensemble(TASK, **SMALL).fit(
            dataclasses.replace(data, next_observations=broken), np.random.default_rng(0)
        )


def test_an_output_that_never_changes_is_no_trouble(data):
    still = data.next_observations.copy()
    still[:, 0] = data.observations[:, 0]
    model = Ensemble(TASK, **(SMALL | {"max_steps": 40}))
    data = dataclasses.replace(data, next_observations=still)
    model.fit(data, np.random.default_rng(0))
    prediction = model.predict(*tensors(data))
    np.testing.assert_allclose(prediction.mean[:, 0], data.observations[:, 0], atol=1e-5)
    assert (prediction.aleatoric > 0).all()


def test_before_the_first_fit_it_says_so(unseen):
    with pytest.raises(ModelError, match="predict before fit"):
        Ensemble(TASK).predict(*tensors(unseen))


def test_every_wrong_parameter_is_named():
    with pytest.raises(ConfigError, match="members is 0, below 1; learning_rate is -1.0, below 0"):
        Ensemble(TASK, members=0, learning_rate=-1.0)


@pytest.fixture(scope="module")
def there(fitted):
    """Return the fitted model on a GPU."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    model = Ensemble(TASK, device="cuda", **SMALL)
    model.load_state_dict(fitted.state_dict())
    return model


def test_on_cuda_it_predicts_what_it_does_on_the_cpu(fitted, there):
    """Products in float32 as on the CPU, covariances in float64."""
    seed = secrets.randbelow(2**32)
    steps = tensors(curve(np.random.default_rng(seed)))
    on_gpu = tuple(value.cuda() for value in steps)
    expected, found = fitted.predict(*steps), there.predict(*on_gpu)
    assert found.mean.is_cuda
    close = functools.partial(torch.testing.assert_close, msg=f"seed {seed}")
    close(found.mean.cpu(), expected.mean, rtol=0, atol=1e-5)
    close(found.epistemic.cpu(), expected.epistemic, rtol=1e-2, atol=1e-9)
    close(found.aleatoric.cpu(), expected.aleatoric, rtol=1e-3, atol=0)
    for one, other in zip(there.mixture(*on_gpu), fitted.mixture(*steps), strict=True):
        close(one.cpu(), other, rtol=1e-3, atol=1e-5)
    close(there.features(*on_gpu).cpu(), fitted.features(*steps), rtol=1e-9, atol=1e-12)
    covariance = there.covariance(on_gpu, on_gpu).cpu()
    close(covariance, fitted.covariance(steps, steps), rtol=1e-6, atol=1e-9)


def test_on_cuda_it_imagines_what_it_does_on_the_cpu(fitted, there):
    """Products in TF32: what is imagined drifts apart by the rounding, step by step."""
    seed = secrets.randbelow(2**32)
    rng = np.random.default_rng(seed)
    candidates = [
        Candidate(Context(rng.uniform(-0.5, 0.5, 3), 0), OpenLoop(rng.uniform(-1, 1, (5, 1))), 5, i)
        for i in range(20)
    ]
    members = [0, 1, 2, 3, MEAN]
    expected = imagine(candidates, fitted, TASK, members)
    found = imagine(candidates, there, TASK, members, device="cuda")
    assert found.observations.is_cuda and found.finite.all()
    for name in ("observations", "rewards"):
        off = (getattr(found, name).cpu() - getattr(expected, name)).abs()
        assert off.max() < 5e-2 and off.mean() < 5e-3, f"seed {seed}"


def test_on_cuda_it_learns_and_moves_only_what_is_new(there, data, unseen):
    model = Ensemble(TASK, device="cuda", **SMALL)
    model.fit(data.of_rollouts(data.rollouts < 8), np.random.default_rng(0))
    assert np.isfinite(model.fit(data, np.random.default_rng(0)).loss)
    assert model._recorded.moved == (data.rollouts >= 8).sum()
    observations, actions = (value.cuda() for value in tensors(unseen))
    error = model.predict(observations, actions).mean.cpu().numpy() - unseen.next_observations
    assert np.abs(error).mean() < 0.1
