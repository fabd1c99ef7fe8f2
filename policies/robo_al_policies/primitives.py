"""Probabilistic movement primitives: smooth motions of all joints, learned from the best rollouts.

Paraschos et al. 2013, "Probabilistic movement primitives": a rollout is a trajectory of each joint,
a weighted sum of radial functions of time (`robo_al_policies.basis`), and the policy a Gaussian
over the weights, here linear in the start x of the rollout:

    parameters = A' (1, x) + e,   e ~ N(0, S)

Before there are data, A = 0 and S = I: motions about holding still. `update` fits A by ridge
regression, and S by what is left over, to the rollouts that returned most *beyond what is usual
from their start* (a ridge regression of the return on x; returns from different starts do not
compare). Both are regularised by the prior, which counts as a number of rollouts more.

A task that names its joints (`SupportsRobot`) is moved from its start pose, from rest to rest:
where it is commanded by velocities, these are the derivative of the trajectory. On any other task
the trajectory is that of the actions themselves, about the middle of their limits.

Actions keep to their limits: the motion of a joint that would leave them is made smaller as a
whole, which keeps it smooth and is a point of the same space of parameters. So the parameters of a
rollout can be read off its actions, exactly if a primitive commanded it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from robo_al.config.ranges import Count, Positive, PositiveShare, Width
from robo_al.errors import ConfigError
from robo_al.protocols import Model, SupportsRobot
from robo_al.seeds import integer
from robo_al.tasks.offers import offers_of
from robo_al.tasks.shelf import borrowed
from robo_al.types import Candidate, Context, OpenLoop, Task, Transitions
from robo_al_policies.basis import Command, command_basis

if TYPE_CHECKING:
    import torch

READING = 1e-3
"""Standard deviation to which actions are trusted at most when parameters are read off them, in
halves of the range between the limits: a recorded action may be of single precision."""
STARTS = 0.05
"""A part of the observation whose spread over starts is less than this share of its spread over all
steps does not tell one start from another."""

NO_ROOM = 1e-12
"""Room for a motion, in the unit of an action, that is none."""


class Primitives:
    """Proposes movement primitives; acts by their mean.

    Args:
        task: its joints, control limits and starts.
        device: unused; every policy is constructed with one.
        functions: B, radial functions of each joint: B - 3 parameters for a joint that goes from
            rest to rest, B for an action. More make quicker motions, and more to learn.
        steps: that a primitive takes, then it holds; None: those of a training rollout where
            `rollout_steps` is left out too, the task's horizon but 50 at most.
        scale: root mean square of a motion before there are data, in halves of the range between
            the action limits.
        best: share of the recorded rollouts that is learned from.
        prior: rollouts that the prior counts for.

    Raises:
        ConfigError: a parameter out of its range, velocity limits that forbid standing still, or
            joints commanded by position that the observation does not show.
    """

    def __init__(
        self,
        task: Task,
        device: str = "cpu",
        functions: Width = 8,
        steps: Count | None = None,
        scale: Positive = 0.5,
        best: PositiveShare = 0.3,
        prior: Positive = 1.0,
    ) -> None:
        self.task, self.functions, self.scale, self.best = task, functions, scale, best
        self.steps = min(task.horizon, 50) if steps is None else steps
        self.prior = prior
        self.command: Command = "action"
        """What an action is."""
        self._positions: list[int] = []  # where the observation shows the joints, if needed
        with borrowed(task.env) as env:
            robot = offers_of(env).robot
        if robot is not None:
            self._commands(robot)
        fewest = 2 if self.command == "action" else 4
        for name, fits, wanted in (
            ("functions", functions >= fewest, f"at least {fewest}"),
            ("steps", self.steps >= 1, "at least 1"),
            ("scale", scale > 0, "above 0"),
            ("best", 0 < best <= 1, "above 0, and 1 at most"),
            ("prior", prior > 0, "above 0"),
        ):
            if not fits:
                value = getattr(self, name)
                raise ConfigError(f"policy primitives: {name} is {value}; it must be {wanted}")
        self._half = (task.action_high - task.action_low) / 2
        self._basis = command_basis(self.command, functions, self.steps)
        size = len(self._half) * self._basis.shape[1]
        kinds = [channel.kind for channel in task.channels]
        self._angles = np.array([kind in ("angle", "wrapped_angle") for kind in kinds])
        width = len(kinds) + int(self._angles.sum())
        self._center, self._spread = np.zeros(width), np.zeros(width)
        self._map = np.zeros((1 + width, size))  # A
        self._factor = np.eye(size)  # S = L L'

    # ------------------------------------------------------------ proposing and acting

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model | None,
        rng: np.random.Generator,
    ) -> list[Candidate]:
        """Return n candidates spread over the contexts; needs no model.

        Once something was learned, the first from each context is the mean; all else is drawn.
        """
        starts = np.stack([context.observation for context in contexts])
        means = self._mean_parameters(starts)
        learned = bool(self._map.any())
        candidates = []
        for i in range(n):
            which = i % len(contexts)
            draw = self._factor @ rng.standard_normal(means.shape[1])
            parameters = means[which] + (0.0 if learned and i < len(contexts) else draw)
            actions = self._actions(parameters, starts[which], horizon)
            candidates.append(Candidate(contexts[which], OpenLoop(actions), horizon, integer(rng)))
        return candidates

    def start(
        self, model: Model | None, members: Sequence[int], seeds: Sequence[int]
    ) -> "PrimitivesActor":
        """Begin B rollouts, each the mean primitive from its start; needs no model."""
        return PrimitivesActor(self)

    def mean_actions(
        self, observations: Float[np.ndarray, "B O"], horizon: int
    ) -> Float[np.ndarray, "B T A"]:
        """Return what the mean primitives from these starts command."""
        means = self._mean_parameters(observations)
        rows = [self._actions(m, o, horizon) for m, o in zip(means, observations, strict=True)]
        return np.stack(rows)

    # ------------------------------------------------------------ parameters of a rollout

    def parameters(
        self, actions: Float[np.ndarray, "T A"], observation: Float[np.ndarray, "O"]
    ) -> Float[np.ndarray, "P"]:
        """Return the parameters whose actions from this start are closest to those sent.

        Bayesian linear regression with the prior of the parameters. The noise is what a first fit
        leaves over: next to none for what a primitive commanded. Parameters about which the
        actions say nothing are 0.
        """
        basis = self._basis[: len(actions)]
        # The motion of a joint that is locked is 0, wherever it is locked.
        widths = np.where(self._half > 0, self._half * self.scale, np.inf)
        motion = (actions - self._hold(observation))[: self.steps] / widths
        noise, found = READING / self.scale, np.zeros((basis.shape[1], len(self._half)))
        for _ in range(2):
            ridge = noise**2 * np.eye(basis.shape[1])
            found = np.linalg.solve(basis.T @ basis + ridge, basis.T @ motion)
            noise = np.hypot(noise, np.sqrt(np.mean((motion - basis @ found) ** 2)))
        return found.T.ravel()

    def context_features(self, observations: Float[np.ndarray, "N O"]) -> Float[np.ndarray, "N C"]:
        """Return what tells one start from another, standardized over recorded starts.

        C grows where starts begin to differ; 0 for what does not.
        """
        varies = self._spread > 0
        raw = self._raw(observations)[:, varies]
        features: np.ndarray = (raw - self._center[varies]) / self._spread[varies]
        return features

    # ------------------------------------------------------------ learning

    def update(
        self, transitions: Transitions, model: Model | None, rng: np.random.Generator
    ) -> None:
        """Learn from the best of the recorded rollouts; needs neither model nor chance."""
        _, first = np.unique(transitions.rollouts, return_index=True)
        starts, sent = transitions.observations[first], np.split(transitions.actions, first[1:])
        returns = np.add.reduceat(transitions.rewards, first)
        parameters = np.stack([self.parameters(a, o) for a, o in zip(sent, starts, strict=True)])
        raw = self._raw(starts)
        spread = raw.std(0)
        varies = spread > STARTS * self._raw(transitions.observations).std(0)
        self._center, self._spread = raw.mean(0), np.where(varies, spread, 0.0)
        x = self._inputs(starts)
        usual = x @ self._ridge(x, (returns - returns.mean())[:, None])[:, 0]
        count = int(np.ceil(self.best * len(returns)))
        best = np.argsort(usual - (returns - returns.mean()), kind="stable")[:count]
        self._map = self._ridge(x[best], parameters[best])
        left = parameters[best] - x[best] @ self._map
        covariance = (self.prior * np.eye(left.shape[1]) + left.T @ left) / (self.prior + count)
        self._factor = np.linalg.cholesky(covariance)

    def state_dict(self) -> "dict[str, torch.Tensor]":
        """Return what was learned: the Gaussian, and how starts are standardized."""
        import torch

        state = (self._center, self._spread, self._map, self._factor)
        names = ("center", "spread", "map", "factor")
        return {name: torch.tensor(array) for name, array in zip(names, state, strict=True)}

    def load_state_dict(self, state: "Mapping[str, torch.Tensor]") -> None:
        """Take up what was learned."""
        self._center, self._spread, self._map, self._factor = (
            state[name].cpu().numpy().copy() for name in ("center", "spread", "map", "factor")
        )

    # ------------------------------------------------------------ inside

    def _commands(self, robot: SupportsRobot) -> None:
        """Note how the joints are commanded."""
        self.command = robot.robot_command
        low, high, name = self.task.action_low, self.task.action_high, self.task.env.name
        locked = (low == 0) & (high == 0)
        if self.command == "velocity" and not (((low < 0) & (high > 0)) | locked).all():
            raise ConfigError(
                f"policy primitives: env {name} has velocity limits {low} to {high}, which forbid "
                "standing still; each has to be below and above 0"
            )
        if self.command == "position":
            shown = [channel.name for channel in self.task.channels]
            missing = [joint for joint in robot.joints if f"{joint} position" not in shown]
            if missing:
                raise ConfigError(
                    f"policy primitives: env {name} commands positions, and a motion has to begin "
                    f"at the start pose; it has no channel named '{missing[0]} position'"
                )
            self._positions = [shown.index(f"{joint} position") for joint in robot.joints]

    def _hold(self, observation: Float[np.ndarray, "O"]) -> Float[np.ndarray, "A"]:
        """Return the action that holds still."""
        if self.command == "velocity":
            return np.zeros(len(self._half))
        if self.command == "position":
            start: np.ndarray = observation[self._positions]
            return start
        middle: np.ndarray = self.task.action_low + self._half
        return middle

    def _actions(
        self, parameters: Float[np.ndarray, "P"], observation: Float[np.ndarray, "O"], horizon: int
    ) -> Float[np.ndarray, "T A"]:
        """Return what a primitive commands: its joints' motions shrunk to their limits, then hold.

        After the motion velocities are 0, and all else stays as it is.
        """
        low, high, hold = self.task.action_low, self.task.action_high, self._hold(observation)
        motion = self._basis @ (self.scale * self._half * parameters.reshape(len(low), -1).T)
        above, below = np.maximum(high - hold, NO_ROOM), np.minimum(low - hold, -NO_ROOM)
        share = np.maximum(motion / above, motion / below)
        motion = motion / np.maximum(share.max(0), 1.0)
        after = np.zeros_like(hold) if self.command == "velocity" else motion[-1]
        rest = np.broadcast_to(after, (max(0, horizon - self.steps), len(hold)))
        whole = np.concatenate([motion[:horizon], rest])
        actions: np.ndarray = np.clip(hold + whole, low, high)
        return actions

    def _raw(self, observations: Float[np.ndarray, "N O"]) -> Float[np.ndarray, "N F"]:
        """Return what is looked at of observations: angles as sine and cosine."""
        angles = observations[:, self._angles]
        plain = observations[:, ~self._angles]
        return np.concatenate([plain, np.sin(angles), np.cos(angles)], axis=1)

    def _inputs(self, observations: Float[np.ndarray, "N O"]) -> Float[np.ndarray, "N I"]:
        """Return (1, x), x 0 where starts do not differ."""
        varies = self._spread > 0
        inputs = np.zeros((len(observations), len(self._map)))
        inputs[:, 0] = 1.0
        inputs[:, 1:][:, varies] = self.context_features(observations)
        return inputs

    def _ridge(
        self, x: Float[np.ndarray, "n F"], y: Float[np.ndarray, "n D"]
    ) -> Float[np.ndarray, "F D"]:
        found: np.ndarray = np.linalg.solve(x.T @ x + self.prior * np.eye(x.shape[1]), x.T @ y)
        return found

    def _mean_parameters(self, observations: Float[np.ndarray, "N O"]) -> Float[np.ndarray, "N P"]:
        means: np.ndarray = self._inputs(observations) @ self._map
        return means


class PrimitivesActor:
    """B rollouts of the mean primitive, each from where it started."""

    def __init__(self, policy: Primitives) -> None:
        self._policy = policy
        self._actions: Float[np.ndarray, "B T A"] | None = None
        self._tick = 0

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the next actions; only the first observations are looked at."""
        if self._actions is None:  # one step after its end, a primitive holds as ever after
            self._actions = self._policy.mean_actions(observations, self._policy.steps + 1)
        now = min(self._tick, self._policy.steps)
        self._tick += 1
        return self._actions[:, now]
