"""Rolls policies out by turns from the same starts, until somebody knows which is better.

All of it is one evaluation, of a run folder that has nothing else: each rollout is in the ledger,
with its policy. What comes next is a function of the ledger, so that it goes on after a kill.
"""

from collections.abc import Callable, Mapping

from robo_al.campaign.campaign import Campaign
from robo_al.campaign.frugal import evaluation_row
from robo_al.dataset.ledger import RolloutRow, RoundRow
from robo_al.dataset.stored import evaluation_id
from robo_al.errors import OracleError
from robo_al.loop.rounds import execute, repeated, unfinished
from robo_al.protocols import Oracle
from robo_al.seeds import Purpose, generator, integer
from robo_al.torch_defaults import one_thread
from robo_al.types import MEAN, Candidate, ClosedLoop

_ROUND = 1
"""The only one, which stays open: nothing is learned."""


@one_thread
def by_turns(
    campaign: Campaign,
    oracle: Oracle,
    policies: Mapping[str, str | None],
    starts: int,
    decided: Callable[[], bool],
) -> None:
    """Roll each policy out from each start, in random order, one rollout at a time.

    Args:
        campaign: whose folder has nothing else; its `acting` has the policies.
        oracle: executes the rollouts.
        policies: their names, each with the hash of its weights.
        starts: from how many at most.
        decided: asked before each further start; nothing is run once it holds.

    Raises:
        OracleError: nothing comes of the rollouts, or the oracle cannot go on.
        StorageError: the disk is full or refuses.
    """
    campaign.connect(oracle)
    ledger = campaign.dataset.ledger
    if ledger.row(RoundRow, _ROUND) is None:
        with ledger.transaction():
            ledger.insert(RoundRow(_ROUND, None))
    execute(unfinished(campaign, oracle, _ROUND), oracle, campaign, repeated(campaign))
    while not campaign.setbacks.too_many:
        done = len(ledger.rows(RolloutRow, round=_ROUND))
        begins = done % len(policies) == 0
        if begins and (done == starts * len(policies) or decided()):
            return
        execute([_next(campaign, policies, done)], oracle, campaign, campaign.tell)
    raise OracleError(f"{campaign.dataset.folder}: {campaign.setbacks.verdict()}")


def _next(campaign: Campaign, policies: Mapping[str, str | None], done: int) -> Candidate:
    """Return the rollout after so many, which is in the ledger."""
    start, place = divmod(done, len(policies))
    rng = generator(campaign.settings.seed, Purpose.EVALUATE, _ROUND, start)
    reset, execution = integer(rng), integer(rng)
    policy = list(policies)[rng.permutation(len(policies))[place]]
    task = campaign.parts.task
    look = campaign.find if task.finds_starts else campaign.parts.contexts_from
    candidate = Candidate(
        context=look([reset])[0],
        controller=ClosedLoop(MEAN, policy),
        horizon=task.horizon,
        seed=execution,
        id=evaluation_id(_ROUND, done),
    )
    ledger = campaign.dataset.ledger
    row = evaluation_row(campaign, _ROUND, candidate, policies[policy])
    with ledger.transaction():
        ledger.insert(row)
    made = campaign.candidate(row)  # as a resumed one would make it
    assert made is not None, "its policy is noted"
    return made
