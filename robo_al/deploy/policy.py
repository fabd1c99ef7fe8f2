"""The policy that a run has learned, to act in a loop of one's own.

policy = open_policy("runs/first")
observation, _ = env.reset()
while True:
    observation, *_ = env.step(policy.act(observation))
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from robo_al.build import load_run_config, parts_of
from robo_al.campaign.settings import Parts
from robo_al.campaign.weights import load_weights
from robo_al.dataset.files import read_verified
from robo_al.dataset.folders import LEDGER
from robo_al.dataset.ledger import FitRow, Ledger
from robo_al.dataset.start_folder import started_in
from robo_al.errors import UserError
from robo_al.protocols import Actor, SupportsAct
from robo_al.torch_defaults import one_thread
from robo_al.types import MEAN


class LearnedPolicy:
    """A policy as a run evaluates it, in control of one rollout at a time.

    Args:
        parts: of a campaign, with a model and a policy that have learned.
    """

    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.task = parts.task
        self._actor: Actor | None = None

    def reset(self, seed: int = 0) -> None:
        """Begin another rollout: a planner forgets its plan.

        Args:
            seed: of what is random in the policy.
        """
        assert isinstance(self.parts.policy, SupportsAct)
        self._actor = self.parts.policy.start(self.parts.model, [MEAN], [seed])

    @one_thread
    def act(self, observation: Float[np.ndarray, "O"]) -> Float[np.ndarray, "A"]:
        """Return the action at an observation of the run's task, within its limits.

        Raises:
            UserError: it is no observation of this task.
        """
        given = np.asarray(observation, dtype=np.float64)
        size = (len(self.task.channels),)
        if given.shape != size or not np.isfinite(given).all():
            raise UserError(
                f"act: the policy of {self.task.env.name} takes a finite observation of shape "
                f"{list(size)}, given {list(given.shape)}: {given}"
            )
        if self._actor is None:
            self.reset()
        assert self._actor is not None
        action = self._actor.act(given[None])[0]
        clipped: np.ndarray = np.clip(action, self.task.action_low, self.task.action_high)
        return clipped

    def __repr__(self) -> str:
        """Say what it is of."""
        return f"LearnedPolicy({type(self.parts.policy).__name__} on {self.task.env.name})"


@one_thread
def open_policy(folder: str | Path, device: str = "auto") -> LearnedPolicy:
    """Return the policy that a run has learned until now.

    The run's folder is only read, and not locked: the run may go on meanwhile.

    Args:
        folder: of the run.
        device: where it computes: `auto`, `cpu` or `cuda`.

    Raises:
        RunFolderError: there is no run, or it is of another version.
        UserError: nothing was learned yet, or the policy cannot control a rollout.
        IntegrityError: what was learned is not as it was written.
    """
    with started_in(Path(folder)) as named:
        config = load_run_config(named).model_copy(update={"device": device})
        parts = parts_of(config)
        with Ledger.open(named / LEDGER, read_only=True) as ledger:
            fit = ledger.last(FitRow)
        if fit is None:
            raise UserError(f"{folder}: this run has learned nothing yet")
        if fit.weights is None:
            raise UserError(f"{folder}: the model {config.model.name} of this run cannot be saved")
        if not isinstance(parts.policy, SupportsAct):
            raise UserError(f"{folder}: the policy {config.policy.name} cannot control a rollout")
        path = named / "models" / fit.weights
        weights = read_verified(path, fit.model_hash, f"weights of fit {fit.number}")
        load_weights(weights, parts.model, parts.policy)
    return LearnedPolicy(parts)
