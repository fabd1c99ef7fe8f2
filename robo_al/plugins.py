"""Where parts come from: one spec string for ours and a lab's.

A spec is the name of an entry point (`reacher`), `package.module:Class`, or `path/to/file.py:Class`
(a file, no packaging). Relative paths, and modules that are not installed, are looked up from the
current folder: see `robo_al.dataset.start_folder` for a run that goes on.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from robo_al.errors import ConfigError, PluginError, UserError

if TYPE_CHECKING:
    import gymnasium

    from robo_al.types import (
        BatchedStepFunction,
        EnvFacts,
        EnvSpec,
        RewardFunction,
        TerminationFunction,
    )

GYMNASIUM = "gymnasium:"
"""Before the id of an env that is registered with Gymnasium, as `gymnasium.make` takes it: an id of
another package goes with the module that registers it, `gymnasium:panda_gym:PandaReach-v3`."""
SUITES = "suites"
"""The group of functions that make a task of somebody's suite: given the name of the task, they
return what makes the env. `dmc:cartpole-swingup` is a task of what is installed as `dmc`."""


def known(group: str) -> dict[str, str]:
    """Return the parts that are installed under a name: name -> `module:Class`.

    Args:
        group: envs, policies, models, acquisitions, selectors or oracles.
    """
    found = _installed(tuple(sys.path)).select(group=f"robo_al.{group}")
    return {entry.name: entry.value for entry in sorted(found, key=lambda entry: entry.name)}


@cache
def _installed(path: tuple[str, ...]) -> Any:
    """Return what selects from all entry points on `sys.path`: finding them takes its time."""
    return entry_points()


def load(group: str, spec: str) -> Any:
    """Return the class that a spec names.

    Args:
        group: envs, policies, models, acquisitions, selectors or oracles.
        spec: see above.

    Raises:
        PluginError: there is none, or its module cannot be imported.
    """
    if "MUJOCO_GL" in os.environ:
        drawing_fault()  # before a plugin imports MuJoCo, and fails
    suite, _, task = spec.partition(":")
    if of_suite(spec):
        return load(SUITES, suite)(task)
    where = f"{group}: {spec!r}"
    target = spec if ":" in spec else known(group).get(spec)
    if target is None:
        raise PluginError(f"{where} is not known; known are {_listed(known(group), spec)}")
    place, _, name = target.rpartition(":")
    module = _from_file(place, where) if place.endswith(".py") else _from_module(place, where)
    if not hasattr(module, name):
        names = [key for key, value in vars(module).items() if inspect.isclass(value)]
        raise PluginError(
            f"{where}: {module.__file__} has no {name!r}; its classes are {_listed(names, name)}"
        )
    part = getattr(module, name)
    if not callable(part):
        raise PluginError(f"{where}: {name} in {module.__file__} is no class but {part!r}")
    return part


def of_suite(spec: str) -> bool:
    """Whether a spec names a task of a suite that is installed: `SUITE:TASK`."""
    suite, _, task = spec.partition(":")
    return bool(task) and suite in known(SUITES)


def make_env(spec: EnvSpec) -> gymnasium.Env[Any, Any]:
    """Make an env.

    Raises:
        PluginError: it is not known, refuses its parameters, is no `gymnasium.Env`, or is to be
            drawn where MuJoCo cannot draw.
    """
    return env_maker(spec)()


def env_maker(spec: EnvSpec) -> Callable[[], gymnasium.Env[Any, Any]]:
    """Import what an env needs, and return the function that makes it.

    Raises:
        PluginError: it is not known, or does not take its parameters. The function raises it where
            the constructor fails, or makes no `gymnasium.Env`.
    """
    if spec.python is not None:
        from robo_al.foreign.env import ForeignEnv

        return lambda: adapted(ForeignEnv(spec), spec)
    where = f"env {spec.name!r}"
    drawn = spec.parameters.get("render_mode") == "rgb_array"
    if drawn:
        render_offscreen()
    fault = drawing_fault()
    if drawn and fault:
        raise PluginError(f"{where}: {fault}")
    _silence_mujoco()
    factory = constructor(spec)
    return lambda: adapted(_made(factory, spec.parameters, where), spec)


def constructor(spec: EnvSpec) -> Callable[..., gymnasium.Env[Any, Any]]:
    """Import what makes an env.

    Raises:
        PluginError: it is not known, or does not take its parameters.
    """
    if spec.name.startswith(GYMNASIUM):
        return _registered(spec.name.removeprefix(GYMNASIUM))
    factory: Callable[..., gymnasium.Env[Any, Any]] = load("envs", spec.name)
    _refuse_unknown(factory, spec.parameters, f"env {spec.name!r}")
    return factory


def adapted(env: "gymnasium.Env[Any, Any]", spec: EnvSpec) -> "gymnasium.Env[Any, Any]":
    """Return an env whose spaces are flat boxes, as far as they and its spec allow.

    Raises:
        ConfigError: `action_limits` that do not go with the actions, or an encoder that has learned
            other numbers than it had.
        PluginError: the encoder is not known, or cannot be constructed.
    """
    from robo_al.encoding import adapted

    asked = spec.facts.encoder
    return adapted.adapted(env, spec, None if asked is None else partial(_encoder, spec.facts))


def _encoder(facts: EnvFacts, space: Any) -> Any:
    """Construct the encoder of observations that a spec asks for."""
    from robo_al.encoding.adapted import learned_by

    asked = dict(facts.encoder or {})
    name = asked.pop("name")
    constructor = load("encoders", name)
    try:
        encoder = constructor(space=space, **asked)
    except UserError:
        raise
    except Exception as error:
        named = ", ".join(["space", *asked])
        said = f"encoder {name}: its constructor, called with {named}, raised {_reason(error)}"
        raise PluginError(said) from error
    noted, found = facts.encoder_sha256, learned_by(encoder)
    if noted not in (None, found):
        raise ConfigError(
            f"encoder {name}: the sha256 of what it has learned is {found}, not {noted}; put back "
            "what it was, or begin another run in a new folder"
        )
    return encoder


def _made(
    factory: Callable[..., Any], parameters: Mapping[str, Any], where: str
) -> gymnasium.Env[Any, Any]:
    """Return the env that a factory makes."""
    import gymnasium

    try:
        env = factory(**parameters)
    except UserError:
        raise
    except Exception as error:
        raise PluginError(f"{where} with {dict(parameters)}: {_reason(error)}") from error
    if not isinstance(env, gymnasium.Env):
        raise PluginError(f"{where} makes a {type(env).__name__}, which is no gymnasium.Env")
    return env


def known_reward(spec: EnvSpec) -> RewardFunction | None:
    """Return the reward of a `gymnasium:` env where it is a known function, else None.

    A function of an env's parameters that returns the reward is an entry point of the group
    `robo_al.rewards` with the env's id as its name. Parameters that it does not take are ones for
    which the reward is not known.
    """
    reward: RewardFunction | None = _known("rewards", spec)
    return reward


def known_termination(spec: EnvSpec) -> TerminationFunction | None:
    """Return when a `gymnasium:` env ends by itself where that is a known function, else None.

    Like `known_reward`, of the group `robo_al.terminations`.
    """
    termination: TerminationFunction | None = _known("terminations", spec)
    return termination


def known_answer(spec: EnvSpec, env: gymnasium.Env[Any, Any]) -> BatchedStepFunction | None:
    """Return what `step` of a `gymnasium:` MuJoCo env makes of n simulations, where it is known.

    Like `known_reward`, of the group `robo_al.answers`, and of the env before its parameters.
    """
    answer: BatchedStepFunction | None = _known("answers", spec, env)
    return answer


_OF_MAKE = ("render_mode", "max_episode_steps")
"""Parameters of `gymnasium.make` that change neither what a step does nor what it earns."""


def _known(group: str, spec: EnvSpec, *arguments: Any) -> Any:
    """Return what the factory for a `gymnasium:` env makes of its parameters, else None."""
    identity = spec.name.removeprefix(GYMNASIUM)
    if spec.python is not None or identity == spec.name or identity not in known(group):
        return None
    factory = load(group, identity)
    parameters = {key: value for key, value in spec.parameters.items() if key not in _OF_MAKE}
    try:
        inspect.signature(factory).bind(*arguments, **parameters)
    except TypeError:
        return None
    return factory(*arguments, **parameters)


def render_offscreen() -> None:
    """Let MuJoCo render without a display where there is none, unless the user chose how."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        os.environ.setdefault("MUJOCO_GL", "egl")


