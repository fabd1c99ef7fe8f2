"""The values that stations hand to one another: frozen, and nothing else.

Axes, here and in every docstring: **N** candidates, **K** selected, **T** steps, **E** ensemble
members or posterior samples, **O** observation, **A** action, **B** batch, **F** features.
SI units unless a channel says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

if TYPE_CHECKING:
    import torch

MEAN = -1
"""In place of a member's index: the model's posterior mean rather than one of its samples."""

ChannelKind: TypeAlias = Literal["linear", "angle", "wrapped_angle", "constant"]
PictureCodec: TypeAlias = Literal["png", "h264"]


def _brief(value: Any) -> str:
    """Return what a value says of itself in a notebook: shapes of arrays, and what is no default.

    Long tuples and functions are only counted and named; parts of no value are told by their class.
    """
    told = []
    for entry in fields(value):
        content = getattr(value, entry.name)
        if hasattr(content, "shape"):
            told.append(f"{entry.name}: {list(content.shape)}")
        elif isinstance(content, tuple):
            told += [f"{entry.name}: {len(content)}"] * bool(content)
        elif callable(content):
            told.append(f"{entry.name}: known")
        elif content is not None and content not in (entry.default, {}):
            plain = is_dataclass(content) or isinstance(content, str | int | float | Mapping)
            told.append(f"{entry.name}={content!r}" if plain else f"{type(content).__name__}")
    return f"{type(value).__name__}({', '.join(told)})"


@dataclass(frozen=True)
class Channel:
    """One component of an observation."""

    name: str
    """What it is, for people: `pole angle`."""
    unit: str
    """SI unit as written on a plot's axis: `rad`, `m/s`, `1` for none."""
    kind: ChannelKind = "linear"
    """`angle` grows past pi, `wrapped_angle` jumps there; models see both as sine and cosine.
    `constant` stays as it is through a rollout (a goal): models read it and do not predict it."""


@dataclass(frozen=True)
class EnvFacts:
    """What a configuration says of an env, in place of the env; None: the env says it itself."""

    horizon: int | None = None
    """Steps of an evaluation."""
    control_period: float | None = None
    """Seconds between two actions."""
    threshold: float | None = None
    """Mean evaluation return from which the task counts as solved."""
    action_limits: tuple[tuple[float, float], ...] | None = None
    """Low and high of the actions: one pair for all axes, or one for each."""
    channels: tuple[Channel, ...] | None = None
    """One for each component of the observation, after the encoder."""
    encoder: Mapping[str, Any] | None = None
    """Its `name` and the parameters of its constructor; None: `flatten`, where one is needed."""
    encoder_sha256: str | None = None
    """What the encoder is to say of the numbers that it has learned; None: whatever it says."""
    pictures: PictureCodec = "png"
    """How pictures are kept that an encoder made numbers of."""

    @classmethod
    def of(cls, entries: Mapping[str, Any]) -> EnvFacts:
        """Return the facts among a configuration's entries, or among those of `asdict`."""
        given = {key: entries[key] for key in cls.__dataclass_fields__ if key in entries}
        if (pairs := given.get("action_limits")) is not None:
            given["action_limits"] = tuple((float(low), float(high)) for low, high in pairs)
        if (channels := given.get("channels")) is not None:
            given["channels"] = tuple(Channel(**channel) for channel in channels)
        return cls(**given)


@dataclass(frozen=True)
class EnvSpec:
    """How to make an env, in this process or another: see `robo_al.plugins.make_env`."""

    name: str
    """`pendulum`, `gymnasium:HalfCheetah-v5`, `mylab.arm:Arm` or `my/arm.py:Arm`."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of its constructor; JSON values only."""
    python: str | None = None
    """The interpreter of an environment of its own, which a process of it runs in; None: ours."""
    facts: EnvFacts = EnvFacts()
    """What the configuration says of it."""

    @classmethod
    def of(cls, name: str, entries: Mapping[str, Any]) -> EnvSpec:
        """Return what a configuration's `env` stands for.

        Args:
            name: of the env.
            entries: its parameters, and `python` among them, if it is given.
        """
        parameters = {key: value for key, value in entries.items() if key not in ("name", "python")}
        return cls(name, parameters, entries.get("python"))

    @classmethod
    def in_config(cls, entries: Mapping[str, Any]) -> EnvSpec:
        """Return what a whole configuration says of its env.

        Args:
            entries: of the configuration; `env` is a mapping among them.
        """
        env = cls.of(entries["env"]["name"], entries["env"])
        return cls(env.name, env.parameters, env.python, EnvFacts.of(entries))


