"""One model simulated from many states: in a batch on threads, or one state after another.

MuJoCo has the batch since 3.17. Both ways give the same numbers, to the last bit.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, TypeAlias

import mujoco
import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Batched:
    """Simulates all states at once, on threads."""

    def __init__(self, model: Any, fields: Sequence[str]) -> None:
        self._model = model
        self._fields = fields
        self._batch: Any = None

    def run(
        self,
        qpos: Float[np.ndarray, "B Q"],
        qvel: Float[np.ndarray, "B V"],
        ctrl: Float[np.ndarray, "B U"],
        steps: int,
    ) -> tuple[Any, Int[np.ndarray, "n"]]:
        """Return the fields [B,...] after some steps, and the rows that MuJoCo refused.

        The solver starts cold, and the control stays as it is through the steps.
        """
        from mujoco.batch import SimulationError

        count = len(qpos)
        batch = self._batch_of(count)
        batch.qpos[:count], batch.qvel[:count] = qpos, qvel
        batch.qacc_warmstart[:count] = 0
        batch.ctrl[:count] = ctrl
        failed: NDArray[Any] = np.zeros(0, dtype=np.int64)
        try:
            batch.step(ids=np.arange(count), nstep=steps)
        except SimulationError as error:
            failed = error.ids
        return SimpleNamespace(**{name: batch.bind(name)[:count] for name in self._fields}), failed

    def _batch_of(self, count: int) -> Any:
        """Return a batch of at least so many simulations."""
        from mujoco.batch import Batch

        if self._batch is None or self._batch.nsim < count:
            self._batch = Batch(self._model, count)
            for name in self._fields:  # one that is asked for after a step is empty
                self._batch.bind(name)
        return self._batch


class OneByOne:
    """Simulates one state after another."""

    def __init__(self, model: Any, fields: Sequence[str]) -> None:
        self._model = model
        self._fields = fields
        self._data = mujoco.MjData(model)

    def run(
        self,
        qpos: Float[np.ndarray, "B Q"],
        qvel: Float[np.ndarray, "B V"],
        ctrl: Float[np.ndarray, "B U"],
        steps: int,
    ) -> tuple[Any, Int[np.ndarray, "n"]]:
        """Return the fields [B,...] after some steps, and the rows that MuJoCo refused."""
        data, count, failed = self._data, len(qpos), []
        arrays = {n: np.empty((count, *np.shape(getattr(data, n)))) for n in self._fields}
        for row in range(count):
            data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[row], qvel[row], ctrl[row]
            data.qacc_warmstart[:] = 0
            try:
                mujoco.mj_step(self._model, data, nstep=steps)
            except mujoco.FatalError:
                mujoco.mj_resetData(self._model, data)  # what it left is not to be gone on from
                failed.append(row)
            for name, array in arrays.items():
                array[row] = getattr(data, name)
        return SimpleNamespace(**arrays), np.array(failed, dtype=np.int64)


Simulator: TypeAlias = Batched | OneByOne


def make_simulator(model: Any, outputs: Sequence[str]) -> Simulator:
    """Return the fastest simulator that the installed MuJoCo has.

    Args:
        model: an `MjModel`.
        outputs: fields of `MjData` that are asked for, besides `qpos` and `qvel`.
    """
    several = Batched if find_spec("mujoco.batch") else OneByOne
    return several(model, ("qpos", "qvel", *outputs))
