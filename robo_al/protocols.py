"""Every contract of robo-al, on about one screen each.

A plugin is any class with these methods: it need not import or inherit anything of ours. What a
plugin *can* do beyond its contract is a further small Protocol (`SupportsAct`), found by
`isinstance`, never a flag. The public conformance checks are in `robo_al.checks`.

    campaign = create_campaign(config, folder)
    campaign.connect(oracle)
    while not campaign.finished:
        for candidate in campaign.evaluation() or campaign.ask():  # propose -> imagine -> select
            oracle.submit(candidate)                               # -> execute
        for outcome in oracle.poll():
            campaign.tell(outcome)                                 # -> record; retrained next
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from robo_al.types import (
    BatchBudget,
    BatchedStepFunction,
    Candidate,
    Channel,
    ClosedLoop,
    Context,
    Exclusion,
    FitReport,
    ImaginedRollouts,
    Outcome,
    Prediction,
    Refusal,
    Selection,
    Task,
    TerminationFunction,
    Trajectory,
    Transitions,
)

if TYPE_CHECKING:
    import torch


# ---------------------------------------------------------------- tasks: capabilities of an env


@runtime_checkable
class SupportsChannels(Protocol):
    """A task that names the components of its observation."""

    channels: tuple[Channel, ...]


@runtime_checkable
class SupportsReward(Protocol):
    """A task whose reward is a known function."""

    def reward(self, observation, action, next_observation):  # type: ignore[no-untyped-def]
        """Return rewards [...] for [...,O], [...,A], [...,O]; NumPy arrays or torch tensors."""


@runtime_checkable
class SupportsTermination(Protocol):
    """A task that knows from what is observed when it ends by itself; NumPy arrays or tensors."""

    def termination(self, observation, action, next_observation):  # type: ignore[no-untyped-def]
        """Return whether the step ended the rollout [...] for [...,O], [...,A], [...,O]."""


@runtime_checkable
class SupportsContext(Protocol):
    """A task whose start can be asked for through `reset(options=...)`."""

    def context(self) -> Mapping[str, Sequence[float]]:
        """Return the options that reproduce the present start: `{"state": ..., "goal": ...}`."""


@runtime_checkable
class SupportsConstraint(Protocol):
    """A task that says where it must not go; NumPy arrays or tensors."""

    def constraint(self, observation, action, next_observation):  # type: ignore[no-untyped-def]
        """Return g [...] for [...,O], [...,A], [...,O]; a step with g > 0 must not happen."""


@runtime_checkable
class SupportsDynamics(Protocol):
    """A task whose step is a known batched formula on observations; NumPy arrays or tensors."""

    def dynamics(self, observation, action):  # type: ignore[no-untyped-def]
        """Return next observations [...,O] for [...,O] and actions [...,A] within the limits."""


@runtime_checkable
class SupportsAnswer(Protocol):
    """A MuJoCo env that can be simulated many at a time, if its subclass leaves it so."""

    answer: BatchedStepFunction | None
    """What `step` makes of n simulations; None where it does more than this can say."""


@runtime_checkable
class SupportsEpisodes(Protocol):
    """A task of rollouts that were recorded: `reset(seed=i)` starts where episode i did."""

    episodes: tuple[Trajectory, ...]
    """What can be chosen, each once."""
    held_out: tuple[Trajectory, ...]
    """What cannot be chosen: the model is evaluated on it."""


@runtime_checkable
class SupportsRobot(Protocol):
    """A task that a robot can do: what its samples show, and what actions command."""

    joints: tuple[str, ...]
    """[J] names, in the order of the actions."""
    robot_command: Literal["position", "velocity", "action"]
    """What an action is: positions (rad, m), velocities (rad/s, m/s) that are added up to
    positions, or numbers that only the device interprets."""
    robot_substeps: int
    """Commands sent in one control period, on a line from the last one to the next."""

    def robot_observation(self, positions, velocities, sensors, targets, options):  # type: ignore[no-untyped-def]
        """Return what the task observes [...,O].

        Args:
            positions: [...,J] measured.
            velocities: [...,J] measured.
            sensors: [...,S] whatever else the robot measures.
            targets: [...,J] positions commanded last.
            options: of the context that the rollout started from.
        """


@runtime_checkable
class Encoder(Protocol):
    """Turns what an env shows into numbers. Constructed as `Encoder(space=..., **parameters)`.

    The space is the env's own, of its observations. Everybody else sees what is encoded.
    """

    channels: Sequence[Channel]
    """One for each number that `encode` returns."""

    def encode(self, observation: Any) -> Float[np.ndarray, "O"]:
        """Return the numbers of one observation; the same for the same observation."""


@runtime_checkable
class SupportsHash(Protocol):
    """An encoder that was fitted: what it has learned is part of a run's configuration."""

    sha256: str
    """Of the numbers that it has learned; another one is refused when the run goes on."""