RewardFunction: TypeAlias = Callable[[Any, Any, Any], Any]
"""(observation [...,O], action [...,A], next observation [...,O]) -> reward [...].

The same function for NumPy arrays and torch tensors, whichever it is given."""

TerminationFunction: TypeAlias = Callable[[Any, Any, Any], Any]
"""(observation [...,O], action [...,A], next observation [...,O]) -> whether the task ended [...].

For NumPy arrays and torch tensors, like a `RewardFunction`."""

BatchedStepFunction: TypeAlias = Callable[[Any, Any, Any, Any], tuple[Any, Any, Any]]
"""(observation [n,O] and qpos [n,Q] before a step, action [n,A], data after it) -> (observation
[n,O], reward [n], terminated [n]): what `step` of a MuJoCo env makes of n simulations at once.

`data` has the fields of `MjData` with n as their first axis, but for `cacc`, `cfrc_int` and
`cfrc_ext`, and none of its methods. The action has the action space's
type. To the last bit what `step` gives, which does nothing but simulate the action for `frame_skip`
substeps, and answer; and `reset` changes nothing but the state."""


@dataclass(frozen=True)
class Task:
    """What the other stations need to know of a `gymnasium.Env`; see `robo_al.tasks.describe`."""

    env: EnvSpec
    """What it was made from."""
    channels: tuple[Channel, ...]
    """One for each component of the observation."""
    action_low: Float[np.ndarray, "A"]
    action_high: Float[np.ndarray, "A"]
    horizon: int
    """Steps of an evaluation."""
    control_period: float
    """Seconds between two actions."""
    reward: RewardFunction | None
    """None where the reward is not a known function: then the model learns it."""
    threshold: float | None
    """Mean evaluation return from which the task counts as solved, if it has one."""
    termination: TerminationFunction | None = None
    """When a rollout ends by itself; None where that is not known: then the model learns it."""
    constraint: RewardFunction | None = None
    """(observation, action, next observation) -> g [...]: a step with g > 0 must not happen."""
    starts: int | None = None
    """Seeds from 0 of the only starts there are, each to be used once; None: any seed is one."""
    held_out: tuple[Trajectory, ...] = ()
    """Recorded rollouts that the model is evaluated on, in place of the policy."""
    finds_starts: bool = False
    """No seed or options bring a start back: it is known once the env has been reset."""
    notes: tuple[str, ...] = ()
    """For the user: what was found out or left out, each in a sentence."""

    __repr__ = _brief

    def __deepcopy__(self, memo: dict[int, Any]) -> Task:
        """Return itself: a value never changes, and its functions may belong to an env."""
        return self


@dataclass(frozen=True)
class Context:
    """What a rollout starts from."""

    observation: Float[np.ndarray, "O"]
    """The first observation: where imagination begins."""
    seed: int
    """Goes to `env.reset(seed=...)`."""
    options: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    """Goes to `env.reset(options=...)`: start state, goal, parameters. Empty: the seed decides."""
    found: bool = False
    """The env was reset, looked at, and waits there: no other reset brings this start back."""

    __repr__ = _brief


@dataclass(frozen=True)
class OpenLoop:
    """A controller: these actions, whatever is observed."""

    actions: Float[np.ndarray, "T A"]

    __repr__ = _brief


@dataclass(frozen=True)
class ClosedLoop:
    """A controller: a policy answers each observation with an action.

    It says which policy and holds none, so that a candidate can travel to another process or
    machine: whoever executes it asks a `robo_al.protocols.Resolver`.
    """

    member: int
    """The posterior sample that the policy takes for the truth, or `MEAN`."""
    policy: str = ""
    """Its role in the campaign, `policy` or `explorer`; empty: that of whoever requested it."""
    weights: str | None = None
    """What tells which learned numbers it acts by, the `model_hash` of the ledger where there is
    one; None: those of the moment."""

    __repr__ = _brief


@dataclass(frozen=True)
class Demonstration:
    """A controller: a person acts, or a scripted expert in the place of one.

    Nobody knows beforehand what a person will do: where it is imagined, the policy that would learn
    from the demonstration acts, so that it is imagined where that policy goes today.
    """

    __repr__ = _brief


Controller: TypeAlias = OpenLoop | ClosedLoop | Demonstration


@dataclass(frozen=True)
class Candidate:
    """One proposed rollout."""

    context: Context
    controller: Controller
    horizon: int
    """Steps; the rollout may end earlier where the task ends, or the env breaks it off."""
    seed: int
    """Of everything random while it is executed."""
    id: str = ""
    """Given by the campaign when the candidate is selected; unique within it."""
    why: str = ""
    """Why it was selected, for the person who watches it run; changes nothing else."""

    __repr__ = _brief


