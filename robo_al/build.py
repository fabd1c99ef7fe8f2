"""From a configuration to a campaign: builds its parts, and tries them before anything is written.

config = load_config("pendulum", ["--seed", "3"])
with create_campaign(config, "runs/mine") as campaign, make_oracle(config) as oracle:
    loop.run(campaign, oracle, print)
"""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from robo_al import plugins
from robo_al.acquisition.constraint import ChanceConstraint
from robo_al.acquisition.strategy import Strategy
from robo_al.campaign.campaign import Campaign
from robo_al.campaign.settings import Parts
from robo_al.checks import check_env
from robo_al.checks.dry_run import try_oracle, try_parts
from robo_al.checks.inputs import inputs_of, with_inputs
from robo_al.config.changes import continued
from robo_al.config.components import GROUPS, Component, arguments
from robo_al.config.load import load_config, resolve
from robo_al.config.overrides import parse_overrides
from robo_al.config.schema import Config
from robo_al.dataset.files import write_atomically
from robo_al.dataset.folders import CONFIG, LEDGER, need_run
from robo_al.dataset.ledger import ConfigurationRow, Ledger
from robo_al.dataset.made_with import made_with
from robo_al.dataset.start_folder import note_start_folder
from robo_al.encoding.adapted import Adapted
from robo_al.errors import ConfigError, PluginError, RoboALError
from robo_al.oracles.steppers import is_batched
from robo_al.protocols import Oracle, SupportsRepeat
from robo_al.tasks import contexts_from, describe
from robo_al.tasks.layers import layers
from robo_al.tasks.shelf import borrowed, seconds_to_make
from robo_al.tasks.starts import FOUND, finds_starts
from robo_al.torch_defaults import one_thread
from robo_al.types import Context, EnvSpec, Task

SIMULATING = ("simulation", "expert")
"""Oracles that step envs in this process."""
SLOW_SECONDS = 0.5
"""An env that takes longer to be made is made once, and its rollouts follow one another."""


class DryRun(NamedTuple):
    """What was tried of a configuration, so that nothing of it is made again to be looked at."""

    config: Config
    """As it is recorded: with what its env says, and what was found out of it."""
    parts: Parts
    """On the processor, and no longer new: they have learned from random steps."""
    oracle: Oracle
    """Open, and idle."""


@one_thread
def create_campaign(config: Config, folder: str | Path, oracle: Oracle | None = None) -> Campaign:
    """Begin a campaign in a new or empty folder.

    Args:
        config: of the campaign.
        folder: new or empty.
        oracle: that will execute its rollouts, to be tried with the other parts; None: one is made
            for that, and closed.

    Raises:
        ConfigError: the configuration asks for what cannot be; nothing was written.
        PluginError: a part is missing or breaks its contract; nothing was written.
        RunFolderError: the folder is not empty; nothing was written.
    """
    with ExitStack() as opened:
        tried = dry_run(config, oracle)
        if oracle is None:
            opened.enter_context(closing(tried.oracle))
        return begin(tried, folder)


@one_thread
def begin(tried: DryRun, folder: str | Path) -> Campaign:
    """Begin a campaign, of parts that have learned nothing yet; raises like `create_campaign`."""
    config = tried.config
    parts = _parts(config, tried.parts.task, _device(config))
    campaign = Campaign.create(Path(folder), parts, config, config.text())
    try:
        note_start_folder(campaign.dataset.folder)
    except BaseException:
        campaign.close()
        raise
    return campaign


@one_thread
def open_campaign(folder: str | Path, overrides: Sequence[str] = ()) -> Campaign:
    """Open the campaign in a run folder, to go on with it.

    Args:
        folder: of the run.
        overrides: see `load_run_config`; they stay in the run's configuration.

    Raises:
        ConfigError: an override cannot be used; nothing was changed.
        RunFolderError: no run, another version's, in use by another process, or what it reads
            beside its configuration has changed.
        StorageError: the disk is full or refuses.
    """
    config = with_inputs(load_run_config(folder, overrides), Path(folder))
    campaign = Campaign.open(Path(folder), parts_of(config), config)
    try:
        if overrides:
            write_atomically(campaign.dataset.folder / CONFIG, config.text().encode())
        campaign.dataset.note_configuration(config.text())
    except BaseException:
        campaign.close()
        raise
    return campaign


def parts_of(config: Config) -> Parts:
    """Make the parts of a campaign of a configuration that was recorded."""
    return _parts(config, _task(config), _device(config))


