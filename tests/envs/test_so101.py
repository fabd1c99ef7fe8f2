import math

import mujoco
import numpy as np
import pytest
import torch

from robo_al.errors import UserError
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.protocols import SupportsConstraint, SupportsContext, SupportsDynamics
from robo_al.tasks import describe
from robo_al.types import MEAN, EnvSpec
from robo_al_agent.twin.scene import Scene
from robo_al_envs.physics import ASSETS, PhysicsEnv
from robo_al_envs.so101 import HIGH, JOINTS, LOW, So101Push, So101Reach, tip
from robo_al_policies.icem import ICEM

both = pytest.mark.parametrize("task", [So101Reach, So101Push])


def poses(count):
    return np.random.default_rng(0).uniform(LOW, HIGH, (count, 5))


def sweeping(env, steps, seed=0):
    """Observations [T+1,O], actions [T,5] and rewards [T] of slow changes of direction."""
    rng = np.random.default_rng(seed)
    observation, _ = env.reset(seed=seed)
    observations, actions, rewards = [observation], [], []
    for step in range(steps):
        action = rng.uniform(0, 1, 5) * np.sign(np.sin(step / 4 + np.arange(5)))
        observation, reward, *_ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
    return np.array(observations), np.array(actions), np.array(rewards)


# ---------------------------------------------------------------- the arm


def test_the_closed_form_of_the_tip_is_that_of_the_mjcf():
    env = So101Reach()
    env.reset(seed=0)
    for joints in poses(50):
        env.set_state(np.concatenate([joints, env.data.qpos[5:]]), np.zeros(7))
        np.testing.assert_allclose(tip(joints), env.data.site("tip").xpos, atol=1e-12)


def test_the_tip_is_the_same_of_tensors_and_of_batches():
    joints = poses(12)
    alone = np.array([tip(each) for each in joints])
    assert np.array_equal(tip(joints.reshape(3, 4, 5)).reshape(12, 3), alone)
    np.testing.assert_allclose(tip(torch.tensor(joints)).numpy(), alone, atol=1e-15)


def test_joints_and_limits_are_those_of_the_mjcf():
    model = So101Reach().model
    assert tuple(model.joint(i).name for i in range(5)) == JOINTS
    assert model.actuator_trnid[:, 0].tolist() == [0, 1, 2, 3, 4]
    for limits in (model.jnt_range[:5], model.actuator_ctrlrange):
        assert np.array_equal(limits, np.stack([LOW, HIGH], 1))


def test_the_mjcf_is_plain():
    """As a reader needs it that knows bodies, joints, geoms and sites only."""
    text = (ASSETS / "so101.xml").read_text()
    for word in ("<default", "<include", "mesh", "euler", "quat", "class="):
        assert word not in text


def test_servos_are_stiff_and_hardly_overshoot():
    env = So101Reach()
    env.reset(options={"joints": env.home.tolist(), "goal": [0.3, 0.0, 0.1]})
    env.data.ctrl[0] = 0.1
    pan = []
    for _ in range(100):
        mujoco.mj_step(env.model, env.data)
        pan.append(env.data.qpos[0])
    assert abs(pan[30] - 0.1) < 0.01
    assert max(pan) < 0.105


# ---------------------------------------------------------------- the controller


@both
def test_an_action_is_a_velocity_that_the_controller_adds_up(task):
    env = task()
    observation, _ = env.reset(seed=1)
    target = observation[:5] + observation[10:15]
    for action in np.random.default_rng(0).uniform(-1, 1, (40, 5)):
        target = np.clip(target + 0.1 * action, LOW, HIGH)
        observation, *_ = env.step(action)
        np.testing.assert_allclose(env.data.ctrl, target, rtol=0, atol=1e-9)
        np.testing.assert_allclose(observation[10:15], target - observation[:5], atol=1e-9)


def test_targets_stay_within_the_limits():
    env = So101Reach()
    env.reset(options={"joints": (HIGH - 0.05).tolist(), "goal": [0.3, 0.0, 0.1]})
    for _ in range(3):
        env.step(np.ones(5))
    np.testing.assert_allclose(env.data.ctrl, HIGH, atol=1e-9)