@dataclass(frozen=True)
class Film:
    """The pictures that were observed in a rollout, in a file: see `robo_al.encoding.film`."""

    path: Path
    """Where it is: a name that an oracle made up, until the rollout is recorded."""
    sha256: str
    """Of the file."""


@dataclass(frozen=True)
class Trajectory:
    """A rollout as it happened."""

    observations: Float[np.ndarray, "T+1 O"]
    actions: Float[np.ndarray, "T A"]
    """What was sent to the robot, after clipping to the limits: dynamics are learned on these."""
    requested: Float[np.ndarray, "T A"]
    """What the controller asked for."""
    rewards: Float[np.ndarray, "T"]
    terminated: bool = False
    """The task ended by itself before the horizon."""
    truncated: bool = False
    """The env broke it off before the horizon, and nothing had ended: a time limit of the env's, a
    workspace that was left. What would have come next is not known; it is no end of the task."""
    signals: Mapping[str, Shaped[np.ndarray, "..."]] = field(default_factory=dict)
    """Whatever else was measured, by name: arrays of numbers, truth values or texts with one row
    for each step (T) or for each observation (T+1). Kept in the episode's file; no model sees them.
    `time_ns` holds the device's time stamps, and `actor` who acted: 0 the policy, 1 a person."""
    film: Film | None = None
    """Pictures of which the observations are encoded, one of each camera for each observation."""

    def __repr__(self) -> str:
        """Say what happened, not every number of it."""
        ended = "".join(f", {word}" for word in ("terminated", "truncated") if getattr(self, word))
        observed, acted = list(self.observations.shape), list(self.actions.shape)
        return (
            f"Trajectory({self.steps} steps, total_reward={self.total_reward:.4g}, "
            f"observations: {observed}, actions: {acted}{ended})"
        )

    @property
    def steps(self) -> int:
        """Number of transitions, T."""
        return len(self.actions)

    @property
    def ends(self) -> Bool[np.ndarray, "T"]:
        """Whether the task ended by itself at each step: at the last, or at none."""
        ends = np.zeros(self.steps, dtype=np.bool_)
        ends[-1:] = self.terminated
        return ends

    @property
    def total_reward(self) -> float:
        """Undiscounted return of the rollout."""
        return float(self.rewards.sum())

    def first_signals(self, steps: int) -> dict[str, Shaped[np.ndarray, "..."]]:
        """Return the signals of its first steps, which are fewer than T or all of them."""
        return {name: rows[: len(rows) - self.steps + steps] for name, rows in self.signals.items()}


FailureKind: TypeAlias = Literal["failed", "aborted", "quarantined", "indeterminate"]


@dataclass(frozen=True)
class Refusal:
    """Why an oracle would not execute a candidate."""

    limit: str
    """What is limited, the same words for the same limit: `velocity of joint elbow`."""
    message: str
    """In words: what it would be, when, and what it may be."""
    excess: float
    """How far it is beyond the limit, in the limit's unit; inf where no number says it."""
    remedy: str
    """What a person can change."""


@dataclass(frozen=True)
class Failure:
    """A rollout that did not give what was asked: data, not an exception.

    `failed`: the executor broke or ran out of time. `aborted`: a person or a safety rule stopped
    it. `quarantined`: it ran, but what was recorded cannot be trusted (NaN, a silent simulator
    reset). `indeterminate`: nobody knows whether it ran.
    """

    kind: FailureKind
    reason: str
    partial: Trajectory | None = None


Scalar: TypeAlias = float | int | bool | str
"""A value that a detail or a label may have."""


@dataclass(frozen=True)
class Label:
    """What a person, a program or a classifier says of a rollout."""

    name: str
    """`success`, `progress`, `note`, or any other."""
    value: Scalar
    by: str
    """Who says so: a person's name, or that of a program."""


@dataclass(frozen=True)
class Outcome:
    """What an oracle answers for one candidate, exactly once."""

    candidate_id: str
    result: Trajectory | Failure
    robot_seconds: float
    """Time on the robot, or simulated time: execution without computing."""
    details: Mapping[str, Scalar] = field(default_factory=dict)
    """Whatever else was measured of it as a whole, by name: missed deadlines, a success."""
    labels: Sequence[Label] = ()
    """What is said of the rollout already; more can be said later (`Campaign.label`)."""


