"""The oracle for a robot behind a `robo-al-agent`, near or far.

What the host knows of a robot is what the agent says: samples of joints and sensors. The task says
how they are observed and what its actions command (`SupportsRobot`); of a Gymnasium env that the
agent itself steps, the sensors are the observation. Rollouts have the campaign's identifier in
theirs, so that asking again, after whatever died, gives what was recorded and never a second run.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from robo_al.config.ranges import Positive, Width
from robo_al.errors import OracleError, UserError
from robo_al.oracles.connection import unconnected
from robo_al.oracles.refusals import refusal
from robo_al.oracles.robot_measures import details_of, signals_of
from robo_al.oracles.standing import Standing
from robo_al.oracles.waiting import Notices, cause
from robo_al.protocols import Actor, Resolver, SupportsContext, SupportsGraph, SupportsRobot
from robo_al.tasks import contexts_from, describe
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.tasks.starts import plain_options
from robo_al.tasks.trial import own_copy, trying
from robo_al.torch_defaults import one_thread
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Context,
    EnvSpec,
    Failure,
    FailureKind,
    OpenLoop,
    Outcome,
    Refusal,
    Task,
    Trajectory,
)
from robo_al_agent.config import is_loopback, split_address
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.envelope.envelope import check_candidates, from_fields
from robo_al_agent.errors import AgentError
from robo_al_agent.motion.execution import filled
from robo_al_agent.motion.tables import measured
from robo_al_agent.protocol.client import Client, Job, Session
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Sample

Array = NDArray[np.float64]
logger = logging.getLogger("robo_al")

KINDS: Mapping[str, FailureKind] = {
    "REJECTED_ENVELOPE": "failed",
    "REJECTED_OPERATOR": "aborted",
    "EXPIRED": "failed",
    "ABORTED_OPERATOR": "aborted",
    "ABORTED_SAFETY": "aborted",
    "LINK_LOST": "aborted",
    "TOLERANCE_VIOLATED": "aborted",
    "FAULTED": "failed",
    "ESTOP": "failed",
    "INTERRUPTED": "indeterminate",
}
"""What the agent's outcomes are in the ledger."""
_LOOK_SECONDS = 0.25
"""How often it is looked what a campaign waits for."""
_PATIENCE_SECONDS = 5.0
"""After which it is said why no start can be looked at: an idle robot is read twice a second."""


@dataclass
class _Flight:
    """One rollout that was submitted."""

    candidate: Candidate
    start: Array
    """[J] the first target, where the start says so; empty otherwise."""
    actor: Actor | None = None
    asked: dict[int, Array] = field(default_factory=dict)
    """What a policy answered, by step."""


