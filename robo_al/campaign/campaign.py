"""A campaign: one experiment, ask / tell over a run folder. The only stateful class.

    with Campaign.create(folder, parts, settings, config_text) as campaign:
        for candidate in campaign.ask(k):   # learn -> propose -> imagine -> score -> select
            ...                             # run it somewhere
            campaign.tell(outcome)          # durable when this returns
        while candidates := campaign.evaluation():  # of what was learned, when it is due
            ...                             # the same again

Asks and tells may come in any interleaving: what is pending is conditioned on, and outcomes may be
late or out of order. Every draw is counted (`robo_al.seeds`), so a campaign that was killed goes on
to the ledger of one that was not.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from robo_al.campaign.evaluation import UnderEvaluation, evaluate_model, evaluation_due
from robo_al.campaign.frugal import FrugalEvaluation
from robo_al.campaign.learner import Learner
from robo_al.campaign.lengths import lengthened
from robo_al.campaign.records import failures, round_record
from robo_al.campaign.selection import NUMERICAL_ERRORS, Chosen, Refuses, choose, explore
from robo_al.campaign.setbacks import Setbacks
from robo_al.campaign.settings import Parts, need_fit
from robo_al.config.settings import Settings
from robo_al.dataset import decisions
from robo_al.dataset.candidates import content_hash, context_json, controller_json, restore
from robo_al.dataset.clock import Clock
from robo_al.dataset.dataset import Dataset
from robo_al.dataset.episodes import examine
from robo_al.dataset.event_log import EventLog
from robo_al.dataset.events import (
    Activity,
    Advanced,
    Decided,
    Evaluated,
    EvaluationFailed,
    Event,
    Explored,
    Indeterminate,
    Lengthened,
    Noted,
    NotEvaluated,
    Observer,
    RolloutDone,
    RoundDone,
    Waiting,
    Withheld,
)
from robo_al.dataset.films import drop_film
from robo_al.dataset.ledger import (
    EvaluationRow,
    FitRow,
    LabelRow,
    RolloutRow,
    RoundRow,
    solved_at,
    to_json,
)
from robo_al.dataset.outcomes import checked
from robo_al.dataset.rows import EVALUATION
from robo_al.dataset.stored import episode_file
from robo_al.errors import IntegrityError, UserError
from robo_al.protocols import (
    Acting,
    Oracle,
    SupportsAdmission,
    SupportsAdvance,
    SupportsClosedLoop,
    SupportsData,
    SupportsFilms,
    SupportsLook,
    SupportsNotice,
    SupportsRecall,
)
from robo_al.seeds import Purpose, generator, integer
from robo_al.torch_defaults import one_thread
from robo_al.types import (
    Candidate,
    ClosedLoop,
    Context,
    Failure,
    Label,
    Outcome,
    Scalar,
    Trajectory,
)

Look: TypeAlias = Callable[[Sequence[int]], list[Context]]

_OPEN = ("selected", "dispatched", "indeterminate")
"""States in which an outcome is news."""


class Campaign:
    """One experiment; made by `create` or `open`, and closed as a context manager.

    Args:
        dataset: of an open run folder.
        parts: what it is made of, the model not yet fitted.
        settings: its numbers.

    Raises:
        UserError: the parts do not fit the settings.
    """

    @one_thread
    def __init__(self, dataset: Dataset, parts: Parts, settings: Settings) -> None:
        self.dataset = dataset
        self.parts = parts
        self.settings = settings
        self.observers: list[Observer] = []
        """Told what happens, each after it was kept with the run."""
        self._log = EventLog(dataset.folder, dataset.opening)
        self.refusal: Refuses | None = None
        """Says which candidates its oracle would execute, if it can; others are not selected."""
        self.acting: dict[str, Acting] = {}
        """Policies that candidates may name beside those of the parts."""
        self.look: Look | None = None
        """Finds the next starts at the oracle, where they cannot be asked for."""
        last = [row.record for row in dataset.ledger.rows(RoundRow) if row.record]
        record: dict[str, Any] = json.loads(last[-1]) if last else {}
        seconds, cpu_seconds = record.get("seconds", {}), record.get("cpu_seconds", 0.0)
        self.clock = Clock(seconds, self._began, cpu_seconds, self._advanced)
        self._closed = False
        self._candidates: dict[str, Candidate] = {}
        self._dispatched: dict[str, float] = {}
        self._evaluations: list[EvaluationRow] = []
        """What was looked at last."""
        self._solved: EvaluationRow | None = None
        self.setbacks = Setbacks(dataset.ledger)
        frugal = settings.evaluation.kind == "frugal"
        self.under_evaluation: UnderEvaluation | FrugalEvaluation = (
            FrugalEvaluation(self) if frugal else UnderEvaluation(self)
        )
        self._begun = False
        for decision in decisions.take(dataset, opening=True):
            self.emit(Decided(decision))
        self.learner = Learner(dataset, parts, settings.seed, self.clock, self.emit)
        dataset.write_metrics()

    @classmethod
    def create(cls, folder: Path, parts: Parts, settings: Settings, config_text: str) -> "Campaign":
        """Begin a campaign in a new or empty folder.

        Raises:
            RunFolderError: the folder is not empty, or in use; nothing was written.
            UserError: the parts do not fit the settings; nothing was written.
            StorageError: the disk is full or refuses.
        """
        need_fit(parts, settings)
        return cls._of(Dataset.create(folder, config_text), parts, settings)

    @classmethod
    def open(cls, folder: Path, parts: Parts, settings: Settings) -> "Campaign":
        """Go on with a campaign where it was left, or killed.

        Raises:
            RunFolderError: no run, another version's, or in use by another process.
            UserError: the parts do not fit the settings.
        """
        need_fit(parts, settings)
        return cls._of(Dataset(folder), parts, settings)

    @classmethod
    def _of(cls, dataset: Dataset, parts: Parts, settings: Settings) -> "Campaign":
        try:
            return cls(dataset, parts, settings)
        except BaseException:
            dataset.close()
            raise

    def connect(self, oracle: Oracle) -> None:
        """Let an oracle and this campaign know of each other, before anything is submitted.

        The oracle is told who asks, whom to notify, and where the policies are that its rollouts
        name; the campaign asks it what it would refuse and where its envs stand. Nothing of this
        is needed for an oracle that has none of these capabilities (`robo_al.protocols`).
        """
        if isinstance(oracle, SupportsRecall):
            oracle.campaign = self.dataset.identity
        if isinstance(oracle, SupportsNotice):
            oracle.notice = self.notice
        if isinstance(oracle, SupportsAdvance):
            oracle.advanced = self.clock.advanced
        if isinstance(oracle, SupportsFilms):
            oracle.films = self.dataset.folder / "episodes"
        if isinstance(oracle, SupportsClosedLoop):
            oracle.resolve = self.resolve
        if isinstance(oracle, SupportsAdmission):
            self.refusal = oracle.refusal
        if isinstance(oracle, SupportsLook):
            self.look = oracle.look
        self._begin()

    def _begin(self) -> None:
        """Tell what there is to say first, and have a model, if there was one: once an opening."""
        if self._begun:
            return
        self._begun = True
        if self.rounds == 0:
            for note in self.parts.task.notes:
                self.emit(Noted(note))
        self.learner.recover(self.rounds)

    def resolve(self, controller: ClosedLoop) -> Acting:
        """Return the policy that a controller names, as it is now; see `Resolver`."""
        return self.acting.get(controller.policy) or self.parts.resolve(controller)

    def emit(self, event: Event) -> None:
        """Keep an event with the run, and tell the observers."""
        self._log(event)
        for observer in self.observers:
            observer(event)

    def notice(self, what: str) -> None:
        """Tell what the oracle waits for."""
        self.emit(Waiting(what))

    def _began(self, activity: str) -> None:
        self.emit(Activity(activity))

    def _advanced(self, step: int, steps: int) -> None:
        self.emit(Advanced(step, steps))

    def close(self) -> None:
        """Let the folder go; may be called twice."""
        self._closed = True
        self.dataset.close()

    def __repr__(self) -> str:
        """Say where the campaign stands."""
        name = f"Campaign({str(self.dataset.folder)!r}: {self.parts.task.env.name}"
        if self._closed:
            return f"{name}, closed)"
        rollouts, transitions, _ = self.dataset.ledger.totals()
        solved = ", solved" if self.solved else ""
        return (
            f"{name}, round {self.rounds} of {self.settings.rounds}, rollouts: {rollouts}, "
            f"transitions: {transitions}{solved})"
        )

    def __enter__(self) -> "Campaign":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ------------------------------------------------------------ where it stands

    @property
    def rounds(self) -> int:
        """How many batches were selected."""
        row = self.dataset.ledger.last(RoundRow)
        return row.round if row else 0

    @property
    def round_complete(self) -> bool:
        """Whether the last round has its record (or there is no round yet)."""
        row = self.dataset.ledger.last(RoundRow)
        return row is None or row.record is not None

    @property
    def solved(self) -> EvaluationRow | None:
        """The evaluation at which the task was solved; see `solved_at`."""
        threshold = self.parts.task.threshold
        if self._solved is None and threshold is not None:
            last = self._evaluations[-1:]
            new = self.dataset.ledger.after(EvaluationRow, last[0].round if last else -1)
            self._evaluations = last + new
            self._solved = solved_at(self._evaluations, threshold)
        return self._solved

    @property
    def finished(self) -> bool:
        """Whether no further round is to be selected, and nothing is left to do."""
        return self.round_complete and self.enough

    @property
    def enough(self) -> bool:
        """Whether no further round is to be selected: see `rounds`, `solved` and `setbacks`."""
        return self.rounds >= self.settings.rounds or self.stopped or self.setbacks.too_many

    @property
    def stopped(self) -> bool:
        """Whether the task is solved, and the budget's rest is not to be used."""
        return self.settings.stop_when_solved and self.solved is not None

    @property
    def evaluation_starts(self) -> int:
        """From how many starts the policy is evaluated."""
        return self.settings.evaluation.starts_for(self.parts.task.horizon)

    @cached_property
    def evaluation_contexts(self) -> list[Context]:
        """The fixed starts, looked at once: where the env's reset puts seeds from 0 on."""
        return self.parts.contexts_from(range(self.evaluation_starts))

    @property
    def pending(self) -> tuple[Candidate, ...]:
        """What was selected and not told; without those whose policy nobody noted."""
        found = (self.candidate(row) for row in self.dataset.ledger.under_way())
        return tuple(candidate for candidate in found if candidate is not None)

    def candidate(self, row: RolloutRow) -> Candidate | None:
        """Return the candidate of a row, made again if it is another opening's."""
        if row.id not in self._candidates:
            made = restore(row)
            if made is None:
                return None
            self._candidates[row.id] = made
        return self._candidates[row.id]

    # ------------------------------------------------------------ ask

    @one_thread
    def ask(
        self, k: int | None = None, contexts: Sequence[Context] | None = None
    ) -> tuple[Candidate, ...]:
        """Retrain if there are new data, choose k candidates, and note that they will be run.

        Args:
            k: by default what the settings say: none where the budget is used up, the task is
                solved, or an evaluation is under way.
            contexts: the starts to choose from, for a task whose starts are found; by default the
                oracle is asked, and for any other task they are drawn.

        Raises:
            UserError: k is below 1 or above the number of candidates, no start is known, or an
                evaluation is under way.
            StorageError: the disk is full or refuses; nothing was selected.
        """
        self._check_batch(k)
        if k is None and (self.enough or self.under_evaluation.goes_on):
            return ()
        self.clock.go_on("other")
        self.learn()
        while (index := self._told_round) is not None:
            self._close_round(index)
        candidates = self.select(k, contexts)
        self.dispatch(candidates)
        self.clock.go_on("feedback")
        return candidates

    @one_thread
    def evaluation(self) -> tuple[Candidate, ...]:
        """Retrain if there are new data, and return rollouts of the evaluation that is due.

        They are told like any others. Nothing is learned from them but from those of a frugal
        evaluation, which come one at a time until it is decided. An evaluation is due where
        all outcomes of a round are told, as often as `evaluation.every` says; a round that needs
        none is closed. Ask until there are no more: of starts that are found, there may be only
        one at a time.

        Returns:
            Candidates with the policy as it is now; none where no evaluation is due, or all of its
            rollouts are under way.

        Raises:
            UserError: nobody can look where the starts are that are to be found.
            StorageError: the disk is full or refuses.
        """
        self.clock.go_on("other")
        if not self.under_evaluation.goes_on:
            self.learn()
        while (index := self._told_round) is not None:
            if not evaluation_due(self, index):
                self._close_round(index)
            elif self.parts.task.held_out:
                with self.clock.activity("evaluate"):
                    row = evaluate_model(self, index)
                self._evaluated(row)
            elif (reason := self._put_off(index)) is not None:
                self._close_round(index, reason)
            elif (evaluation := self.under_evaluation.concluded(index)) is not None:
                self._evaluated(evaluation)
            else:
                with self.clock.activity("evaluate"):
                    candidates = self.under_evaluation.ask(index)
                self.clock.go_on("evaluate")
                return candidates
        return ()

    @one_thread
    def select(
        self, k: int | None = None, contexts: Sequence[Context] | None = None
    ) -> tuple[Candidate, ...]:
        """Choose candidates by the model that there is.

        For who retrains with `learn`, and says with `dispatch` when each is about to be run.

        Args:
            k: by default what the settings say.
            contexts: see `ask`.

        Raises:
            UserError: no start is known.
        """
        k = k or self._default_batch()
        index = self.rounds + 1
        rollouts = self._selected_lately()
        settings = lengthened(self.settings, self.parts.task, rollouts, k)
        contexts = contexts or self._contexts(index)
        chosen, scores, reason = self._choose(settings, contexts, index, k)
        missing = k - len(chosen)
        if missing and self.learner.fitted and self.parts.strategy.limited:
            self.emit(Withheld(index, missing))  # what is not known to be allowed is not explored
        elif missing:
            if chosen and self.parts.task.starts is not None:
                contexts = self._contexts(index, beside=chosen)
            chosen += explore(
                self.parts, settings, self.clock, contexts, index, missing, self.refusal
            )
            if reason:
                self.emit(Explored(index, missing, reason))
        rows = [self._row(choice, index, place) for place, choice in enumerate(chosen)]
        if rollouts and settings.steps(self.parts.task) > max(row.horizon for row in rollouts):
            self.emit(Lengthened(index, settings.steps(self.parts.task), settings.candidates))
        ledger = self.dataset.ledger
        with ledger.transaction():
            ledger.insert(
                RoundRow(
                    index,
                    to_json(scores) if scores else None,
                    after=ledger.next_sequence() - 1 or None,
                ),
                *rows,
            )
        candidates = []
        for row in rows:
            made = self.candidate(row)  # as a resumed campaign would make it
            assert made is not None, "the policy of a row of today is noted"
            candidates.append(made)
        return tuple(candidates)

    def _selected_lately(self) -> list[RolloutRow]:
        """Return what was selected in as many rounds as may wait at the oracle, and in two more."""
        lately = range(max(1, self.rounds - self.settings.loop.queue - 1), self.rounds + 1)
        return [row for index in lately for row in self._selected(index)]

    def _selected(self, index: int) -> list[RolloutRow]:
        """Return what was selected in a round, without the rollouts of its evaluation."""
        rows = self.dataset.ledger.rows(RolloutRow, round=index)
        return [row for row in rows if row.strategy != EVALUATION]

    def dispatch(self, candidates: Sequence[Candidate]) -> None:
        """Note, before they are run, that candidates will be: from now on they may have run."""
        ledger = self.dataset.ledger
        with ledger.transaction():
            for candidate in candidates:
                row = ledger.row(RolloutRow, candidate.id)
                if row is not None and row.state in ("selected", "dispatched"):
                    ledger.update(
                        RolloutRow, row.id, state="dispatched", opening=self.dataset.opening
                    )
                    self._dispatched[row.id] = time.monotonic()

    def _contexts(self, index: int, beside: Sequence[Chosen] = ()) -> list[Context]:
        """Draw the starts of a round; of a task that has only so many, return those not used."""
        settings, starts = self.settings, self.parts.task.starts
        if self.parts.task.finds_starts:
            return self.find([integer(generator(settings.seed, Purpose.CONTEXT, index))])
        if starts is None:
            draws = (
                generator(settings.seed, Purpose.CONTEXT, index, i)
                for i in range(settings.contexts)
            )
            return self.parts.contexts_from([integer(rng) for rng in draws])
        used = {json.loads(row.context)["seed"] for row in self.dataset.ledger.rows(RolloutRow)}
        left = sorted(set(range(starts)) - used)
        if len(left) < settings.candidates:
            raise UserError(
                f"ask: of {starts} recorded rollouts {len(left)} are left to choose from, fewer "
                f"than the {settings.candidates} candidates of a round"
            )
        taken = {choice.candidate.context.seed for choice in beside}
        return self.parts.contexts_from([seed for seed in left if seed not in taken])

    def find(self, seeds: Sequence[int]) -> list[Context]:
        """Look where the oracle's next rollouts start; see `SupportsLook.look`.

        Raises:
            UserError: nobody can look.
        """
        if self.look is None:
            raise UserError(
                "the starts of this task cannot be asked for, and the campaign has no oracle that "
                "looks where its envs are: give the start that is there, ask(contexts=[...])"
            )
        return self.look(seeds)

    def _check_batch(self, k: int | None) -> None:
        if k is not None and k < 1:
            raise UserError(f"ask: k is {k}; it must be at least 1")
        if k is not None and k > self.settings.candidates:
            raise UserError(
                f"ask: k is {k}, more than the {self.settings.candidates} candidates of a round"
            )

    def _default_batch(self) -> int:
        first = not len(self.dataset)
        return self.settings.initial_rollouts if first else self.settings.rollouts_per_round

    def _choose(
        self, settings: Settings, contexts: Sequence[Context], index: int, k: int
    ) -> tuple[list[Chosen], list[float], str | None]:
        """Return what the model chose, all scores, and why it chose fewer than k."""
        if not self.learner.fitted:
            return [], [], "no model could be fitted" if len(self.dataset) else None
        acquisition = self.parts.strategy.acquisition
        try:
            if isinstance(acquisition, SupportsData):
                acquisition.observe(self.dataset.transitions(), self.parts.policy)
            return choose(
                self.parts,
                settings,
                self.clock,
                contexts,
                self.pending,
                index,
                k,
                self.refusal,
            )
        except NUMERICAL_ERRORS as error:
            return [], [], str(error)

    def _row(self, choice: Chosen, index: int, place: int) -> RolloutRow:
        provenance, explored = self.parts.provenance, choice.rank is None
        controller = controller_json(choice.candidate)
        return RolloutRow(
            id=f"r{index:04d}-{place:02d}",
            round=index,
            index=place,
            state="selected",
            context=to_json(context_json(choice.candidate.context)),
            controller=to_json(controller),
            horizon=choice.candidate.horizon,
            seed=choice.candidate.seed,
            content_hash=content_hash(choice.candidate, controller),
            strategy="explorer" if explored else provenance["strategy"],
            acquisition="explorer" if explored else provenance["acquisition"],
            selector="explorer" if explored else provenance["selector"],
            policy=provenance["explorer" if explored else "policy"],
            model=provenance["model"],
            oracle=provenance["oracle"],
            config_hash=provenance["config_hash"],
            versions=provenance["versions"],
            model_hash=None if explored else self.learner.model_hash,
            score=choice.score,
            rank=choice.rank,
            gain=choice.gain,
            predicted_information=choice.information,
            predicted_seconds=choice.seconds,
            predicted_risk=choice.risk,
        )

    # ------------------------------------------------------------ tell

    @one_thread
    def tell(self, outcome: Outcome) -> RolloutRow | None:
        """Record an outcome; it is durable when this returns.

        The same outcome told again changes nothing. Those of an evaluation are durable together,
        with the last of them.

        Returns:
            The rollout's row; `quarantined` if what was told cannot be trusted. None for a rollout
            of an evaluation.

        Raises:
            UserError: no rollout has this id, or what is told cannot be recorded; nothing changed.
            IntegrityError: the rollout was recorded with another outcome.
            StorageError: the disk is full or refuses; the rollout is as it was before.
        """
        outcome = checked(outcome)
        if outcome.candidate_id in self.under_evaluation:
            with self.clock.activity("evaluate"):
                evaluation = self.under_evaluation.tell(outcome)
            if evaluation is not None:
                self._evaluated(evaluation)
            return None
        row = self.dataset.ledger.row(RolloutRow, outcome.candidate_id)
        if row is None:
            raise UserError(
                f"tell: no rollout of this campaign has the id {outcome.candidate_id!r}; "
                "tell outcomes of what `ask` returned"
            )
        result = examine(row.id, outcome.result, self.parts.task, row.horizon)
        if row.state not in _OPEN:
            drop_film(self.dataset.folder, row.id, result)
            if _same(row, result):
                return row
            raise IntegrityError(
                f"rollout {row.id} is {row.state} already, with another outcome; it stays as it is"
            )
        since = self._dispatched.pop(row.id, None)
        row = self.dataset.record(
            row,
            replace(outcome, result=result),
            self.learner.information(result),
            None if since is None else time.monotonic() - since,
        )
        self._candidates.pop(row.id, None)
        self.setbacks.told(row)
        self.emit(RolloutDone(row))
        return row

    def label(self, rollout: str, name: str, value: Scalar, by: str) -> LabelRow:
        """Record what a person, a program or a classifier says of a rollout.

        It may be said at any time, also long after the outcome; it is durable when this returns.
        The same label again changes nothing; who says otherwise later has both recorded, and the
        last one is shown.

        Args:
            rollout: its id.
            name: what is said: `success`, `progress`, `note`, or any other word.
            value: a number, true, false or a text.
            by: who says it.

        Raises:
            UserError: no rollout has this id, or what is said cannot be recorded.
            StorageError: the disk is full or refuses; nothing was recorded.
        """
        return self.dataset.label(rollout, Label(name, value, by))

    def give_up(self, rollouts: Sequence[str]) -> None:
        """Note that nobody knows whether these rollouts ran; a late outcome is still welcome."""
        if rollouts:
            reason = "the campaign was interrupted while it ran"
            with self.dataset.ledger.transaction():
                for rollout in rollouts:
                    self.dataset.ledger.update(
                        RolloutRow, rollout, state="indeterminate", reason=reason
                    )
            self.emit(Indeterminate(tuple(rollouts)))

    # ------------------------------------------------------------ learn

    @one_thread
    def learn(self) -> FitRow | None:
        """Retrain on everything recorded, if that has changed since the last time.

        What people have decided meanwhile is done first (`robo_al.dataset.decisions`).

        A model that cannot be fitted is reported, and the one before is kept.

        Returns:
            The fit's row, or None where nothing was fitted.

        Raises:
            UserError: an evaluation is under way: what is evaluated is not to change.
            StorageError: the disk is full or refuses; the fit is done again later.
        """
        self._begin()
        if self.under_evaluation.goes_on:
            raise UserError(
                "an evaluation is under way, and what is evaluated is not to change: tell its "
                "outcomes, until `campaign.evaluation()` returns no more"
            )
        for decision in decisions.take(self.dataset, opening=False):
            self.emit(Decided(decision))
        return self.learner.learn(self.rounds)

    # ------------------------------------------------------------ close a round

    @property
    def _told_round(self) -> int | None:
        """The first round that is not closed, if all of its outcomes are told."""
        ledger = self.dataset.ledger
        opened = ledger.rows(RoundRow, record=None)
        if not opened:
            return None
        rows = self._selected(opened[0].round)
        told = all(row.state not in ("selected", "dispatched") for row in rows)
        return opened[0].round if told else None

    def _evaluated(self, row: EvaluationRow) -> None:
        """Tell of an evaluation that is durable, and close its round."""
        reasons = failures(self.dataset, row)
        if reasons:
            self.emit(EvaluationFailed(row.round, reasons))
        self.emit(Evaluated(row))
        self._close_round(row.round)

    def _put_off(self, index: int) -> str | None:
        """Return why no evaluation is made after a round; None where one is to be."""
        with self.clock.activity("evaluate"):
            return self.under_evaluation.put_off(index)

    def _close_round(self, index: int, not_evaluated: str | None = None) -> None:
        """Close a round: its line goes to the ledger and to metrics.jsonl."""
        if not_evaluated is not None:
            self.emit(NotEvaluated(index, not_evaluated))
        record = round_record(self.dataset, self.clock, index)
        line = to_json(record)
        with self.dataset.ledger.transaction():
            self.dataset.ledger.update(RoundRow, index, record=line, not_evaluated=not_evaluated)
        self.dataset.add_metrics(line)
        self.emit(RoundDone(record))


def _same(row: RolloutRow, result: Trajectory | Failure) -> bool:
    """Whether an outcome is the one that was recorded."""
    data, _ = episode_file(row.id, result)
    sha256 = None if data is None else hashlib.sha256(data).hexdigest()
    state = result.kind if isinstance(result, Failure) else "recorded"
    return (row.state, row.sha256) == (state, sha256)
