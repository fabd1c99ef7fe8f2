"""The numbers of a campaign: those of its configuration that name no part."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from robo_al.config.ranges import Count
from robo_al.types import Task

FEWEST_STARTS, MOST_STARTS = 3, 20
"""Of an evaluation of which nothing is said."""
EVALUATED_STEPS = 4000
"""That such an evaluation has in all, unless its fewest starts take more."""
FIRST_STEPS = 50
"""Of training rollouts of which nothing is said, until they have told what there is to tell."""


ENTRIES = ConfigDict(
    extra="forbid",
    frozen=True,
    strict=True,
    use_attribute_docstrings=True,  # for `robo-al describe`, and docs/configuration.md
)
"""Of every mapping of a configuration."""


def entries_of(model: type[BaseModel]) -> list[str]:
    """Return the names of a mapping's entries: its own, then those that it has from its base."""
    return list(dict.fromkeys((*model.__annotations__, *model.model_fields)))


class Evaluation(BaseModel):
    """How the policy is evaluated, apart from the data or as part of them."""

    model_config = ENTRIES

    kind: Literal["full", "frugal"] | None = None
    """`full`: every time, from all starts, apart from the data. `frugal`: only where the threshold
    may be near, one rollout after the other until a test decides, and learned from. None: full
    where the oracle may execute a rollout again, as a simulation may, else frugal."""
    starts: Count | None = None
    """Fixed starts, the same for every strategy, of a frugal one the most rollouts; None: as many
    as the task's horizon allows."""
    every: int = Field(default=1, ge=0)
    """Rounds between evaluations; 0: never. A round that brought no data is followed by none."""

    def starts_for(self, horizon: int) -> int:
        """Return the starts: where nothing is said 20 up to 200 steps, and fewer beyond."""
        return self.starts or max(FEWEST_STARTS, min(MOST_STARTS, EVALUATED_STEPS // horizon))


class Loop(BaseModel):
    """How selecting and executing take turns."""

    model_config = ENTRIES

    mode: Literal["sequential", "overlapped"] = "sequential"
    """`overlapped`: while the oracle executes a round, the next ones are selected."""
    queue: Count = 2
    """Overlapped: rounds that may wait at the oracle, at the most, so that it is never idle."""


class Settings(BaseModel):
    """The numbers of a campaign."""

    model_config = ENTRIES

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of everything random: two runs of one configuration are the same run."""
    rounds: Count = 10
    """The budget: rounds after which the campaign stops."""
    initial_rollouts: Count = 1
    """Rollouts of the explorer in the first round."""
    rollout_steps: Count | None = None
    """Steps of a training rollout; None: the task's horizon, but 50 at most at first. Once such a
    rollout has lasted to its end and told little, the next are twice as long, up to the horizon,
    and as many fewer candidates are imagined."""
    candidates: Count = 16
    """N, proposals in each round."""
    rollouts_per_round: Count = 1
    """K, how many of them are selected."""
    contexts: Count = 4
    """Starts over which the proposals of a round are spread."""
    imagination_members: Count = 1
    """E, members of the model in which each proposal is played."""
    evaluation: Evaluation = Evaluation()
    """How the policy is evaluated."""
    loop: Loop = Loop()
    """How selecting and executing take turns."""
    stop_when_solved: bool = True
    """Two full evaluations in a row at the threshold, or a frugal one that a test decides, end the
    campaign before its budget is spent."""

    @field_validator("rollouts_per_round")
    @classmethod
    def _selected_from_candidates(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("candidates", value):
            raise ValueError(f"at most the number of candidates, {info.data['candidates']}")
        return value

    @property
    def queue(self) -> int | None:
        """Rounds that may wait while the oracle executes one; None: one after the other."""
        return self.loop.queue if self.loop.mode == "overlapped" else None

    def steps(self, task: Task) -> int:
        """Return the steps of a training rollout, of the first ones where nothing is said."""
        return self.rollout_steps or min(task.horizon, FIRST_STEPS)