# ---------------------------------------------------------------- policies


@runtime_checkable
class Policy(Protocol):
    """Proposes rollouts. Constructed as `Policy(task=task, device=device, **parameters)`."""

    def propose(
        self,
        n: int,
        contexts: Sequence[Context],
        horizon: int,
        model: Model,
        rng: np.random.Generator,
    ) -> Sequence[Candidate]:
        """Return n candidates of at most `horizon` steps, spread over the contexts."""


@runtime_checkable
class Actor(Protocol):
    """B rollouts being controlled; remembers what it needs between their steps."""

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the next actions [B,A]."""


@runtime_checkable
class SupportsTensors(Protocol):
    """An actor that can answer tensors: imagined rollouts then stay where the model is."""

    def act_on(self, observations: torch.Tensor) -> torch.Tensor:
        """Return the next actions [B,A] at observations [B,O], in place of `act`."""


@runtime_checkable
class SupportsAct(Protocol):
    """A policy that can answer observations: needed for `ClosedLoop` and to be evaluated."""

    def start(self, model: Model, members: Sequence[int], seeds: Sequence[int]) -> Actor:
        """Begin B rollouts; row b takes `members[b]` of the model (or `MEAN`) for the truth."""


@runtime_checkable
class SupportsUpdate(Protocol):
    """A policy that learns; called after each retraining of the model."""

    def update(self, transitions: Transitions, model: Model, rng: np.random.Generator) -> None:
        """Retrain on the recorded transitions and the model."""


@runtime_checkable
class SupportsParameters(Protocol):
    """A policy whose open-loop rollouts are points in a space of parameters: primitives."""

    def parameters(
        self, actions: Float[np.ndarray, "T A"], observation: Float[np.ndarray, "O"]
    ) -> Float[np.ndarray, "P"]:
        """Return those of a rollout that sent these actions from this start, each about 1 large."""

    def context_features(self, observations: Float[np.ndarray, "N O"]) -> Float[np.ndarray, "N C"]:
        """Return what tells starts from one another, each about 1 large."""


# ---------------------------------------------------------------- models


@runtime_checkable
class Model(Protocol):
    """Predicts the next observation. Constructed as `Model(task=task, device=device, **params)`."""

    @property
    def members(self) -> int:
        """E: how many posterior samples or ensemble members `step` can play."""

    def fit(self, transitions: Transitions, rng: np.random.Generator) -> FitReport:
        """Learn from all recorded transitions; raises `ModelError` where that is impossible."""

    def predict(self, observations: torch.Tensor, actions: torch.Tensor) -> Prediction:
        """Return the belief at observations [...,O] and actions [...,A]."""

    def step(
        self, observations: torch.Tensor, actions: torch.Tensor, members: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Advance G groups of P rollouts, group g in member `members[g]` (or `MEAN`).

        Args:
            observations: [G, P, O].
            actions: [G, P, A].
            members: [G], integers.

        Returns:
            Next observations [G, P, O], and rewards [G, P] where the task's are not known.
        """


