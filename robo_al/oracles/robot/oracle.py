"""The oracle for a robot behind a `robo-al-agent`, near or far.

Rollouts have the campaign's identifier in theirs, so that asking again, after whatever died, gives
what was recorded and never a second run.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from robo_al.config.ranges import Positive, Width
from robo_al.errors import OracleError, UserError
from robo_al.oracles.connection import unconnected
from robo_al.oracles.robot.codec import RobotCodec
from robo_al.oracles.robot.embodiment import Embodiment
from robo_al.oracles.robot.meeting import meet
from robo_al.oracles.robot.refusals import refusal
from robo_al.oracles.robot.standing import Standing
from robo_al.oracles.robot.stream import PolicyStream, Samples
from robo_al.oracles.robot.waiting import Notices, cause
from robo_al.protocols import Resolver, SupportsContext, SupportsGraph
from robo_al.tasks import Env, contexts_from, describe
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.tasks.starts import plain_options
from robo_al.tasks.trial import own_copy, trying
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Context,
    EnvSpec,
    Outcome,
    Refusal,
)
from robo_al_agent.config import is_loopback, split_address
from robo_al_agent.devices.calibration import Rate
from robo_al_agent.envelope.envelope import check_candidates, from_fields
from robo_al_agent.errors import AgentError
from robo_al_agent.motion.paths import filled
from robo_al_agent.motion.tables import measured
from robo_al_agent.protocol.client import Client
from robo_al_agent.protocol.session import Session
from robo_al_agent.robot import Sample

logger = logging.getLogger("robo_al")

_LOOK_SECONDS = 0.25
"""How often it is looked what a campaign waits for."""
_PATIENCE_SECONDS = 5.0
"""After which it is said why no start can be looked at: an idle robot is read twice a second."""


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
        PluginError: the env observes the robot as no other of its observations is.
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
        self.resolve: Resolver = unconnected
        """Finds the policies that candidates name."""
        self.notice: Callable[[str], None] = logger.warning
        """Told what is waited for."""
        self._address = address
        self._onnx = onnx
        self._notices = Notices()
        self._pending: dict[str, Candidate] = {}
        self._closed = False
        with borrowed(env) as made:
            facts = replace(env.facts, horizon=1)  # an evaluation's, which matters not here
            self._task = describe(made, replace(env, facts=facts))
            robot = offers_of(made).robot
        samples = Samples()
        try:
            host, _ = split_address(address, "oracle.address")
            self._client = Client(address, Path(keys) if keys else None, samples.put)
        except AgentError as error:
            raise UserError(f"oracle robot: {error}") from error
        try:
            said = meet(self._client, address, start_timeout).fields
            self._spec = said["spec"]
            self._envelope = from_fields(said["envelope"])
            self._embodiment = Embodiment(self._task, robot, self._spec, Rate(**said["rate"]))
            with borrowed(env) as made:
                drawn = _drawn(made, 0)
                with trying(made, "robot_observation"):
                    self._embodiment.try_observing(drawn.options)
        except BaseException:
            self._client.close()
            raise
        self._codec = RobotCodec(self._embodiment)
        self._stream = PolicyStream(samples, self._embodiment, self._client.answer)
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
                f"oracle robot: {self._embodiment.name} takes actions, and a start is found by the "
                "positions of joints; an env is found where it is by oracle: gymnasium"
            )
        if self._pending:
            raise OracleError(f"{len(self._pending)} candidates are pending; poll first")
        seen, size = self._standing(), len(self._task.channels)
        with borrowed(self._task.env) as env:
            drawn = _drawn(env, seeds[0])
            options = {**drawn.options, "joints": tuple(seen.positions.tolist())}
            with trying(env, "robot_observation"):
                there = self._embodiment.observe(measured(seen), seen.positions, options)
                observation = own_copy(there)
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
        if candidate.id in self._pending:
            raise OracleError(f"candidate {candidate.id!r} is pending already")
        if len(self._pending) >= self.capacity:
            raise OracleError(f"{self.capacity} candidates are pending already; poll first")
        content, arrays = self._request(candidate)
        name = self._wire_id(candidate.id)
        if content["controller"] == "streamed":
            self._stream.begin(name, candidate, self.resolve)
        self._pending[candidate.id] = candidate
        self._client.submit(name, content, arrays)

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Return what has come; waits for one, at most `timeout` seconds.

        Raises:
            OracleError: a policy failed while it controlled the robot, or the agent refuses a
                rollout for another reason than its envelope.
        """
        self._refuse_closed()
        names = {self._wire_id(name): name for name in self._pending}
        self._wait(names, timeout)
        failure, self._stream.failure = self._stream.failure, None
        if failure is not None:
            raise OracleError(f"the policy failed while it controlled the robot: {failure}")
        outcomes = []
        for wire, name in names.items():
            job = self._client.session.jobs[wire]
            if job.stage == "done":
                candidate, asked = self._pending.pop(name), self._stream.end(wire)
                outcomes.append(self._codec.outcome(candidate, job, asked))
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
        embodiment = self._embodiment
        start = embodiment.first_target(candidate)
        if not len(start):
            return None  # from wherever the robot is then: the agent will say
        substeps, sent = embodiment.substeps, imagined[:, : candidate.horizon]
        paths = [filled(start, embodiment.targets(start, actions), substeps) for actions in sent]
        found = check_candidates(self._envelope, np.stack(paths), embodiment.between, start)
        first = next((violation for violation in found if violation is not None), None)
        return None if first is None else refusal(first)

    def close(self) -> None:
        """Give the robot back; what runs is stopped by the agent. May be called twice."""
        if not self._closed:
            self._closed = True
            self._stream.close()
            self._client.close()

    def __enter__(self) -> "RobotOracle":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ within

    def _refuse_closed(self) -> None:
        if self._closed:
            raise OracleError("the oracle is closed")

    def _wire_id(self, name: str) -> str:
        return f"{self.campaign}/{name}"

    def _request(self, candidate: Candidate) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return content and arrays of a submission, with the policy where it can travel."""
        controller, graph = candidate.controller, None
        if isinstance(controller, ClosedLoop) and self._onnx and controller.member == MEAN:
            policy, _ = self.resolve(controller)
            if isinstance(policy, SupportsGraph):
                sensors = len(self._embodiment.sensors)
                graph = policy.robot_graph(sensors, self._embodiment.limits)
        return self._codec.request(candidate, graph)

    def _wait(self, names: Collection[str], timeout: float | None) -> None:
        """Wait until one of some rollouts has ended, and say meanwhile what is waited for.

        Args:
            names: of the rollouts on the wire.
            timeout: seconds; None waits for ever.
        """

        def arrived(session: Session) -> bool:
            return self._stream.failure is not None or any(
                session.jobs[name].stage == "done" for name in names
            )

        waited = 0.0
        while names:
            part = _LOOK_SECONDS if timeout is None else min(_LOOK_SECONDS, timeout - waited)
            came = self._client.wait(arrived, part)
            self._mention(names)
            waited += part
            if came or (timeout is not None and waited >= timeout):
                return

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


def _drawn(env: Env, seed: int) -> Context:
    """Return the start that an env's reset draws, with all that the env says of it.

    Where no seed and no options bring an env back to a start, its context alone says more.
    """
    (drawn,), inner = contexts_from(env, [seed]), env.unwrapped
    with trying(env, "context"):
        said = plain_options(inner.context()) if isinstance(inner, SupportsContext) else {}
    return replace(drawn, options={**drawn.options, **said})
