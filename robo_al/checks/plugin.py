"""Build a plugin from its spec as a campaign would, and check it."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from robo_al.checks.encoders import check_encoder, shown_by
from robo_al.checks.envs import by_chance, check_env
from robo_al.checks.models import check_model
from robo_al.checks.oracles import check_oracle
from robo_al.checks.policies import check_policy
from robo_al.checks.selection import check_acquisition, check_cost, check_selector
from robo_al.checks.subject import CheckReport, Subject
from robo_al.config.components import Component, arguments
from robo_al.errors import PluginError, RoboALError
from robo_al.models.imagination import imagine
from robo_al.plugins import load, make_env
from robo_al.protocols import Acting, CandidatePool, SupportsClosedLoop, SupportsRepeat
from robo_al.tasks import describe, sample_contexts
from robo_al.tasks.describing import UNKNOWN_END
from robo_al.tasks.shelf import borrowed
from robo_al.testing import FakeAcquisition, FakeModel, FakePolicy, random_transitions
from robo_al.types import ClosedLoop, EnvSpec


def check_plugin(
    group: str,
    spec: str,
    parameters: Mapping[str, Any],
    task_env: EnvSpec,
    execute: bool = False,
) -> CheckReport:
    """Build a plugin and check it.

    Args:
        group: `envs`, `encoders`, `policies`, `models`, `acquisitions`, `selectors`, `costs` or
            `oracles`.
        spec: its name, `module:Class` or `path.py:Class`.
        parameters: of its constructor.
        task_env: the env to check it on; an env is checked by itself, with the facts of this one.
        execute: let an oracle execute rollouts though it does not say that they have no lasting
            effect: for a robot that somebody watches.

    Returns:
        What was tried, what was not, and notes on what is not as it should be.

    Raises:
        ConfigError: its parameters are not those of its constructor.
        PluginError: it cannot be built, or breaks its contract.
    """
    if group == "envs":
        own = replace(EnvSpec.of(spec, parameters), facts=task_env.facts)
        arguments(group, Component.model_validate({**parameters, "name": spec}))
        with borrowed(own) as env:
            report = check_env(env, own)
            return replace(report, notes=(*report.notes, *by_chance(env)))
    if group == "encoders":
        with closing(make_env(task_env)) as env:
            space, shown = shown_by(env)
            return check_encoder(_build(group, spec, parameters, space=space), shown)
    stage = _Stage(task_env)
    if group == "oracles":
        oracle = _build(group, spec, parameters, env=task_env)
        return _check_oracle(oracle, stage, execute)
    return _check_part(group, spec, parameters, stage)


def _check_part(
    group: str, spec: str, parameters: Mapping[str, Any], stage: "_Stage"
) -> CheckReport:
    """Check what is neither env nor oracle."""
    if group == "policies":
        policy = _build(group, spec, parameters, task=stage.task, device="cpu")
        return check_policy(policy, stage.task, stage.model, stage.contexts, stage.transitions)
    if group == "models":
        model = _build(group, spec, parameters, task=stage.task, device="cpu")
        return check_model(model, stage.task, stage.transitions)
    thing = _build(group, spec, parameters)
    imagined = imagine(stage.candidates, stage.model, stage.task, members=[0, 1])
    pool = CandidatePool(tuple(stage.candidates), imagined, stage.model, stage.task)
    if group == "acquisitions":
        policy = FakePolicy(stage.task)
        return check_acquisition(thing, pool, stage.transitions, policy)
    if group == "costs":
        return check_cost(thing, imagined, stage.task)
    assert group == "selectors", group
    return check_selector(thing, FakeAcquisition(), pool)


def _check_oracle(oracle: Any, stage: "_Stage", execute: bool) -> CheckReport:
    """Check an oracle, and close it."""
    candidates = stage.candidates[:2]
    if isinstance(oracle, SupportsClosedLoop):
        oracle.resolve = stage.resolve
        candidates += stage.answering
    repeatable = isinstance(oracle, SupportsRepeat) and oracle.repeatable
    try:
        report = check_oracle(oracle, candidates if repeatable or execute else ())
    finally:
        if callable(getattr(oracle, "close", None)):
            oracle.close()
    subject = Subject(oracle)
    with subject.trying("close"):
        oracle.close()  # for the second time
    if repeatable or execute:
        return replace(report, tried=(*report.tried, "close"))
    why = "nothing was executed, for it does not say `repeatable = True`; --execute lets it execute"
    return CheckReport((*report.tried, "close"), (f"submit, poll: {why}", *report.not_tried[1:]))


class _Stage:
    """Small and exact counterparts of whatever is checked, on one env."""

    def __init__(self, spec: EnvSpec) -> None:
        rng = np.random.default_rng(0)
        with borrowed(spec) as env:
            self.task = describe(env, spec, endless=UNKNOWN_END)
            self.contexts = sample_contexts(env, [rng, rng])
            self.transitions = random_transitions(rng, rollouts=3, steps=5, env=env)
        self.model = FakeModel(self.task)
        self.model.fit(self.transitions, rng)
        proposed = FakePolicy(self.task).propose(4, self.contexts, 4, self.model, rng)
        self.candidates = [replace(c, id=f"check-{i}") for i, c in enumerate(proposed)]
        self._policy = FakePolicy(self.task, streamed=True)
        answering = self._policy.propose(2, self.contexts, 4, self.model, rng)
        self.answering = [replace(c, id=f"check-closed-loop-{i}") for i, c in enumerate(answering)]

    def resolve(self, controller: ClosedLoop) -> Acting:
        """Return the one policy that there is."""
        return Acting(self._policy, self.model)


def _build(group: str, spec: str, parameters: Mapping[str, Any], **given: Any) -> Any:
    """Construct a plugin; what its constructor raises is a `PluginError`."""
    checked = arguments(group, Component.model_validate({**parameters, "name": spec}))
    constructor = load(group, spec)
    try:
        return constructor(**given, **checked)
    except RoboALError:
        raise
    except Exception as error:
        names = ", ".join([*given, *checked])
        raise PluginError(
            f"{spec}: its constructor, called with {names or 'nothing'}, raised "
            f"{type(error).__name__}: {error}"
        ) from error
