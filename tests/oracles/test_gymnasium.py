import os
import runpy
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_al.checks import check_oracle
from robo_al.errors import OracleError, UserError
from robo_al.oracles.gymnasium import GymnasiumOracle
from robo_al.oracles.simulation import SimulationOracle
from robo_al.plugins import make_env
from robo_al.tasks import describe
from robo_al.testing import FAKE_ENV, FakeModel, FakePolicy, resolver
from robo_al.types import MEAN, ClosedLoop, EnvSpec, Failure, OpenLoop, Trajectory

executing = runpy.run_path(str(Path(__file__).with_name("executing.py")))
candidates_for, execute = executing["candidates_for"], executing["execute"]
gone, wait_until = executing["gone"], executing["wait_until"]
workers_of, children_of = executing["workers_of"], executing["children_of"]
BAD = Path(__file__).with_name("bad_envs.py")


def moody(mood, folder=None):
    where = {} if folder is None else {"folder": str(folder)}
    return EnvSpec(f"{BAD}:Moody", {"mood": mood} | where)


def streamed(candidate):
    return replace(candidate, controller=ClosedLoop(MEAN))


def fake_resolver(policy=FakePolicy):
    task = describe(make_env(FAKE_ENV), FAKE_ENV)
    return resolver(policy(task), FakeModel(task))


