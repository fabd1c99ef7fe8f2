"""What an env offers beyond Gymnasium's contract, and which of its attributes are others' words.

Our words for it are ordinary ones: an env that never heard of us may have an attribute `reward`
that is a number, or a method `context` with another meaning. So an attribute is taken for ours only
where it has the type that ours has, takes our arguments, and gives what `step` gives. Of any other
it is said, once, that it is not used.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np
from gymnasium import wrappers
from numpy.typing import NDArray

from robo_al.errors import PluginError
from robo_al.protocols import SupportsRobot
from robo_al.tasks.fits import (
    Array,
    kind_of,
    no_channels,
    no_count,
    no_episodes,
    no_formula,
    no_function,
    no_number,
    no_period,
)
from robo_al.tasks.layers import Env, Lent, clear_layers, is_bare, layers, own_layers
from robo_al.tasks.trial import Ending, Tried, ending, own_copy, play, trying
from robo_al.types import (
    BatchedStepFunction,
    Channel,
    RewardFunction,
    TerminationFunction,
    Trajectory,
)

_TRIED_STEPS = 3
_STEADY_STEPS = 10
"""In which a number that is not constant shows it."""
_NAMES = (
    "horizon",
    "threshold",
    "control_period",
    "channels",
    "context",
    "episodes",
    "reward",
    "constraint",
    "termination",
    "dynamics",
    "answer",
)


def offers_of(env: Env) -> "Offers":
    """Return what an env offers; of an env that was lent, it is tried once for all."""
    if not isinstance(env, Lent):
        return Offers(env)
    if env.offers is None:
        env.offers = Offers(env)
    found: Offers = env.offers
    return found


class Offers:
    """What one env offers, each looked at and tried when it is first asked for.

    Args:
        env: with its wrappers. What tells of steps is not seen through a wrapper that changes them.
    """

    def __init__(self, env: Env) -> None:
        self._env = env
        self._ignored: dict[str, str] = {}
        self._terminated = False
        """Whether the last of the steps that were tried did."""

    @property
    def ignored(self) -> tuple[str, ...]:
        """A sentence for each attribute that is not taken for ours."""
        for name in _NAMES:
            getattr(self, name)
        return tuple(self._ignored.values())

    def why_not(self, name: str) -> str | None:
        """Return why an attribute is not taken for ours, once it was looked at."""
        return self._ignored.get(name)

    # ------------------------------------------------------------ numbers

    @cached_property
    def horizon(self) -> int | None:
        """Steps of an evaluation."""
        value = self._take("horizon", no_count, layers(self._env))
        return None if value is None else int(value)

    @cached_property
    def control_period(self) -> float | None:
        """Seconds between two actions."""
        value = self._take("dt", no_period, layers(self._env))
        return None if value is None else float(value)

    @cached_property
    def threshold(self) -> float | None:
        """Return from which the task counts as solved, the env's own or Gymnasium's."""
        rewarded = [layer for layer in layers(self._env) if _changes_rewards(layer)]
        if rewarded:  # what it wraps says of other rewards when they are enough
            value = self._take("threshold", no_number, rewarded[:1])
        else:
            value, spec = self._take("threshold", no_number, layers(self._env)), _spec(self._env)
            value = spec.reward_threshold if value is None and spec else value
        return None if value is None else float(value)

    # ------------------------------------------------------------ of the observation and the start

    @cached_property
    def channels(self) -> tuple[Channel, ...] | None:
        """Names, units and kinds of the observation's components."""
        value = self._take("channels", no_channels, clear_layers(self._env))
        return None if value is None else tuple(value)

    @cached_property
    def steadiness(self) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which numbers stay as they are within two rollouts, and which differ between them.

        Of an env that raises, nothing is found out: that is told where it costs a rollout.
        """
        try:
            seen = [play(self._env, _STEADY_STEPS, seed) for seed in range(2)]
        except PluginError:
            size = self._env.observation_space.shape or ()
            return np.ones(size, dtype=np.bool_), np.zeros(size, dtype=np.bool_)
        first = [rollout.observations[0] for rollout in seen]
        changed = [rollout.next_observations != rollout.observations[0] for rollout in seen]
        within = np.array(np.concatenate(changed).any(axis=0))
        return ~within, np.array(first[0] != first[1])

    @cached_property
    def context(self) -> Callable[[], Mapping[str, Any]] | None:
        """Returns the options that reproduce the present start."""
        found: Callable[[], Mapping[str, Any]] | None = self._take("context", self._no_context)
        return found

    @cached_property
    def episodes(self) -> tuple[tuple[Trajectory, ...], tuple[Trajectory, ...]] | None:
        """Recorded rollouts that can be chosen, and those that are held out."""
        chosen = self._take("episodes", no_episodes)
        if chosen is None:
            return None
        held_out = self._take("held_out", no_episodes)
        return None if held_out is None else (tuple(chosen), tuple(held_out))

    # ------------------------------------------------------------ functions of steps

    @cached_property
    def reward(self) -> RewardFunction | None:
        """The reward as a function."""
        return self._formula("reward", 3, lambda tried: tried.rewards)

    @cached_property
    def constraint(self) -> RewardFunction | None:
        """How far a step is where it must not be."""
        return self._formula("constraint", 3, lambda tried: np.full_like(tried.rewards, np.nan))

    @cached_property
    def termination(self) -> TerminationFunction | None:
        """Whether a step ended the task, as a function."""
        return self._formula("termination", 3, lambda tried: tried.terminated)

    @cached_property
    def dynamics(self) -> Callable[[Any, Any], Any] | None:
        """The next observation as a function."""
        return self._formula("dynamics", 2, lambda tried: tried.next_observations)

    @cached_property
    def answer(self) -> BatchedStepFunction | None:
        """What `step` makes of many simulations at once."""
        found: BatchedStepFunction | None = self._take(
            "answer", lambda value: no_function(value, 4)
        )
        return found

    @cached_property
    def robot(self) -> SupportsRobot | None:
        """The env itself, if a robot can do it."""
        inner = self._env.unwrapped
        return inner if isinstance(inner, SupportsRobot) and is_bare(self._env) else None

    @cached_property
    def ending(self) -> Ending:
        """How rollouts of random actions end by themselves."""
        return ending(self._env)

    # ------------------------------------------------------------ inside

    def _take(
        self, name: str, wrong: Callable[[Any], str | None], among: Iterable[Env] | None = None
    ) -> Any:
        """Return the outermost attribute of a name; None where there is none, or it is not ours."""
        for layer in own_layers(self._env) if among is None else among:
            if isinstance(layer, gymnasium.RewardWrapper) and name == "reward":
                continue  # Gymnasium's own, which every such wrapper has
            try:
                value = getattr(layer, name, None)
                reason = None if value is None else wrong(value)
            except PluginError:
                raise
            except Exception as error:
                value, reason = name, f"it raised {type(error).__name__}: {error}"
            if reason is not None:
                where = f"{type(layer).__name__}.{name}"
                self._ignored[name] = f"{where} is not used as robo-al's `{name}`: {reason}"
                return None
            if value is not None:
                return value
        return None

    def _formula(
        self, name: str, arguments: int, gives: Callable[[Tried], Array]
    ) -> Callable[..., Any] | None:
        """Return an attribute that is a function of steps, and gives what they gave."""

        def wrong(value: Any) -> str | None:
            if reason := no_function(value, arguments):
                return reason
            tried = self._tried
            steps = tried.observations, tried.actions, tried.next_observations
            return no_formula(value, steps[:arguments], gives(tried))

        found: Callable[..., Any] | None = self._take(name, wrong)
        return found

    def _no_context(self, context: Any) -> str | None:
        if reason := no_function(context, 0):
            return reason
        with trying(self._env, "reset"):
            first = own_copy(self._env.reset(seed=0)[0])
        options = context()
        if not isinstance(options, Mapping):
            return f"it returned {kind_of(options)}; a mapping of names to numbers is needed"
        options = {str(key): tuple(map(float, numbers)) for key, numbers in options.items()}
        again = own_copy(self._env.reset(seed=1, options=options)[0])
        if np.allclose(again, first, rtol=0, atol=1e-9):
            return None
        return "reset(options=context()) starts at another observation"

    @cached_property
    def _tried(self) -> Tried:
        return play(self._env, _TRIED_STEPS)


def _changes_rewards(layer: Env) -> bool:
    return isinstance(layer, (gymnasium.RewardWrapper, wrappers.NormalizeReward))


def _spec(env: Env) -> Any:
    return getattr(env.unwrapped, "spec", None)
