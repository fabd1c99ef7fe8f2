"""Evaluation of the current policy on fixed starts: apart from the data, never trained on."""

from collections.abc import Sequence

from robo_al.campaign import Campaign
from robo_al.dataset.episodes import examine
from robo_al.dataset.ledger import EvaluationRow
from robo_al.protocols import SupportsAct
from robo_al.seeds import Purpose, generator, integer
from robo_al.types import MEAN, Candidate, Outcome, Streamed


def evaluation_due(campaign: Campaign) -> bool:
    """Return whether the last round still needs its evaluation."""
    every, last = campaign.settings.evaluate_every, campaign.rounds
    wanted = every > 0 and (last % every == 0 or last >= campaign.settings.rounds)
    done = campaign.dataset.ledger.row(EvaluationRow, last) is not None
    return wanted and campaign.learner.fitted and not done


def evaluation_candidates(campaign: Campaign) -> tuple[Candidate, ...]:
    """Return one rollout of the current policy from each fixed start.

    Start i is where the env's reset puts seed i, in every round, campaign and strategy:
    differences are the policy's.
    """
    settings, parts = campaign.settings, campaign.parts
    assert isinstance(parts.policy, SupportsAct)
    starts = range(settings.evaluation_starts)
    contexts = parts.contexts_from(starts)
    return tuple(
        Candidate(
            context=context,
            controller=Streamed(parts.policy, parts.model, MEAN),
            horizon=parts.task.horizon,
            seed=integer(generator(settings.seed, Purpose.EVALUATE, 0, i)),
            id=f"e{campaign.rounds:04d}-{i:02d}",
        )
        for i, context in enumerate(contexts)
    )


def record_evaluation(
    campaign: Campaign, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]
) -> EvaluationRow:
    """Make an evaluation durable.

    Args:
        campaign: whose policy was evaluated.
        candidates: as `evaluation_candidates` returned them.
        outcomes: of each.

    Raises:
        StorageError: the disk is full or refuses; the evaluation is done again later.
    """
    task = campaign.parts.task
    results = [examine(o.candidate_id, o.result, task, task.horizon) for o in outcomes]
    contexts = [candidate.context for candidate in candidates]
    return campaign.dataset.record_evaluation(campaign.rounds, contexts, results)
