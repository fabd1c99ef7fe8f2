"""The evaluation of who pays for every rollout: run when it may matter, stopped when decided.

Its rollouts are the policy's own and are in the ledger beside those that were selected: they are
dispatched, recorded, labelled and learned from like any other, and each is counted once. What is
known of an evaluation is a function of the ledger, so that it goes on after an interruption.

While it goes on nothing is retrained: the policy that is evaluated is one.
"""

from typing import TYPE_CHECKING

import torch

from robo_al.campaign.selection import NUMERICAL_ERRORS
from robo_al.campaign.threshold import Decision, decide
from robo_al.dataset.candidates import content_hash, context_json, controller_json, restore
from robo_al.dataset.ledger import EvaluationRow, RolloutRow, RoundRow, to_json
from robo_al.dataset.rows import EVALUATION
from robo_al.dataset.stored import evaluation_id
from robo_al.models.imagination import imagine
from robo_al.seeds import Purpose, generator, integer
from robo_al.types import MEAN, Candidate, ClosedLoop, Failure, Outcome

if TYPE_CHECKING:
    from robo_al.campaign.campaign import Campaign

IMAGINED_STARTS = 4
"""From which a policy is imagined, to see whether it may be at the threshold."""
IMAGINED_MEMBERS = 4
"""Of the model, at most, in each of which it is imagined."""
DEVIATIONS = 2.0
"""Standard deviations of the imagined returns by which their mean may be too low."""


