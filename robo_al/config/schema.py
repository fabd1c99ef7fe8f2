"""What a campaign's configuration may say, entry by entry, with its defaults.

A config that says only `env: pendulum` is complete. Parts that can be exchanged (env, policy,
model, ...) are *components*: a name, or a mapping of a name and its constructor's parameters.

    env: reacher
    model: {name: gp, samples: 8}
    rounds: 20
"""

import hashlib
import inspect
import json
import math
from operator import attrgetter
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from robo_al import plugins
from robo_al.config import plain_yaml
from robo_al.config.components import (
    GROUPS,
    Component,
    Part,
)
from robo_al.config.ranges import Count
from robo_al.config.settings import ENTRIES, Settings, entries_of
from robo_al.errors import PluginError
from robo_al.types import ChannelKind, PictureCodec


def as_strategy(value: object) -> object:
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


class Constraint(BaseModel):
    """Chance constraint: what is too likely to break the task's constraint is not selected."""

    model_config = ENTRIES

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

    model_config = ENTRIES

    acquisition: Part | None = None
    """None: `joint_information`, or nothing for a selector that does not look at scores."""
    selector: Part | None = None
    """None: `greedy_joint` where the acquisition function values sets of rollouts, else `top_k`."""
    cost: Part | None = None
    """What a rollout takes, so that gain per second is maximised; None: each takes the same."""
    constraint: Constraint | None = None
    """Leaves out rollouts that may break the task's constraint; None: all may be selected."""

    @property
    def short_name(self) -> str:
        """The selector where it needs no scores, else acquisition and a selector not its usual."""
        parts = [part.name for part in (self.acquisition, self.selector) if part]
        usual = ("greedy_joint", "top_k")
        names = [name for name in parts if name not in usual] or parts
        names += [f"per_{self.cost.name}"] if self.cost else []
        return "+".join(names + ["constrained"] * (self.constraint is not None))


class ObservedChannel(BaseModel):
    """A number that is observed; a bare name is short for one of which no more is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1)
    """What it is, for people: `pole angle`."""
    unit: str = "1"
    """SI unit: `rad`, `m/s`, `1` for none."""
    kind: ChannelKind = "linear"
    """`angle` grows past pi, `wrapped_angle` jumps there; `constant` stays as it is through a
    rollout, a goal: it is not predicted."""


def as_channel(value: object) -> object:
    """Return what a bare name is short for; anything else as it is."""
    return {"name": value} if isinstance(value, str) else value


def as_pairs(value: object) -> object:
    """Return the limits of all actions, one pair, as a list of that pair.

    Raises:
        ValueError: they are no pairs of numbers, the lower one first.
    """
    if value is None:
        return None
    listed = isinstance(value, (list, tuple))
    pairs: list[Any] = list(value) if listed else [value]  # type: ignore[call-overload]
    if listed and not any(isinstance(pair, (list, tuple)) for pair in pairs):
        pairs = [pairs]
    if not pairs or not all(map(_is_pair, pairs)):
        raise ValueError("a pair of numbers, [low, high], or a list of one pair for each action")
    return [[float(low), float(high)] for low, high in pairs]


def _is_pair(pair: object) -> bool:
    """Whether something is two finite numbers, the second not below the first."""
    if not isinstance(pair, (list, tuple)) or len(pair) != 2:
        return False
    numbers = [x for x in pair if isinstance(x, (int, float)) and not isinstance(x, bool)]
    return len(numbers) == 2 and all(map(math.isfinite, numbers)) and numbers[0] <= numbers[1]


class Config(Settings):
    """Everything that a campaign depends on: its numbers, and its parts."""

    env: Part
    """The task."""
    policy: Part = Component(name="icem")
    """Proposes rollouts, and is what gets evaluated."""
    model: Part = Component(name="gp")
    """Learns the task's dynamics, and how sure it is of them."""
    strategy: Annotated[Strategy, BeforeValidator(as_strategy)] = Strategy()
    """Which of the proposed rollouts are executed."""
    oracle: Part = Component(name="simulation")
    """Executes the rollouts: a simulation, a robot behind its agent, what was recorded."""
    explorer: Part = Component(name="random")
    """Proposes the first rollouts, before there is a model."""
    starts: Literal["asked", "found"] | None = None
    """`asked`: a seed or options of the env's reset decide where a rollout starts. `found`: they
    do not: a rollout is chosen for the start that is there. None: tried when the run is created."""
    horizon: Count | None = None
    """Steps of an evaluation; None: the task's own."""
    threshold: float | None = None
    """Mean evaluation return from which the task counts as solved; None: the task's own."""
    control_period: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Seconds between two actions; None: the env's own `dt`, else 1."""
    action_limits: Annotated[list[list[float]] | None, BeforeValidator(as_pairs)] = None
    """Low and high of the actions: one pair for all of them, or a list of one for each. Needed for
    actions without limits; a choice among n cuts them into n equal parts. None: the env's own."""
    channels: (
        Annotated[
            list[Annotated[ObservedChannel, BeforeValidator(as_channel)]], Field(min_length=1)
        ]
        | None
    ) = None
    """Names of the numbers that are observed, with unit and kind; None: the env's own."""
    encoder: Part | None = None
    """Makes numbers of what is observed; None: `flatten`, unless it is one flat array already."""
    encoder_sha256: str | None = None
    """Of the numbers that the encoder has learned, if it says so; written when a run is created."""
    inputs: Literal["now"] | dict[str, str] | None = None
    """SHA-256 of each plugin's file, each recording and each file that a parameter names; written
    when a run is created. A run does not go on once one of them has changed, unless it is told
    `now`: then they are noted as they are."""
    pictures: PictureCodec = "png"
    """How pictures are kept that an encoder makes numbers of: `png` loses nothing, `h264` takes
    much less room."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where models, policies and imagined rollouts are; `auto`: a GPU where torch finds one."""

    @model_serializer(mode="wrap")
    def _parts_first(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data = plain(self)
        return {key: data[key] for key in entries_of(Config)}

    def __repr__(self) -> str:
        """Say what is not as by default."""
        fields = type(self).model_fields
        told = {key: getattr(self, key) for key in fields}
        said = {key: value for key, value in told.items() if value != fields[key].default}
        return f"Config({', '.join(f'{key}={value!r}' for key, value in said.items())})"

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