@cache
def drawing_fault() -> str | None:
    """Import MuJoCo; return why it cannot draw as MUJOCO_GL asks, if it cannot.

    It is not to fail where nothing is drawn, so that it is then imported without its drawing.
    """
    asked = os.environ.get("MUJOCO_GL")
    try:
        import mujoco
    except Exception as error:  # whatever a binding raises whose library is missing
        if asked is None:
            raise
        fault = f"{type(error).__name__}: {error}".split("\n")[0]
    else:
        return None
    os.environ["MUJOCO_GL"] = "disable"
    try:
        import mujoco  # noqa: F401
    finally:
        os.environ["MUJOCO_GL"] = asked
    return (
        f"MuJoCo cannot draw with MUJOCO_GL={asked} here ({fault}); install the library that this "
        "needs, or choose egl, osmesa or glfw"
    )


def _silence_mujoco() -> None:
    """Keep MuJoCo from writing MUJOCO_LOG.TXT into the user's folder; oracles read its counters."""
    import mujoco

    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_ignore)


def _ignore(message: str) -> None:
    pass


def _registered(identity: str) -> Callable[..., Any]:
    """Return the factory of an env that is registered with Gymnasium: `ID`, or `MODULE:ID`."""
    import gymnasium
    from gymnasium.envs.registration import load_env_creator

    module, _, name = identity.rpartition(":")
    where = f"env {GYMNASIUM + identity!r}"
    if module:
        _from_module(module, where)  # which registers it
    try:
        registered = gymnasium.spec(name)
    except (gymnasium.error.Error, ImportError) as error:
        near = difflib.get_close_matches(name, gymnasium.registry, n=3, cutoff=0.5)
        hint = f"; nearest: {', '.join(near)}" if near else ""
        reason = str(error).rstrip(".")
        missing = (
            f"importing {module} did not register it"
            if module
            else "an id that another package registers goes with the name of its module: "
            f"{GYMNASIUM}MODULE:{name}"
        )
        raise PluginError(f"Gymnasium has no env {name!r} ({reason}); {missing}{hint}") from error
    if isinstance(registered.entry_point, str):
        try:
            load_env_creator(registered.entry_point)  # imports what making it needs
        except Exception as error:
            raise PluginError(f"{where} cannot be imported: {_reason(error)}") from error
    return partial(_of_package if module else gymnasium.make, registered)


