"""What may be asked of the agent: every field of every request, checked before anything is done."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from robo_al_agent.errors import AgentError, WireError
from robo_al_agent.protocol.wire import Message
from robo_al_agent.robot import Array

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.:@/+ -]+$")]
Numbers = Annotated[tuple[float, ...], Field(max_length=256)]
MAX_HORIZON = 100_000


class Fields(BaseModel):
    """The fields of a request."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    request: int = Field(ge=0)
    """Comes back with the reply."""


class Hello(Fields):
    """Asks what robot this is; needs no lease."""

    client: Name


class Lease(Fields):
    """Asks for the robot, or keeps it (10 times a second)."""

    client: Name
    fencing_token: int | None = None
    """What was given before; None asks anew."""


class Unlease(Fields):
    """Gives the robot back."""

    fencing_token: int


class Submit(Fields):
    """Asks for one rollout; a copy of it changes nothing."""

    fencing_token: int
    id: Name
    not_after_ns: int
    """On the agent's clock: it does not begin later than this."""
    content: dict[str, Any]
    """See `Content`; the hash is of its `deed`."""


class Content(BaseModel):
    """What a rollout is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
    controller: Literal["open_loop", "onnx", "streamed"]
    joints: Annotated[tuple[Name, ...], Field(min_length=1, max_length=256)]
    """In the order of the commands."""
    period: float = Field(gt=0, le=10)
    """Seconds of a step: between two samples."""
    substeps: int = Field(default=1, ge=1, le=1000)
    """Commands a step, on the straight line from the last step's to this one's."""
    horizon: int = Field(ge=1, le=MAX_HORIZON)
    """Steps, T."""
    start: dict[Name, Numbers]
    """`joints`: the pose that the robot is brought to first; the rest is for who sets the scene."""
    found: bool = False
    """Whether the robot stands at `start.joints` already: it is neither reset nor brought there,
    and where it was moved since, the rollout does not begin."""
    seed: int
    why: str = Field(default="", max_length=1000)
    """Why it was chosen, for the person who approves it; no part of what it is."""


def deed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a rollout is, without the words about it: what its hash is of."""
    return {key: value for key, value in content.items() if key != "why"}


class OfRollout(Fields):
    """Asks for the state, or the result, of a rollout, or acknowledges its result."""

    id: Name


class Tick(Fields):
    """Answers the sample of one step of a streamed rollout."""

    fencing_token: int
    id: Name
    step: int = Field(ge=0, le=MAX_HORIZON)


class Abort(Fields):
    """Stops the robot."""

    who: Name
    id: Name | None = None
    """None: whatever it is doing."""


class Operator(Fields):
    """What a person at the robot says."""

    operator: Name
    id: Name | None = None
    hash: str | None = None


class Jog(Operator):
    """Asks for a small motion of one joint."""

    joint: Name
    delta: float
    """In the joint's unit."""


class Record(Operator):
    """Asks for a motion that a person leads to be recorded; a copy of it changes nothing."""

    id: Name
    """Of the recording."""
    note: str = Field(default="", max_length=300)
    duration: float = Field(gt=0, le=3600)
    """Seconds after which it ends by itself."""


class EndRecording(Operator):
    """Ends the recording that is being made; `operator` is who says so."""


class Recordings(Fields):
    """Asks which recordings are kept."""


KINDS: dict[str, type[Fields]] = {
    "hello": Hello,
    "lease": Lease,
    "unlease": Unlease,
    "submit": Submit,
    "state": OfRollout,
    "fetch": OfRollout,
    "acknowledge": OfRollout,
    "tick": Tick,
    "abort": Abort,
    "approve": Operator,
    "reject": Operator,
    "clear": Operator,
    "release": Operator,
    "recover": Operator,
    "park": Operator,
    "jog": Jog,
    "status": Operator,
    "record": Record,
    "end_recording": EndRecording,
    "recordings": Recordings,
    "pause": Operator,
    "resume": Operator,
}
ERRANDS = {"clear", "release", "recover", "park", "jog", "record", "end_recording"}
"""What the device itself is asked; the answer takes its time."""
OPERATOR_KINDS = {"approve", "reject", "status", "abort", "pause", "resume"} | ERRANDS
"""What is taken from the operator's socket, which only this machine has."""

Model = TypeVar("Model", bound=BaseModel)


def parse(message: Message) -> Fields:
    """Return the fields of a request.

    Raises:
        WireError: an unknown kind, or a field that is missing, unknown or wrong.
    """
    if message.kind not in KINDS:
        raise WireError(f"request {message.kind[:40]!r} is not known")
    return validated(KINDS[message.kind], message.fields, message.kind)


def validated(model: type[Model], fields: Any, where: str) -> Model:
    """Return checked fields; JSON's lists are taken for tuples.

    Raises:
        WireError: naming every field that is wrong.
    """
    try:
        return model.model_validate(_tuples(fields))
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()[:5]
        )
        raise WireError(f"{where}: {wrong}") from None
    except (RecursionError, OverflowError) as error:
        raise WireError(f"{where}: {error}") from None


def _tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return value


def commands_of(message: Message, content: Content) -> Array:
    """Return the commands [T, J] of an open-loop rollout.

    Raises:
        WireError: they are missing, or of another shape or dtype.
    """
    actions = message.arrays.get("actions")
    shape = (content.horizon, len(content.joints))
    if actions is None or actions.dtype != np.float64 or actions.shape != shape:
        found = "missing" if actions is None else f"{actions.dtype} of shape {actions.shape}"
        raise WireError(f"submit: actions are {found}; float64 of shape {shape} is needed")
    return actions


def one_command(message: Message, joints: int) -> Array:
    """Return the command [J] of a tick.

    Raises:
        WireError: it is missing, or of another shape or dtype.
    """
    command = message.arrays.get("command")
    if command is None or command.dtype != np.float64 or command.shape != (joints,):
        raise WireError(f"tick: a float64 array `command` of shape ({joints},) is needed")
    return command


def finite(value: float | None) -> float | None:
    """Return a number as JSON has it."""
    return None if value is None or not math.isfinite(value) else value


def error_message(error: AgentError) -> Message:
    """Return what whoever asked is told: `code` is for programs, `message` for people."""
    return Message("error", {"code": type(error).__name__, "message": str(error), "request": 0})
