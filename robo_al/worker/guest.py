"""Holds an env of a Python of its own: any Gymnasium's, or the old Gym's since 0.21.

What it needs of them is what the env itself imports. The old ones are told apart by what they do:
`reset` takes no seed, or answers with the observation alone; `step` answers with four values.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .frames import Frame
from .serving import fault, refusal, serve
from .spaces import SpaceError, described, parted, unpacked
from .watch import (
    Watch,
    first_not_finite,
    not_finite,
    refused_by_mujoco,
    said_success,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REGISTRIES = ("gymnasium", "gym")
"""Before the id of an env that is registered there: `gym:Pendulum-v1`."""


class GuestError(Exception):
    """What the user named is no env; the message says why."""


class Guest:
    """Holds one env.

    Args:
        env: with `reset`, `step` and spaces of numbers.

        finite: whether what it shows must be finite; an encoder of the parent's may know better.

    Raises:
        GuestError: it is none.
    """

    def __init__(self, env: Any, finite: bool = True) -> None:
        self._env = env
        self._finite = finite
        self._inner = getattr(env, "unwrapped", env)
        for name in ("reset", "step", "action_space", "observation_space"):
            if not hasattr(env, name):
                raise GuestError(f"makes a {type(env).__name__}, which is no env: it has no {name}")
        try:
            self._action, self._limits = described(env.action_space)
            self._observation, self._bounds = described(env.observation_space)
        except SpaceError as error:
            raise GuestError(f"it has a space that no other process is told of: {error}") from error
        # a wrapper's own `reset` passes on whatever it is given, and so tells nothing
        takes_seed = "seed" in inspect.signature(self._inner.reset).parameters
        self._seeded = takes_seed or not hasattr(env, "seed")
        self._watch = Watch(env)

    def ready(self) -> Frame:
        """Say what the env is: its spaces, and what it tells by attributes."""
        spec = getattr(self._env, "spec", None)
        known = {
            "horizon": getattr(spec, "max_episode_steps", None),
            "threshold": getattr(spec, "reward_threshold", None),
            "dt": None,
        }
        for name, default in known.items():
            value = getattr(self._inner, name, None)
            known[name] = _number(default) if _number(value) is None else _number(value)
        fields = {
            "action": self._action,
            "observation": self._observation,
            "attributes": {name: value for name, value in known.items() if value is not None},
            "channels": _channels(getattr(self._inner, "channels", None)),
            "context": callable(getattr(self._inner, "context", None)),
        }
        return Frame("ready", fields, [*self._limits, *self._bounds])

    def reset(self, seed: int, options: Mapping[str, Any]) -> Frame:
        """Start a rollout; the answer has the env's own `context`, where it has one."""
        import numpy as np

        try:
            seen = parted(self._env.observation_space, self._first(seed, options))
        except SpaceError as error:
            return fault("failed", str(error))
        except Exception as error:
            return _raised(error)
        if self._finite and not _are_finite(seen):
            return fault("quarantined", first_not_finite(np.concatenate(list(map(np.ravel, seen)))))
        return Frame("observation", {"context": self._context()}, seen)

    def step(self, action: NDArray[np.float64]) -> Frame:
        """Apply one action, whose numbers are given."""
        import numpy as np

        self._watch.before_step()
        try:
            answer = self._env.step(unpacked(self._env.action_space, action))
            if len(answer) == 5:
                observation, reward, terminated, truncated, info = answer
            else:  # of the old Gym
                observation, reward, done, info = answer
                truncated = done and bool(info.get("TimeLimit.truncated", False))
                terminated = done and not truncated
            seen, reward = parted(self._env.observation_space, observation), float(reward)
        except SpaceError as error:
            return fault("failed", str(error))
        except Exception as error:
            return _raised(error)
        if (wrong := self._watch.wrong()) is not None:
            return fault("quarantined", wrong)
        trusted = not self._finite or _are_finite(seen)
        if not (trusted and np.isfinite(reward)):
            whole = np.concatenate(list(map(np.ravel, seen)))
            return fault("quarantined", not_finite(whole, reward))
        ends = {"terminated": bool(terminated), "truncated": bool(truncated)}
        said = {"over": any(ends.values()), "success": said_success(info)}
        return Frame("observation", {"reward": reward, **ends, **said}, seen)

    def _first(self, seed: int, options: Mapping[str, Any]) -> Any:
        """Reset the env; return its first observation."""
        if not self._seeded:
            if options:
                raise TypeError("its reset takes no options")
            self._env.seed(seed)
            return self._env.reset()
        first = self._env.reset(seed=seed, **({"options": dict(options)} if options else {}))
        both = isinstance(first, tuple) and len(first) == 2
        informed = both and (first[1] is None or isinstance(first[1], Mapping))
        return first[0] if informed else first

    def _context(self) -> dict[str, list[float]]:
        """Return the options that bring the start back; nothing if the env's word means others."""
        try:
            context = self._inner.context()
            return {str(key): [float(x) for x in row] for key, row in context.items()}
        except (AttributeError, TypeError, ValueError):
            return {}


