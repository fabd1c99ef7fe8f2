import numpy as np
import pytest
import torch

from robo_al.checks import check_policy
from robo_al.errors import ConfigError
from robo_al.protocols import SupportsParameters, SupportsRobot, SupportsState
from robo_al.tasks import contexts_from, describe
from robo_al.testing import FakeEnv, FakeModel, fake_task, random_transitions
from robo_al.types import MEAN, Channel, EnvSpec, OpenLoop, Transitions
from robo_al_policies.basis import command_basis, from_rest_to_rest, radial, radial_slopes
from robo_al_policies.primitives import Primitives


class Arm(FakeEnv):
    """Two joints on a robot; the third and fourth channels are not looked at."""

    channels = (
        Channel("b position", "rad"),
        Channel("a position", "rad"),
        Channel("goal", "rad", "constant"),
    )
    joints = ("a", "b")
    robot_command = "velocity"
    robot_substeps = 1

    def robot_observation(self, positions, velocities, sensors, targets, options):
        return np.zeros(3)


class PositionArm(Arm):
    robot_command = "position"


class NamelessArm(PositionArm):
    channels = FakeEnv.channels


class MovingArm(Arm):
    def __init__(self):
        super().__init__()
        self.action_space.low[:] = 0.1


def task_of(env):
    return describe(env(), EnvSpec(f"{__file__}:{env.__name__}"))


@pytest.fixture
def arm():
    return task_of(Arm)


def starts(task, n):
    env = FakeEnv()
    return contexts_from(env, range(n))


def recorded(policy, task, actions, returns, observations):
    """Return transitions of rollouts [R,T,A] that each return what is given."""
    count, steps = actions.shape[:2]
    rewards = np.zeros((count, steps))
    rewards[:, -1] = returns
    wide = np.repeat(observations, steps, axis=0)
    wide = (
        wide
        + np.random.default_rng(1).normal(size=wide.shape)
        * (np.arange(len(wide)) % steps > 0)[:, None]
    )
    index = np.repeat(np.arange(count), steps)
    ends = np.zeros(len(index), dtype=bool)
    return Transitions(
        wide, actions.reshape(-1, actions.shape[-1]), wide, rewards.ravel(), index, ends
    )


# ---------------------------------------------------------------- basis


def test_radial_functions_sum_to_one_and_their_slopes_are_their_derivatives():
    phase = np.linspace(0, 1, 41)
    np.testing.assert_allclose(radial(phase, 7).sum(1), 1)
    step = 1e-6
    numeric = (radial(phase + step, 7) - radial(phase - step, 7)) / (2 * step)
    np.testing.assert_allclose(radial_slopes(phase, 7), numeric, atol=1e-8)


def test_from_rest_to_rest_is_the_gaussian_conditioned_on_its_ends():
    """N N' is the covariance of standard normal weights given the three conditions."""
    basis = from_rest_to_rest(8)
    ends = np.array([0.0, 1.0])
    slopes = radial_slopes(ends, 8)
    conditions = np.stack([radial(ends, 8)[0], slopes[0], slopes[1]])
    np.testing.assert_allclose(conditions @ basis, 0, atol=1e-12)
    gain = conditions.T @ np.linalg.inv(conditions @ conditions.T)
    np.testing.assert_allclose(basis @ basis.T, np.eye(8) - gain @ conditions, atol=1e-12)
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-12)


@pytest.mark.parametrize("command", ["position", "velocity", "action"])
def test_a_motion_has_mean_square_one(command):
    basis = command_basis(command, 6, 30)
    assert basis.shape == (30, 6 if command == "action" else 3)
    assert (basis**2).sum(1).mean() == pytest.approx(1)


def test_velocities_are_the_derivative_of_the_trajectory_that_positions_follow():
    velocity, position = (command_basis(c, 7, 40) for c in ("velocity", "position"))
    ratio = np.cumsum(velocity, axis=0) / position
    np.testing.assert_allclose(ratio, ratio[0, 0])
    assert abs(velocity[0]).max() < 0.15 * abs(velocity).max()
    assert abs(velocity[-1]).max() < 0.15 * abs(velocity).max()


# ---------------------------------------------------------------- proposing