@runtime_checkable
class SupportsEnds(Protocol):
    """A model that has learned when rollouts end by themselves, for tasks that do not say it."""

    termination: TerminationFunction | None
    """Says whether a step ends the rollout; None where no recorded rollout ended by itself."""


@runtime_checkable
class SupportsDoubt(Protocol):
    """A model that can be another one: told so when what it learned last made it worse."""

    def doubt(self) -> None:
        """Look for a better one at the next fit."""


@runtime_checkable
class SupportsCovariance(Protocol):
    """A model that knows how two steps inform one another: needed for joint information."""

    def covariance(
        self,
        first: tuple[torch.Tensor, torch.Tensor],
        second: tuple[torch.Tensor, torch.Tensor],
    ) -> torch.Tensor:
        """Return the epistemic covariance between two batches of inputs.

        Args:
            first: observations [..., a, O] and actions [..., a, A].
            second: observations [..., b, O] and actions [..., b, A].

        Returns:
            [D, ..., a, b] for the D predicted outputs, each in units of its noise variance.
        """


@runtime_checkable
class SupportsFeatures(Protocol):
    """A model whose joint covariance is linear in features: phi_a' P_d phi_b for output d.

    Large pools of candidates are then cheap: no covariance between candidates is ever formed.
    """

    def features(self, observations: torch.Tensor, actions: torch.Tensor) -> torch.Tensor:
        """Return phi [...,F] at observations [...,O] and actions [...,A]."""

    def feature_posterior(self) -> torch.Tensor:
        """Return P [D,F,F], in units of each output's noise variance."""


