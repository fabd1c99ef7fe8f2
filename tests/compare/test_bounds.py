"""The all-knowing selector against brute force, on a campaign of fakes."""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from robo_al import loop
from robo_al.build import create_campaign, make_oracle
from robo_al.compare.bounds import MODEL_ROLLOUTS, AllKnowing, all_knowing
from robo_al.compare.plan import Plan, Run, load_plan
from robo_al.dataset.ledger import Ledger, RolloutRow
from robo_al.errors import ConfigError
from robo_al.models.held_out import held_out_error
from robo_al.models.true_dynamics import TrueDynamics
from robo_al.seeds import Purpose, generator, integer
from robo_al.testing import FakeOracle
from robo_al.types import MEAN, Candidate, ClosedLoop, Transitions

Write = Callable[..., Path]


@pytest.fixture
def plan(write: Write) -> Plan:
    return load_plan(write(bounds=["all_knowing"], budget=2))


def executed(oracle: FakeOracle, candidate: Candidate):
    oracle.submit(candidate)
    (outcome,) = oracle.poll()
    return outcome.result


def test_it_picks_what_makes_the_best_model(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = plan.config(Run("fake", "all_knowing", 1))
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        all_knowing(campaign, oracle)
        (first,) = campaign.ask(1)
        oracle.submit(first)
        campaign.tell(oracle.poll()[0])
        data = campaign.dataset.transitions()
        pools = []
        known = AllKnowing.__call__
        monkeypatch.setattr(
            AllKnowing,
            "__call__",
            lambda self, acquisition, pool, k, rng: (
                pools.append(pool) or known(self, acquisition, pool, k, rng)
            ),
        )
        (chosen,) = campaign.ask(1)
        candidates, parts = pools[0].candidates, campaign.parts

        assert isinstance(campaign.acting["knowing"].model, TrueDynamics)
        knowing = ClosedLoop(MEAN, "knowing")
        matters = []
        for i, context in enumerate(parts.contexts_from(range(MODEL_ROLLOUTS))):
            seed = integer(generator(1, Purpose.EVALUATE, 0, i))
            matters.append(executed(oracle, Candidate(context, knowing, 10, seed, f"x{i}")))
        errors = []
        for i, candidate in enumerate(candidates):
            named = Candidate(
                candidate.context, candidate.controller, candidate.horizon, candidate.seed, f"c{i}"
            )
            result, model = executed(oracle, named), copy.deepcopy(parts.model)
            both = Transitions(
                np.concatenate([data.observations, result.observations[:-1]]),
                np.concatenate([data.actions, result.actions]),
                np.concatenate([data.next_observations, result.observations[1:]]),
                np.concatenate([data.rewards, result.rewards]),
                np.concatenate([data.rollouts, np.full(result.steps, 1)]),
                np.concatenate([data.terminated, result.ends]),
            )
            model.fit(both, np.random.default_rng(0))
            errors.append(np.mean(held_out_error(model, parts.task, matters).nlpd))
        row = campaign.dataset.ledger.row(RolloutRow, chosen.id)
        assert row is not None and row.strategy == row.selector == "all_knowing"
        assert len(set(errors)) == len(errors) == 4
        assert candidates[int(np.argmin(errors))].seed == chosen.seed
        assert row.score == pytest.approx(-min(errors))


def test_it_can_be_resumed(plan: Plan, tmp_path: Path) -> None:
    """What was selected and not executed is made again from the ledger."""
    config = plan.config(Run("fake", "all_knowing", 1))
    for name, interrupted in (("whole", False), ("broken", True)):
        with create_campaign(config, tmp_path / name) as campaign, make_oracle(config) as oracle:
            all_knowing(campaign, oracle)
            if not interrupted:
                loop.run(campaign, oracle, lambda event: None)
        if interrupted:
            from robo_al.build import open_campaign

            with open_campaign(tmp_path / name) as campaign, make_oracle(config) as oracle:
                all_knowing(campaign, oracle)
                loop.run(campaign, oracle, lambda event: None)
    digests = [
        Ledger.open(tmp_path / name / "ledger.sqlite", read_only=True).digest()
        for name in ("whole", "broken")
    ]
    assert digests[0] == digests[1]


def test_a_robot_cannot_try_everything(plan: Plan, tmp_path: Path) -> None:
    config = plan.config(Run("fake", "all_knowing", 1))
    with create_campaign(config, tmp_path / "run") as campaign, make_oracle(config) as oracle:
        oracle.repeatable = False
        with pytest.raises(ConfigError, match="it executes every candidate"):
            all_knowing(campaign, oracle)
