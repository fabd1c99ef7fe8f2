import gc
import os
import runpy
import signal
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from robo_al import cli
from robo_al.checks import check_env, check_oracle
from robo_al.config.load import load_config
from robo_al.errors import ConfigError, EnvFault, OracleError, UserError
from robo_al.foreign.env import ForeignEnv
from robo_al.oracles.gymnasium import GymnasiumOracle
from robo_al.oracles.simulation import SimulationOracle
from robo_al.plugins import known_reward, make_env
from robo_al.tasks import describe, sample_contexts
from robo_al.testing import FakeModel, FakePolicy, resolver
from robo_al.types import (
    MEAN,
    Candidate,
    Channel,
    ClosedLoop,
    Context,
    EnvFacts,
    EnvSpec,
    Failure,
    OpenLoop,
    Trajectory,
)

executing = runpy.run_path(str(Path(__file__).parents[1] / "oracles/executing.py"))
candidates_for, execute = executing["candidates_for"], executing["execute"]
gone, wait_until = executing["gone"], executing["wait_until"]
workers_of, children_of = executing["workers_of"], executing["children_of"]
LAB = Path(__file__).parents[1] / "worker/lab_envs.py"
FOREIGN = Path(__file__).parents[1] / "tasks/foreign_envs.py"
ORACLES = [SimulationOracle, GymnasiumOracle]


def cart(python, mood="none", **more):
    return EnvSpec(f"{LAB}:Cart", {"mood": mood} | more, python)


def assert_same(one, other):
    assert isinstance(one, Trajectory), one
    for field in ("observations", "actions", "requested", "rewards", "terminated"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=field)


def test_an_env_in_another_python_is_described_and_checked_as_if_it_were_in_ours(python):
    spec, ours = cart(python, "alone"), cart(None)
    with closing(make_env(spec)) as env:  # `alone` asserts that torch and the like are not there
        check_env(env, spec)
        task = describe(env, spec)
        wanted = describe(make_env(ours), replace(ours, python=None))
        assert env.observation_space == make_env(ours).observation_space
        assert env.action_space == make_env(ours).action_space
        assert (task.horizon, task.control_period, task.threshold) == (10, 0.1, -5.0)
        assert [(c.name, c.unit, c.kind) for c in task.channels] == [
            ("position", "m", "linear"),
            ("velocity", "m/s", "linear"),
            ("goal", "m", "constant"),
        ]
        np.testing.assert_array_equal(task.action_low, wanted.action_low)
        rngs = [[np.random.default_rng(i) for i in range(3)] for _ in range(2)]
        for one, other in zip(
            sample_contexts(env, rngs[0]), sample_contexts(make_env(ours), rngs[1]), strict=True
        ):
            np.testing.assert_array_equal(one.observation, other.observation)
            assert (one.seed, one.options) == (other.seed, other.options)


@pytest.mark.parametrize("make", ORACLES)
def test_both_oracles_give_bit_for_bit_what_they_give_in_our_python(make, python):
    candidates = candidates_for(cart(None), 3, 6)
    with closing(make_env(cart(python))) as env:
        task = describe(env, cart(python))
    candidates.append(replace(candidates[0], id="streamed", controller=ClosedLoop(MEAN)))
    with make(cart(python)) as oracle, SimulationOracle(cart(None)) as expected:
        oracle.resolve = expected.resolve = resolver(FakePolicy(task), FakeModel(task))
        check_oracle(oracle, candidates)
        wanted = execute(expected, candidates)
        for name, result in execute(oracle, candidates).items():
            assert_same(result, wanted[name])