@both
def test_the_servos_are_sent_five_commands_on_a_line(task):
    env = task()
    env.reset(seed=2)
    model, data = env.model, mujoco.MjData(env.model)
    state = int(mujoco.mjtState.mjSTATE_INTEGRATION)
    numbers = np.empty(mujoco.mj_stateSize(model, state))
    for action in np.random.default_rng(1).uniform(-1, 1, (10, 5)):
        mujoco.mj_getState(env.model, env.data, numbers, state)
        mujoco.mj_setState(model, data, numbers, state)
        before = env.data.ctrl.copy()
        env.step(action)
        for k in range(1, 6):
            data.ctrl[:] = before + k * 0.02 * action
            for _ in range(2):
                mujoco.mj_step(model, data)
        assert task.robot_substeps == 5 and env.dt == pytest.approx(0.1)
        np.testing.assert_allclose(env.data.qpos, data.qpos, atol=1e-9)


@both
def test_a_step_is_the_batched_dynamics_to_the_last_bit_in_contact_too(task):
    env = task()
    observation, _ = env.reset(seed=0)
    observations, touched = [observation], 0
    actions = sweeping(env, 60)[1]
    actions[:20, 1] = 1.0  # down to the table
    env.reset(seed=0)
    for action in actions:
        observations.append(env.step(action)[0])
        touched += env.data.ncon
    after = np.array(observations)
    assert np.array_equal(env.dynamics(after[:-1], actions), after[1:])
    assert touched > 0


@both
def test_the_goal_of_an_observation_counts_in_its_dynamics(task):
    env = task()
    observation, _ = env.reset(seed=0)
    observation[env.goal] += 0.01
    after = env.dynamics(observation, np.zeros(5))
    assert np.array_equal(after[env.goal], observation[env.goal])


# ---------------------------------------------------------------- starts


@both
def test_a_start_hangs_in_its_servos_at_rest(task):
    env = task()
    for seed in range(5):
        observation, _ = env.reset(seed=seed)
        joints = env.context()["joints"]
        assert abs(observation[5:10]).max() < 1e-4
        np.testing.assert_allclose(observation[:5] + observation[10:15], joints, atol=1e-9)
        assert 0 < abs(observation[10:15]).max() < 0.05


@both
def test_a_context_brings_its_start_back(task):
    env = task()
    observation, _ = env.reset(seed=3)
    options = {name: tuple(value) for name, value in env.context().items()}
    env.step(np.ones(5))
    assert np.array_equal(env.reset(seed=4, options=options)[0], observation)


@both
def test_a_start_can_be_asked_for(task):
    env = task()
    options = {"joints": (env.home + 0.1).tolist(), "goal": [0.3, 0.05, 0.1][: env.goal.stop]}
    options["goal"] = options["goal"][: env.goal.stop - env.goal.start]
    if task is So101Push:
        options["puck"] = [0.25, 0.02]
    observation, _ = env.reset(seed=0, options=options)
    assert env.context() == options
    assert observation[env.goal].tolist() == options["goal"]
    np.testing.assert_allclose(observation[:5], env.home + 0.1, atol=0.05)
    if task is So101Push:
        assert observation[15:17].tolist() == options["puck"]


@both
def test_bad_options_are_refused(task):
    env = task()
    for options, message in [
        ({"joint": [0.0] * 5}, "did you mean 'joints'"),
        ({"joints": [0.0] * 6}, "shape"),
        ({"joints": [2.0, 0.0, 0.0, 0.0, 0.0]}, "not within"),
        ({"goal": [9.0] * (env.goal.stop - env.goal.start)}, "not within"),
    ]:
        with pytest.raises(UserError, match=message):
            env.reset(options=options)


def test_goals_differ_and_are_above_the_table_and_in_reach():
    env = So101Reach()
    goals = np.array([env.reset(seed=seed)[0][15:] for seed in range(100)])
    assert len(np.unique(goals, axis=0)) == 100
    assert (goals[:, 2] > 0.04).all()
    assert (np.hypot(goals[:, 0], goals[:, 1]) < 0.43).all()


