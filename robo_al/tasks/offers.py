"""What an env offers beyond Gymnasium's contract, and which of its attributes are others' words.

Our words for it are ordinary ones: an env that never heard of us may have an attribute `reward`
that is a number, or a method `context` with another meaning. So an attribute is taken for ours only
where it has the type that ours has, takes our arguments, and gives what `step` gives. Of any other
it is said, once, that it is not used.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeAlias

import gymnasium
import numpy as np
from gymnasium import wrappers
from numpy.typing import NDArray

from robo_al.errors import PluginError
from robo_al.protocols import SupportsRobot
from robo_al.tasks.boxes import random_action
from robo_al.tasks.layers import Env, Lent, clear_layers, is_bare, layers
from robo_al.types import Channel, Trajectory

Array: TypeAlias = NDArray[Any]
Ends: TypeAlias = tuple[bool, bool]
"""Whether a step terminated the rollout, and whether it broke it off."""
_TRIED_STEPS = 3
_LONGEST, _ROLLOUTS = 1000, 5
"""Steps, and rollouts, for which it is looked when an env breaks one off."""


def offers_of(env: Env) -> "Offers":
    """Return what an env offers; of an env that was lent, it is tried once for all."""
    if not isinstance(env, Lent):
        return Offers(env)
    if env.offers is None:
        env.offers = Offers(env)
    found: Offers = env.offers
    return found


class Ending(NamedTuple):
    """How rollouts of random actions ended."""

    truncated_after: int | None
    """Steps of the first that was broken off; None: none was, within `_LONGEST` steps."""
    terminated: bool
    """Whether one ended by itself before."""


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
        """A sentence for each attribute that is not taken for ours, of those asked for so far."""
        return tuple(self._ignored.values())

    # ------------------------------------------------------------ numbers

    @cached_property
    def horizon(self) -> int | None:
        """Steps of an evaluation."""
        value = self._take("horizon", _no_count, layers(self._env))
        return None if value is None else int(value)

    @cached_property
    def control_period(self) -> float | None:
        """Seconds between two actions."""
        value = self._take("dt", _no_period, layers(self._env))
        return None if value is None else float(value)

    @cached_property
    def threshold(self) -> float | None:
        """Return from which the task counts as solved, the env's own or Gymnasium's."""
        rewarded = [layer for layer in layers(self._env) if _changes_rewards(layer)]
        if rewarded:  # what it wraps says of other rewards when they are enough
            value = self._take("threshold", _no_number, rewarded[:1])
        else:
            value, spec = self._take("threshold", _no_number, layers(self._env)), _spec(self._env)
            value = spec.reward_threshold if value is None and spec else value
        return None if value is None else float(value)

    # ------------------------------------------------------------ of the observation and the start

    @cached_property
    def channels(self) -> tuple[Channel, ...] | None:
        """Names, units and kinds of the observation's components."""
        value = self._take("channels", _no_channels, clear_layers(self._env))
        return None if value is None else tuple(value)

    @cached_property
    def context(self) -> Callable[[], Mapping[str, Any]] | None:
        """Returns the options that reproduce the present start."""
        found: Callable[[], Mapping[str, Any]] | None = self._take(
            "context", lambda value: _no_function(value, 0) or self._no_context(value)
        )
        return found

    @cached_property
    def episodes(self) -> tuple[tuple[Trajectory, ...], tuple[Trajectory, ...]] | None:
        """Recorded rollouts that can be chosen, and those that are held out."""
        chosen = self._take("episodes", _no_episodes)
        if chosen is None:
            return None
        held_out = self._take("held_out", _no_episodes)
        return None if held_out is None else (tuple(chosen), tuple(held_out))

    # ------------------------------------------------------------ functions of steps

    @cached_property
    def reward(self) -> Callable[[Any, Any, Any], Any] | None:
        """The reward as a function."""
        found: Callable[[Any, Any, Any], Any] | None = self._take("reward", self._no_reward)
        return found

    @cached_property
    def constraint(self) -> Callable[[Any, Any, Any], Any] | None:
        """How far a step is where it must not be."""
        found: Callable[[Any, Any, Any], Any] | None = self._take("constraint", self._no_constraint)
        return found

    @cached_property
    def dynamics(self) -> Callable[[Any, Any], Any] | None:
        """The next observation as a function."""
        found: Callable[[Any, Any], Any] | None = self._take("dynamics", self._no_dynamics)
        return found

    @cached_property
    def termination(self) -> Callable[[Any, Any, Any], Any] | None:
        """Whether a step ended the task, as a function."""
        found: Callable[[Any, Any, Any], Any] | None = self._take(
            "termination", self._no_termination
        )
        return found

    @cached_property
    def robot(self) -> SupportsRobot | None:
        """The env itself, if a robot can do it."""
        inner = self._env.unwrapped
        return inner if isinstance(inner, SupportsRobot) and is_bare(self._env) else None

    @cached_property
    def answer(self) -> Callable[[Any, Any, Any, Any], Any] | None:
        """What `step` makes of many simulations at once; see `robo_al.types.AnswerFunction`."""
        found: Callable[[Any, Any, Any, Any], Any] | None = self._take(
            "answer", lambda value: _no_function(value, 4)
        )
        return found

    @cached_property
    def ending(self) -> Ending:
        """How rollouts of random actions end by themselves."""
        left, terminated = _LONGEST, False
        for seed in range(_ROLLOUTS):
            steps, ends = self._play(left, seed)
            if ends[1]:
                return Ending(len(steps), terminated)
            terminated, left = terminated or ends[0], left - len(steps)
            if not left:
                break
        return Ending(None, terminated)

    # ------------------------------------------------------------ inside

    def _take(
        self, name: str, wrong: Callable[[Any], str | None], among: Iterable[Env] | None = None
    ) -> Any:
        """Return the outermost attribute of a name; None where there is none, or it is not ours."""
        for layer in clear_layers(self._env) if among is None else among:
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

    def _no_reward(self, value: Any) -> str | None:
        if reason := _no_function(value, 3):
            return reason
        before, actions, after, rewards = self._steps
        return _no_formula(value, (before, actions, after), rewards)

    def _no_termination(self, value: Any) -> str | None:
        if reason := _no_function(value, 3):
            return reason
        before, actions, after, rewards = self._steps
        ended = np.zeros_like(rewards)
        ended[-1] = self._terminated
        return _no_formula(value, (before, actions, after), ended)

    def _no_dynamics(self, value: Any) -> str | None:
        if reason := _no_function(value, 2):
            return reason
        before, actions, after, _ = self._steps
        return _no_formula(value, (before, actions), after)

    def _no_constraint(self, value: Any) -> str | None:
        if reason := _no_function(value, 3):
            return reason
        before, actions, after, rewards = self._steps
        return _no_formula(value, (before, actions, after), np.full_like(rewards, np.nan))

    def _no_context(self, context: Callable[[], Any]) -> str | None:
        with _trying(self._env, "reset"):
            first = _copy(self._env.reset(seed=0)[0])
        options = context()
        if not isinstance(options, Mapping):
            return f"it returned {_kind(options)}; a mapping of names to numbers"
        options = {str(key): tuple(map(float, numbers)) for key, numbers in options.items()}
        again = _copy(self._env.reset(seed=1, options=options)[0])
        if np.allclose(again, first, rtol=0, atol=1e-9):
            return None
        return "reset(options=context()) starts at another observation"

    @cached_property
    def _steps(self) -> tuple[Array, Array, Array, Array]:
        """Observations, actions, next observations and rewards of a few steps, float64."""
        steps, (self._terminated, _) = self._play(_TRIED_STEPS, 0)
        before, actions, after, rewards = (np.array(column) for column in zip(*steps, strict=True))
        return before, actions, after, rewards

    def _play(self, most: int, seed: int) -> tuple[list[tuple[Array, Array, Array, float]], Ends]:
        """Return at most so many steps of random actions, and how they ended."""
        rng, steps, ends = np.random.default_rng(seed), [], (False, False)
        with _trying(self._env, "reset"):
            before = _copy(self._env.reset(seed=seed)[0])
        while len(steps) < most and not any(ends):
            action = random_action(self._env.action_space, rng)
            with _trying(self._env, "step"):
                observation, reward, terminated, truncated, _ = self._env.step(action.copy())
                after = _copy(observation)
                _need(
                    after.shape == before.shape,
                    f"the observation has shape {after.shape}, not {before.shape}",
                )
                _need(np.ndim(reward) == 0 and np.isfinite(reward), f"a reward of {reward!r}")
            steps.append((before, action.astype(np.float64), after, float(reward)))
            before, ends = after, (bool(terminated), bool(truncated))
        return steps, ends