@pytest.mark.parametrize("make", [SimulationOracle, GymnasiumOracle])
@pytest.mark.parametrize("name", [FAKE_ENV.name, "gymnasium:Reacher-v5", "pendulum"])
def test_both_oracles_pass_the_same_check(make, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it runs
    spec = EnvSpec(name)
    candidates = candidates_for(spec, 3, 5)
    if name == FAKE_ENV.name:
        candidates.append(replace(streamed(candidates[0]), id="streamed"))
    with make(env=spec) as oracle:
        oracle.resolve = fake_resolver()
        check_oracle(oracle, candidates)


@pytest.mark.parametrize("name", [FAKE_ENV.name, "gymnasium:Hopper-v5"])
def test_gives_bit_for_bit_what_the_simulation_gives(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    spec = EnvSpec(name)
    candidates = candidates_for(spec, 4, 30)
    with SimulationOracle(spec) as one, GymnasiumOracle(spec, workers=2) as other:
        expected, results = execute(one, candidates), execute(other, candidates)
    for key, result in results.items():
        assert isinstance(result, Trajectory)
        for field in ("observations", "actions", "requested", "rewards", "terminated"):
            np.testing.assert_array_equal(
                getattr(result, field), getattr(expected[key], field), err_msg=field
            )


def test_a_hung_worker_is_killed_with_its_children_and_replaced(tmp_path):
    spec = moody("hang", tmp_path)
    bad, good = candidates_for(FAKE_ENV, 1, 6, goal=-0.5), candidates_for(FAKE_ENV, 1, 6, goal=0.5)
    with GymnasiumOracle(spec, step_timeout=2.0) as oracle:
        (first,) = workers_of(tmp_path)
        oracle.resolve = fake_resolver()
        for candidate in (bad[0], streamed(bad[0])):
            (failure,) = execute(oracle, [candidate]).values()
            assert isinstance(failure, Failure) and failure.kind == "failed"
            assert failure.reason.startswith("rollout c0: at step 2: no answer within 2 s")
            assert failure.partial.steps == 2
            np.testing.assert_array_equal(failure.partial.actions, failure.partial.requested)
            wait_until(lambda: gone(first) and not children_of(first))
        (result,) = execute(oracle, good).values()
        assert isinstance(result, Trajectory)
        assert len(workers_of(tmp_path)) == 3  # one for each hang, and the one that is well
    assert all(gone(pid) for pid in workers_of(tmp_path))


def test_one_hung_worker_does_not_keep_the_others_waiting(tmp_path):
    bad, good = candidates_for(FAKE_ENV, 1, 6, goal=-0.5), candidates_for(FAKE_ENV, 3, 6, goal=0.5)
    with GymnasiumOracle(moody("hang", tmp_path), workers=2, step_timeout=300.0) as oracle:
        oracle.submit(replace(bad[0], id="bad"))
        results = {}
        for candidate in good:
            oracle.submit(candidate)
        while len(results) < 3:
            results |= {outcome.candidate_id: outcome.result for outcome in oracle.poll()}
        assert set(results) == {"c0", "c1", "c2"}
        assert oracle.poll(timeout=0.01) == []  # still hung
    assert all(gone(pid) for pid in workers_of(tmp_path))  # close does not wait for the deadline


@pytest.mark.parametrize(
    ("mood", "why"),
    [
        ("exit", "at step 2: its worker exited with code 3"),
        ("die", "at step 2: its worker was killed by signal 9"),
        ("raise", "at step 2: the env raised ValueError: the arm came off"),
    ],
)
def test_a_worker_that_dies_costs_its_rollout_only(mood, why, tmp_path):
    bad, good = candidates_for(FAKE_ENV, 1, 6, goal=-0.5), candidates_for(FAKE_ENV, 2, 6, goal=0.5)
    with GymnasiumOracle(moody(mood, tmp_path)) as oracle:
        results = execute(oracle, [good[0], replace(bad[0], id="bad"), good[1]])
    failure = results.pop("bad")
    assert isinstance(failure, Failure) and failure.kind == "failed"
    assert failure.reason == f"rollout bad: {why}" and failure.partial.steps == 2
    assert all(isinstance(result, Trajectory) for result in results.values())
    assert len(workers_of(tmp_path)) == 2


def test_a_reset_that_hangs_has_a_deadline_too():
    bad = candidates_for(FAKE_ENV, 1, 6, goal=-0.5)
    with GymnasiumOracle(moody("hang in reset"), step_timeout=0.5) as oracle:
        (failure,) = execute(oracle, bad).values()
    assert failure.reason.startswith("rollout c0: at its reset: no answer within 0.5 s")
    assert failure.partial is None


@pytest.mark.parametrize("mood", ["nan", "infinite reward", "nan at start"])
def test_numbers_that_are_not_finite_are_quarantined_and_the_worker_stays(mood, tmp_path):
    bad, good = candidates_for(FAKE_ENV, 1, 6, goal=-0.5), candidates_for(FAKE_ENV, 1, 6, goal=0.5)
    with GymnasiumOracle(moody(mood, tmp_path)) as oracle:
        results = execute(oracle, [replace(bad[0], id="bad"), good[0]])
    assert results["bad"].kind == "quarantined" and "not finite" in results["bad"].reason
    assert isinstance(results["c0"], Trajectory)
    assert len(workers_of(tmp_path)) == 1


def test_an_action_that_is_not_finite_is_not_sent():
    (candidate,) = candidates_for(FAKE_ENV, 1, 6)
    actions = candidate.controller.actions.copy()
    actions[4, 1] = np.nan
    with GymnasiumOracle(FAKE_ENV) as oracle:
        for spoilt, steps in ((actions, 4), (np.full_like(actions, np.inf), 0)):
            bad = replace(candidate, controller=OpenLoop(spoilt))
            (failure,) = execute(oracle, [bad]).values()
            assert failure.kind == "quarantined" and f"at step {steps}" in failure.reason
            assert (failure.partial.steps if failure.partial else 0) == steps


def test_fewer_rollouts_follow_more():
    spec = EnvSpec("gymnasium:InvertedPendulum-v5")
    with closing(SimulationOracle(spec)) as oracle:
        for count in (3, 1, 2):
            results = execute(oracle, candidates_for(spec, count, 3))
            assert all(isinstance(result, Trajectory) for result in results.values())


def test_a_task_may_end_before_the_actions_do():
    bad = candidates_for(FAKE_ENV, 2, 6, goal=-0.5)
    with GymnasiumOracle(moody("end")) as oracle:
        oracle.resolve = fake_resolver()
        for result in execute(oracle, [bad[0], replace(streamed(bad[0]), id="s"), bad[1]]).values():
            assert result.terminated and result.steps == 3


def test_what_an_env_prints_and_reads_stays_out_of_the_channel(capfd):
    good = candidates_for(FAKE_ENV, 1, 6, goal=0.5)
    with GymnasiumOracle(moody("talk")) as oracle:
        (result,) = execute(oracle, good).values()
    assert isinstance(result, Trajectory)
    written = capfd.readouterr()
    assert "hello from the env" in written.err and written.out == ""


@pytest.mark.parametrize(
    ("env", "error", "why"),
    [
        (moody("raise when made"), UserError, "no cable"),
        (moody("hang when made"), OracleError, "no answer within 3 s"),
        (EnvSpec("no_such_env"), UserError, "no_such_env"),
        (EnvSpec("gymnasium:CartPole-v1"), UserError, "action space"),
    ],
)
def test_an_env_that_cannot_be_made_is_refused_at_once(env, error, why):
    with pytest.raises(error, match=why):
        GymnasiumOracle(env, start_timeout=3.0 if error is OracleError else 60.0)


def test_errors_of_a_policy_are_raised_where_outcomes_are_awaited():
    class Short(FakePolicy):
        def start(self, model, members, seeds):
            return self

        def act(self, observations):
            return np.zeros((len(observations), 1))

    good, bad = candidates_for(FAKE_ENV, 2, 6)
    with GymnasiumOracle(FAKE_ENV) as oracle:
        oracle.resolve = fake_resolver(Short)
        bad = streamed(bad)
        oracle.submit(bad)
        with pytest.raises(UserError, match=r"c1.*\(1, 1\).*\(1, 2\)"):
            oracle.poll()
        (result,) = execute(oracle, [good]).values()
        assert isinstance(result, Trajectory)


def test_what_cannot_be_executed_is_refused_when_it_is_submitted():
    (candidate,) = candidates_for(FAKE_ENV, 1, 5)
    with pytest.raises(UserError, match="workers is 0"):
        GymnasiumOracle(FAKE_ENV, workers=0)
    oracle = GymnasiumOracle(FAKE_ENV, repeatable=False)
    assert oracle.repeatable is False
    with oracle:
        with pytest.raises(UserError, match=r"c0.*\(5, 3\).*\(5, 2\)"):
            oracle.submit(replace(candidate, controller=OpenLoop(np.zeros((5, 3)))))
        oracle.submit(candidate)
        with pytest.raises(OracleError, match="c0"):
            oracle.submit(candidate)
        oracle.capacity = 1
        with pytest.raises(OracleError, match="1 candidates"):
            oracle.submit(replace(candidate, id="other"))
        assert len(oracle.poll()) == 1
        assert oracle.poll() == []
    oracle.close()
    with pytest.raises(OracleError, match="closed"):
        oracle.submit(candidate)


def test_a_worker_does_not_outlive_a_parent_that_was_killed(tmp_path):
    program = f"""
import sys
from robo_al.oracles.gymnasium import GymnasiumOracle
from robo_al.types import Candidate, Context, EnvSpec, OpenLoop
import numpy as np
spec = EnvSpec({str(BAD) + ":Moody"!r}, {{"mood": "hang", "folder": sys.argv[1]}})
oracle = GymnasiumOracle(spec)
start = Context(np.zeros(3), 0, {{"state": (0.0, 0.0), "goal": (-1.0,)}})
oracle.submit(Candidate(start, OpenLoop(np.zeros((5, 2))), 5, 0, "c"))
oracle.poll()
"""
    parent = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    try:
        wait_until(lambda: workers_of(tmp_path) and children_of(workers_of(tmp_path)[0]))
        (worker,) = workers_of(tmp_path)
        os.kill(parent.pid, signal.SIGKILL)
        wait_until(lambda: gone(worker) and not children_of(worker))
    finally:
        parent.kill()
        parent.wait()
