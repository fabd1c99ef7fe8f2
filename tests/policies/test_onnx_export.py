"""ONNX and torch agree: the graph that leaves is the policy that was evaluated."""

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from robo_al.errors import UserError
from robo_al.plugins import make_env
from robo_al.tasks import contexts_from, describe
from robo_al.testing import FakeModel, fake_task
from robo_al.types import MEAN, EnvSpec
from robo_al_agent.motion.policy import OnnxPolicy
from robo_al_agent.robot import Joint, RobotSpec, Sample, Sensor
from robo_al_envs.so101 import HIGH, JOINTS, LOW, So101Reach
from robo_al_policies.icem import ICEM
from robo_al_policies.onnx_export import export_onnx, export_robot_onnx
from robo_al_policies.sb3 import SB3

SMALL = {"hidden": [16, 16], "worlds": 4}


def task_of(name, **parameters):
    spec = EnvSpec(name, parameters)
    return describe(make_env(spec), spec)


def unsettled(policy):
    """Give CrossQ's normalisations averages that are not those of a new policy."""
    draw = torch.Generator().manual_seed(0)
    state = policy.state_dict()
    for key, value in state.items():
        if key.endswith(("ra_mean", "ra_var")):
            state[key] = value + torch.rand(value.shape, generator=draw)
    policy.load_state_dict(state)
    return policy


def answers(policy, observations):
    """Return what the policy does when it is evaluated; it asks no model."""
    rows = len(observations)
    actor = policy.start(FakeModel(fake_task()), [MEAN] * rows, range(rows))
    return actor.act(observations)


@pytest.mark.parametrize("algorithm", ["sac", "td3", "ppo", "crossq"])
@pytest.mark.parametrize("env", ["robo_al.testing:FakeEnv", "pendulum", "gymnasium:Pusher-v5"])
def test_onnx_and_torch_agree(tmp_path, algorithm, env):
    task = task_of(env)
    policy = unsettled(SB3(task, algorithm=algorithm, policies=2, **SMALL))
    export_onnx(policy, tmp_path / "policy.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    rng = np.random.default_rng(0)
    observations = rng.normal(scale=3, size=(50, len(task.channels))).astype(np.float32)
    (actions,) = session.run(["action"], {"observation": observations})
    expected = answers(policy, observations.astype(np.float64))
    np.testing.assert_allclose(actions, expected, atol=1e-5)
    assert np.abs(expected).max() > 1e-3 and len(np.unique(expected.round(6), axis=0)) > 40
    (one,) = session.run(["action"], {"observation": observations[:1]})
    np.testing.assert_allclose(one, actions[:1], atol=1e-6)


def test_clipped_actions_are_clipped_in_the_graph_too(tmp_path):
    policy = SB3(fake_task(), algorithm="ppo", policies=1, **SMALL)
    policy._algorithms[0].policy.action_net.bias.data.fill_(3.0)
    export_onnx(policy, tmp_path / "policy.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    (actions,) = session.run(["action"], {"observation": np.zeros((1, 3), np.float32)})
    np.testing.assert_allclose(actions, [fake_task().action_high])


def test_the_same_policy_gives_the_same_bytes(tmp_path):
    policy = SB3(fake_task(), policies=1, **SMALL)
    for name in ("one", "two"):
        export_onnx(policy, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("export", [export_onnx, export_robot_onnx])
def test_a_policy_that_is_no_network_is_refused(tmp_path, export):
    with pytest.raises(UserError, match="policy ICEM cannot be exported.*only the policies sb3"):
        export(ICEM(fake_task()), tmp_path / "policy.onnx")
    assert not list(tmp_path.iterdir())


def arm(sensors):
    joints = tuple(Joint(*limit) for limit in zip(JOINTS, LOW, HIGH, strict=True))
    return RobotSpec(
        name="arm",
        joints=joints,
        rate=50.0,
        watchdog="none",
        watchdog_seconds=None,
        stop_seconds=0.1,
        sensors=tuple(Sensor(f"sensor {i}", "m") for i in range(sensors)),
    )


@pytest.mark.parametrize(("algorithm", "sensors"), [("sac", 0), ("sac", 2), ("crossq", 0)])
def test_a_robots_agent_commands_what_the_host_would(tmp_path, algorithm, sensors):
    env = "so101_reach"
    made = make_env(EnvSpec(env))
    task = describe(made, EnvSpec(env))
    policy = unsettled(SB3(task, algorithm=algorithm, **SMALL))
    path = tmp_path / "policy.onnx"
    export_robot_onnx(policy, path, sensors, limits=(LOW, HIGH))
    asked = [port.name for port in onnx.load(path).graph.input]
    assert asked == ["positions", "velocities", "targets", "start.goal"]
    (context,) = contexts_from(made, [0])
    graph = np.frombuffer(path.read_bytes(), np.uint8)
    travelled = OnnxPolicy(graph, arm(sensors), {k: list(v) for k, v in context.options.items()})
    rng, commands = np.random.default_rng(0), []
    for _ in range(20):
        positions = rng.uniform(LOW, HIGH)
        velocities, measured = rng.normal(size=5), rng.normal(size=sensors)
        targets = np.clip(positions + rng.normal(size=5), LOW, HIGH)
        observation = made.unwrapped.robot_observation(
            positions, velocities, measured, targets, context.options
        )
        action = answers(policy, observation[None])[0]
        expected = np.clip(targets + action * task.control_period, LOW, HIGH)
        sample = Sample(0, 0, positions, velocities, np.zeros(5), measured)
        commands.append(travelled.act(sample, targets))
        np.testing.assert_allclose(commands[-1], expected, atol=1e-5)
        # a command moves by at most 0.02 rad: what the policy says must be seen in it
        inside = (LOW < expected) & (expected < HIGH)
        moved = (commands[-1] - targets)[inside] / task.control_period
        np.testing.assert_allclose(moved, action[inside], atol=1e-3)
    assert np.ptp(commands, axis=0).min() > 0


def test_a_task_of_no_robot_is_refused(tmp_path):
    with pytest.raises(UserError, match="no robot's"):
        export_robot_onnx(SB3(fake_task(), **SMALL), tmp_path / "policy.onnx")


def test_an_observation_that_is_not_affine_is_refused(tmp_path, monkeypatch):
    policy = SB3(task_of("so101_reach"), **SMALL)
    straight = So101Reach.robot_observation

    def bent(self, positions, *rest):
        return straight(self, np.sin(positions), *rest)

    monkeypatch.setattr(So101Reach, "robot_observation", bent)
    with pytest.raises(UserError, match="not affine"):
        export_robot_onnx(policy, tmp_path / "policy.onnx")