@pytest.mark.first(6)
@pytest.mark.parametrize("make", ORACLES)
@pytest.mark.parametrize(
    ("mood", "kind", "why", "steps"),
    [
        ("exit", "failed", "at step 2: its worker exited with code 3", 2),
        ("leave", "failed", "at step 2: its worker exited with code 4", 2),
        ("die", "failed", "at step 2: its worker was killed by signal 9", 2),
        ("raise", "failed", "at step 2: the env raised ValueError: the arm came off", 2),
        ("nan", "quarantined", "at step 2: the env answered with numbers that are not finite", 2),
        ("infinite reward", "quarantined", "at step 2: the env answered with numbers that", 2),
        ("short", "failed", "at step 2: the env answered with an observation of shape (2,)", 2),
        ("nan at start", "quarantined", "at its reset: the first observation is not finite", None),
    ],
)
def test_what_goes_wrong_costs_one_rollout(make, mood, kind, why, steps, python):
    bad = candidates_for(cart(None), 1, 6, goal=-0.5)[0]
    good = candidates_for(cart(None), 2, 6, goal=0.5)
    with SimulationOracle(cart(None)) as oracle:
        expected = execute(oracle, good)
    with make(cart(python, mood)) as oracle:
        for _ in range(2):  # whatever was lost is replaced
            results = execute(oracle, [good[0], replace(bad, id="bad"), good[1]])
            failure = results.pop("bad")
            assert isinstance(failure, Failure) and failure.kind == kind
            assert failure.reason.startswith(f"rollout bad: {why}")
            assert (failure.partial.steps if failure.partial else None) == steps
            for name, result in results.items():
                assert_same(result, expected[name])
    if mood == "raise":
        line = 1 + LAB.read_text().splitlines().index(
            '            raise ValueError("the arm came off")'
        )
        assert failure.reason.endswith(f"({LAB}, line {line})")


def test_an_env_that_hangs_is_killed_with_its_children_and_replaced(python, tmp_path):
    env = ForeignEnv(cart(python, "hang", folder=str(tmp_path)), step_timeout=2.0)
    with closing(env):
        for count in (1, 2):
            env.reset(seed=0, options={"goal": (-1.0,)})
            for _ in range(2):
                env.step(np.zeros(2))
            with pytest.raises(EnvFault, match="no answer within 2 s; its worker was killed"):
                env.step(np.zeros(2))
            with pytest.raises(gymnasium.error.ResetNeeded):
                env.step(np.zeros(2))
            assert len(workers_of(tmp_path)) == count
            assert all(gone(pid) for pid in workers_of(tmp_path))
        env.reset(seed=0, options={"goal": (1.0,)})
        assert env.step(np.zeros(2))[1] <= 0
    assert all(gone(pid) for pid in workers_of(tmp_path))


def test_the_oracle_s_deadline_holds_in_another_python_too(python, tmp_path):
    bad = candidates_for(cart(None), 1, 6, goal=-0.5)
    spec = cart(python, "hang in reset", folder=str(tmp_path))
    with GymnasiumOracle(spec, step_timeout=1.0) as oracle:
        (failure,) = execute(oracle, bad).values()
    assert failure.reason.startswith("rollout c0: at its reset: no answer within 1 s")
    with pytest.raises(OracleError, match="while it was made: no answer within 1 s"):
        GymnasiumOracle(cart(python, "hang when made", folder=str(tmp_path)), start_timeout=1.0)
    wait_until(lambda: all(gone(pid) for pid in workers_of(tmp_path)))


def test_a_task_may_end_before_the_actions_do(python):
    bad = candidates_for(cart(None), 1, 6, goal=-0.5)
    for make in ORACLES:
        with make(cart(python, "end")) as oracle:
            (result,) = execute(oracle, bad).values()
            assert result.terminated and result.steps == 3