def _changes_rewards(layer: Env) -> bool:
    return isinstance(layer, (gymnasium.RewardWrapper, wrappers.NormalizeReward))


def _spec(env: Env) -> Any:
    return getattr(env.unwrapped, "spec", None)


def _copy(observation: Any) -> Array:
    """Return an observation in an array of its own: an env may fill the same one again."""
    return np.array(observation, dtype=np.float64)


class _Wrong(Exception):
    """What a method of an env gave cannot be."""


def _need(condition: Any, wrong: str) -> None:
    if not condition:
        raise _Wrong(wrong)


@contextmanager
def _trying(env: Env, method: str) -> Iterator[None]:
    """Say of which env it was, if a method raises."""
    name = f"{type(env.unwrapped).__qualname__}.{method}"
    try:
        yield
    except _Wrong as error:
        raise PluginError(f"{name}: {error}") from None
    except Exception as error:
        raise PluginError(f"{name}: raised {type(error).__name__}: {error}") from error


# ---------------------------------------------------------------- why an attribute is not ours


def _no_count(value: Any) -> str | None:
    fits = isinstance(value, Integral) and not isinstance(value, bool) and int(value) > 0
    return None if fits else f"it is {value!r:.60}; a number of steps is needed"


def _no_number(value: Any) -> str | None:
    fits = isinstance(value, Real) and not isinstance(value, bool) and np.isfinite(float(value))
    return None if fits else f"it is {value!r:.60}; a number is needed"


