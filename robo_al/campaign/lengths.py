"""How long training rollouts are, where the configuration does not say it.

The first have `FIRST_STEPS` steps, or the task's horizon where that is shorter. Short rollouts from
many starts teach most as long as each step is news. Once a rollout that a model chose lasted to its
end, without ending by itself, and told little, more of its kind would look alike: whatever is still
to be learned comes later. The next ones are then twice as long, up to the task's horizon:

- balancing: rollouts that fall are news, and are short by themselves; what stays upright tells
  little, and grows until it shows drift, the end of a rail, or that nothing is left to learn;
- swinging up: rollouts from random starts are news until the dynamics are known;
- reaching: an episode is short, and every rollout has the task's horizon from the beginning.

Little is less than 1/2 log 2 nats in a step and output: what is told by a single step of which the
model is as unsure as of the noise, epistemic variance = noise variance.

So that a round does not cost more for that, as many fewer candidates are imagined, two at least.
All of it follows from what is in the ledger: a campaign that is resumed goes on alike.
"""

import math
from collections.abc import Sequence

from robo_al.config.settings import Settings
from robo_al.dataset.rows import RolloutRow
from robo_al.models.feature_map import FeatureMap
from robo_al.types import Task

LITTLE = 0.5 * math.log(2)
"""Nats in a step and output, below which a rollout has told little."""
FEWEST = 2
"""Candidates to choose from, at least, where there were as many."""


def lengthened(settings: Settings, task: Task, rollouts: Sequence[RolloutRow], k: int) -> Settings:
    """Return the settings of the next round, with the steps of its rollouts.

    Args:
        settings: of the campaign.
        task: whose horizon is the longest there can be.
        rollouts: selected lately.
        k: how many are to be selected.
    """
    first = settings.steps(task)
    if settings.rollout_steps is not None or task.starts is not None:
        return settings
    steps = max([first, *(row.horizon for row in rollouts)])
    recorded = [row for row in rollouts if row.state == "recorded" and row.sequence is not None]
    newest = max(recorded, key=lambda row: row.sequence or 0, default=None)
    if newest is not None and newest.horizon == steps and _told_little(newest, task):
        steps = min(task.horizon, 2 * steps)
    fewest = min(settings.candidates, max(FEWEST, k))
    candidates = max(fewest, settings.candidates * first // steps)
    return settings.model_copy(update={"rollout_steps": steps, "candidates": candidates})


def _told_little(rollout: RolloutRow, task: Task) -> bool:
    """Whether a rollout lasted to its end, and told little."""
    if rollout.realised_information is None or rollout.steps != rollout.horizon:
        return False
    outputs = FeatureMap.of(task).outputs
    return rollout.realised_information < LITTLE * outputs * rollout.horizon
