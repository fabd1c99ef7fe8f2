"""The model's side of a campaign: fits, their comparison with the fit before, and weights."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from robo_al.acquisition.information import rollout_information
from robo_al.campaign.selection import NUMERICAL_ERRORS
from robo_al.campaign.settings import Parts
from robo_al.campaign.weights import load_weights, save_weights, snapshot, take_up
from robo_al.dataset.clock import Clock
from robo_al.dataset.dataset import Dataset
from robo_al.dataset.events import Event, ModelFailed, Quarantined, TakenBack, WorseModel
from robo_al.dataset.ledger import EvaluationRow, FitRow, to_json
from robo_al.errors import IntegrityError, ModelError
from robo_al.models.held_out import HeldOutError, compare, held_out_error
from robo_al.protocols import SupportsDoubt, SupportsUpdate
from robo_al.seeds import Purpose, generator
from robo_al.types import Failure, FitReport, Trajectory


class Learner:
    """Fits a campaign's model and policy; what they have learned is in the run folder.

    Args:
        dataset: what is learned from; its last fit is taken up.
        parts: with the model and the policy.
        seed: the campaign's.
        clock: for the time that training takes.
        emit: told what happens.
    """

    def __init__(
        self,
        dataset: Dataset,
        parts: Parts,
        seed: int,
        clock: Clock,
        emit: Callable[[Event], None],
    ) -> None:
        self.fitted = False
        """Whether there is a model to choose and act with."""
        self.model_hash: str | None = None
        """SHA-256 of the model's weights, where it can be saved."""
        self._dataset, self._parts, self._seed = dataset, parts, seed
        self._clock, self._emit = clock, emit
        self._trained_on: str | None = None
        self._lost: str | None = None
        self._take_up_last_fit()

    @property
    def up_to_date(self) -> bool:
        """Whether `learn` has nothing to learn from that it has not tried."""
        return self._dataset.data_hash() in (None, self._trained_on)

    def learn(self, round_index: int) -> FitRow | None:
        """Retrain on everything recorded, if that has changed; see `Campaign.learn`."""
        for back in self._dataset.take_back():
            self._emit(TakenBack(back.id))
        for damaged in self._dataset.quarantine_damaged():
            self._emit(Quarantined(damaged.id, damaged.reason or ""))
        data_hash = self._dataset.data_hash()
        if data_hash is None or data_hash == self._trained_on:
            return None
        with self._clock.activity("train"):
            held_out = self._held_out()
            old = self._error(held_out)
            report = self._fit(round_index)
            self._trained_on = data_hash
            if report is None:
                return None
            weights = save_weights(self._parts.model, self._parts.policy)
            if weights is not None:
                # So that a resumed campaign has bitwise this model, memory layout and all.
                load_weights(weights, self._parts.model, self._parts.policy)
            new = self._error(held_out)
            comparison = compare(old, new) if old and new else None
            row = self._record(round_index, report, data_hash, comparison, weights)
        if comparison and comparison["worse"]:
            self._emit(WorseModel(row.round, comparison))
        return row

    def recover(self, round_index: int) -> None:
        """Retrain now if the last fit's weights are lost, or could never be saved."""
        if self._lost is not None:
            self._emit(ModelFailed(round_index, f"{self._lost}; fitted again from the data"))
            self._lost = None
            self.learn(round_index)

    def information(self, result: Trajectory | Failure) -> float | None:
        """Return what a rollout tells under the present model, in nats, where that is known."""
        if not self.fitted or isinstance(result, Failure):
            return None
        try:
            return rollout_information(self._parts.model, result.observations[:-1], result.actions)
        except NUMERICAL_ERRORS:
            return None

    def _fit(self, round_index: int) -> FitReport | None:
        """Fit the model, then the policy; where that fails, both are as before."""
        model, policy = self._parts.model, self._parts.policy
        before = snapshot(model, policy)
        transitions = self._dataset.transitions()
        if self._got_worse() and isinstance(model, SupportsDoubt):
            model.doubt()
        try:
            report = model.fit(transitions, generator(self._seed, Purpose.TRAIN, round_index))
            if isinstance(policy, SupportsUpdate):
                rng = generator(self._seed, Purpose.TRAIN, round_index, 1)
                policy.update(transitions, model, rng)
        except NUMERICAL_ERRORS as error:
            take_up(before, model, policy)
            self._emit(ModelFailed(round_index, f"{error}; the model is the one before"))
            return None
        self.fitted = True
        return report

    def _got_worse(self) -> bool:
        """Whether the last fit made a model that was worse than the one before it."""
        last = self._dataset.ledger.last(FitRow)
        return (
            last is not None
            and last.held_out is not None
            and bool(json.loads(last.held_out)["worse"])
        )

    def _record(
        self,
        round_index: int,
        report: FitReport,
        data_hash: str,
        comparison: Mapping[str, Any] | None,
        weights: bytes | None,
    ) -> FitRow:
        last = self._dataset.ledger.last(FitRow)
        rollouts, transitions, _ = self._dataset.ledger.totals()
        row = FitRow(
            number=last.number + 1 if last else 1,
            round=round_index,
            rollouts=rollouts,
            transitions=transitions,
            data_hash=data_hash,
            weights=None,
            model_hash=None,
            loss=report.loss,
            details=to_json(report.details),
            held_out=to_json(comparison) if comparison else None,
        )
        row = self._dataset.record_fit(row, weights)
        self.model_hash = row.model_hash
        return row

    def _held_out(self) -> list[Trajectory]:
        """Return the trajectories of the last evaluation, which nothing was trained on."""
        if self._parts.task.held_out:
            return list(self._parts.task.held_out)
        row = self._dataset.ledger.last(EvaluationRow)
        if row is None or row.verdict is not None:  # of the latter it was learned
            return []
        try:
            rollouts = self._dataset.evaluation(row)
        except IntegrityError as error:
            self._emit(Quarantined(f"evaluation of round {row.round}", str(error)))
            return []
        return [trajectory for _, trajectory, failure in rollouts if failure is None]

    def _error(self, held_out: Sequence[Trajectory]) -> HeldOutError | None:
        if not self.fitted or not held_out:
            return None
        try:
            return held_out_error(self._parts.model, self._parts.task, held_out)
        except NUMERICAL_ERRORS:
            return None

    def _take_up_last_fit(self) -> None:
        row = self._dataset.ledger.last(FitRow)
        if row is None:
            return
        if row.weights is None:
            self._lost = f"{type(self._parts.model).__name__} cannot be saved"
            return
        try:
            load_weights(self._dataset.weights(row), self._parts.model, self._parts.policy)
        except (IntegrityError, ModelError) as error:  # the latter of another version's
            self._lost = str(error)
            return
        self.fitted = True
        self.model_hash, self._trained_on = row.model_hash, row.data_hash