def test_an_env_says_that_it_broke_a_rollout_off(python):
    with closing(make_env(cart(python, "cut"))) as env:
        env.reset(seed=0, options={"goal": (-1.0,)})
        ends = [env.step(np.zeros(2))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


@pytest.mark.parametrize("make", ORACLES)
@pytest.mark.parametrize("foreign", [False, True])
def test_a_success_that_an_env_tells_is_a_detail(make, foreign, python):
    candidates = [
        *candidates_for(cart(None), 1, 6, goal=-0.5),
        replace(*candidates_for(cart(None), 1, 6, goal=0.5), id="c1"),
    ]
    with make(cart(python if foreign else None, "success")) as oracle:
        for candidate in candidates:
            oracle.submit(candidate)
        details = {}
        while len(details) < 2:
            details |= {outcome.candidate_id: outcome.details for outcome in oracle.poll()}
    assert details == {"c0": {"success": True}, "c1": {}}
    assert details["c0"]["success"] is True


def test_what_an_env_prints_and_reads_stays_out_of_the_frames(python, capfd):
    good = candidates_for(cart(None), 1, 6, goal=0.5)
    for make in ORACLES:
        with make(cart(python, "talk")) as oracle:
            (result,) = execute(oracle, good).values()
        assert isinstance(result, Trajectory)
    written = capfd.readouterr()
    assert written.err.count("hello from the env") == 12 and written.out == ""


def test_an_env_that_nobody_closes_leaves_no_process_behind(python, tmp_path):
    env = make_env(cart(python, folder=str(tmp_path)))
    (pid,) = workers_of(tmp_path)
    assert not gone(pid)
    del env
    gc.collect()
    assert gone(pid)


PROGRAM = """
import sys
import numpy as np
from robo_al.oracles.{module} import {oracle}
from robo_al.types import Candidate, Context, EnvSpec, OpenLoop
spec = EnvSpec(sys.argv[1], {{"mood": sys.argv[4], "folder": sys.argv[3]}}, sys.argv[2])
if __name__ == "__main__":
    with {oracle}(spec) as oracle:
        start = Context(np.zeros(3), 0, {{"state": (0.0, 0.0), "goal": (-1.0,)}})
        oracle.submit(Candidate(start, OpenLoop(np.zeros((5, 2))), 5, 0, "c"))
        oracle.poll()
"""


@pytest.mark.first(2)
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("mood", ["hang", "hold"])
@pytest.mark.parametrize("oracle", ORACLES)
def test_no_process_outlives_a_parent_that_was_stopped(oracle, mood, end, python, tmp_path):
    module = oracle.__module__.rpartition(".")[2]
    program = PROGRAM.format(module=module, oracle=oracle.__name__)
    arguments = [f"{LAB}:Cart", python, str(tmp_path), mood]
    parent = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        start_new_session=True,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: workers_of(tmp_path) and children_of(workers_of(tmp_path)[0]))
        (pid,) = workers_of(tmp_path)
        children = children_of(pid)
        os.killpg(parent.pid, end)  # as a terminal does on Ctrl-C
        wait_until(lambda: gone(pid) and all(map(gone, children)) and parent.poll() is not None)
    finally:
        parent.kill()
        parent.wait()


# ---------------------------------------------------------------- configuration and command line


def test_a_campaign_runs_on_an_env_in_another_python(python, tmp_path, monkeypatch, capsys):
    (tmp_path / "my").mkdir()
    (tmp_path / "my/lab.py").write_text(LAB.read_text())
    (tmp_path / "small.yaml").write_text(
        f"env: {{name: my/lab.py:Cart, mood: alone, python: {python}}}\n"
        "rounds: 2\ncandidates: 4\nrollout_steps: 5\nevaluation: {starts: 1}\n"
        "policy: {name: icem, planning_horizon: 3, samples: 8, iterations: 1, elites: 2}\n"
        "model: {name: gp, samples: 2, frequencies: 16, max_points: 20, fit_steps: 3}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert cli.main(["run", "small.yaml", "--out", "one"]) == 0
    more = ["--oracle.name", "gymnasium", "--oracle.workers", "2"]
    assert cli.main(["run", "small.yaml", "--out", "other", *more]) == 0
    for name in ("r0001-00", "r0002-00"):
        files = [tmp_path / folder / f"episodes/{name}.parquet" for folder in ("one", "other")]
        assert files[0].read_bytes() == files[1].read_bytes()
    assert "is not drawn" in (tmp_path / "one/report.html").read_text()
    assert "2 rollouts and 10 transitions" in capsys.readouterr().out


def test_the_check_takes_a_python(python, capsys):
    given = f'{{"python": "{python}"}}'
    assert cli.main(["check", f"{LAB}:Cart", "--parameters", given]) == 0
    assert cli.main(["check", f"{LAB}:no_env", "--group", "envs", "--parameters", given]) == 2
    said = capsys.readouterr()
    assert "keeps the contract of envs" in said.out
    assert said.err.count("\n") == 1 and python in said.err and "makes a int" in said.err


def test_a_python_that_is_no_path_is_told_with_everything_else(tmp_path):
    (tmp_path / "bad.yaml").write_text("env: {name: my/lab.py:Cart, python: 3}\nrounds: 0\n")
    with pytest.raises(ConfigError) as told:
        load_config(tmp_path / "bad.yaml")
    assert "env.python: expected the path of an interpreter, given 3" in str(told.value)
    assert "rounds" in str(told.value)


def test_nothing_is_known_of_a_registered_env_of_another_python(python):
    assert known_reward(EnvSpec("gymnasium:Reacher-v5")) is not None
    assert known_reward(EnvSpec("gymnasium:Reacher-v5", {}, python)) is None


@pytest.mark.parametrize(
    ("name", "parameters", "why"),
    [
        (
            "Cart",
            {"mood": "raise when made"},
            r"RuntimeError: no cable \(.*lab_envs.py, line \d+\)",
        ),
        ("Cart", {"reach": 3}, "TypeError: .*unexpected keyword argument 'reach'"),
        ("Wordy", {}, "it has a space that no other process is told of: Text"),
        ("Crat", {}, r"lab_envs.py has no 'Crat' that could be called"),
    ],
)
def test_an_env_that_cannot_be_made_is_refused_with_the_reason(name, parameters, why, python):
    for make in (make_env, GymnasiumOracle):
        with pytest.raises(UserError, match=why) as told:
            make(EnvSpec(f"{LAB}:{name}", parameters, python))
        assert str(told.value).startswith(f"env {LAB}:{name} in {python} cannot be made: ")
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Picture", r"its observation space is Box\(0, 255.*`encoder: {name: downscale, size: 8}`"),
        ("Switch", r"its action space is Discrete\(2\); .* `action_limits: \[-1, 1\]`"),
    ],
)
def test_spaces_that_nothing_is_known_of_are_refused_with_what_to_write(name, why, python):
    spec = EnvSpec(f"{LAB}:{name}", {}, python)
    with closing(make_env(spec)) as env, pytest.raises(ConfigError, match=why):
        describe(env, spec)
    with pytest.raises(ConfigError, match=why):
        GymnasiumOracle(spec)