def test_the_puck_starts_before_the_finger_and_is_not_touched():
    env = So101Push()
    for seed in range(50):
        observation, _ = env.reset(seed=seed)
        gap = math.dist(tip(observation[:5])[:2], observation[15:17])
        assert 0.02 < gap < 0.1
        assert observation[15:17].tolist() == env.context()["puck"]
        assert 0.059 < math.dist(observation[15:17], observation[env.goal]) < 0.101


# ---------------------------------------------------------------- rewards


def test_reward_of_reaching_is_that_of_the_text():
    env = So101Reach()
    observations, actions, rewards = sweeping(env, 10)
    for after, action, reward in zip(observations[1:], actions, rewards, strict=True):
        expected = -math.dist(tip(after[:5]), after[15:]) - 0.005 * (action**2).sum()
        assert reward == pytest.approx(expected, abs=1e-12)


def test_reward_of_pushing_is_that_of_the_text():
    env = So101Push()
    observations, actions, rewards = sweeping(env, 10)
    for after, action, reward in zip(observations[1:], actions, rewards, strict=True):
        puck = after[15:17]
        near = math.dist(tip(after[:5]), (*puck, 0.03))
        expected = -math.dist(puck, after[env.goal]) - near / 2 - 0.005 * (action**2).sum()
        assert reward == pytest.approx(expected, abs=1e-12)


def test_reward_is_the_same_of_batches_and_of_tensors():
    for env in (So101Reach(), So101Push()):
        observations, actions, rewards = sweeping(env, 20)
        parts = observations[:-1], actions, observations[1:]
        assert np.array_equal(env.reward(*parts), rewards)
        tensors = (torch.tensor(part) for part in parts)
        np.testing.assert_allclose(env.reward(*tensors).numpy(), rewards, atol=1e-14)


def test_the_constraint_is_broken_at_the_table():
    env = So101Reach()
    low, high = env.home + [0, 0.3, 0.2, 0.0, 0.0], env.home
    for joints, broken in ((low, True), (high, False)):
        observation = np.concatenate([joints, np.zeros(13)])
        assert (env.constraint(observation, np.zeros(5), observation) > 0) == broken


@both
def test_the_threshold_lies_between_doing_nothing_and_planning_on_the_truth(task):
    """Not the measurement that set it, which took 20 starts, but its direction."""
    env = task()
    name = f"{task.__module__}:{task.__name__}"
    described = describe(env, EnvSpec(name))
    model = TrueDynamics(described)
    policy = ICEM(described, planning_horizon=4, samples=24, iterations=3, elites=6)
    returns = {}
    for kind in ("idle", "planned"):
        observation, _ = env.reset(seed=3)
        actor, total = policy.start(model, [MEAN], [0]), 0.0
        for _ in range(env.horizon):
            action = actor.act(observation[None])[0] if kind == "planned" else np.zeros(5)
            observation, reward, *_ = env.step(action)
            total += reward
        returns[kind] = total
    assert returns["idle"] < task.threshold < returns["planned"]


# ---------------------------------------------------------------- the puck


def test_reaching_goes_through_where_the_puck_would_be():
    env = So101Reach()
    env.reset(seed=0)
    before = env.data.qpos[5:].copy()
    env.data.qpos[5:] = tip(env.data.qpos[:5])[:2]
    for _ in range(5):
        env.step(np.array([1.0, 0.0, 0.0, 0.0, 0.0]))
    env.reset(seed=0)
    assert np.array_equal(env.data.qpos[5:], before)
    assert not env.model.geom("puck").conaffinity[0]


def test_a_sweep_pushes_the_puck_and_it_stops_by_friction():
    env = So101Push()
    options = {"joints": env.home.tolist(), "puck": [0.2, 0.06], "goal": [0.2, 0.15]}
    env.reset(options=options)
    for _ in range(8):
        observation, *_ = env.step(np.array([1.0, 0.0, 0.0, 0.0, 0.0]))
    assert observation[16] > 0.09
    for _ in range(8):
        observation, *_ = env.step(np.array([-1.0, 0.0, 0.0, 0.0, 0.0]))
    assert abs(observation[17:19]).max() < 1e-3
    assert observation[16] < 0.2


