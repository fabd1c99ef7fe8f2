"""Envs that were made and that nobody uses now, for whoever needs one next in this process.

A simulator may take seconds to be made, and some can be made only once in a process. So the
stations of a campaign lend an env for as long as they use it, and give it back unclosed. All are
closed when the program ends.
"""

import atexit
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import perf_counter
from typing import TypeAlias

from robo_al.errors import PluginError
from robo_al.plugins import env_maker
from robo_al.tasks.layers import Env, Lent
from robo_al.types import EnvSpec

_Key: TypeAlias = tuple[str, str, str]
_idle: dict[_Key, list[Env]] = {}
_lent: dict[_Key, int] = {}
_seconds: dict[_Key, float] = {}
"""That making the first one took."""
_full: set[_Key] = set()
"""Of which no further one can be made."""


def lend(spec: EnvSpec) -> Env:
    """Return an env that nobody uses, or make one; to be given back.

    Raises:
        PluginError: none can be made.
    """
    key = _key(spec)
    idle = _idle.setdefault(key, [])
    env = idle.pop() if idle else _make(spec, key)
    _lent[key] = _lent.get(key, 0) + 1
    return env


def lend_another(spec: EnvSpec) -> Env | None:
    """Return an env beside the one that was lent already; None where there can be no other."""
    key = _key(spec)
    assert _lent.get(key), "the first is lent by `lend`, which says why there is none"
    if not _idle[key] and key in _full:
        return None
    try:
        return lend(spec)
    except PluginError:
        _full.add(key)
        return None


def give_back(spec: EnvSpec, env: Env) -> None:
    """Let others use an env; whatever was changed of it is as it was."""
    key = _key(spec)
    _lent[key] -= 1
    _idle[key].append(env)


@contextmanager
def borrowed(spec: EnvSpec) -> Iterator[Env]:
    """Lend an env, and give it back at the end; raises `PluginError` like `lend`."""
    env = lend(spec)
    try:
        yield env
    finally:
        give_back(spec, env)


def seconds_to_make(spec: EnvSpec) -> float:
    """Return how long making the first one took, once its module was imported."""
    with borrowed(spec):
        return _seconds[_key(spec)]


def clear() -> None:
    """Close the envs that nobody uses, and forget them."""
    for envs in _idle.values():
        while envs:
            with suppress(Exception):  # an env that cannot be closed keeps nothing else from it
                envs.pop().close()
    _seconds.clear()
    _full.clear()


atexit.register(clear)


def _make(spec: EnvSpec, key: _Key) -> Env:
    make = env_maker(spec)
    began = perf_counter()
    env = Lent(make())
    _seconds.setdefault(key, perf_counter() - began)
    return env


def _key(spec: EnvSpec) -> _Key:
    """Return what tells envs from one another; paths are relative to the folder we are in."""
    return (
        str(Path.cwd()),
        spec.name,
        json.dumps(
            [dict(spec.parameters), spec.python, spec.facts.encoder, spec.facts.action_limits],
            sort_keys=True,
            default=repr,
        ),
    )
