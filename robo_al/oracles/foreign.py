"""What is made, on this side of a pipe, of what an env in a Python of its own answers."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from robo_al.encoding.adapted import Adapted
from robo_al.encoding.camera import Camera
from robo_al.errors import EnvFault
from robo_al.foreign.env import DescribedEnv
from robo_al.oracles.recording import ActionLimits, Fault
from robo_al.plugins import adapted
from robo_al.types import EnvSpec
from robo_al.worker.spaces import joined, packed
from robo_al.worker.watch import first_not_finite

Array = NDArray[np.float64]


class ForeignSpaces:
    """Encodes what the env shows, and packs what it is sent.

    Args:
        env: what the other process says of the env.
        spec: what it was made from.

    Raises:
        UserError: its spaces are none that a rollout can run in.
    """

    def __init__(self, env: DescribedEnv, spec: EnvSpec) -> None:
        self._observed = env.observation_space
        self._sent = env.action_space
        flat = adapted(env, spec)
        self._adapted = flat if isinstance(flat, Adapted) else None
        self.limits = ActionLimits.of(flat, spec)

    def packed(self, actions: Shaped[np.ndarray, "T A"]) -> Float[np.ndarray, "T P"]:
        """Return the numbers of the env's own actions."""
        if self._adapted is None:
            return actions.astype(np.float64)
        restored = self._adapted.restored
        return np.array([packed(self._sent, restored(action)) for action in actions])

    @property
    def camera(self) -> Camera | None:
        """Sees the pictures that are encoded, if there are any."""
        return None if self._adapted is None else self._adapted.camera

    def seen(self, parts: Sequence[Shaped[np.ndarray, "..."]]) -> Array | Fault:
        """Return the observation [O] whose parts came, or why it cannot be used."""
        if self._adapted is None:
            return np.asarray(parts[0], dtype=np.float64)
        try:
            seen: Array = self._adapted.encoded(joined(self._observed, iter(parts)))
        except EnvFault as error:
            return Fault(error.kind, str(error))
        if not np.isfinite(seen).all():
            return Fault("quarantined", first_not_finite(seen))
        return seen
