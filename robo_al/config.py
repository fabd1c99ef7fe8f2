"""A campaign's configuration: YAML, checked as a whole before anything is written.

A config that says only `env: pendulum` is complete. Parts that can be exchanged (env, policy,
model, ...) are *components*: a name, or a mapping of a name and its constructor's parameters.

    env: reacher
    model: {name: gp, samples: 8}
    rounds: 20

Everything that is wrong is told at once, one line each, with its path.
"""

import hashlib
import inspect
import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from robo_al import plain_yaml, plugins
from robo_al.components import (
    GROUPS,
    Component,
    Part,
    WrongEntry,
    as_component,
    expectation,
    inspect_arguments,
    nearest,
)
from robo_al.errors import ConfigError, PluginError
from robo_al.overrides import Override, parse_overrides
from robo_al.ranges import Count


def _as_strategy(value: object) -> object:
    """Return what a bare name is short for: an acquisition function, or a selector."""
    if not isinstance(value, str):
        return value
    return {"selector" if _names_selector(value) else "acquisition": value}


def _names_selector(name: str) -> bool:
    if ":" not in name:
        return name in plugins.known("selectors") and name not in plugins.known("acquisitions")
    try:
        called = plugins.load("acquisitions", name).__call__
        return "acquisition" in inspect.signature(called).parameters
    except (PluginError, AttributeError, TypeError, ValueError):
        return False  # told as what is wrong with an acquisition function


FEWEST_STARTS, MOST_STARTS = 3, 20
"""Of an evaluation of which nothing is said."""
EVALUATED_STEPS = 4000
"""That such an evaluation has in all, unless its fewest starts take more."""