class FrugalEvaluation:
    """The evaluation of a campaign's policy that goes on now; see the module's docstring.

    Args:
        campaign: whose policy is evaluated.
    """

    def __init__(self, campaign: "Campaign") -> None:
        self._campaign = campaign

    def __contains__(self, rollout: str) -> bool:
        """Whether a rollout is told apart from all others: its own are told like them."""
        return False

    @property
    def goes_on(self) -> bool:
        """Whether the first open round has rollouts of its evaluation."""
        opened = self._campaign.dataset.ledger.rows(RoundRow, record=None)
        return bool(opened) and bool(self._rows(opened[0].round))

    def put_off(self, index: int) -> str | None:
        """Return why the policy is not evaluated after a round; None where it is to be."""
        campaign = self._campaign
        if self._rows(index) or index >= campaign.settings.rounds:
            return None
        threshold = campaign.parts.task.threshold
        if threshold is None:
            return "the task has no threshold, so that one evaluation after the last round will do"
        try:
            returns = self._imagined(index)
        except NUMERICAL_ERRORS as error:
            return f"the model cannot imagine the policy: {error}"
        mean, deviation = float(returns.mean()), float(returns.std(correction=0))
        if mean + DEVIATIONS * deviation >= threshold:
            return None
        return (
            f"the imagined return {mean:.3g} (standard deviation {deviation:.2g}) is far from "
            f"{threshold:g}"
        )

    def ask(self, index: int) -> tuple[Candidate, ...]:
        """Return its next rollout, which is in the ledger; none while one is under way.

        Each starts where no rollout did before: what was learned from the others is no help there.

        Args:
            index: of the round after which the policy is evaluated.
        """
        campaign, rows = self._campaign, self._rows(index)
        if any(row.state in ("selected", "dispatched") for row in rows):
            return ()
        start, execution = self._seeds(index, len(rows))
        finds = campaign.parts.task.finds_starts
        look = campaign.find if finds else campaign.parts.contexts_from
        wanted = Candidate(
            context=look([start])[0],
            controller=ClosedLoop(MEAN, "policy"),
            horizon=campaign.parts.task.horizon,
            seed=execution,
            id=evaluation_id(index, len(rows)),
        )
        row = evaluation_row(campaign, index, wanted, campaign.learner.model_hash)
        with campaign.dataset.ledger.transaction():
            campaign.dataset.ledger.insert(row)
        candidate = restore(row)
        assert candidate is not None, "its policy is noted"
        return (candidate,)

    def tell(self, outcome: Outcome) -> None:
        """Take nothing: see `__contains__`."""
        raise AssertionError(f"{outcome.candidate_id} is told like any other rollout")

    def concluded(self, index: int) -> EvaluationRow | None:
        """Return the evaluation's row, made durable, once it is decided or its budget is spent."""
        campaign, rows = self._campaign, self._rows(index)
        if not rows or any(row.state in ("selected", "dispatched") for row in rows):
            return None
        dataset, threshold = campaign.dataset, campaign.parts.task.threshold
        returns = [row.total_reward for row in rows if row.state == "recorded"]
        known = [value for value in returns if value is not None]
        whole = len(known) == len(rows)
        decision = Decision("undecided", 1.0)
        if whole and threshold is not None:
            decision = decide(known, threshold)
        spent = len(rows) >= campaign.evaluation_starts
        if whole and not spent and decision.verdict == "undecided":
            return None
        rollouts, transitions, _ = dataset.ledger.totals()
        steps = sum(row.steps or 0 for row in rows if row.state == "recorded")
        return dataset.record_evaluation(
            index,
            [candidate.context for row in rows if (candidate := restore(row))],
            [
                dataset.trajectory(row)
                if row.state == "recorded"
                else Failure("failed", row.reason or row.state)
                for row in rows
            ],
            (rollouts - len(returns), transitions - steps),
            decision=decision,
        )

    def _rows(self, index: int) -> list[RolloutRow]:
        return self._campaign.dataset.ledger.rows(RolloutRow, round=index, strategy=EVALUATION)

    def _seeds(self, index: int, start: int) -> tuple[int, int]:
        """Return the seed of a start, and that of the rollout from there."""
        rng = generator(self._campaign.settings.seed, Purpose.EVALUATE, index, start)
        return integer(rng), integer(rng)

    @torch.no_grad()
    def _imagined(self, index: int) -> torch.Tensor:
        """Return the policy's imagined returns [E, N]: E members, N of the evaluation's starts.

        Where starts are found, they are those of the round's own rollouts.

        Raises:
            ModelError, torch.linalg.LinAlgError: the model's numbers went wrong.
        """
        campaign = self._campaign
        parts, number = campaign.parts, min(IMAGINED_STARTS, campaign.evaluation_starts)
        seeds = [self._seeds(index, start) for start in range(number)]
        if parts.task.finds_starts:
            rows = campaign.dataset.ledger.rows(RolloutRow, round=index)
            contexts = [candidate.context for row in rows if (candidate := restore(row))]
        else:
            contexts = parts.contexts_from([start for start, _ in seeds])
        candidates = [
            Candidate(context, ClosedLoop(MEAN, "policy"), parts.task.horizon, seed)
            for context, (_, seed) in zip(contexts, seeds, strict=False)
        ]
        members = list(range(min(IMAGINED_MEMBERS, parts.model.members)))
        imagined = imagine(
            candidates,
            parts.model,
            parts.task,
            members,
            resolve=parts.resolve,
            device=parts.device,
            advanced=campaign.clock.advanced,
        )
        return imagined.returns


def evaluation_row(
    campaign: "Campaign", index: int, candidate: Candidate, model_hash: str | None
) -> RolloutRow:
    """Return the row of a rollout: behind those of its round, and by no acquisition."""
    provenance, controller = campaign.parts.provenance, controller_json(candidate)
    return RolloutRow(
        id=candidate.id,
        round=index,
        index=len(campaign.dataset.ledger.rows(RolloutRow, round=index)),
        state="selected",
        context=to_json(context_json(candidate.context)),
        controller=to_json(controller),
        horizon=candidate.horizon,
        seed=candidate.seed,
        content_hash=content_hash(candidate, controller),
        strategy=EVALUATION,
        acquisition=EVALUATION,
        selector=EVALUATION,
        policy=provenance["policy"],
        model=provenance["model"],
        oracle=provenance["oracle"],
        config_hash=provenance["config_hash"],
        versions=provenance["versions"],
        model_hash=model_hash,
        score=None,
        rank=None,
        gain=None,
        predicted_information=None,
    )
