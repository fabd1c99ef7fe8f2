"""A comparison's plan: which campaigns it takes, each checked before anything is written.

    tasks:
      pendulum: {candidates: 8}
    strategies: [random, greedy_return, joint_information]
    seeds: 10
    budget: 20

Runs of one task and seed are paired: they draw the same numbers for the same purposes, so first
rollouts, starts and evaluations are the same, and a difference is the strategy's.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from robo_al.checks.inputs import inputs_of
from robo_al.compare.entries import Entries, TaskEntry, read_entries, refuse
from robo_al.config import plain_yaml
from robo_al.config.components import as_component
from robo_al.config.load import check_config, load_config
from robo_al.config.schema import Config
from robo_al.errors import ConfigError, RoboALError
from robo_al.tasks import describe
from robo_al.tasks.shelf import borrowed
from robo_al.tasks.starts import finds_starts
from robo_al.types import EnvSpec

REFERENCE = "random"
"""The strategy that the others are compared with, unless the plan names another."""
BOUND_STRATEGY = "greedy_return"
"""Of the bounds' campaigns: the all-knowing selector takes its place."""
HELD_OUT_ERROR = "minus held-out error"
"""What is evaluated on a task of recorded rollouts."""


@dataclass(frozen=True)
class TaskPlan:
    """What the analysis has to know of a task."""

    name: str
    threshold: float | None
    """Evaluation from which the task counts as solved."""
    budget: int
    """Rollouts of a run, first ones included."""
    measure: str
    """What is evaluated: `return`, or on logged data `HELD_OUT_ERROR`."""
    finds_starts: bool = False
    """Its starts cannot be asked for: see `robo_al.types.Task.finds_starts`."""
    earlier_budgets: tuple[int, ...] = ()
    """What the budget was before it was made larger; results could be looked at with each."""


@dataclass(frozen=True)
class Run:
    """One campaign of a comparison."""

    task: str
    strategy: str
    seed: int

    @property
    def folder(self) -> Path:
        """Its run folder, within the comparison's."""
        return Path("runs", self.task, self.strategy, f"seed-{self.seed}")

    def __str__(self) -> str:
        return f"{self.task}, {self.strategy}, seed {self.seed}"


@dataclass(frozen=True)
class Plan:
    """Everything that a comparison depends on."""

    tasks: tuple[TaskPlan, ...]
    strategies: tuple[str, ...]
    """In the order given, the bounds last."""
    seeds: tuple[int, ...]
    bounds: tuple[str, ...]
    """Those of the strategies that tell what there is to gain, and do not compete."""
    configs: Mapping[tuple[str, str], Config]
    """Of the campaigns, by task and strategy, whatever the seed."""
    reference: str = REFERENCE
    """The strategy that the others are compared with."""
    planned: tuple[int, ...] = ()
    """The seeds that were fixed before the first run; empty where that is not known."""
    factors: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """What strategies change of the campaign beside the strategy, by name: `entries.FACTORS`."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of what its campaigns read: see `robo_al.checks.inputs`."""

    @property
    def runs(self) -> list[Run]:
        """All campaigns, seed by seed: stopped early, the comparison is balanced."""
        return [
            Run(task.name, strategy, seed)
            for seed in self.seeds
            for task in self.tasks
            for strategy in self.strategies
        ]

    def config(self, run: Run) -> Config:
        """Return the configuration of a campaign."""
        return self.configs[run.task, run.strategy].model_copy(update={"seed": run.seed})

    def budget(self, run: Run) -> int | None:
        """Return the rollouts of a campaign; None of one that learns nothing."""
        budgets = {task.name: task.budget for task in self.tasks}
        return None if run.strategy == "true_dynamics" else budgets[run.task]

    @property
    def competing(self) -> tuple[str, ...]:
        """The strategies without the bounds."""
        return tuple(name for name in self.strategies if name not in self.bounds)

    def against(self, reference: str | None) -> "Plan":
        """Return the same comparison with another reference; None leaves it as it is.

        Raises:
            ConfigError: the reference is none of the strategies.
        """
        if reference is None:
            return self
        if reference not in self.competing:
            raise ConfigError(
                f"reference: expected one of the strategies, {', '.join(self.competing)}, given "
                f"{reference}"
            )
        return replace(self, reference=reference)

    def content(self) -> dict[str, Any]:
        """Return the whole comparison as plain data, every default filled in, and its hash."""
        dumps = {key: config.model_dump() for key, config in self.configs.items()}
        content: dict[str, Any] = {
            "tasks": {
                task.name: vars(task)
                | {"earlier_budgets": list(task.earlier_budgets)}
                | {"config": _without(dumps[task.name, self.competing[0]], ("strategy", "seed"))}
                for task in self.tasks
            },
            "strategies": {
                name: dumps[self.tasks[0].name, name]["strategy"] | dict(self.factors.get(name, {}))
                for name in self.competing
            },
            "seeds": list(self.seeds),
            "bounds": list(self.bounds),
            "reference": self.reference,
            "planned_seeds": list(self.planned),
            "inputs": dict(self.inputs),
        }
        return content | {"sha256": content_hash(content)}

    def text(self) -> str:
        """Return the whole comparison as YAML."""
        return plain_yaml.dump(self.content())