def _no_period(value: Any) -> str | None:
    if _no_number(value) is None and value > 0:
        return None
    return f"it is {value!r:.60}; seconds between two actions are needed"


def _no_channels(value: Any) -> str | None:
    return _no_sequence(value, Channel)


def _no_episodes(value: Any) -> str | None:
    return _no_sequence(value, Trajectory)


def _no_sequence(value: Any, kind: type) -> str | None:
    if isinstance(value, (tuple, list)) and value and all(isinstance(x, kind) for x in value):
        return None
    return f"it is {value!r:.60}; a tuple of robo_al.types.{kind.__name__} is needed"


def _no_function(value: Any, arguments: int) -> str | None:
    if not callable(value):
        return f"it is {value!r:.60}; a function is needed"
    try:
        inspect.signature(value).bind(*[None] * arguments)
    except TypeError as error:
        return f"called with {arguments} arguments: {error}"
    except ValueError:  # a function of another language does not tell
        pass
    return None


def _no_formula(function: Any, arguments: Sequence[Array], expected: Array) -> str | None:
    """Return what is wrong with what a function makes of a batch of steps, in float64.

    Args:
        function: of observations, actions and perhaps next observations.
        arguments: of the function, for NumPy; tensors of them are tried too.
        expected: what `step` gave, NaN where it does not tell.
    """
    import torch

    for kind, convert in ((np.ndarray, np.copy), (torch.Tensor, torch.tensor)):
        try:
            answer = function(*map(convert, arguments))
            if not isinstance(answer, kind):
                return f"given {kind.__name__}s it returned {_kind(answer)}"
            found = np.asarray(answer, dtype=np.float64)
        except Exception as error:
            return f"given {kind.__name__}s it raised {type(error).__name__}: {error}"
        if found.shape != expected.shape:
            return f"it returned shape {found.shape} for {len(expected)} steps"
        if not np.isfinite(found).all():
            return "it returned numbers that are not finite"
        known = np.isfinite(expected)
        if not np.allclose(found[known], expected[known], atol=1e-5):
            return "it differs from what step gives"
    return None


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"