def load_run_config(folder: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration with which a run goes on.

    Args:
        folder: of the run.
        overrides: of entries that may change, as on the command line: `--rounds +5` is five more
            than the run's configuration says.

    Raises:
        ConfigError: an override is wrong, or of an entry that may not change.
        RunFolderError: no run, another version's, or its configuration was changed to that of
            another experiment: see `robo_al.config.changes`.
    """
    path = Path(folder) / CONFIG
    need_run(Path(folder))
    with Ledger.open(Path(folder) / LEDGER, read_only=True) as ledger:
        recorded = ledger.last(ConfigurationRow)
    config = load_config(path, overrides)
    if recorded is None:
        return config
    return continued(recorded.text, config, path, parse_overrides(overrides))


def make_oracle(config: Config) -> closing[Oracle]:
    """Make the oracle that executes a configuration's rollouts, to be closed by `with`.

    A campaign that goes on in another process is given its folder's (`load_run_config`).

    Raises:
        PluginError: it cannot be made, or has not the methods of one.
    """
    config = config.model_copy(update={"oracle": _oracle(config)})
    oracle = _build("oracle", config, env=_env_spec(config))
    methods = ("submit", "poll", "close")
    missing = [name for name in methods if not callable(getattr(oracle, name, None))]
    if missing:
        raise PluginError(f"oracle {config.oracle.name}: it has no method {', '.join(missing)}")
    return closing(oracle)


@one_thread
def dry_run(config: Config, oracle: Oracle | None = None) -> DryRun:
    """Try all parts together on a few steps, so that none fails after the first rollout.

    An oracle that cannot undo what it does executes nothing here.

    Args:
        config: what the parts are of.
        oracle: to be tried, and left open; None: one is made.

    Returns:
        The parts, and the oracle, which whoever asks for a dry run closes.

    Raises:
        ConfigError: the configuration asks for what cannot be.
        PluginError: a part breaks its contract, or does not go with the others; says which.
    """
    config = resolve(config)
    task = _task(config)
    config = _known(config, task)
    _device(config)
    with borrowed(task.env) as env:
        check_env(env, task.env)
    parts = _parts(config, task, "cpu")
    explored = try_parts(parts, config)
    with ExitStack() as opened:
        if oracle is None:
            oracle = opened.enter_context(make_oracle(config))
        try_oracle(oracle, parts, explored)
        opened.pop_all()
    return DryRun(_with_kind_of_evaluation(config, oracle), parts, oracle)


def _with_kind_of_evaluation(config: Config, oracle: Oracle) -> Config:
    """Return a configuration that says how the policy is evaluated, as it is recorded."""
    if config.evaluation.kind is not None:
        return config
    again = isinstance(oracle, SupportsRepeat) and oracle.repeatable
    kind = {"kind": "full" if again else "frugal"}
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update=kind)})


def _known(config: Config, task: Task) -> Config:
    """Return a configuration with what it left to its env to say, as it is recorded."""
    evaluation = {"starts": config.evaluation.starts_for(task.horizon)}
    known = {
        "starts": "found" if task.finds_starts else "asked",
        "horizon": task.horizon,
        "threshold": task.threshold,
        "control_period": task.control_period,
        "evaluation": config.evaluation.model_copy(update=evaluation),
        "oracle": _oracle(config),
        "encoder_sha256": _learned(config),
        "inputs": inputs_of([config]),
    }
    return config.model_copy(update=known)


def _env_spec(config: Config) -> EnvSpec:
    return EnvSpec.in_config(config.model_dump())


def _task(config: Config) -> Task:
    """Describe the env, and try whether its starts can be asked for."""
    arguments("envs", config.env)
    with borrowed(_env_spec(config)) as env:
        task = describe(env, _env_spec(config))
        found = config.starts == "found" if config.starts else finds_starts(env)
    return replace(task, finds_starts=True, notes=(*task.notes, FOUND)) if found else task


def _oracle(config: Config) -> Component:
    """Return the oracle, for one env at a time if the simulation's takes long to be made.

    So it is for an env in a Python of its own, each of which is a process. It is recorded with the
    configuration: a resumed campaign asks no clock.
    """
    oracle, env = config.oracle, _env_spec(config)
    if oracle.name not in SIMULATING or "envs" in oracle.parameters:
        return oracle
    if env.python is None and (seconds_to_make(env) <= SLOW_SECONDS or is_batched(env)):
        return oracle
    return Component.model_validate(oracle.model_dump() | {"envs": 1})


def _learned(config: Config) -> str | None:
    """Return the hash of what the encoder has learned, if it has and says so."""
    with borrowed(_env_spec(config)) as env:
        found = (layer.learned for layer in layers(env) if isinstance(layer, Adapted))
        return next(found, None)


def _contexts_from(spec: EnvSpec, seeds: Sequence[int]) -> list[Context]:
    with borrowed(spec) as env:
        return contexts_from(env, seeds)


def _device(config: Config) -> str:
    import torch

    if config.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda is asked for, and torch finds none; use auto or cpu")
    if config.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return config.device


def _parts(config: Config, task: Task, device: str) -> Parts:
    return Parts(
        task=task,
        contexts_from=partial(_contexts_from, _env_spec(config)),
        explorer=_build("explorer", config, task=task, device=device),
        policy=_build("policy", config, task=task, device=device),
        model=_build("model", config, task=task, device=device),
        strategy=_strategy(config),
        device=device,
        provenance=_provenance(config, device),
    )


def _strategy(config: Config) -> Strategy:
    wanted = config.strategy
    constraint = wanted.constraint
    return Strategy(
        acquisition=_build("strategy.acquisition", config) if wanted.acquisition else None,
        selector=_build("strategy.selector", config),
        cost=_build("strategy.cost", config) if wanted.cost else None,
        constraint=ChanceConstraint(**constraint.model_dump()) if constraint else None,
    )


def _build(part: str, config: Config, **given: Any) -> Any:
    """Construct a part; what its constructor raises is a `PluginError`."""
    component: Component = attrgetter(part)(config)
    parameters = arguments(GROUPS[part], component)
    constructor = plugins.load(GROUPS[part], component.name)
    try:
        return constructor(**given, **parameters)
    except RoboALError:
        raise
    except Exception as error:
        raise PluginError(
            f"{part} {component.name}: its constructor, called with "
            f"{', '.join([*given, *parameters]) or 'nothing'}, raised "
            f"{type(error).__name__}: {error}"
        ) from error


def _provenance(config: Config, device: str) -> Mapping[str, str]:
    parts = {path.rpartition(".")[2]: attrgetter(path)(config) for path in GROUPS}
    names = {name: part.name if part else "none" for name, part in parts.items()}
    names["strategy"] = config.strategy.short_name
    return names | {"config_hash": config.sha256(), "versions": made_with(device)}