@runtime_checkable
class SupportsMixture(Protocol):
    """A model whose members each predict a Gaussian: needed to compare what they believe."""

    def mixture(
        self, observations: torch.Tensor, actions: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return each member's mean and noise variance of the next observation, [E,...,O] both.

        A wrapped angle's mean is the observation plus its change, so that members compare.
        """


@runtime_checkable
class SupportsState(Protocol):
    """A model or policy that can be saved: arrays only, so that no file executes code."""

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return everything that `load_state_dict` needs; may be saved as safetensors."""

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        """Take up a saved state, in place of fitting."""


# ---------------------------------------------------------------- acquisition


@dataclass(frozen=True)
class CandidatePool:
    """The candidates of a round, imagined, and which of them may be selected."""

    candidates: tuple[Candidate, ...]
    """N; empty where only what was imagined of them is known."""
    imagined: ImaginedRollouts
    """Of the N candidates."""
    model: Model
    """Fitted, in which they were imagined."""
    task: Task
    pending: ImaginedRollouts | None = None
    """Rollouts that will be recorded too."""
    excluded: Mapping[int, Exclusion] = field(default_factory=dict)
    """Candidates that must not be selected though they are finite, and why."""
    policy: Policy | None = None
    """That proposed them; None where only what was imagined of them is known."""

    def __len__(self) -> int:
        """Number of candidates, N."""
        return len(self.imagined)

    @cached_property
    def eligible(self) -> torch.Tensor:
        """[N] whether a candidate may be selected."""
        eligible = self.imagined.finite.clone()
        eligible[list(self.excluded)] = False
        return eligible

    @property
    def exclusions(self) -> dict[int, Exclusion]:
        """Why each candidate that is not eligible is not."""
        lost = Exclusion("not_finite", "the model's imagination left the finite numbers")
        unfinished = (i for i, finite in enumerate(self.imagined.finite.tolist()) if not finite)
        return dict.fromkeys(unfinished, lost) | dict(self.excluded)

    def without(self, excluded: Mapping[int, Exclusion]) -> CandidatePool:
        """Return the pool in which these candidates must not be selected either."""
        return replace(self, excluded={**excluded, **self.excluded})


@runtime_checkable
class Acquisition(Protocol):
    """Scores imagined rollouts; higher means more worth running."""

    def __call__(self, pool: CandidatePool, rng: np.random.Generator) -> torch.Tensor:
        """Return scores [N], given that what is pending will be recorded too."""


@runtime_checkable
class SupportsData(Protocol):
    """An acquisition function that looks at what was recorded, not only at what is imagined."""

    def observe(self, transitions: Transitions, policy: Policy) -> None:
        """Take note, before each choice, of what is recorded and of the policy that proposes.

        Raises:
            ConfigError: it cannot do its work with this policy.
            ModelError: its numbers went wrong.
        """


@runtime_checkable
class JointGain(Protocol):
    """The value of a growing set of rollouts."""

    def gains(self, indices: Sequence[int]) -> torch.Tensor:
        """Return what each of n candidates would add to those already added [n]."""

    def add(self, index: int) -> None:
        """Add candidate `index`."""


@runtime_checkable
class SupportsJoint(Protocol):
    """An acquisition function that values sets of rollouts, not only each on its own.

    A gain never grows while others are added: selection relies on it. Where one may, the gain has
    an attribute `diminishing` that is False, and selection evaluates everything before each pick.
    """

    def joint(self, pool: CandidatePool) -> JointGain:
        """Return the gain over what is pending alone, with nothing added yet."""


@runtime_checkable
class Cost(Protocol):
    """Predicts what executing a rollout takes."""

    budget: float | None
    """Seconds that one batch may take; None: k times the mean candidate's."""

    def __call__(
        self, imagined: ImaginedRollouts, task: Task, risks: torch.Tensor | None
    ) -> torch.Tensor:
        """Return seconds [N], positive, given each candidate's risk of failure [N] if known."""


@runtime_checkable
class Selector(Protocol):
    """Turns an acquisition function into a batch of K."""

    def __call__(
        self,
        acquisition: Acquisition | None,
        pool: CandidatePool,
        k: int,
        rng: np.random.Generator,
    ) -> Selection:
        """Pick k of the N candidates, best first; never one that is not `eligible`."""


@runtime_checkable
class SupportsBudget(Protocol):
    """A selector that can keep a batch within a budget: needed for costs and batch constraints."""

    def within(self, budget: BatchBudget) -> Selector:
        """Return this selector, keeping to the budget; it may then pick fewer than k."""


@runtime_checkable
class SupportsNoScores(Protocol):
    """A selector that does not look at scores: it goes without an acquisition function."""

    without_scores: bool


@runtime_checkable
class SupportsRequirements(Protocol):
    """An acquisition function or selector that not every model serves."""

    def require(self, model: Model, members: int) -> None:
        """Raise `ConfigError`, with the reason, where it cannot do its work.

        Args:
            model: perhaps not yet fitted.
            members: E, in how many of its members each candidate is imagined.
        """


# ---------------------------------------------------------------- oracles


@runtime_checkable
class Oracle(Protocol):
    """Executes candidates. Constructed as `Oracle(env=EnvSpec(...), **parameters)`.

    Outcomes may come late, out of order, or as `Failure`, and for each id exactly once. Whoever
    makes one closes it: `with contextlib.closing(oracle)`.
    """

    @property
    def capacity(self) -> int:
        """How many candidates may be submitted and not yet polled."""

    def submit(self, candidate: Candidate) -> None:
        """Hand over one candidate; returns at once.

        Raises:
            OracleError: one with this id is pending, or as many as `capacity`.
        """

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Return outcomes that have come; waits at most `timeout` seconds (None: for one).

        Where nothing is pending, it returns an empty list at once.
        """

    def close(self) -> None:
        """Stop whatever runs and free its resources; may be called twice."""


@runtime_checkable
class Expert(Protocol):
    """Shows how a task is done, in the place of a person. Constructed without arguments.

    The oracle `expert` makes one for each rollout that it executes at a time.
    """

    def reset(self, seed: int) -> None:
        """Begin another demonstration; the seed decides all that is random in it."""

    def act(self, observation: Float[np.ndarray, "O"]) -> Float[np.ndarray, "A"]:
        """Return the action at an observation of the task."""


class Acting(NamedTuple):
    """What a `ClosedLoop` stands for: the policy that answers, and the model that it believes."""

    policy: SupportsAct
    model: Model


@runtime_checkable
class Resolver(Protocol):
    """Finds what a controller's name stands for, where it is executed or imagined."""

    def __call__(self, controller: ClosedLoop) -> Acting:
        """Return the policy and its model, with the weights that the controller names.

        Raises:
            UserError: there is no such policy, or it cannot answer observations.
        """


@runtime_checkable
class SupportsClosedLoop(Protocol):
    """An oracle that executes policies which answer observations."""

    resolve: Resolver
    """Set by the campaign."""


@runtime_checkable
class SupportsRepeat(Protocol):
    """An oracle without lasting effects (a simulation): a rollout may be executed again.

    After a crash, what was dispatched and not recorded is simply executed again. Without this
    capability it is `indeterminate`, and a person decides.
    """

    repeatable: bool


@runtime_checkable
class SupportsFilms(Protocol):
    """An oracle that keeps the pictures of which it answers what is encoded (`Trajectory.film`)."""

    films: Path | None
    """Set by the campaign: the folder in which each film is written, under a name that begins with
    a dot and ends in `.tmp`. It moves when the rollout is recorded; what stays is removed."""


@runtime_checkable
class SupportsAdvance(Protocol):
    """An oracle that says how far it is while it executes what takes long."""

    advanced: Callable[[int, int], None]
    """Set by the loop; told how many of how many steps are executed."""


@runtime_checkable
class SupportsExport(Protocol):
    """A policy that is a network, and can be used without robo-al: ONNX."""

    def graph(self) -> bytes:
        """Return its mean as a graph, from `observation` [batch,O] to `action` [batch,A]."""


@runtime_checkable
class SupportsGraph(Protocol):
    """A policy that can travel to a robot's agent, as numbers and operators: ONNX."""

    def robot_graph(
        self, sensors: int, limits: tuple[Float[np.ndarray, "J"], Float[np.ndarray, "J"]]
    ) -> bytes:
        """Return its mean as a graph, from what the robot measures to `command` [1,J].

        Args:
            sensors: how many the robot has beside its joints.
            limits: lowest and highest positions that may be commanded.

        Raises:
            UserError: what the task observes cannot be computed there.
        """


@runtime_checkable
class SupportsRecall(Protocol):
    """An oracle that knows what it executed: asked for a rollout again, it tells what became of it.

    What was dispatched when a campaign died is submitted again, and never runs twice.
    """

    campaign: str
    """Set by the campaign, before anything is submitted, to what outlives its openings."""

    def acknowledge(self, ids: Sequence[str]) -> None:
        """Take note that the outcomes of these rollouts are recorded, and may be forgotten."""


@runtime_checkable
class SupportsLook(Protocol):
    """An oracle that says where its next rollouts start, where that cannot be asked for."""

    def look(self, seeds: Sequence[int]) -> list[Context]:
        """Reset envs, and leave each where it is until the candidate with its context comes.

        A candidate whose context is not there any more, because of another look or because the
        oracle is another one, is answered with a `Failure`: it is never executed from elsewhere.

        Args:
            seeds: one for each start that is wanted.

        Returns:
            Contexts that are `found`: one at least, and at most as many as were wanted.
        """


@runtime_checkable
class SupportsNotice(Protocol):
    """An oracle that may have to wait for a person, a repair or a network, and says so."""

    notice: Callable[[str], None]
    """Set by the campaign: told what is waited for and what to do about it, when that changes."""


@runtime_checkable
class SupportsAdmission(Protocol):
    """An oracle that knows beforehand what it would refuse: a robot's envelope."""

    def refusal(self, candidate: Candidate, actions: Float[np.ndarray, "E T A"]) -> Refusal | None:
        """Say why it would not execute a candidate that sends these actions; None: it would.

        Args:
            candidate: what is proposed.
            actions: in each of E imagined rollouts of it.
        """
