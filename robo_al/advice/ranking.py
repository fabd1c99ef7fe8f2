"""Which demonstrations would tell a policy most, given those that there are.

A policy that knows how two observations inform one another (`bc`) is trained on what was recorded.
Starts are then chosen one after the other, each for what its demonstration adds to those chosen
before it: the joint information about the policy (`robo_al.acquisition.joint`), at the start.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float

from robo_al import plugins
from robo_al.acquisition.joint import JointInformation
from robo_al.acquisition.select import GreedyJoint
from robo_al.config.components import Component, arguments
from robo_al.dataset.recordings.recording import Recording
from robo_al.dataset.rollouts import transitions_of
from robo_al.errors import UserError
from robo_al.models.imagination import imagine
from robo_al.models.still import Still
from robo_al.protocols import (
    Acting,
    CandidatePool,
    Policy,
    SupportsAct,
    SupportsCovariance,
    SupportsUpdate,
)
from robo_al.torch_defaults import one_thread
from robo_al.types import Candidate, Context, Demonstration


@dataclass(frozen=True)
class Asked:
    """A start whose demonstration is asked for, and why."""

    context: Context
    information: float
    """Nats that the person's action at the start tells about the policy, beside those before it."""
    alone: float
    """The same, were it the only one."""
    doubt: float
    """How unsure the policy is there, in multiples of what it is at the usual recorded start."""
    nearest: str
    """The recorded episode that starts nearest."""
    distance: float
    """How far that is, in standard deviations of what is observed at starts."""
    apart: str
    """The number that is observed in which the two differ most."""

    @property
    def why(self) -> str:
        """The reason in words."""
        return (
            f"the policy is {self.doubt:.2g} times as unsure here as at the usual recorded start; "
            f"episode {self.nearest} starts nearest, {self.distance:.2g} standard deviations away, "
            f"most in {self.apart}"
        )


@one_thread
def next_demonstrations(
    recording: Recording, contexts: Sequence[Context], k: int, policy: str, seed: int = 0
) -> list[Asked]:
    """Return the k starts whose demonstrations tell most, the first one first.

    Args:
        recording: of the demonstrations that there are.
        contexts: to choose from.
        k: how many.
        policy: that is to be learned, as a plugin is named.
        seed: of its training.

    Raises:
        UserError: k is not from 1 to the number of starts, or the policy cannot say what it does
            not know.
        ModelError: the policy cannot be learned from the recording.
    """
    if not 1 <= k <= len(contexts):
        raise UserError(f"-k {k}: from 1 to {len(contexts)} of the starts can be asked for")
    learned = _learned(recording, policy, seed)
    task = recording.task
    model = Still(task)
    candidates = [Candidate(context, Demonstration(), 1, 0) for context in contexts]
    imagined = imagine(candidates, model, task, resolve=lambda _: Acting(learned, model))
    pool = CandidatePool(tuple(candidates), imagined, model, task, policy=learned)
    joint, rng = JointInformation(steps=1, about="policy"), np.random.default_rng(seed)
    selection = GreedyJoint()(joint, pool, k, rng)
    starts = np.stack([context.observation for context in contexts])
    shown = np.stack([episode.observations[0] for episode in recording.episodes])
    usual = float(np.median(_unsure(learned, shown)))
    doubts = _unsure(learned, starts) / (usual or 1.0)
    spread = np.concatenate([shown, starts]).std(axis=0)
    spread[spread == 0] = np.inf
    asked = []
    for i, gain in zip(selection.indices, selection.gains, strict=True):
        apart = np.abs(shown - starts[i]) / spread
        near = int((apart**2).sum(-1).argmin())
        asked.append(
            Asked(
                contexts[i],
                float(gain),
                selection.scores[i],
                float(doubts[i]),
                recording.names[near],
                float(np.linalg.norm(apart[near])),
                task.channels[int(apart[near].argmax())].name,
            )
        )
    return asked


class _Knowing(Policy, SupportsAct, SupportsCovariance, SupportsUpdate, Protocol):
    """What a policy has to be able to do."""


def _learned(recording: Recording, spec: str, seed: int) -> _Knowing:
    """Return a policy that has learned from a recording."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    constructor = plugins.load("policies", spec)
    given = arguments("policies", Component(name=spec))
    policy = constructor(task=recording.task, device=device, **given)
    needed = {"covariance": SupportsCovariance, "update": SupportsUpdate, "start": SupportsAct}
    missing = [name for name, kind in needed.items() if not isinstance(policy, kind)]
    if missing:
        raise UserError(
            f"--policy {spec}: it has no `{missing[0]}`, so that nobody can say what a "
            "demonstration would tell about it; leave it out for the policy bc"
        )
    model = Still(recording.task)
    transitions = transitions_of(recording.episodes)
    policy.update(transitions, model, np.random.default_rng(seed))
    return policy  # type: ignore[no-any-return]


def _unsure(policy: _Knowing, observations: Float[np.ndarray, "N O"]) -> Float[np.ndarray, "N"]:
    """Return the standard deviation of a policy's actions, in units of their noise."""
    seen = torch.as_tensor(observations)[:, None]
    unused = torch.zeros(len(seen), 1, 0)
    variances = policy.covariance((seen, unused), (seen, unused))[..., 0, 0]
    return variances.mean(0).clamp_min(0).sqrt().cpu().numpy()
