"""The oracle of a scripted expert: demonstrations without a person, for benchmarks and tests.

An expert stands in for a person who demonstrates. What a person's time would cost is counted and
never slept: each demonstration says in its details how long a person would have taken for it
(`person_seconds`) and how long the robot would have waited before (`delay_seconds`).
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float

from robo_al import plugins
from robo_al.config.ranges import NonNegative, Threads, Width
from robo_al.errors import PluginError, UserError
from robo_al.oracles.recording import Fault
from robo_al.oracles.simulation import SimulationOracle
from robo_al.protocols import Actor, Expert
from robo_al.seeds import Purpose
from robo_al.types import (
    MEAN,
    Candidate,
    ClosedLoop,
    Demonstration,
    EnvSpec,
    Outcome,
    Trajectory,
)

EXPERT = "the oracle's expert"
"""The policy that a demonstration is executed by; no role of a campaign has this name."""
POLICY, PERSON = 0, 1
"""Values of the signal `actor`."""


class ExpertOracle(SimulationOracle):
    """Executes demonstrations by a scripted expert, and policies, in a simulated env.

    The signal `actor` says of each step who acted: 1 the expert, 0 anything else.

    Args:
        env: what to simulate.
        expert: who demonstrates, `my/expert.py:Expert` or `package.module:Expert`: a class like
            `robo_al.protocols.Expert`.
        seconds: of a person's time that a demonstration takes; None: as long as it lasts.
        delay: seconds, in the median, that pass before a person begins: log-normal, each drawn by
            the candidate's seed. They are counted, and nobody waits.
        delay_spread: standard deviation of the logarithm of the delay.
        threads: of MuJoCo's physics; 0 for one a core. Results do not depend on it.
        envs: instances of an env that are stepped together; see the oracle `simulation`.

    Raises:
        PluginError: there is no such expert, or it cannot be constructed, or has not the methods.
        UserError: a number below 0, or an env that no rollout can run in.
    """

    def __init__(
        self,
        env: EnvSpec,
        expert: str,
        seconds: NonNegative | None = None,
        delay: NonNegative = 0.0,
        delay_spread: NonNegative = 0.5,
        threads: Threads = 0,
        envs: Width | None = None,
    ) -> None:
        numbers = {"seconds": seconds, "delay": delay, "delay_spread": delay_spread}
        wrong = [
            f"{name} is {value}; it must be a finite number from 0"
            for name, value in numbers.items()
            if value is not None and not 0 <= value < math.inf
        ]
        if wrong:
            raise UserError(f"oracle expert: {'; '.join(wrong)}")
        super().__init__(env, threads, envs)
        self._seconds = seconds
        self._delay = delay
        self._delay_spread = delay_spread
        self._experts = _Experts(expert, len(self._limits.low))
        self._demonstrated: dict[str, int] = {}
        """Seeds of the queued candidates that are to be demonstrated, by their ids."""

    def submit(self, candidate: Candidate) -> None:
        """Queue a candidate; raises like the oracle `simulation`."""
        if not isinstance(candidate.controller, Demonstration):
            return super().submit(candidate)
        super().submit(replace(candidate, controller=ClosedLoop(MEAN, EXPERT)))
        self._demonstrated[candidate.id] = candidate.seed
        return None

    def poll(self, timeout: float | None = None) -> list[Outcome]:
        """Execute everything queued; return the outcomes in the order of submission.

        Raises:
            UserError: a policy answered with actions of a wrong shape.
        """
        demonstrated, self._demonstrated = self._demonstrated, {}
        return [
            self._told(outcome, demonstrated.get(outcome.candidate_id))
            for outcome in super().poll(timeout)
        ]

    def _start(self, controllers: Sequence[ClosedLoop], seeds: Sequence[int]) -> tuple[Actor, str]:
        """Begin demonstrations, or what a campaign's policy controls."""
        if controllers[0].policy == EXPERT:
            return self._experts.start(seeds), EXPERT
        return super()._start(controllers, seeds)

    def _told(self, outcome: Outcome, seed: int | None) -> Outcome:
        """Return an outcome that says who acted and, of a demonstration, what a person gave."""
        result, actor = outcome.result, POLICY if seed is None else PERSON
        if isinstance(result, Trajectory):
            result = _by(result, actor)
        elif result.partial is not None:
            result = replace(result, partial=_by(result.partial, actor))
        if seed is None:
            return replace(outcome, result=result)
        person = outcome.robot_seconds if self._seconds is None else self._seconds
        white = np.random.default_rng([seed, Purpose.EXECUTE]).standard_normal()
        delay = self._delay * math.exp(self._delay_spread * white)
        details = {**outcome.details, "person_seconds": person, "delay_seconds": delay}
        return replace(outcome, result=result, details=details)