class RobotOracle:
    """Executes candidates on the robot of an agent, one at a time.

    Args:
        env: the task.
        address: `tcp://host:port` of the agent.
        keys: folder with `agent.key` and `host.key_secret`; needed unless it is on this machine.
        start_timeout: seconds that the agent may take to answer at first.
        queue: rollouts that may be submitted and not yet polled.
        onnx: whether a policy that can travel (`SupportsGraph`) runs at the agent where its mean is
            asked for, as in evaluations; else it answers each step from here.

    Raises:
        UserError: the agent's robot is not one that the task can use, or a key is missing.
        OracleError: no agent answers.
    """

    def __init__(
        self,
        env: EnvSpec,
        address: str = "tcp://127.0.0.1:5555",
        keys: str | None = None,
        start_timeout: Positive = 10.0,
        queue: Width = 1,
        onnx: bool = False,
    ) -> None:
        self.campaign = uuid.uuid4().hex
        """Part of every rollout's identifier; a campaign sets its own, which outlives this."""
        self.capacity = queue
        self._onnx = onnx
        with borrowed(env) as made:
            facts = replace(env.facts, horizon=1)  # an evaluation's, which matters not here
            self._task = describe(made, replace(env, facts=facts))
            self._robot = offers_of(made).robot
        try:
            host, _ = split_address(address, "oracle.address")
            self._client = Client(address, Path(keys) if keys else None, self._on_sample)
        except AgentError as error:
            raise UserError(f"oracle robot: {error}") from error
        self._flights: dict[str, _Flight] = {}
        self._address = address
        self.resolve: Resolver = unconnected
        """Finds the policies that candidates name."""
        self._notices = Notices()
        self.notice: Callable[[str], None] = logger.warning
        """Told what is waited for."""
        self._policies = threading.Lock()
        self._samples: SimpleQueue[Message | None] = SimpleQueue()
        self._failure: Exception | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._stream, daemon=True)
        self._thread.start()
        try:
            self._meet(address, start_timeout)
        except BaseException:
            self.close()
            raise
        if is_loopback(host):
            logger.warning(
                "the robot's agent is on this machine, which also trains: its control loop may "
                "miss deadlines (they are counted with every rollout)"
            )

    # ------------------------------------------------------------ the contract

    def look(self, seeds: Sequence[int]) -> list[Context]:
        """Find the next start: where the robot stands once it is idle and at rest.

        What the env's reset draws for the first seed beside the pose, a goal, comes with it. The
        rollout begins there, or nowhere: the agent refuses one whose robot was moved meanwhile.

        Raises:
            UserError: the robot is one of actions, which has no pose to stand at.
            OracleError: closed, or rollouts are pending: the robot does not stay where it is.
            PluginError: the env cannot say what it observes there.
        """
        self._refuse_closed()
        if self._spec["command"] == "action":
            raise UserError(
                f"oracle robot: {self._spec['name']} takes actions, and a start is found by the "
                "positions of joints; an env is found where it is by oracle: gymnasium"
            )
        if self._flights:
            raise OracleError(f"{len(self._flights)} candidates are pending; poll first")
        seen, size = self._standing(), len(self._task.channels)
        with borrowed(self._task.env) as env:
            (drawn,), inner = contexts_from(env, seeds[:1]), env.unwrapped
            with trying(env, "context"):  # no seed and no options may bring it back: it says more
                said = plain_options(inner.context()) if isinstance(inner, SupportsContext) else {}
            options = {**said, "joints": tuple(seen.positions.tolist())}
            with trying(env, "robot_observation"):
                observation = own_copy(self._observe(measured(seen), seen.positions, options))
                if observation.shape != (size,) or not np.isfinite(observation).all():
                    raise ValueError(f"{observation} is no observation of {size} finite numbers")
        return [replace(drawn, observation=observation, options=options, found=True)]

    def submit(self, candidate: Candidate) -> None:
        """Hand one candidate to the agent; the same one again asks for what became of it.

        Raises:
            UserError: its actions cannot be executed.
            OracleError: closed, `queue` candidates are pending, or its id is among them.
        """
        self._refuse_closed()
        if candidate.id in self._flights:
            raise OracleError(f"candidate {candidate.id!r} is pending already")
        if len(self._flights) >= self.capacity:
            raise OracleError(f"{self.capacity} candidates are pending already; poll first")
        content, arrays, start = self._request(candidate)
        flight = _Flight(candidate, start)
        controller = candidate.controller
        if content["controller"] == "streamed":
            assert isinstance(controller, ClosedLoop)
            with self._policies, one_thread:
                policy, model = self.resolve(controller)
                flight.actor = policy.start(model, [controller.member], [candidate.seed])
        self._flights[candidate.id] = flight
        self._client.submit(self._wire_id(candidate.id), content, arrays)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Return what has come; waits for one, at most `timeout` seconds.

        Raises:
            OracleError: a policy failed while it controlled the robot, or the agent refuses a
                rollout for another reason than its envelope.
        """
        self._refuse_closed()
        names = {self._wire_id(name): name for name in self._flights}

        def arrived(session: Session) -> bool:
            return self._failure is not None or any(
                session.jobs[name].stage == "done" for name in names
            )

        waited = 0.0
        while names:
            part = _LOOK_SECONDS if timeout is None else min(_LOOK_SECONDS, timeout - waited)
            came = self._client.wait(arrived, part)
            self._mention(names)
            if came:
                break
            waited += part
            if timeout is not None and waited >= timeout:
                break
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise OracleError(f"the policy failed while it controlled the robot: {failure}")
        outcomes = []
        for wire, name in names.items():
            job = self._client.session.jobs[wire]
            if job.stage == "done":
                flight = self._flights.pop(name)
                outcomes.append(self._outcome(flight, job))
        return outcomes

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Let the agent drop its copy of rollouts that are safe here."""
        for name in ids:
            self._client.acknowledge(self._wire_id(name))

    def refusal(self, candidate: Candidate, imagined: Float[np.ndarray, "E T A"]) -> Refusal | None:
        """Say what of a candidate the robot's envelope refuses, as far as the host can know.

        Args:
            candidate: perhaps with a policy as controller.
            imagined: the actions that it would send, in each member of the model.
        """
        start = self._first(candidate)
        if not len(start):
            return None  # from wherever the robot is then: the agent will say
        substeps, sent = self._substeps, imagined[:, : candidate.horizon]
        paths = [filled(start, self._targets(start, actions), substeps) for actions in sent]
        between = self._task.control_period / substeps
        found = check_candidates(self._envelope, np.stack(paths), between, start)
        first = next((violation for violation in found if violation is not None), None)
        return None if first is None else refusal(first)

    def close(self) -> None:
        """Give the robot back; what runs is stopped by the agent. May be called twice."""
        if not self._closed:
            self._closed = True
            self._samples.put(None)
            self._thread.join()
            self._client.close()

    def __enter__(self) -> "RobotOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ what goes to the agent

    def _meet(self, address: str, timeout: float) -> None:
        """Learn which robot it is, and whether the task can use it."""

        def met(session: Session) -> bool:
            """Whether it may be commanded, or something is known to be in the way."""
            if session.agent is None:
                return False
            ready = session.agent.fields["rate"] is not None or session.fault is not None
            return session.problem is not None or (session.fencing is not None and ready)

        self._client.wait(met, timeout)
        session = self._client.session
        if session.agent is None:
            raise OracleError(
                f"no agent answers at {address} within {timeout:g} s; start one there with "
                "`robo-al-agent serve AGENT.yaml`, and check address and keys"
            )
        said = session.agent.fields
        if session.fencing is None or said["rate"] is None:
            why = session.problem or "its robot is not connected yet"
            if session.fencing is not None and session.fault is not None:
                why = f"its robot is not ready: {session.fault['message']}"
            raise OracleError(f"the agent at {address}: {why}")
        self._spec = said["spec"]
        self._envelope = from_fields(said["envelope"])
        joints = self._spec["joints"]
        self._joints = tuple(joint["name"] for joint in joints)
        self._limits = (
            np.array([joint["low"] for joint in joints]),
            np.array([joint["high"] for joint in joints]),
        )
        self._sensors = tuple(sensor["name"] for sensor in self._spec["sensors"])
        wrong = self._mismatch(self._task, self._robot)
        if wrong:
            raise UserError(f"oracle robot: {wrong}")
        between = self._task.control_period / self._substeps
        fastest = Rate(**said["rate"]).shortest_period
        if between < fastest:
            raise UserError(
                f"oracle robot: the task commands every {between:g} s; this robot takes commands "
                f"{fastest:.4f} s apart at least"
            )

    def _mismatch(self, task: Task, robot: SupportsRobot | None) -> str | None:
        name = self._spec["name"]
        if robot is None:
            size = len(task.channels)
            if self._spec["command"] != "action":
                return (
                    f"env {task.env.name} does not say how it is done on a robot; give it `joints`,"
                    " `robot_command` and `robot_observation`"
                )
            if len(self._observed) != size or len(self._joints) != len(task.action_low):
                return (
                    f"{name} has {len(self._observed)} sensors and {len(self._joints)} joints; env "
                    f"{task.env.name} has {size} observations and {len(task.action_low)} actions"
                )
            return None
        if self._spec["command"] == "action" and robot.robot_command != "action":
            return f"{name} takes actions, and env {task.env.name} commands {robot.robot_command}"
        if tuple(robot.joints) != self._joints:
            return (
                f"env {task.env.name} has the joints {', '.join(robot.joints)}; {name} has "
                f"{', '.join(self._joints)}, in this order"
            )
        return None

    @property
    def _observed(self) -> list[int]:
        """Sensors that are observations."""
        said = ("reward", "terminated", "truncated")
        return [i for i, name in enumerate(self._sensors) if name not in said]

    @property
    def _substeps(self) -> int:
        return 1 if self._robot is None else self._robot.robot_substeps

    def _wire_id(self, name: str) -> str:
        return f"{self.campaign}/{name}"

    def _first(self, candidate: Candidate) -> Array:
        return np.array(candidate.context.options.get("joints", ()), np.float64)

    def _request(
        self, candidate: Candidate
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]], Array]:
        """Return content and arrays of a submission, and the first target."""
        options = {
            name: [float(value) for value in values]
            for name, values in candidate.context.options.items()
        }
        opened = isinstance(candidate.controller, OpenLoop)
        content = {
            "controller": "open_loop" if opened else "streamed",
            "joints": list(self._joints),
            "period": self._task.control_period,
            "substeps": self._substeps,
            "horizon": candidate.horizon,
            "start": options,
            "seed": candidate.context.seed,
            "why": candidate.why[:1000],
        } | ({"found": True} if candidate.context.found else {})
        start, controller = self._first(candidate), candidate.controller
        if not isinstance(controller, OpenLoop):
            if not (self._onnx and controller.member == MEAN):
                return content, {}, start
            policy, _ = self.resolve(controller)
            if isinstance(policy, SupportsGraph):
                graph = policy.robot_graph(len(self._sensors), self._limits)
                arrays = {"policy": np.frombuffer(graph, np.uint8)}
                return content | {"controller": "onnx"}, arrays, start
            return content, {}, start
        actions = np.asarray(controller.actions, np.float64)
        wanted = (candidate.horizon, len(self._task.action_low))
        if actions.shape != wanted:
            raise UserError(
                f"candidate {candidate.id}: actions of shape {actions.shape}; [horizon, action "
                f"size] is {wanted}"
            )
        if self._command == "velocity" and not len(start):
            raise UserError(
                f"candidate {candidate.id}: velocities in open loop need a start pose; let the "
                "env's context have `joints`"
            )
        return content, {"actions": self._targets(start, actions)}, start

    @property
    def _command(self) -> str:
        return "action" if self._robot is None else self._robot.robot_command

    def _targets(self, start: Array, actions: Array) -> Array:
        """Return what actions [T, A] command [T, J]."""
        clipped: Array = np.clip(actions, self._task.action_low, self._task.action_high)
        if self._command != "velocity":
            return clipped
        targets, target = np.empty_like(clipped), start
        for k, action in enumerate(clipped):
            target = self._after(target, action)
            targets[k] = target
        return targets

    def _after(self, target: Array, velocity: Array) -> Array:
        """Return the next target, which stays within the joints' limits."""
        moved: Array = np.clip(target + velocity * self._task.control_period, *self._limits)
        return moved

    # ------------------------------------------------------------ while none runs

    def _standing(self) -> Sample:
        """Wait for a new reading of the robot at rest, however long somebody else moves it."""
        standing, waited = Standing(self._spec["joints"]), 0.0
        self._client.look(True)
        try:
            while not self._client.wait(standing.take, _LOOK_SECONDS):
                waited += _LOOK_SECONDS
                self._mention((), standing.waits_for if waited > _PATIENCE_SECONDS else None)
        finally:
            self._client.look(False)
        self._refuse_closed()  # meanwhile, from another thread
        self._mention(())
        assert standing.sample is not None
        return standing.sample

    # ------------------------------------------------------------ while one runs

    def _on_sample(self, message: Message) -> None:
        self._samples.put(message)

    def _stream(self) -> None:
        """Answer samples of streamed rollouts, always the newest: the life of a thread."""
        while (message := self._samples.get()) is not None:
            while not self._samples.empty():  # what was not answered in time is not any more
                message = self._samples.get()
            if message is None:
                return
            try:
                self._answer(message)
            except Exception as error:
                self._failure = error

    def _answer(self, message: Message) -> None:
        prefix, _, name = str(message.fields["id"]).rpartition("/")
        flight = self._flights.get(name)
        if flight is None or flight.actor is None or prefix != self.campaign:
            return
        options = flight.candidate.context.options
        target = message.arrays["targets"]
        observation = self._observe(message.arrays, target, options)
        with self._policies, one_thread:
            action = np.array(flight.actor.act(observation[None]), np.float64)[0]
        if not np.isfinite(action).all():
            raise ValueError("its action is not finite")
        step = int(message.fields["step"])
        flight.asked[step] = action
        command = np.clip(action, self._task.action_low, self._task.action_high)
        if self._command == "velocity":
            command = self._after(target, command)
        self._client.answer(str(message.fields["id"]), step, command)

    def _observe(
        self, arrays: Mapping[str, NDArray[Any]], targets: Array, options: Mapping[str, Any]
    ) -> Array:
        if self._robot is None:
            sensed: Array = arrays["sensors"][..., self._observed]
            return sensed
        observed: Array = self._robot.robot_observation(  # type: ignore[no-untyped-call]
            arrays["positions"], arrays["velocities"], arrays["sensors"], targets, options
        )
        return observed

    def _mention(self, names: Collection[str], otherwise: str | None = None) -> None:
        """Say what a campaign waits for, when that changes; `otherwise` where it is not the agent.

        Args:
            names: identifiers on the wire of what is pending.
            otherwise: what it waits for where nothing keeps the agent from executing.
        """
        session = self._client.session
        silent = (time.monotonic_ns() - session.heard_ns) / 1e9
        why = cause(session, self._address, names, silent) or otherwise
        news = self._notices.news(why)
        if news is not None:
            self.notice(news)

    # ------------------------------------------------------------ what comes back

    def _outcome(
        self,
        flight: _Flight,
        job: Job,
    ) -> Outcome:
        name, result, state, refused = flight.candidate.id, job.result, job.state, job.refused
        if job.gone:
            return Outcome(name, Failure("indeterminate", f"the agent says: {refused}"), 0.0)
        if refused is not None:  # so would be all others: nothing is gained by going on
            raise OracleError(f"the robot's agent refuses rollout {name}: {refused}")
        assert state is not None
        kind, reason = str(state.fields["kind"]), str(state.fields["reason"])
        details = details_of(state, result)
        trajectory, seconds = None, 0.0
        if result is not None and len(result.arrays.get("sent", ())):
            trajectory = self._trajectory(flight, result.arrays)
            times = result.arrays["time_ns"]
            seconds = float(times[-1] - times[0]) / 1e9
        if kind == "SUCCEEDED" and trajectory is not None:
            return Outcome(name, trajectory, seconds, details)
        if kind == "SUCCEEDED":
            nothing = Failure("failed", "it ended at its first observation")
            return Outcome(name, nothing, seconds, details)
        text = f"{kind}: {reason}" if reason else kind
        return Outcome(name, Failure(KINDS[kind], text, trajectory), seconds, details)

    def _trajectory(self, flight: _Flight, arrays: Mapping[str, NDArray[Any]]) -> Trajectory:
        """Return what was measured as the task sees it."""
        steps = min(len(arrays["sent"]), len(arrays["positions"]) - 1)
        steps = max(steps, 0)
        kept = {name: values[: steps + 1] for name, values in arrays.items()}
        sent, controller = arrays["sent"][:steps], flight.candidate.controller
        first = flight.start if len(flight.start) else arrays["positions"][0]
        targets = np.concatenate([first[None], sent])
        observations = self._observe(kept, targets, flight.candidate.context.options)
        actions = sent
        if self._command == "velocity":
            actions = (sent - targets[:-1]) / self._task.control_period
        if isinstance(controller, OpenLoop):
            asked = np.asarray(controller.actions[:steps], np.float64)
        else:  # a step whose answer was missed has only what was sent
            asked = np.array([flight.asked.get(k, actions[k]) for k in range(steps)])
        rewards = self._rewards(observations, actions, kept["sensors"])
        ends, cuts = (self._said(name, kept["sensors"]) for name in ("terminated", "truncated"))
        over = ends | cuts
        stop = int(over.argmax()) + 1 if over.any() else steps
        kept_arrays = observations[: stop + 1], actions[:stop], asked[:stop], rewards[:stop]
        ended = bool(ends[:stop].any())
        whole = ended or stop == flight.candidate.horizon
        truncated = bool(cuts[:stop].any()) and not whole
        return Trajectory(*kept_arrays, ended, truncated, signals_of(arrays, stop))

    def _said(self, name: str, sensors: Array) -> Bool[np.ndarray, "T"]:
        """Return after which steps a sensor said yes; one that the robot lacks never does."""
        if name not in self._sensors:
            return np.zeros(len(sensors) - 1, bool)
        said: NDArray[np.bool_] = sensors[1:, self._sensors.index(name)] > 0.5
        return said

    def _rewards(self, observations: Array, actions: Array, sensors: Array) -> Array:
        """Return rewards [T]."""
        if "reward" in self._sensors:
            return np.array(sensors[1:, self._sensors.index("reward")], np.float64)
        if self._task.reward is None:
            raise OracleError(
                f"env {self._task.env.name} has no `reward` function, and the robot measures none"
            )
        rewards = self._task.reward(observations[:-1], actions, observations[1:])
        return np.asarray(rewards, np.float64)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OracleError("the oracle is closed")
