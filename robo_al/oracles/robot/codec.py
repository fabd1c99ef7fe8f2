"""Candidates as requests to the agent, and what it answers as outcomes.

Values go in and come out: there is no socket, no thread and no clock here.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.errors import OracleError, UserError
from robo_al.oracles.recording import DEMONSTRATED
from robo_al.oracles.robot.embodiment import ENDINGS, Array, Embodiment
from robo_al.oracles.robot.measures import details_of, signals_of
from robo_al.types import (
    Candidate,
    Demonstration,
    Failure,
    FailureKind,
    OpenLoop,
    Outcome,
    Trajectory,
)
from robo_al_agent.protocol.session import Job

Asked = Mapping[int, Array]
"""What a policy at the host answered [A], by step."""

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


class RobotCodec:
    """Translates between a campaign's values and the agent's messages.

    Args:
        embodiment: the task on the agent's robot.
    """

    def __init__(self, embodiment: Embodiment) -> None:
        self._embodiment = embodiment
        self._task = embodiment.task

    # ------------------------------------------------------------ what goes to the agent

    def request(
        self, candidate: Candidate, graph: bytes | None = None
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Return content and arrays of a submission.

        Args:
            candidate: to be executed.
            graph: the policy, as ONNX, where it runs at the agent.

        Raises:
            UserError: its actions cannot be executed.
        """
        if isinstance(candidate.controller, Demonstration):
            raise UserError(DEMONSTRATED.format(name=candidate.id))
        content = self._content(candidate)
        if isinstance(candidate.controller, OpenLoop):
            actions = self._actions(candidate, candidate.controller)
            targets = self._embodiment.targets(self._embodiment.first_target(candidate), actions)
            return content | {"controller": "open_loop"}, {"actions": targets}
        if graph is not None:
            arrays = {"policy": np.frombuffer(graph, np.uint8)}
            return content | {"controller": "onnx"}, arrays
        return content | {"controller": "streamed"}, {}

    def _content(self, candidate: Candidate) -> dict[str, Any]:
        """Return what a rollout is, whoever controls it."""
        options = {
            name: [float(value) for value in values]
            for name, values in candidate.context.options.items()
        }
        return {
            "joints": list(self._embodiment.joints),
            "period": self._task.control_period,
            "substeps": self._embodiment.substeps,
            "horizon": candidate.horizon,
            "start": options,
            "seed": candidate.context.seed,
            "why": candidate.why[:1000],
        } | ({"found": True} if candidate.context.found else {})

    def _actions(self, candidate: Candidate, controller: OpenLoop) -> Array:
        """Return the actions [T, A] of an open-loop candidate, which can be executed."""
        actions = np.asarray(controller.actions, np.float64)
        wanted = (candidate.horizon, len(self._task.action_low))
        if actions.shape != wanted:
            raise UserError(
                f"candidate {candidate.id}: actions of shape {actions.shape}; [horizon, action "
                f"size] is {wanted}"
            )
        start = self._embodiment.first_target(candidate)
        if self._embodiment.command == "velocity" and not len(start):
            raise UserError(
                f"candidate {candidate.id}: velocities in open loop need a start pose; let the "
                "env's context have `joints`"
            )
        return actions

    # ------------------------------------------------------------ what comes back

    def outcome(self, candidate: Candidate, job: Job, asked: Asked) -> Outcome:
        """Return what became of a candidate.

        Args:
            candidate: that was submitted.
            job: its end, as the agent says it.
            asked: what a policy at the host answered meanwhile.

        Raises:
            OracleError: the agent refuses it, for another reason than its envelope.
        """
        name, result, state, refused = candidate.id, job.result, job.state, job.refused
        if job.gone:
            return Outcome(name, Failure("indeterminate", f"the agent says: {refused}"), 0.0)
        if refused is not None:  # so would be all others: nothing is gained by going on
            raise OracleError(f"the robot's agent refuses rollout {name}: {refused}")
        assert state is not None
        kind, reason = str(state.fields["kind"]), str(state.fields["reason"])
        details = details_of(state, result)
        trajectory, seconds = None, 0.0
        if result is not None and len(result.arrays.get("sent", ())):
            trajectory = self._trajectory(candidate, result.arrays, asked)
            times = result.arrays["time_ns"]
            seconds = float(times[-1] - times[0]) / 1e9
        if kind == "SUCCEEDED" and trajectory is not None:
            return Outcome(name, trajectory, seconds, details)
        if kind == "SUCCEEDED":
            nothing = Failure("failed", "it ended at its first observation")
            return Outcome(name, nothing, seconds, details)
        text = f"{kind}: {reason}" if reason else kind
        return Outcome(name, Failure(KINDS[kind], text, trajectory), seconds, details)

    def _trajectory(
        self, candidate: Candidate, arrays: Mapping[str, NDArray[Any]], asked: Asked
    ) -> Trajectory:
        """Return what was measured as the task sees it."""
        embodiment = self._embodiment
        steps = min(len(arrays["sent"]), len(arrays["positions"]) - 1)
        steps = max(steps, 0)
        kept = {name: values[: steps + 1] for name, values in arrays.items()}
        sent, start = arrays["sent"][:steps], embodiment.first_target(candidate)
        first = start if len(start) else arrays["positions"][0]
        targets = np.concatenate([first[None], sent])
        observations = embodiment.observe(kept, targets, candidate.context.options)
        actions = embodiment.actions(first, sent)
        requested = self._requested(candidate, actions, asked)
        rewards = self._rewards(observations, actions, kept["sensors"])
        ends, cuts = (embodiment.said(name, kept["sensors"]) for name in ENDINGS)
        over = ends | cuts
        stop = int(over.argmax()) + 1 if over.any() else steps
        kept_arrays = observations[: stop + 1], actions[:stop], requested[:stop], rewards[:stop]
        ended = bool(ends[:stop].any())
        whole = ended or stop == candidate.horizon
        truncated = bool(cuts[:stop].any()) and not whole
        return Trajectory(*kept_arrays, ended, truncated, signals_of(arrays, stop))

    def _requested(self, candidate: Candidate, actions: Array, asked: Asked) -> Array:
        """Return what the controller asked for [T, A], where `actions` were executed."""
        steps, controller = len(actions), candidate.controller
        if isinstance(controller, OpenLoop):
            return np.asarray(controller.actions[:steps], np.float64)
        # A step whose answer was missed has only what was sent.
        return np.array([asked.get(k, actions[k]) for k in range(steps)])

    def _rewards(self, observations: Array, actions: Array, sensors: Array) -> Array:
        """Return rewards [T]: what the robot measures, or what the task says."""
        measured = self._embodiment.measured_rewards(sensors)
        if measured is not None:
            return measured
        if self._task.reward is None:
            raise OracleError(
                f"env {self._task.env.name} has no `reward` function, and the robot measures none"
            )
        rewards = self._task.reward(observations[:-1], actions, observations[1:])
        return np.asarray(rewards, np.float64)