def test_it_keeps_the_contract(arm):
    rng = np.random.default_rng(0)
    for task in (fake_task(), arm, task_of(PositionArm)):
        transitions = random_transitions(rng)
        model = FakeModel(task)
        model.fit(transitions, rng)
        policy = Primitives(task)
        check_policy(policy, task, model, starts(task, 2), transitions)
        assert isinstance(policy, SupportsParameters) and isinstance(policy, SupportsState)
    assert isinstance(Arm(), SupportsRobot)


def test_a_robot_is_moved_smoothly_from_rest_to_rest_within_its_limits(arm):
    policy = Primitives(arm, steps=50, scale=2.0)
    candidates = policy.propose(40, starts(arm, 2), 60, None, np.random.default_rng(0))
    actions = np.stack([candidate.controller.actions for candidate in candidates])
    share = abs(actions) / arm.action_high
    assert share.max() == pytest.approx(1) and (share <= 1).all()
    assert share[:, [0, 49]].max() < 0.1 and (share[:, 50:] == 0).all()
    assert abs(np.diff(share, axis=1)).max() < 0.3  # bounded acceleration: no step is a jump
    assert [c.context.seed for c in candidates[:4]] == [0, 1, 0, 1]


def test_a_motion_too_fast_is_made_smaller_as_a_whole(arm):
    policy = Primitives(arm, steps=20)
    parameters, observation = 9 * np.random.default_rng(0).normal(size=10), np.zeros(3)
    big = policy._actions(parameters, observation, 20)
    small = policy._actions(parameters / 100, observation, 20)
    ratio = big / small
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[0], ratio.shape))
    np.testing.assert_allclose(abs(big).max(0), arm.action_high)


def test_positions_begin_at_the_start_pose_and_stay_within_their_limits():
    task = task_of(PositionArm)
    policy = Primitives(task, scale=1.5, steps=30)
    observation = np.array([1.9, -1.0, 0.0])  # joint b near its limit of 2, a at its of -1
    context = starts(task, 1)[0].__class__(observation, 0)
    for candidate in policy.propose(20, [context], 30, None, np.random.default_rng(0)):
        actions = candidate.controller.actions
        np.testing.assert_allclose(actions[0], observation[[1, 0]], atol=0.05)
        assert (actions >= task.action_low).all() and (actions <= task.action_high).all()
    with pytest.raises(ConfigError, match="no channel named 'a position'"):
        Primitives(task_of(NamelessArm))


def test_what_a_robot_can_not_do_is_refused():
    with pytest.raises(ConfigError, match="forbid standing still"):
        Primitives(task_of(MovingArm))


@pytest.mark.parametrize(
    "parameters",
    [{"functions": 1}, {"steps": 0}, {"scale": 0.0}, {"best": 0.0}, {"best": 1.5}, {"prior": 0.0}],
)
def test_parameters_out_of_range_are_refused(parameters):
    name = next(iter(parameters))
    with pytest.raises(ConfigError, match=f"policy primitives: {name} is"):
        Primitives(fake_task(), **parameters)


def test_a_joint_from_rest_to_rest_needs_four_functions(arm):
    with pytest.raises(ConfigError, match="functions is 3; it must be at least 4"):
        Primitives(arm, functions=3)
    assert Primitives(fake_task(), functions=3).functions == 3


# ---------------------------------------------------------------- parameters


@pytest.mark.parametrize("env", [FakeEnv, Arm, PositionArm])
def test_parameters_are_read_off_the_actions_that_they_command(env):
    task = fake_task() if env is FakeEnv else task_of(env)
    policy = Primitives(task, steps=40, scale=0.05)
    rng = np.random.default_rng(0)
    observation = np.array([0.1, 0.0, 0.0])
    width = 16 if env is FakeEnv else 10
    parameters = rng.normal(size=width)
    actions = policy._actions(parameters, observation, 40)
    assert abs(actions).max() < 0.9
    read = policy.parameters(actions.astype(np.float32).astype(float), observation)
    np.testing.assert_allclose(read, parameters, atol=0.05)
    np.testing.assert_allclose(policy._actions(read, observation, 40), actions, atol=1e-3)
    longer = policy._actions(parameters, observation, 55)
    np.testing.assert_array_equal(
        policy.parameters(longer, observation), policy.parameters(actions, observation)
    )