# ---------------------------------------------------------------- a robot's samples


def test_the_twin_moves_as_the_task_does():
    """The same commands in both; the twin goes to each of them evenly."""
    env, scene = So101Push(), Scene(ASSETS / "so101.xml")
    observation, _ = env.reset(seed=0)
    scene.reset(env.context())
    np.testing.assert_allclose(scene.positions, observation[:5], atol=1e-12)
    target = observation[:5] + observation[10:15]
    for action in np.random.default_rng(0).uniform(-0.8, 0.8, (20, 5)):
        observation, *_ = env.step(action)
        for _ in range(5):
            target = scene.move(target + 0.02 * action, 0.02)
            for _ in range(2):
                scene.advance()
        assert np.abs(scene.positions - observation[:5]).max() < 0.02


@both
def test_a_robots_samples_show_what_the_env_shows(task):
    env = task()
    observation, _ = env.reset(seed=5)
    for action in np.random.default_rng(5).uniform(-1, 1, (20, 5)):
        data = env.data
        sensors = np.concatenate([data.qpos[5:], data.qvel[5:]])
        shown = env.robot_observation(
            data.qpos[:5], data.qvel[:5], sensors, data.ctrl, env.context()
        )
        assert np.array_equal(shown, observation)
        observation, *_ = env.step(action)


@both
def test_sensors_are_those_of_the_mjcf(task):
    env = task()
    env.reset(seed=5)
    for _ in range(5):
        env.step(np.array([1.0, 0.5, 0.0, 0.0, 0.0]))
    mujoco.mj_forward(env.model, env.data)
    state = np.concatenate([env.data.qpos[5:], env.data.qvel[5:]])
    assert np.array_equal(env.data.sensordata, state)


@both
def test_many_samples_at_once_are_each_alone(task):
    env, rng = task(), np.random.default_rng(0)
    positions, velocities, targets = rng.normal(0, 0.3, (3, 2, 4, 5))
    sensors = rng.normal(0, 0.3, (2, 4, 4))
    options = {"goal": (0.3, 0.0, 0.1)[: env.goal.stop - env.goal.start], "joints": (0.0,) * 5}
    shown = env.robot_observation(positions, velocities, sensors, targets, options)
    assert shown.shape == (2, 4, len(task.channels))
    one = (x[1, 2] for x in (positions, velocities, sensors, targets))
    assert np.array_equal(shown[1, 2], env.robot_observation(*one, options))


def test_reaching_needs_no_sensors():
    nothing, zeros = np.zeros((3, 0)), np.zeros((3, 5))
    shown = So101Reach().robot_observation(zeros, zeros, nothing, zeros, {"goal": (0.3, 0.0, 0.1)})
    assert shown.shape == (3, 18)


def test_a_start_without_a_goal_is_refused():
    zeros = np.zeros(5)
    with pytest.raises(UserError, match="lack goal"):
        So101Reach().robot_observation(zeros, zeros, np.zeros(4), zeros, {"joints": (0.0,) * 5})


@both
def test_says_what_it_commands(task):
    env = task()
    assert env.joints == JOINTS and env.robot_command == "velocity"
    assert isinstance(env, SupportsContext) and isinstance(env, SupportsDynamics)
    assert isinstance(env, SupportsConstraint) == (task is So101Reach)
    described = describe(env, EnvSpec("so101"))
    assert described.control_period == pytest.approx(0.1)
    assert described.action_low.tolist() == [-1] * 5 and described.action_high.tolist() == [1] * 5
    assert len(described.channels) == env.reset(seed=0)[0].size


@both
def test_without_opengl_pictures_are_drawn_flat(task, monkeypatch):
    def broken(self):
        raise RuntimeError("no OpenGL here")

    monkeypatch.setattr(PhysicsEnv.__base__, "render", broken)
    env = task(render_mode="rgb_array")
    env.reset(seed=0)
    first = env.render()
    for _ in range(5):
        env.step(np.array([1.0, -1.0, 0.0, 0.0, 0.0]))
    assert first.shape == (480, 480, 3)
    assert (env.render() != first).any()