def make(fields: Mapping[str, Any]) -> Guest | Frame:
    """Make the env that the frame `make` asks for."""
    try:
        import numpy  # noqa: F401
    except Exception as error:
        return refusal(f"it cannot import NumPy, which an env's Python needs: {error}", True)
    try:
        return Guest(_factory(fields["name"])(**fields["parameters"]), fields["finite"])
    except GuestError as error:
        return refusal(str(error), True)
    except (Exception, SystemExit) as error:
        return refusal(reason_of(error), True)


def _are_finite(seen: list[Any]) -> bool:
    """Whether an observation is, in all its parts; bytes are."""
    import numpy as np

    return all(array.dtype == np.uint8 or np.isfinite(array).all() for array in seen)


def _raised(error: Exception) -> Frame:
    """Return the fault of an env that raised."""
    if refused_by_mujoco(error):
        return fault("quarantined", f"MuJoCo: {error}")
    return fault("failed", f"the env raised {reason_of(error)}")


def reason_of(error: BaseException) -> str:
    """Return an error in one line, with the place in the lab's code that it came from."""
    text = f"{type(error).__name__}: {error}".split("\n")[0]
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    library = sysconfig.get_paths()["stdlib"]
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<")
    ]
    labs = [
        frame
        for frame in frames
        if "site-packages" not in frame.filename and not frame.filename.startswith(library)
    ]
    place = (labs or frames)[-1:]
    return text + "".join(f" ({frame.filename}, line {frame.lineno})" for frame in place)


def _channels(channels: Any) -> list[list[str]] | None:
    """Return name, unit and kind of each, as far as they are told: `("angle", "rad")`, `"angle"`.

    An object with these attributes, such as a `robo_al.types.Channel`, will do.
    """
    if not isinstance(channels, (tuple, list)):
        return None
    told = []
    for channel in channels:
        words: list[Any]
        if isinstance(channel, str):
            words = [channel, "1"]
        elif isinstance(channel, (tuple, list)):
            words = list(channel)
        else:
            words = [getattr(channel, name, None) for name in ("name", "unit", "kind")]
        if not (2 <= len(words) <= 3 and all(isinstance(word, str) for word in words)):
            return None
        told.append(words)
    return told


def _number(value: Any) -> float | None:
    """Return a number that an env tells by an attribute; None for whatever else it is."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    return int(value) if isinstance(value, Integral) else float(value)


def _factory(name: str) -> Callable[..., Any]:
    """Return what makes the env that a spec names."""
    registry, _, identity = name.partition(":")
    if registry in REGISTRIES:
        make_registered = importlib.import_module(registry).make
        return lambda **parameters: make_registered(identity, **parameters)
    place, _, attribute = name.rpartition(":")
    if not place:
        raise GuestError("give path/to/file.py:Class, package.module:Class or gymnasium:ID")
    module = _from_file(place) if place.endswith(".py") else importlib.import_module(place)
    if not callable(getattr(module, attribute, None)):
        raise GuestError(f"{module.__file__} has no {attribute!r} that could be called")
    factory: Callable[..., Any] = getattr(module, attribute)
    return factory


def _from_file(place: str) -> Any:
    path = Path(place).expanduser().resolve()
    if not path.is_file():
        raise GuestError(f"there is no file {path}")
    spec = importlib.util.spec_from_file_location("_robo_al_guest", str(path))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # before it runs: dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Serve the env; modules are looked up in the folder that we were started in, too."""
    if sys.path and not sys.path[0]:
        del sys.path[0]  # there it would hide what is installed
    sys.path.append(os.getcwd())
    serve(make)
