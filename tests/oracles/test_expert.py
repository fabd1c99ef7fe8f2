"""The oracle `expert`: demonstrations by a script, and what becomes of a script that fails."""

import runpy
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_al.checks import check_oracle
from robo_al.errors import PluginError, UserError
from robo_al.oracles.expert import ExpertOracle
from robo_al.oracles.simulation import SimulationOracle
from robo_al.protocols import Acting
from robo_al.testing import FAKE_ENV, FakeModel, FakePolicy, fake_task
from robo_al.types import MEAN, ClosedLoop, Demonstration, Failure, Trajectory

executing = runpy.run_path(str(Path(__file__).with_name("executing.py")))
candidates_for, execute = executing["candidates_for"], executing["execute"]
GOOD = "return -0.5 * observation[:2] + 0.1 * self.noise.standard_normal(2)"


@pytest.fixture
def expert(tmp_path):
    """Return a function that writes an expert, given what `act` does, and returns its spec."""

    def write(act=GOOD, more=""):
        path = tmp_path / "expert.py"
        path.write_text(
            "import numpy as np\n\n\nclass Expert:\n"
            "    def reset(self, seed):\n"
            "        self.noise = np.random.default_rng(seed)\n"
            f"        self.steps = 0\n        {more}\n\n"
            f"    def act(self, observation):\n        self.steps += 1\n        {act}\n"
        )
        return f"{path}:Expert"

    return write


def shown(n=3, horizon=6):
    """Return n candidates that are to be demonstrated."""
    return [replace(c, controller=Demonstration()) for c in candidates_for(FAKE_ENV, n, horizon)]


def test_it_keeps_the_contract_with_demonstrations_plans_and_policies(expert):
    task = fake_task()
    with closing(ExpertOracle(FAKE_ENV, expert())) as oracle:
        oracle.resolve = lambda controller: Acting(FakePolicy(task, streamed=True), FakeModel(task))
        first, second, third = candidates_for(FAKE_ENV, 3, 5)
        report = check_oracle(
            oracle,
            [
                replace(first, controller=Demonstration()),
                second,
                replace(third, controller=ClosedLoop(MEAN, "policy")),
            ],
        )
    assert "submit" in report.tried
    assert not any("ClosedLoop" in left for left in report.not_tried)


def test_who_acted_is_a_signal(expert):
    with closing(ExpertOracle(FAKE_ENV, expert())) as oracle:
        planned = candidates_for(FAKE_ENV, 2, 4)
        results = execute(oracle, [planned[0], replace(planned[1], controller=Demonstration())])
    assert results["c0"].signals["actor"].tolist() == [0] * 4
    assert results["c1"].signals["actor"].tolist() == [1] * 4


def test_what_the_expert_answers_is_what_is_done(expert):
    with closing(ExpertOracle(FAKE_ENV, expert("return -0.5 * observation[:2]"))) as oracle:
        result = execute(oracle, shown(1))["c0"]
    assert np.array_equal(result.requested, -0.5 * result.observations[:-1, :2])
    with closing(SimulationOracle(FAKE_ENV)) as oracle:
        (plan,) = candidates_for(FAKE_ENV, 1, 6)
        plan = replace(plan, controller=replace(plan.controller, actions=result.requested))
        again = execute(oracle, [plan])["c0"]
    assert np.array_equal(again.observations, result.observations)


def test_a_demonstration_does_not_depend_on_those_beside_it(expert):
    with closing(ExpertOracle(FAKE_ENV, expert())) as oracle:
        together = execute(oracle, shown())
        alone = execute(oracle, shown()[2:])
    assert np.array_equal(together["c2"].actions, alone["c2"].actions)


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        ("return np.zeros(3) if self.steps == 3 else np.zeros(2)", "answered array([0., 0., 0.])"),
        (
            "return np.full(2, np.nan) if self.steps == 3 else np.zeros(2)",
            "answered array([nan, nan])",
        ),
        ("return 1 / (3 - self.steps) * np.ones(2)", "raised ZeroDivisionError"),
        (
            "if self.steps == 3: raise ValueError('it is\\nstuck')\n        return np.zeros(2)",
            "raised ValueError: it is stuck",
        ),
        ("return None if self.steps == 3 else np.zeros(2)", "answered None; an action is 2 finite"),
    ],
)
def test_an_expert_that_fails_is_named_and_costs_its_own_rollout(expert, act, reason):
    """Three are shown at a time, and only the one from the first start fails."""
    spec = expert(
        act.replace("self.steps == 3", "self.steps == 3 and self.bad").replace(
            "3 - self.steps", "3 - self.steps if self.bad else 2"
        ),
        more="self.bad = seed == 0",
    )
    with closing(ExpertOracle(FAKE_ENV, spec)) as oracle:
        results = execute(oracle, shown())
    failure = results["c0"]
    assert isinstance(failure, Failure) and failure.kind == "failed"
    assert reason in failure.reason and spec in failure.reason and "at step 2" in failure.reason
    assert failure.partial.steps == 2 and failure.partial.signals["actor"].tolist() == [1, 1]
    assert all(isinstance(results[name], Trajectory) for name in ("c1", "c2"))


def test_an_expert_that_cannot_begin_fails_its_rollout(expert):
    with closing(ExpertOracle(FAKE_ENV, expert(more="1 / seed"))) as oracle:
        results = execute(oracle, shown())
    assert "ZeroDivisionError at its reset" in results["c0"].reason
    assert results["c1"].steps == 6


def test_a_persons_time_is_counted_and_drawn_by_the_candidates_seed(expert):
    with closing(ExpertOracle(FAKE_ENV, expert(), seconds=40.0, delay=20.0)) as oracle:

        def details(candidates):
            for candidate in candidates:
                oracle.submit(candidate)
            return [outcome.details for outcome in oracle.poll()]

        first, again = details(shown(200)), details(shown(200))
    assert first == again
    assert {each["person_seconds"] for each in first} == {40.0}
    logarithms = np.log([each["delay_seconds"] for each in first])
    assert np.median(logarithms) == pytest.approx(np.log(20.0), abs=0.15)
    assert logarithms.std() == pytest.approx(0.5, abs=0.1)


def test_without_a_number_a_person_takes_as_long_as_the_demonstration_lasts(expert):
    with closing(ExpertOracle(FAKE_ENV, expert())) as oracle:
        oracle.submit(shown(1)[0])
        (outcome,) = oracle.poll()
    assert outcome.details == {
        "person_seconds": outcome.robot_seconds,
        "delay_seconds": 0.0,
    }


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere", "experts: 'nowhere' is not known"),
        ("robo_al.seeds:Purpose", "its constructor, called with nothing, raised"),
        ("robo_al.errors:UserError", "no method reset and none act"),
    ],
)
def test_what_is_no_expert_is_refused(spec, message):
    with pytest.raises(PluginError, match=message):
        ExpertOracle(FAKE_ENV, spec)


@pytest.mark.parametrize("number", [-1.0, np.inf, np.nan])
def test_wrong_numbers_are_refused(expert, number):
    with pytest.raises(UserError, match="delay is"):
        ExpertOracle(FAKE_ENV, expert(), delay=number)


def test_oracles_without_an_expert_refuse_a_demonstration():
    with closing(SimulationOracle(FAKE_ENV)) as oracle:
        with pytest.raises(UserError, match="nobody who could: set `oracle: {name: expert"):
            oracle.submit(shown(1)[0])
