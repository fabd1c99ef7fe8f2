"""What a robot's agent measured beside what the task observes, under the names of the contract."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robo_al.types import Scalar
from robo_al_agent.protocol.wire import Message

_NAMES = {
    "positions": "position",
    "velocities": "velocity",
    "efforts": "effort",
    "sensors": "sensor",
    "requested": "target",
}
"""The agent's names of what has another one here: `requested` are actions, in the task's sense."""
_OF_COMMANDS = ("requested", "sent")
"""The agent's arrays with a row for each command; the others have one for each sample."""


def details_of(*messages: Message | None) -> dict[str, Scalar]:
    """Return what the agent said of a rollout as a whole, in any of its messages.

    `ending` is its word for how the rollout ended, `fraction` the share of the steps that were
    executed, and `misses` the number of deadlines that were missed.
    """
    fields: dict[str, Any] = {}
    for message in messages:
        fields |= {} if message is None else message.fields
    wanted = {"kind": "ending", "fraction": "fraction", "misses": "misses"}
    return {name: fields[said] for said, name in wanted.items() if fields.get(said) is not None}


def signals_of(arrays: Mapping[str, NDArray[Any]], steps: int) -> dict[str, NDArray[Any]]:
    """Return everything that the agent measured or sent in the first steps of a rollout.

    Args:
        arrays: of its result: a row for each sample, or for each command.
        steps: T, of which there are T+1 samples and T commands at least.
    """
    signals = {}
    for name, values in arrays.items():
        kept = values[: steps if name in _OF_COMMANDS else steps + 1]
        if np.size(kept) and len(kept) in (steps, steps + 1):
            signals[_NAMES.get(name, name)] = kept
    return signals
