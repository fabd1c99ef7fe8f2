"""Build a plugin from its spec as a campaign would, and check it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from robo_al.checks.envs import check_env
from robo_al.checks.models import check_model
from robo_al.checks.oracles import check_oracle
from robo_al.checks.policies import check_policy
from robo_al.checks.selection import check_acquisition, check_cost, check_selector
from robo_al.errors import PluginError, RoboALError
from robo_al.models.imagination import imagine
from robo_al.plugins import load
from robo_al.protocols import SupportsData, SupportsRepeat
from robo_al.tasks import describe, sample_contexts
from robo_al.tasks.shelf import borrowed
from robo_al.testing import FakeAcquisition, FakeModel, FakePolicy, random_transitions
from robo_al.types import EnvSpec


def check_plugin(
    group: str, spec: str, parameters: Mapping[str, Any], task_env: EnvSpec
) -> tuple[str, ...]:
    """Build a plugin and check it; an oracle that cannot undo what it does executes nothing.

    Args:
        group: `envs`, `policies`, `models`, `acquisitions`, `selectors`, `costs` or `oracles`.
        spec: its name, `module:Class` or `path.py:Class`.
        parameters: of its constructor.
        task_env: the env to check it on; an env is checked by itself.

    Returns:
        A sentence for each thing that is not as it should be, and that a campaign can do with.

    Raises:
        PluginError: it cannot be built, or breaks its contract.
    """
    if group == "envs":
        own = EnvSpec(spec, parameters)
        with borrowed(own) as env:
            return check_env(env, own)
    stage = _Stage(task_env)
    if group == "oracles":
        with _build(group, spec, env=task_env, **parameters) as oracle:
            repeatable = isinstance(oracle, SupportsRepeat) and oracle.repeatable
            check_oracle(oracle, stage.candidates if repeatable else ())
    elif group == "policies":
        policy = _build(group, spec, task=stage.task, device="cpu", **parameters)
        check_policy(policy, stage.task, stage.model, stage.contexts, stage.transitions)
    elif group == "models":
        model = _build(group, spec, task=stage.task, device="cpu", **parameters)
        check_model(model, stage.task, stage.transitions)
    else:
        thing = _build(group, spec, **parameters)
        imagined = imagine(stage.candidates, stage.model, stage.task, members=[0, 1])
        if group == "acquisitions":
            if isinstance(thing, SupportsData):
                thing.observe(stage.transitions, FakePolicy(stage.task))
            check_acquisition(thing, imagined, stage.model)
        elif group == "costs":
            check_cost(thing, imagined, stage.task)
        else:
            assert group == "selectors", group
            check_selector(thing, FakeAcquisition(), imagined, stage.model)
    return ()


class _Stage:
    """Small and exact counterparts of whatever is checked, on one env."""

    def __init__(self, spec: EnvSpec) -> None:
        rng = np.random.default_rng(0)
        with borrowed(spec) as env:
            self.task = describe(env, spec)
            self.contexts = sample_contexts(env, [rng, rng])
            self.transitions = random_transitions(rng, rollouts=3, steps=5, env=env)
        self.model = FakeModel(self.task)
        self.model.fit(self.transitions, rng)
        proposed = FakePolicy(self.task).propose(4, self.contexts, 4, self.model, rng)
        self.candidates = [replace(c, id=f"check-{i}") for i, c in enumerate(proposed)]


def _build(group: str, spec: str, **arguments: Any) -> Any:
    """Construct a plugin; what its constructor raises is a `PluginError`."""
    constructor = load(group, spec)
    try:
        return constructor(**arguments)
    except RoboALError:
        raise
    except Exception as error:
        names = ", ".join(arguments)
        raise PluginError(
            f"{spec}: its constructor, called with {names}, raised {type(error).__name__}: {error}"
        ) from error