@pytest.mark.first(3)
@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("name", ["Goals", "Everything", "Choosing", "Picturing"])
def test_an_env_of_any_spaces_is_as_in_our_own_python(name, oracle, python):
    downscale = {"name": "robo_al.encoding.downscale:Downscale", "size": 4}
    facts = EnvFacts(
        control_period=0.25,
        action_limits=((-1.0, 1.0),) if name == "Choosing" else None,
        encoder=downscale if name == "Picturing" else None,
    )
    spec = EnvSpec(f"{FOREIGN}:{name}", facts=facts)
    own = make_env(spec)
    size = len(describe(own, spec).action_low)
    rng = np.random.default_rng(0)
    candidates = [
        Candidate(context, OpenLoop(rng.uniform(-1, 1, (4, size))), 4, 0, f"c{i}")
        for i, context in enumerate(sample_contexts(own, [rng, rng]))
    ]
    answers = []
    for each in (spec, replace(spec, python=python)):
        with oracle(each) as executing:
            check_oracle(executing, candidates)
            executing.submit(candidates[0])
            (outcome,) = executing.poll()
            assert outcome.robot_seconds == 4 * 0.25
            answers.append(execute(executing, candidates))
    for candidate in candidates:
        assert_same(*(answer[candidate.id] for answer in answers))


def test_the_facts_of_a_configuration_are_those_of_an_env_in_another_python(python):
    names = (Channel("x", "m"), Channel("y", "m"))
    facts = EnvFacts(7, 0.25, -2.0, ((-0.5, 0.25),), names)
    spec = EnvSpec(f"{FOREIGN}:Namesake", {}, python, facts)
    with closing(make_env(spec)) as env:
        task = describe(env, spec)
    assert (task.horizon, task.control_period, task.threshold) == (7, 0.25, -2.0)
    assert task.channels == names
    candidate = Candidate(Context(np.zeros(2), 3), OpenLoop(np.array([[-9.0], [9.0]])), 2, 0, "far")
    for oracle in ORACLES:
        with oracle(spec) as executing:
            assert execute(executing, [candidate])["far"].actions.tolist() == [[-0.5], [0.25]]


