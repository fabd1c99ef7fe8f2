"""A policy of networks as an ONNX graph: the mean policy, as it is evaluated.

An actor is a few dense layers, which are written operator by operator: see `robo_al.deploy.onnx`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import nn

from robo_al.deploy.onnx import Graph
from robo_al.errors import UserError
from robo_al.protocols import Policy
from robo_al.tasks import contexts_from
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al_policies.bc import BehaviouralCloning
from robo_al_policies.sb3 import SB3

Array = NDArray[np.float64]
ACTIVATIONS = {nn.ReLU: "Relu", nn.Tanh: "Tanh"}


def export_onnx(policy: Policy, path: str | Path) -> None:
    """Write what `graph_of` returns; raises likewise."""
    Path(path).write_bytes(graph_of(policy))


def graph_of(policy: Policy) -> bytes:
    """Return a graph: input `observation` [batch, O], output `action` [batch, A], float32.

    Raises:
        UserError: the policy is not made of networks, or the package onnx is not installed.
    """
    networks = _need_networks(policy)
    graph = Graph()
    graph.rename(_act(graph, networks, "observation"), "action")
    sizes = len(networks.task.channels), len(networks.task.action_low)
    return graph.content({"observation": ["batch", sizes[0]]}, {"action": ["batch", sizes[1]]})


def _need_networks(policy: Policy) -> SB3 | BehaviouralCloning:
    """Refuse a policy that is no network, such as the default one, which plans at every step."""
    if isinstance(policy, SB3 | BehaviouralCloning):
        return policy
    raise UserError(
        f"a policy {type(policy).__qualname__} cannot be exported as ONNX: only the policies sb3 "
        "and bc can, which are made of networks; train one by a run with `policy: sb3`"
    )


def export_robot_onnx(
    policy: Policy,
    path: str | Path,
    sensors: int = 0,
    limits: tuple[Float[np.ndarray, "J"], Float[np.ndarray, "J"]] | None = None,
) -> None:
    """Write what `robot_graph_of` returns; raises likewise."""
    Path(path).write_bytes(robot_graph_of(policy, sensors, limits))


def robot_graph_of(
    policy: Policy,
    sensors: int = 0,
    limits: tuple[Float[np.ndarray, "J"], Float[np.ndarray, "J"]] | None = None,
) -> bytes:
    """Return the graph that a robot's agent runs: from what it measures [1,n] to `command` [1,J].

    Inputs are those of positions, velocities, sensors, targets and `start.<option>` that the
    policy's answer depends on.

    Args:
        policy: of a task that a robot can do.
        sensors: how many the robot has beside its joints.
        limits: lowest and highest targets, between which a velocity is added up to one.

    Raises:
        UserError: the policy is not made of networks, the package onnx is not installed, the task
            is none of a robot, or what it observes is not affine in what the robot measures.
    """
    networks = _need_networks(policy)
    task = networks.task
    with borrowed(task.env) as env:
        robot: Any = offers_of(env).robot
        if robot is None:
            raise UserError(f"env {task.env.name}: no robot's (it has no `robot_observation`)")
        (context,) = contexts_from(env, [0])
    options = context.options
    joints = len(robot.joints)
    sizes = {"positions": joints, "velocities": joints, "sensors": sensors, "targets": joints}
    sizes |= {f"start.{name}": len(values) for name, values in options.items()}
    matrix, constant = _observed(robot, sizes, task.env.name)
    ends = np.cumsum(list(sizes.values()))
    blocks = dict(zip(sizes, np.split(matrix, ends[:-1], axis=1), strict=True))
    needed = [name for name, block in blocks.items() if block.any()]
    graph = Graph()
    measured = graph.add("Concat", *needed, axis=1)
    weights = np.concatenate([blocks[name] for name in needed], axis=1)
    observation = graph.dense(measured, weights, constant)
    command = _act(graph, networks, observation)
    if robot.robot_command == "velocity":
        moved = graph.add("Mul", command, graph.constant(np.array(task.control_period)))
        command = graph.add("Add", "targets", moved)
        needed += ["targets"] * ("targets" not in needed)
        if limits is not None:
            command = graph.add("Max", command, graph.constant(limits[0]))
            command = graph.add("Min", command, graph.constant(limits[1]))
    graph.rename(command, "command")
    inputs = {name: [1, sizes[name]] for name in needed}
    return graph.content(inputs, {"command": [1, joints]})


def _observed(robot: Any, sizes: Mapping[str, int], env: str) -> tuple[Array, Array]:
    """Return M [O,n] and c [O] with which a task observes M x + c of everything measured, x [n].

    Raises:
        UserError: no such are found.
    """
    total = sum(sizes.values())
    ends = np.cumsum(list(sizes.values()))[:-1]

    def observe(x: Array) -> Array:
        known = dict(zip(sizes, np.split(x, ends), strict=True))
        plain = [known.pop(name) for name in ("positions", "velocities", "sensors", "targets")]
        options = {name.removeprefix("start."): value.tolist() for name, value in known.items()}
        return np.asarray(robot.robot_observation(*plain, options), np.float64)

    constant = observe(np.zeros(total))
    matrix = np.stack([observe(row) - constant for row in np.eye(total)], axis=1)
    points = np.random.default_rng(0).uniform(-3, 3, (8, total))
    if not all(np.allclose(observe(x), matrix @ x + constant, atol=1e-9) for x in points):
        raise UserError(
            f"env {env}: its `robot_observation` is not affine in what the robot measures, so its "
            "policy cannot be written as one graph here; stream it from the host instead"
        )
    return matrix, constant


def _act(graph: Graph, policy: SB3 | BehaviouralCloning, observation: str) -> str:
    """Add the mean of the policies' most likely actions, in the task's units."""
    if isinstance(policy, BehaviouralCloning):
        return policy.imitation.add_to(graph, observation)
    observer, task = policy.observer, policy.task
    features = graph.features(observation, observer.linear, observer.angles)
    actions = []
    for network in policy.networks():
        x = features
        for layer in network.mean:
            if isinstance(layer, nn.Linear):
                weights, bias = (p.detach().cpu().numpy() for p in (layer.weight, layer.bias))
                x = graph.dense(x, weights, bias)
            else:
                x = graph.add(ACTIVATIONS[type(layer)], x)
        bounds = [graph.constant(np.array(bound)) for bound in (-1.0, 1.0)]
        actions.append(graph.add("Tanh", x) if network.squash else graph.add("Clip", x, *bounds))
    return graph.scaled(graph.add("Mean", *actions), task.action_low, task.action_high)
