"""What a campaign is made of, and whether that goes with its numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from robo_al.acquisition.strategy import Strategy
from robo_al.config.settings import Settings
from robo_al.errors import UserError
from robo_al.protocols import Acting, Model, Policy, SupportsAct
from robo_al.types import ClosedLoop, Context, Task


@dataclass(frozen=True)
class Parts:
    """The objects that do a campaign's work, ready made."""

    task: Task
    contexts_from: Callable[[Sequence[int]], list[Context]]
    """Returns the starts where the env's reset puts these seeds."""
    explorer: Policy
    """Proposes where no model can choose."""
    policy: Policy
    model: Model
    strategy: Strategy
    device: str
    """Where imagined rollouts live."""
    provenance: Mapping[str, str]
    """Names of `strategy`, `acquisition`, `selector`, `policy`, `explorer`, `model` and `oracle`,
    the `config_hash`, and `versions` of what was used."""

    @property
    def policies(self) -> dict[str, Policy]:
        """The policies that may control rollouts, by their role."""
        return {"policy": self.policy, "explorer": self.explorer}

    def resolve(self, controller: ClosedLoop) -> Acting:
        """Return the policy that a controller names, as it is now, with the model as it is now.

        Raises:
            UserError: there is no such policy, or it cannot answer observations.
        """
        policy = self.policies.get(controller.policy)
        if not isinstance(policy, SupportsAct):
            what = "cannot answer observations" if policy else "is none of the campaign's"
            raise UserError(f"a candidate's policy {controller.policy!r} {what}")
        return Acting(policy, self.model)


def need_fit(parts: Parts, settings: Settings) -> None:
    """Refuse numbers with which these parts cannot do their work.

    Raises:
        UserError: says which, and what to set.
    """
    task = parts.task
    parts.strategy.require(parts.model, task, settings.imagination_members, settings.steps(task))
    if settings.evaluation.every and not (task.held_out or isinstance(parts.policy, SupportsAct)):
        raise UserError(
            f"policy {type(parts.policy).__name__} cannot control a rollout (it has no `start`), "
            "so it cannot be evaluated: set evaluation.every to 0"
        )
    most = settings.candidates
    if task.finds_starts:
        _check_found(settings)
    if task.starts is not None:
        chosen = settings.initial_rollouts + (settings.rounds - 2) * settings.rollouts_per_round
        needed = most if settings.rounds == 1 else chosen + most
        if max(needed, settings.initial_rollouts) > task.starts:
            raise UserError(
                f"the last of {settings.rounds} rounds needs {most} candidates beside the "
                f"{needed - most} rollouts chosen before it, {needed} in all; {task.starts} "
                "recorded rollouts can be chosen: lower rounds, rollouts_per_round or candidates"
            )


def _check_found(settings: Settings) -> None:
    """Refuse what needs several starts at once, of a task that has one at a time."""
    wanted = {
        "initial_rollouts": settings.initial_rollouts,
        "rollouts_per_round": settings.rollouts_per_round,
    }
    lines = [f"{name} is {value}; set it to 1" for name, value in wanted.items() if value > 1]
    if settings.queue is not None:
        lines.append("loop.mode is overlapped; set it to sequential")
    if lines:
        raise UserError(
            "\n  ".join(["this task's starts are found one at a time, after a reset:", *lines])
        )