@pytest.mark.parametrize("where", ["own", "other"])
@pytest.mark.parametrize("oracle", ORACLES)
def test_an_encoder_that_fails_costs_one_rollout(oracle, where, python):
    facts = EnvFacts(encoder={"name": f"{FOREIGN}:Sum", "most": 3})
    spec = EnvSpec(f"{FOREIGN}:Goals", {}, python if where == "other" else None, facts)
    context = Context(np.zeros(1), 0)
    long = Candidate(context, OpenLoop(np.ones((6, 1))), 6, 0, "long")
    short = Candidate(context, OpenLoop(np.ones((2, 1))), 2, 0, "short")
    with oracle(spec) as executing:
        failed = execute(executing, [long])["long"]
        assert isinstance(failed, Failure) and failed.partial.steps == 2
        assert failed.kind == "failed" and "Sum.encode raised ValueError: enough" in failed.reason
        assert execute(executing, [short])["short"].steps == 2


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("nowhere.py:Cart", "there is no file .*nowhere.py"),
        ("broken.py:Cart", r"SyntaxError: .* \(.*broken.py, line 2\)"),
        ("needs.py:Cart", r"ModuleNotFoundError: No module named 'torch' \(.*needs.py, line 2\)"),
        ("no_such_module:Cart", "No module named 'no_such_module'"),
        ("pendulum", "give path/to/file.py:Class"),
        ("gym:Pendulum-v1", "No module named 'gym'"),
        ("gymnasium:NoSuchEnv-v0", "NoSuchEnv"),
    ],
)
def test_a_name_that_leads_nowhere_is_told(name, why, python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("import numpy\nclass Cart(:\n")
    (tmp_path / "needs.py").write_text("import numpy\nimport torch\n")
    with pytest.raises(UserError, match=why) as told:
        make_env(EnvSpec(name, {}, python))
    assert python in str(told.value)


def test_a_registered_env_and_a_module_are_found(python, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mylab.py").write_text(LAB.read_text())
    with closing(make_env(EnvSpec("mylab:Cart", {}, python))) as env:
        assert env.reset(seed=0)[0].shape == (3,)
    spec = EnvSpec("gymnasium:MountainCarContinuous-v0", {}, python)
    with closing(make_env(spec)) as env:
        assert describe(env, spec).horizon == 999 and describe(env, spec).threshold == 90


@pytest.mark.parametrize(
    ("python", "why"),
    [
        ("/nowhere/bin/python", "/nowhere/bin/python cannot be started: No such file or directory"),
        ("{folder}", "cannot be started: Permission denied"),
        ("{folder}/text", "cannot be started: Permission denied"),
        ("{folder}/true", "its worker exited with code 0; a Python 3.8 or newer"),
        ("{folder}/old", "it is an older Python; a Python 3.8 or newer that has NumPy is needed"),
    ],
)
def test_what_is_no_python_is_told_in_one_line(python, why, tmp_path, capfd):
    (tmp_path / "text").touch()
    for name, script in (("true", "exit 0"), ("old", "exit 98")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    python = python.format(folder=tmp_path)
    for _ in range(3):  # a race between an end and a write is told alike
        with pytest.raises(UserError, match=why) as told:
            make_env(cart(python))
        assert python in str(told.value) and "\n" not in str(told.value)
    assert capfd.readouterr().err == ""


def test_a_python_without_numpy_or_gymnasium_is_told_in_one_line(bare_python, old_python, capfd):
    with pytest.raises(UserError, match="it cannot import NumPy, .*No module named 'numpy'"):
        make_env(cart(bare_python))
    with pytest.raises(UserError, match="No module named 'gymnasium'"):
        make_env(cart(old_python))
    assert capfd.readouterr().err == ""


# ---------------------------------------------------------------- the old Gym


def test_the_old_gym_s_four_answers_become_five(old_python):
    spec = EnvSpec("gym:Drift-v0", {"edge": 3.0}, old_python)
    with closing(make_env(spec)) as env:
        task = describe(env, spec)
        assert (task.horizon, task.threshold) == (12, -3.0)
        check_env(env, spec)
        first = np.random.RandomState(7).uniform(-1, 1, 2).astype(np.float32)
        for _ in range(2):  # its `seed` decides where it starts
            np.testing.assert_array_equal(env.reset(seed=7)[0], first)
        ends = [env.step(np.zeros(2))[2:4] for _ in range(12)]
        assert ends == [(False, False)] * 11 + [(False, True)]
        env.reset(seed=7)
        for _ in range(4):
            _, reward, *ends, _ = env.step(np.ones(2))
            if any(ends):
                break
        assert ends == [True, False] and reward < -3
        with pytest.raises(EnvFault, match="its reset takes no options"):
            env.reset(seed=0, options={"state": (0.0, 0.0)})


@pytest.mark.parametrize("make", ORACLES)
def test_rollouts_of_the_old_gym_are_the_same_in_both_oracles(make, old_python):
    spec = EnvSpec("gym:Drift-v0", {}, old_python)
    with closing(make_env(spec)) as env:
        contexts = sample_contexts(env, [np.random.default_rng(i) for i in range(2)])
    candidates = [
        Candidate(c, OpenLoop(np.full((5, 2), 0.25)), 5, i, f"c{i}") for i, c in enumerate(contexts)
    ]
    with make(spec) as oracle:
        for candidate, result in zip(candidates, execute(oracle, candidates).values(), strict=True):
            moved = candidate.context.observation + 0.25 * np.arange(6)[:, None]
            np.testing.assert_allclose(result.observations, moved, atol=1e-6)