@dataclass(frozen=True)
class Transitions:
    """Recorded steps as a model learns from them, B of them in the order of recording."""

    observations: Float[np.ndarray, "B O"]
    actions: Float[np.ndarray, "B A"]
    next_observations: Float[np.ndarray, "B O"]
    rewards: Float[np.ndarray, "B"]
    rollouts: Int[np.ndarray, "B"]
    """Index of the rollout that each step belongs to: what held-out *rollouts* are split by."""
    terminated: Bool[np.ndarray, "B"]
    """Whether the task ended by itself at the step: no step of a rollout that was cut off."""
    shown: Bool[np.ndarray, "B"] | None = None
    """Whether a person showed the step, or an expert in the place of one, so that it may be
    imitated; None: nobody knows, of what was recorded elsewhere."""

    __repr__ = _brief

    def __len__(self) -> int:
        """Number of transitions, B."""
        return len(self.actions)

    def of_rollouts(self, keep: Bool[np.ndarray, "B"]) -> Transitions:
        """Return the transitions where `keep` is true."""
        return Transitions(
            self.observations[keep],
            self.actions[keep],
            self.next_observations[keep],
            self.rewards[keep],
            self.rollouts[keep],
            self.terminated[keep],
            None if self.shown is None else self.shown[keep],
        )


@dataclass(frozen=True)
class Prediction:
    """A model's belief about the next observation, output by output."""

    mean: torch.Tensor
    """[..., O] next observation."""
    epistemic: torch.Tensor
    """[..., O] variance that more data would remove; 0 for `constant` channels."""
    aleatoric: torch.Tensor
    """[..., O] variance of the noise, which stays; positive, also for `constant` channels."""
    reward: torch.Tensor | None = None
    """[...] predicted reward where the task's is not known."""

    __repr__ = _brief


@dataclass(frozen=True)
class FitReport:
    """How a retraining went."""

    loss: float
    """Training objective at the end, per transition and output (negative log likelihood)."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Whatever else the model wants to record: length scales, epochs, points used."""


@dataclass(frozen=True)
class ImaginedRollouts:
    """N candidates, each played in E members of a model for T steps (torch tensors)."""

    observations: torch.Tensor
    """[E, N, T+1, O]"""
    actions: torch.Tensor
    """[E, N, T, A]; the members differ where the controller answers observations."""
    rewards: torch.Tensor
    """[E, N, T]"""
    members: torch.Tensor
    """[E, N] which member of the model each was played in (`MEAN` for the posterior mean)."""
    horizons: torch.Tensor
    """[N] steps that each candidate asks for; T is the most of them."""
    mask: torch.Tensor
    """[E, N, T] 1 for a step that is taken, 0 after the candidate's horizon, and after the step at
    which the task ended in that member."""
    finite: torch.Tensor
    """[N] False where a member left the finite numbers."""

    __repr__ = _brief

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the rollouts would be observed: observations [E,N,T,O] and actions [E,N,T,A]."""
        return self.observations[:, :, :-1], self.actions

    @property
    def returns(self) -> torch.Tensor:
        """[E, N] undiscounted imagined returns."""
        return (self.rewards * self.mask).sum(-1)

    def __len__(self) -> int:
        """Number of candidates, N."""
        return self.observations.shape[1]


@dataclass(frozen=True)
class Exclusion:
    """Why a candidate must not be selected."""

    kind: Literal["not_finite", "envelope", "risk", "budget"]
    """`not_finite`: imagination left the finite numbers. `envelope`: the oracle would refuse it.
    `risk`: it is too likely to break the task's constraint. `budget`: alone it takes more than
    the whole batch may."""
    reason: str
    refusal: Refusal | None = None
    """The oracle's, of `envelope`."""


@dataclass(frozen=True)
class BatchBudget:
    """What one batch may cost in all."""

    seconds: Float[np.ndarray, "N"] | None = None
    """Predicted for each candidate; None: time does not matter."""
    total_seconds: float = np.inf
    risks: Float[np.ndarray, "N"] | None = None
    """Probability that each candidate breaks the task's constraint; None: not asked."""
    total_risk: float = np.inf

    __repr__ = _brief


@dataclass(frozen=True)
class Selection:
    """What a selector picked, best first, and why."""

    indices: tuple[int, ...]
    """[K] into the candidates."""
    scores: tuple[float, ...]
    """[N] the acquisition function's value for every candidate, each on its own."""
    gains: tuple[float, ...]
    """[K] what each pick added given those before it; the score where picks are independent."""
    seconds: tuple[float, ...] | None = None
    """[N] predicted, where the strategy has a cost."""
    risks: tuple[float, ...] | None = None
    """[N] predicted, where the strategy has a constraint."""
    exclusions: Mapping[int, Exclusion] = field(default_factory=dict)
    """Which candidates could not be selected, and why."""