def _of_package(registered: Any, **parameters: Any) -> gymnasium.Env[Any, Any]:
    """Make another package's env; what it raises may come of a MuJoCo that it does not know."""
    import gymnasium
    import mujoco

    try:
        return gymnasium.make(registered, **parameters)
    except TypeError:
        raise  # parameters that it does not take
    except Exception as error:
        raise PluginError(
            f"env {registered.id!r} with {parameters}: {_reason(error)}; MuJoCo is "
            f"{mujoco.__version__} here: docs/plugins.md says which suites run on an older one only"
        ) from error


def _refuse_unknown(factory: Callable[..., Any], parameters: Mapping[str, Any], where: str) -> None:
    """Refuse parameters that a constructor does not take."""
    accepted = inspect.signature(factory).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in accepted.values()):
        return
    refused = [name for name in parameters if name not in accepted]
    if refused:
        names = _listed(accepted, refused[0])
        raise PluginError(f"{where} has no parameter {', '.join(refused)}; it has {names}")


def _from_file(place: str, where: str) -> ModuleType:
    """Import a file under a private name that is the same in every process."""
    path = Path(place).expanduser().resolve()
    try:
        found = path.is_file()
    except OSError as error:
        raise PluginError(f"{path}: cannot be looked at: {error.strerror}") from error
    if not found:
        raise PluginError(f"{where}: there is no file {path}")
    name = f"_robo_al_plugin_{hashlib.sha256(str(path).encode()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(f"{where} cannot be imported: {_reason(error)}") from error
    return module


def _from_module(place: str, where: str) -> ModuleType:
    """Import a module, installed or in the folder that the program was started in."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that it hides nothing that is installed
        importlib.invalidate_caches()
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{place}.".startswith(f"{error.name}."):
            raise PluginError(f"{where} cannot be imported: {_reason(error)}") from error
        raise PluginError(f"{where}: no module {error.name!r}, installed or in {here}") from None
    except (Exception, SystemExit) as error:
        raise PluginError(f"{where} cannot be imported: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    """Return an error in one line, with the place in the plugin that it came from."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.filename != __file__ and not frame.filename.startswith("<frozen")
    ]
    text = f"{type(error).__name__}: {error}".split("\n")[0]
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}, line {error.lineno})"
    place = next((frame for frame in frames if "/importlib/" not in frame.filename), None)
    return f"{text} ({place.filename}, line {place.lineno})" if place else text


def _listed(names: Iterable[str], wanted: str) -> str:
    """Return names in a line, and the one nearest to what was wanted."""
    choices = list(names)
    near = difflib.get_close_matches(wanted, choices, n=1, cutoff=0.5)
    listed = ", ".join(choices) or "none"
    return f"{listed} (did you mean {near[0]!r}?)" if near else listed