def test_a_rollout_that_ended_early_says_little_of_its_missing_part(arm):
    policy = Primitives(arm, steps=40, functions=8)
    noise = np.random.default_rng(0).normal(size=(8, 2)) * 0.3
    unbounded = np.linalg.lstsq(command_basis("velocity", 8, 40)[:8], noise, rcond=None)[0]
    assert abs(unbounded).max() > 1000
    assert abs(policy.parameters(noise, np.zeros(3))).max() < 5


# ---------------------------------------------------------------- learning


def test_it_learns_the_linear_map_from_goals_to_the_parameters_of_the_best(arm):
    """Rollouts return more the closer they are to a linear map; easy starts return more too."""
    rng = np.random.default_rng(0)
    policy = Primitives(arm, steps=25, functions=5, best=0.25)
    observations = np.zeros((160, 3))
    observations[:, 2] = rng.uniform(-1, 1, 160)
    wanted = observations[:, 2:] * np.array([[0.5, 0.0, -0.5, 0.3]])
    drawn = wanted + 0.4 * rng.normal(size=(160, 4))
    actions = np.stack(
        [policy._actions(d, o, 25) for d, o in zip(drawn, observations, strict=True)]
    )
    easy = 10 * observations[:, 2]
    returns = easy - ((drawn - wanted) ** 2).sum(1)
    before = policy.mean_actions(observations[:5], 25)
    assert (before == 0).all()
    policy.update(recorded(policy, arm, actions, returns, observations), None, rng)
    assert policy.context_features(observations).shape == (160, 1)
    means = policy._mean_parameters(observations)
    assert np.sqrt(((means - wanted) ** 2).mean()) < 0.1 < np.sqrt((wanted**2).mean())
    covariance = policy._factor @ policy._factor.T
    assert (np.diag(covariance) < 0.16).all()  # narrower than what was drawn


def test_a_single_rollout_is_learned_from_halfway_to_the_prior(arm):
    policy = Primitives(arm, steps=25, functions=5, prior=1.0)
    drawn = np.array([0.2, -0.1, 0.3, 0.1])
    observations = np.zeros((1, 3))
    actions = policy._actions(drawn, observations[0], 25)[None]
    policy.update(
        recorded(policy, arm, actions, np.ones(1), observations), None, np.random.default_rng(0)
    )
    np.testing.assert_allclose(policy._mean_parameters(observations)[0], drawn / 2, atol=1e-3)
    first, second = policy.propose(2, starts(arm, 1), 25, None, np.random.default_rng(0))
    np.testing.assert_array_equal(
        first.controller.actions, policy.mean_actions(starts(arm, 1)[0].observation[None], 25)[0]
    )
    assert (second.controller.actions != first.controller.actions).any()


def test_the_actor_plays_the_mean_of_its_first_observation_and_then_holds(arm):
    rng = np.random.default_rng(0)
    policy = Primitives(arm, steps=6)
    policy.update(random_transitions(rng, steps=6), None, rng)
    contexts = starts(arm, 2)
    first = np.stack([context.observation for context in contexts])
    actor = policy.start(None, [MEAN, MEAN], [0, 1])
    played = np.stack([actor.act(first + step) for step in range(9)], axis=1)
    np.testing.assert_array_equal(played, policy.mean_actions(first, 9))
    assert played[:, :6].any() and not played[:, 6:].any()


def test_what_was_learned_can_be_saved(arm):
    rng = np.random.default_rng(0)
    policy, other = Primitives(arm), Primitives(arm)
    policy.update(random_transitions(rng), None, rng)
    other.load_state_dict(policy.state_dict())
    assert all(isinstance(value, torch.Tensor) for value in policy.state_dict().values())
    proposed = [
        p.propose(5, starts(arm, 2), 8, None, np.random.default_rng(1)) for p in (policy, other)
    ]
    for one, same in zip(*proposed, strict=True):
        assert isinstance(one.controller, OpenLoop)
        np.testing.assert_array_equal(one.controller.actions, same.controller.actions)