def _by(trajectory: Trajectory, actor: int) -> Trajectory:
    """Return a trajectory whose signal `actor` says who acted at every step."""
    column = np.full(trajectory.steps, actor, dtype=np.int8)
    return replace(trajectory, signals={**trajectory.signals, "actor": column})


class _Experts:
    """Instances of an expert, one for each rollout that is executed at a time.

    Raises:
        PluginError: there is no such expert, or it cannot be constructed, or has not the methods.
    """

    def __init__(self, spec: str, size: int) -> None:
        self.spec = spec
        self.size = size
        """A, numbers of an action."""
        self._constructor = plugins.load("experts", spec)
        self._made = [self._make()]

    def start(self, seeds: Sequence[int]) -> "_Demonstrating":
        """Begin B demonstrations."""
        while len(self._made) < len(seeds):
            self._made.append(self._make())
        return _Demonstrating(self, self._made[: len(seeds)], seeds)

    def _make(self) -> Expert:
        try:
            expert = self._constructor()
        except Exception as error:
            raise PluginError(
                f"expert {self.spec}: its constructor, called with nothing, raised "
                f"{type(error).__name__}: {error}"
            ) from error
        if not isinstance(expert, Expert):
            missing = [name for name in ("reset", "act") if not hasattr(expert, name)]
            raise PluginError(
                f"expert {self.spec}: it has no method {' and none '.join(missing)}; an expert has "
                "`reset(seed)` and `act(observation)`"
            )
        return expert


class _Demonstrating:
    """B demonstrations under way; an expert that fails ends its own."""

    def __init__(self, experts: _Experts, made: Sequence[Expert], seeds: Sequence[int]) -> None:
        self.faults: dict[int, Fault] = {}
        """Why demonstrations cannot go on, by their rows."""
        self._experts = experts
        self._made = made
        for row, (expert, seed) in enumerate(zip(made, seeds, strict=True)):
            try:
                expert.reset(seed)
            except Exception as error:
                self._fail(row, f"raised {type(error).__name__} at its reset: {error}")

    def act(self, observations: Float[np.ndarray, "B O"]) -> Float[np.ndarray, "B A"]:
        """Return the experts' actions, 0 for those that failed."""
        actions = np.zeros((len(observations), self._experts.size))
        for row, observation in enumerate(observations):
            if row not in self.faults:
                actions[row] = self._action(row, observation.copy())
        return actions

    def _action(self, row: int, observation: Float[np.ndarray, "O"]) -> Float[np.ndarray, "A"]:
        size, answer = self._experts.size, None
        try:
            answer = self._made[row].act(observation)
            action = np.array(answer, dtype=np.float64)
        except Exception as error:
            what = f"raised {type(error).__name__}: {error}"
        else:
            if action.shape == (size,) and np.isfinite(action).all():
                return action
            what = f"answered {answer!r:.100}; an action is {size} finite numbers"
        self._fail(row, what)
        return np.zeros(size)

    def _fail(self, row: int, what: str) -> None:
        in_one_line = " ".join(what.split())
        self.faults[row] = Fault("failed", f"the expert {self._experts.spec} {in_one_line}")