def content_hash(content: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a comparison's content, apart from the hash in it."""
    canonical = json.dumps(_without(content, ("sha256",)), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def load_plan(
    source: str | Path, begun: Plan | None = None, seeds: int = 0, budget: int = 0
) -> Plan:
    """Read and check a comparison's YAML.

    Args:
        source: the YAML file.
        begun: the comparison that is to go on, as its folder has it: it keeps its seeds and what
            rollouts it has of each run, where the YAML asks for less.
        seeds: that are added.
        budget: rollouts that are added to each run.

    Raises:
        ConfigError: no such file, no YAML, or wrong entries: all of them, one line each.
    """
    path = Path(source)
    had = {} if begun is None else {task.name: task.budget for task in begun.tasks}
    entries = read_entries(path).enlarged(had, () if begun is None else begun.seeds, seeds, budget)
    lines = list[str]()
    tasks: dict[str, Config] = {}
    for name, entry in entries.tasks.items():
        try:
            tasks[name] = _task_config(f"tasks.{name}", entry, path.parent)
        except RoboALError as error:
            lines.append(str(error))
    for name in entries.strategies if tasks else ():
        try:  # on any of the tasks: whether they go together is for the dry run
            task = next(iter(tasks))
            _arm(tasks[task], entries.tasks[task].budget, name, entries)
        except ConfigError as error:
            lines.append(str(error))
    refuse(path, lines)
    configs = {
        (task, name): _arm(config, entries.tasks[task].budget, name, entries)
        for task, config in tasks.items()
        for name in entries.strategies
    }
    for task, config in tasks.items():
        configs |= {(task, name): _bound(name, config) for name in entries.bounds}
    plans = (_task_plan(name, entries.tasks[name].budget, tasks[name]) for name in tasks)
    return Plan(
        tuple(plans),
        (*entries.strategies, *entries.bounds),
        entries.seeds,
        entries.bounds,
        configs,
        entries.reference or REFERENCE,
        entries.seeds,
        entries.factors,
        inputs_of(configs.values()),
    )


def rounds_of(budget: int, config: Mapping[str, Any]) -> int:
    """Return the rounds of a campaign that has a budget: the first rollouts are one."""
    rest = budget - int(config["initial_rollouts"])
    return 1 + -(-rest // int(config["rollouts_per_round"]))


def _task_config(where: str, entry: TaskEntry, folder: Path) -> Config:
    """Return a task's configuration, with a strategy that is to be replaced.

    Args:
        where: the entry is, for messages.
        entry: what the plan says of the task.
        folder: of the plan: a relative file is looked up there, before the current folder.
    """
    beside = folder / Path(entry.config).expanduser()
    data = load_config(beside if beside.is_file() else entry.config).model_dump()
    for key, value in entry.overrides.items():
        old = as_component(data.get(key))
        inner = isinstance(old, dict) and isinstance(value, dict) and "name" not in value
        data[key] = {**old, **value} if inner else value  # type: ignore[dict-item]
    config = check_config(data, where)
    first, rest = config.initial_rollouts, entry.budget - config.initial_rollouts
    if rest < 1:
        raise ConfigError(
            f"{where}.budget: {entry.budget} rollouts, of which {first} are the first "
            f"(initial_rollouts); give {first + 1} at least"
        )
    if config.evaluation.every == 0:
        raise ConfigError(f"{where}.evaluation.every: 0, never: there would be nothing to compare")
    spec = EnvSpec.in_config(config.model_dump())
    with borrowed(spec) as env:
        task = describe(env, spec)
    if task.threshold is None and not _is_replay(config):
        name = where.removeprefix("tasks.")
        raise ConfigError(
            f"task {name} has no threshold; give one: tasks: {{{name}: {{threshold: -10}}}}"
        )
    starts = config.evaluation.starts_for(task.horizon)
    return config.model_copy(
        update={
            "rounds": rounds_of(entry.budget, config.model_dump()),
            "threshold": task.threshold,
            "evaluation": config.evaluation.model_copy(update={"starts": starts}),
            "seed": 0,
            "device": "cpu",
        }
    )


def _is_replay(config: Config) -> bool:
    return config.oracle.name == "replay"


def _task_plan(name: str, budget: int, config: Config) -> TaskPlan:
    if _is_replay(config):
        return TaskPlan(name, config.threshold, budget, HELD_OUT_ERROR)
    with borrowed(EnvSpec.in_config(config.model_dump())) as env:
        found = config.starts == "found" if config.starts else finds_starts(env)
    return TaskPlan(name, config.threshold, budget, "return", found)


def _arm(config: Config, budget: int, name: str, entries: Entries) -> Config:
    """Return the campaign of a strategy on a task: as many rollouts, whatever the batch size."""
    factors = entries.factors.get(name, {})
    found = _with(config, f"strategies.{name}", strategy=entries.strategies[name], **factors)
    return found.model_copy(update={"rounds": rounds_of(budget, found.model_dump())})


def _bound(name: str, config: Config) -> Config:
    """Return the campaign of a bound: see `entries.BOUNDS`."""
    where = f"bounds: {name}"
    if name == "true_dynamics":  # nothing is learned: two evaluations tell all
        known = {"model": "true_dynamics", "imagination_members": 1}
        return _with(config, where, strategy=BOUND_STRATEGY, rounds=2, **known)
    return _with(config, where, strategy=BOUND_STRATEGY, loop={"mode": "sequential"})


def _with(config: Config, where: str, **changes: Any) -> Config:
    return check_config(config.model_dump() | changes, where)


def _without(data: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in keys}
