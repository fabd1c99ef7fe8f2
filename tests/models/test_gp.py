"""The Gaussian process against dense formulas written again, and against itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.errors import ModelError
from robo_al.models.gp import GaussianProcess
from robo_al.models.gp_fit import first_hyperparameters
from robo_al.models.gp_posterior import kernel, outlier_noise
from robo_al.models.resident import Resident
from robo_al.testing import FakeEnv, fake_task, random_transitions
from robo_al.types import MEAN, Channel, EnvSpec, Task, Transitions


def pendulum_task(reward=None) -> Task:
    channels = (Channel("angle", "rad", "angle"), Channel("rate", "rad/s"))
    return Task(EnvSpec("p"), channels, np.array([-2.0]), np.array([2.0]), 10, 0.05, reward, None)


def pendulum_data(steps: int, seed: int = 0) -> Transitions:
    rng = np.random.default_rng(seed)
    state = rng.uniform([-np.pi, -3], [np.pi, 3], (steps, 2))
    action = rng.uniform(-2, 2, (steps, 1))
    rate = state[:, 1] + 0.05 * (15 * np.sin(state[:, 0]) + 3 * action[:, 0])
    following = np.stack([state[:, 0] + 0.05 * rate, rate], 1)
    rewards = -(state[:, 0] ** 2)
    rollouts, ends = np.arange(steps) // 10, np.zeros(steps, dtype=bool)
    return Transitions(state, action, following, rewards, rollouts, ends)


def known(observation, action, following):
    return -(following**2).sum(-1)


def fitted(steps: int = 40, reward=known, **parameters) -> tuple[GaussianProcess, Transitions]:
    data = pendulum_data(steps)
    model = GaussianProcess(pendulum_task(reward), **parameters)
    model.fit(data, np.random.default_rng(1))
    return model, data


def tensors(data: Transitions) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.as_tensor(data.observations), torch.as_tensor(data.actions)


def test_learns_a_pendulum_from_forty_steps():
    model, data = fitted()
    test = pendulum_data(200, seed=5)
    prediction = model.predict(*tensors(test))
    error = prediction.mean.numpy() - test.next_observations
    change = test.next_observations - test.observations
    assert np.sqrt((error**2).mean(0)).max() < 0.02 * change.std()


def test_uncertainty_covers_the_errors():
    model, _ = fitted(steps=15)
    test = pendulum_data(400, seed=6)
    prediction = model.predict(*tensors(test))
    deviation = (prediction.epistemic + prediction.aleatoric).sqrt().numpy()
    normalised = np.abs(prediction.mean.numpy() - test.next_observations) / deviation
    assert (normalised < 3).mean() > 0.9


def test_epistemic_variance_shrinks_at_data_and_grows_away_from_it():
    model, data = fitted()
    observations, actions = tensors(data)
    near = model.predict(observations, actions).epistemic.mean()
    far = model.predict(observations + torch.tensor([0.0, 30.0]), actions).epistemic.mean()
    assert far > 10 * near


def test_moments_equal_the_dense_formula():
    model, data = fitted(steps=30)
    state = model.state_dict()
    x = (model.inputs.features(*tensors(data)) - state["x_mean"]) / state["x_scale"]
    test = pendulum_data(7, seed=3)
    z = (model.inputs.features(*tensors(test)) - state["x_mean"]) / state["x_scale"]
    y = torch.as_tensor(data.next_observations - data.observations)
    y = (y - state["y_mean"]) / state["y_scale"]
    prediction = model.predict(*tensors(test))
    covariance = model.covariance(tensors(test), tensors(test))
    for d in range(2):

        def k(a, b, d=d):
            scaled = (a[:, None] - b[None]) / state["length_scale"][d]
            smooth = state["output_scale"][d] * torch.exp(-0.5 * (scaled**2).sum(-1))
            return smooth + (a * state["linear"][d]) @ b.T

        noise = state["noise"][d]
        gram = k(x, x) + noise * torch.eye(len(x), dtype=torch.float64)
        mean = k(z, x) @ torch.linalg.solve(gram, y[:, d]) * state["y_scale"][d]
        mean = mean + state["y_mean"][d]
        dense = k(z, z) - k(z, x) @ torch.linalg.solve(gram, k(x, z))
        expected = torch.as_tensor(test.observations[:, d]) + mean
        torch.testing.assert_close(prediction.mean[:, d], expected, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(covariance[d] * noise, dense, rtol=1e-4, atol=1e-7)
        variance = dense.diagonal() * state["y_scale"][d] ** 2
        torch.testing.assert_close(prediction.epistemic[:, d], variance, rtol=1e-3, atol=1e-8)


def test_covariance_takes_batches_of_rollouts():
    model, data = fitted(steps=30)
    observations, actions = (t.reshape(3, 10, -1) for t in tensors(data))
    blocks = model.covariance((observations, actions), (observations, actions))
    assert blocks.shape == (2, 3, 10, 10)
    alone = model.covariance((observations[1], actions[1]), (observations[1], actions[1]))
    torch.testing.assert_close(blocks[:, 1], alone, rtol=1e-3, atol=1e-5)
    assert torch.linalg.eigvalsh(blocks).min() > -1e-6


def test_mixture_is_what_the_posterior_functions_do():
    model, _ = fitted(steps=12, samples=5, fit_steps=5)
    observations, actions = (t.reshape(2, 3, -1) for t in tensors(pendulum_data(6, seed=9)))
    mean, variance = model.mixture(observations, actions)
    assert mean.shape == variance.shape == (5, 2, 3, 2)
    flat = observations.reshape(1, 6, -1).expand(5, -1, -1), actions.reshape(1, 6, -1)
    following, _ = model.step(flat[0], flat[1].expand(5, -1, -1), torch.arange(5))
    torch.testing.assert_close(mean.reshape(5, 6, 2).float(), following, rtol=1e-4, atol=1e-4)
    aleatoric = model.predict(observations, actions).aleatoric
    torch.testing.assert_close(variance, aleatoric.expand_as(variance))


def test_mixture_of_many_functions_has_the_moments_of_the_prediction():
    model, _ = fitted(steps=12, samples=600, frequencies=512)
    wide = pendulum_data(5, seed=9)
    test = tensors(replace(wide, observations=wide.observations + [0.0, 8.0]))
    mean, _ = model.mixture(*test)
    prediction = model.predict(*test)
    shift = (mean.mean(0) - prediction.mean).abs() / prediction.epistemic.sqrt()
    assert shift.max() < 0.2  # five standard errors
    ratio = mean.var(0) / prediction.epistemic
    assert ratio.min() > 0.7 and ratio.max() < 1.4


def test_mixture_does_not_wrap_an_angle_and_keeps_a_constant():
    channels = (
        Channel("goal", "m", "constant"),
        Channel("angle", "rad", "wrapped_angle"),
        Channel("rate", "rad/s"),
    )
    task = replace(pendulum_task(known), channels=channels)
    data = pendulum_data(30)
    start, after = (
        np.insert(values, 0, 0.5, axis=1) for values in (data.observations, data.next_observations)
    )
    after[:, 1] = (after[:, 1] + np.pi) % (2 * np.pi) - np.pi
    model = GaussianProcess(task, samples=4, fit_steps=5)
    data = replace(data, observations=start, next_observations=after)
    model.fit(data, np.random.default_rng(1))
    observations = torch.tensor([[0.5, np.pi - 1e-3, 0.02]]).double()
    mean, variance = model.mixture(observations, torch.zeros(1, 1).double())
    assert (mean[..., 0] == 0.5).all() and (variance[..., 0] == 1).all()
    assert (mean[..., 1] - np.pi).abs().max() < 0.5 and mean[..., 1].max() > np.pi  # both sides


def test_posterior_functions_have_the_posterior_moments():
    model, _ = fitted(steps=12, samples=600, frequencies=512)
    wide = pendulum_data(5, seed=9)
    test = replace(wide, observations=wide.observations + [0.0, 8.0])
    observations, actions = (t.float() for t in tensors(test))
    following, _ = model.step(
        observations.expand(600, -1, -1), actions.expand(600, -1, -1), torch.arange(600)
    )
    prediction = model.predict(*tensors(test))
    deviation = prediction.epistemic.sqrt()
    shift = (following.mean(0) - prediction.mean).abs() / deviation.clamp_min(1e-3)
    assert shift.max() < 0.3
    ratio = following.std(0) / deviation
    uncertain = deviation > 1e-2
    assert uncertain.any()
    assert ((ratio[uncertain] > 0.6) & (ratio[uncertain] < 1.6)).all()


def test_step_in_the_mean_is_predict():
    model, data = fitted()
    test = pendulum_data(20, seed=4)
    observations, actions = (t.float() for t in tensors(test))
    following, reward = model.step(observations[None], actions[None], torch.tensor([MEAN]))
    assert reward is None
    mean = model.predict(*tensors(test)).mean.float()
    torch.testing.assert_close(following[0], mean, rtol=1e-3, atol=1e-3)


def test_groups_are_played_in_their_own_members():
    model, _ = fitted(steps=10)
    observations, actions = (t.float() for t in tensors(pendulum_data(6, seed=4)))
    members = torch.tensor([MEAN, 3, 0])
    together, _ = model.step(observations.expand(3, -1, -1), actions.expand(3, -1, -1), members)
    for row, member in enumerate(members.tolist()):
        alone, _ = model.step(observations[None], actions[None], torch.tensor([member]))
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[1], together[2], atol=1e-4)


def test_many_steps_are_kept_through_inducing_points():
    test = pendulum_data(100, seed=8)
    model, _ = fitted(steps=200, max_points=60)
    error = model.predict(*tensors(test)).mean.numpy() - test.next_observations
    few = GaussianProcess(pendulum_task(known))
    few.fit(pendulum_data(8), np.random.default_rng(0))
    error_of_few = few.predict(*tensors(test)).mean.numpy() - test.next_observations
    assert model.state_dict()["points"].shape[0] == 60
    assert np.abs(error).max() < 0.2 * np.abs(error_of_few).max()
    assert np.abs(error).max() < 0.05


def test_a_jump_is_an_outlier_and_spoils_nothing_else():
    test = pendulum_data(100, seed=8)
    data = pendulum_data(40)
    data.next_observations[[5, 17], 1] -= 6.0  # the rod hit something twice
    model = GaussianProcess(pendulum_task(known))
    model.fit(data, np.random.default_rng(1))
    error = model.predict(*tensors(test)).mean.numpy() - test.next_observations
    change = test.next_observations - test.observations
    assert np.sqrt((error**2).mean(0)).max() < 0.1 * change.std()
    clean, _ = fitted()
    assert model.state_dict()["length_scale"].min() > 0.3 * clean.state_dict()["length_scale"].min()


def test_outliers_are_told_from_a_dense_leave_one_out():
    data = pendulum_data(25)
    data.next_observations[7, 1] += 5.0
    inputs = GaussianProcess(pendulum_task(known)).inputs
    x, y = inputs.training_data(Resident(torch.device("cpu"))(data))
    x, y = (x - x.mean(0)) / x.std(0), (y / y.std(0)).T
    hyper = first_hyperparameters(2, x)
    extra = outlier_noise(x, y, x, hyper)
    for d in range(2):
        for i in range(25):
            others = [j for j in range(25) if j != i]
            gram = kernel(x[others], x[others], hyper)[d] + 0.01 * torch.eye(24).double()
            cross = kernel(x[[i]], x[others], hyper)[d, 0]
            residual = y[d, i] - cross @ torch.linalg.solve(gram, y[d, others])
            own = kernel(x[[i]], x[[i]], hyper)[d, 0, 0] + 0.01
            variance = own - cross @ torch.linalg.solve(gram, cross)
            outlier = bool(residual.abs() > 6 * variance.sqrt())
            assert outlier or not (d == 1 and i == 7)
            expected = residual**2 if outlier else torch.zeros_like(residual)
            torch.testing.assert_close(extra[d, i], expected, rtol=1e-4, atol=1e-9)


def test_learns_a_reward_that_is_not_known():
    model, _ = fitted(steps=60, reward=None)
    test = pendulum_data(50, seed=2)
    prediction = model.predict(*tensors(test))
    assert prediction.reward is not None
    error = prediction.reward.numpy() - test.rewards
    assert np.sqrt((error**2).mean()) < 0.2 * test.rewards.std()
    _, reward = model.step(*(t.float()[None] for t in tensors(test)), torch.tensor([MEAN]))
    torch.testing.assert_close(reward[0], prediction.reward.float(), rtol=1e-2, atol=1e-2)


def test_a_fit_is_reproducible_and_a_saved_one_exact():
    (first, _), (second, _) = fitted(), fitted()
    for key, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[key]), key
    loaded = GaussianProcess(pendulum_task(known))
    loaded.load_state_dict(first.state_dict())
    for model in (first, loaded):
        model.fit(pendulum_data(50), np.random.default_rng(3))
    for key, value in first.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key


def test_constant_channels_are_not_predicted():
    channels = (*pendulum_task().channels, Channel("goal", "rad", "constant"))
    task = Task(EnvSpec("p"), channels, np.array([-2.0]), np.array([2.0]), 10, 0.05, known, None)
    data = pendulum_data(30)
    goal = np.full((30, 1), 0.7)
    data = Transitions(
        np.hstack([data.observations, goal]),
        data.actions,
        np.hstack([data.next_observations, goal]),
        data.rewards,
        data.rollouts,
        data.terminated,
    )
    model = GaussianProcess(task)
    model.fit(data, np.random.default_rng(0))
    prediction = model.predict(*tensors(data))
    assert (prediction.mean[:, 2] == 0.7).all()
    assert (prediction.epistemic[:, 2] == 0).all()
    assert (prediction.aleatoric[:, 2] > 0).all()


def test_a_state_of_another_version_is_refused():
    model, _ = fitted(steps=8, fit_steps=2)
    state = {key: value for key, value in model.state_dict().items() if key != "root"}
    with pytest.raises(ModelError, match="no root: another version"):
        GaussianProcess(pendulum_task(known)).load_state_dict(state)


def test_bad_data_are_refused():
    model = GaussianProcess(fake_task())
    data = random_transitions(np.random.default_rng(0), 1, 5, FakeEnv())
    data.observations[2, 0] = np.nan
    with pytest.raises(ModelError, match="NaN"):
        model.fit(data, np.random.default_rng(0))
    with pytest.raises(ModelError, match="before fit"):
        model.predict(*tensors(data))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_gpu_equals_cpu():
    model, _ = fitted()
    gpu = GaussianProcess(pendulum_task(known), device="cuda")
    gpu.load_state_dict(model.state_dict())
    test = tensors(pendulum_data(50, seed=7))
    torch.testing.assert_close(gpu.predict(*test).mean.cpu(), model.predict(*test).mean)