class Evaluation(BaseModel):
    """How the policy is evaluated, apart from the data."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    starts: Count | None = None
    """Fixed starts, the same for every strategy; None: as many as the task's horizon allows."""
    every: int = Field(default=1, ge=0)
    """Rounds between evaluations; 0: never. A round that brought no data is followed by none."""

    def starts_for(self, horizon: int) -> int:
        """Return the starts: where nothing is said 20 up to 200 steps, and fewer beyond."""
        return self.starts or max(FEWEST_STARTS, min(MOST_STARTS, EVALUATED_STEPS // horizon))


class Loop(BaseModel):
    """How selecting and executing take turns."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    mode: Literal["sequential", "overlapped"] = "sequential"
    """`overlapped`: while the oracle executes a round, the next ones are selected."""
    queue: Count = 2
    """Overlapped: rounds that may wait at the oracle, at the most, so that it is never idle."""


class Constraint(BaseModel):
    """Chance constraint: what is too likely to break the task's constraint is not selected."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    delta: float = Field(gt=0, lt=1)
    """Largest probability for one rollout."""
    total: float | None = Field(default=None, gt=0, lt=1)
    """Largest sum of probabilities for a batch."""
    draws: int | None = Field(default=None, ge=1)
    """Monte Carlo rollouts of each candidate; None: each member of the model once."""
    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Of the upper bound that Monte Carlo gives."""


class Strategy(BaseModel):
    """How the rollouts to execute are chosen; a name is short for its acquisition or selector."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    acquisition: Part | None = None
    """None: `joint_information`, or nothing for a selector that does not look at scores."""
    selector: Part | None = None
    """None: `greedy_joint` where the acquisition function values sets of rollouts, else `top_k`."""
    cost: Part | None = None
    """What a rollout takes, so that gain per second is maximised; None: each takes the same."""
    constraint: Constraint | None = None

    @property
    def short_name(self) -> str:
        """The selector where it needs no scores, else acquisition and a selector not its usual."""
        parts = [part.name for part in (self.acquisition, self.selector) if part]
        usual = ("greedy_joint", "top_k")
        names = [name for name in parts if name not in usual] or parts
        names += [f"per_{self.cost.name}"] if self.cost else []
        return "+".join(names + ["constrained"] * (self.constraint is not None))


class Config(BaseModel):
    """Everything that a campaign depends on."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    env: Part
    """The task."""
    policy: Part = Component(name="icem")
    """Proposes rollouts, and is what gets evaluated."""
    model: Part = Component(name="gp")
    strategy: Annotated[Strategy, BeforeValidator(_as_strategy)] = Strategy()
    """Which of the proposed rollouts are executed."""
    oracle: Part = Component(name="simulation")
    explorer: Part = Component(name="random")
    """Proposes the first rollouts, before there is a model."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    rounds: Count = 10
    """The budget: rounds after which the campaign stops."""
    initial_rollouts: Count = 1
    """Rollouts of the explorer in the first round."""
    rollout_steps: Count | None = None
    """Steps of a training rollout; None: the task's horizon, but 50 at most."""
    candidates: Count = 16
    """N, proposals in each round."""
    rollouts_per_round: Count = 1
    """K, how many of them are selected."""
    contexts: Count = 4
    """Starts over which the proposals of a round are spread."""
    imagination_members: Count = 1
    """E, members of the model in which each proposal is played."""
    evaluation: Evaluation = Evaluation()
    loop: Loop = Loop()
    stop_when_solved: bool = True
    starts: Literal["asked", "found"] | None = None
    """`asked`: a seed or options of the env's reset decide where a rollout starts. `found`: they
    do not: a rollout is chosen for the start that is there. None: tried when the run is created."""
    horizon: Count | None = None
    """Steps of an evaluation; None: the task's own."""
    threshold: float | None = None
    """Mean evaluation return from which the task counts as solved; None: the task's own."""
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @field_validator("rollouts_per_round")
    @classmethod
    def _selected_from_candidates(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("candidates", value):
            raise ValueError(f"at most the number of candidates, {info.data['candidates']}")
        return value

    @property
    def plugins(self) -> list[str]:
        """The names of its components."""
        parts = (attrgetter(path)(self) for path in GROUPS)
        return [part.name for part in parts if part is not None]

    def text(self) -> str:
        """Return it as YAML, with every default filled in."""
        return plain_yaml.dump(self.model_dump())

    def sha256(self) -> str:
        """Return the hash of its canonical JSON."""
        canonical = json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


# ---------------------------------------------------------------- loading


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read and check a configuration.

    Args:
        source: a YAML file, or the name of a shipped configuration (`pendulum`).
        overrides: as on the command line: `--seed 3 --model.samples=8 --strategy variance`.

    Raises:
        ConfigError: no such file, no YAML, or wrong entries: all of them, one line each.
    """
    path = find_config(source)
    try:
        with path.open(encoding="utf-8") as file:
            data = plain_yaml.parse(file.read(plain_yaml.MAX_SIZE + 1))
    except (OSError, UnicodeDecodeError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a mapping such as `env: pendulum`, given {data!r:.80}")
    given = parse_overrides(overrides)
    for override in given:
        _override(data, override, override.key.split("."))
    return check_config(data, str(path), given)


def check_config(data: Mapping[str, Any], where: str, given: Sequence[Override] = ()) -> Config:
    """Check entries that are read already.

    Args:
        data: as in a configuration's YAML.
        where: they are from, for the message.
        given: those that are overrides.

    Raises:
        ConfigError: wrong entries: all of them, one line each.
    """
    wrong = _wrong_entries(data)
    lines = [_told(entry, given) for entry in wrong]
    if len(lines) == 1 and _typed(wrong[0], given):
        raise ConfigError(lines[0])  # the file is not to blame
    if lines:
        raise ConfigError(f"{where}: " + "\n  ".join(["cannot be used"] * (len(lines) > 1) + lines))
    return resolve(Config.model_validate(data))


def shipped_configs(kind: str = "") -> dict[str, Path]:
    """Return the configurations that come with robo-al, by name; of `compare`, the comparisons."""
    package = Path(__file__).parent
    folder = package / "_configs"  # where a wheel has them; a checkout has them in `configs`
    folder = folder if folder.is_dir() else package.parent / "configs"
    return {path.stem: path for path in sorted((folder / kind).glob("*.yaml"))}


def find_config(source: str | Path, kind: str = "") -> Path:
    """Return the file that a path, or the name of a shipped configuration, stands for.

    Args:
        source: the path or name.
        kind: `compare` for a comparison, nothing for a campaign.

    Raises:
        ConfigError: there is none; says which are shipped.
    """
    path, shipped = Path(source).expanduser(), shipped_configs(kind)
    try:
        if path.is_file():
            return path
    except OSError as error:
        raise ConfigError(f"{path}: cannot be looked at: {error.strerror}") from error
    if str(source) in shipped:
        return shipped[str(source)]
    raise ConfigError(
        f"{source}: no such configuration{nearest(path.stem, shipped)}; "
        f"give a YAML file or one of {', '.join(shipped)}"
    )


def resolve(config: Config) -> Config:
    """Name the acquisition function and the selector where a strategy leaves them open."""
    strategy = config.strategy
    acquisition, selector = strategy.acquisition, strategy.selector
    alone = selector and _without_scores(selector)
    if acquisition is None and not alone:
        acquisition = Component(name="joint_information")
    if selector is None and acquisition is not None:
        joint = hasattr(plugins.load("acquisitions", acquisition.name), "joint")
        selector = Component(name="greedy_joint" if joint else "top_k")
    resolved = strategy.model_copy(update={"acquisition": acquisition, "selector": selector})
    return config.model_copy(update={"strategy": resolved})


def _without_scores(selector: Component) -> bool:
    return bool(getattr(plugins.load("selectors", selector.name), "without_scores", False))


# ---------------------------------------------------------------- overrides


def _override(
    data: dict[str, Any], override: Override, path: Sequence[str], above: str = ""
) -> None:
    """Set one entry; a component that gets another name loses its parameters."""
    key, *rest = path
    if not rest:
        data[key] = override.value
        return
    where = f"{above}{key}"
    if where == "strategy":
        data[key] = _as_strategy(data.get(key))
    if where in GROUPS:
        default = Config.model_fields[key].default if not above else None
        data.setdefault(key, default.model_dump() if isinstance(default, Component) else {})
        data[key] = as_component(data[key])
        old = data[key].get("name") if isinstance(data[key], dict) else None
        if rest == ["name"] and old != override.value:
            data[key] = {}
    inner = data.setdefault(key, {})
    if inner is None:
        inner = data[key] = {}
    if not isinstance(inner, dict):
        raise ConfigError(f"{override.typed}: {where} is {inner!r}, without such entries")
    _override(inner, override, rest, f"{where}.")


# ---------------------------------------------------------------- what is wrong


def _typed(entry: WrongEntry, given: Sequence[Override]) -> Override | None:
    """Return the override that gave what is wrong, if one did: the last, where several did."""
    for override in reversed(given):
        # `--polisy.x 1` has made the unknown entry `polisy`; a component was there before
        made = entry.path not in GROUPS and override.key.startswith(f"{entry.path}.")
        if made or override.covers(entry.path):
            return override
    return None


def _told(entry: WrongEntry, given: Sequence[Override]) -> str:
    """Return what is wrong in a line, that begins with what was typed where it was typed."""
    override = _typed(entry, given)
    if override is None:
        return str(entry)
    return f"{override.typed}: {entry.reason if override.key == entry.path else entry}"


def _wrong_entries(data: Mapping[str, Any]) -> list[WrongEntry]:
    """Return each wrong entry, components' parameters included."""
    wrong = []
    try:
        Config.model_validate(data)
    except ValidationError as error:
        wrong = [_wrong_entry(details) for details in error.errors()]
    for key, group in GROUPS.items():
        value = _component_at(data, key)
        try:
            component = Component.model_validate(value)
        except ValidationError:
            continue  # none is named, or it is told already
        try:
            parameters = inspect_arguments(group, component)[1]
            wrong += [WrongEntry(f"{key}.{entry.path}", entry.reason) for entry in parameters]
            wrong += _needless_scores(data, key, component)
        except PluginError as error:
            wrong.append(WrongEntry(key, str(error)))
    return list(dict.fromkeys(wrong))


def _component_at(data: Mapping[str, Any], path: str) -> object:
    """Return the component at `policy`, or `strategy.selector`."""
    first, _, second = path.partition(".")
    if not second:
        return as_component(data.get(first, Config.model_fields[first].get_default()))
    strategy = _as_strategy(data.get(first))
    return as_component(strategy.get(second) if isinstance(strategy, Mapping) else None)


def _needless_scores(data: Mapping[str, Any], key: str, component: Component) -> list[WrongEntry]:
    if key != "strategy.selector" or not _without_scores(component):
        return []
    if _component_at(data, "strategy.acquisition") is None:
        return []
    reason = f"selector {component.name} does not look at scores; leave it out"
    return [WrongEntry("strategy.acquisition", reason)]


def _wrong_entry(details: Any) -> WrongEntry:
    """Return what pydantic found wrong with one entry, in our words."""
    path = [str(part) for part in details["loc"]]
    where = ".".join(path)
    if details["type"] == "extra_forbidden":
        inner: dict[tuple[str, ...], type[BaseModel]] = {
            ("evaluation",): Evaluation,
            ("loop",): Loop,
            ("strategy",): Strategy,
            ("strategy", "constraint"): Constraint,
        }
        model = inner.get(tuple(path[:-1]), Config)
        prefix = where.removesuffix(path[-1])
        known = ", ".join(model.model_fields)
        near = nearest(path[-1], model.model_fields, prefix)
        return WrongEntry(where, f"unknown key{near or f'; known: {known}'}")
    if details["type"] == "missing":
        example = ", for example `env: pendulum`" if where == "env" else ""
        return WrongEntry(where, f"missing{example}")
    return WrongEntry(where, expectation(details))
