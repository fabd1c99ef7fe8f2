import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robo_al.errors import OracleError, UserError
from robo_al.oracles.gymnasium import GymnasiumOracle
from robo_al.oracles.recording import StepBatch
from robo_al.oracles.simulation import SimulationOracle
from robo_al.oracles.steppers import (
    Formula,
    Physics,
    Separate,
    Simulations,
    has_batches,
    make_stepper,
)
from robo_al.plugins import known, load, make_env
from robo_al.protocols import Acting
from robo_al.tasks import describe, sample_contexts
from robo_al.tasks.shelf import borrowed
from robo_al.testing import FAKE_ENV, FakeModel, FakePolicy, fake_task, resolver
from robo_al.types import MEAN, Candidate, ClosedLoop, EnvSpec, Failure, OpenLoop, Trajectory


def is_formula(name):
    return isinstance(make_stepper(EnvSpec(name), threads=1)[0], Formula)


BAD = Path(__file__).with_name("bad_envs.py")
FOREIGN = Path(__file__).parents[1] / "tasks" / "foreign_envs.py"
OURS = sorted(set(known("envs")) - {"replay"})
FORMULAS = [name for name in OURS if hasattr(load("envs", name), "dynamics")]
BATCHED = [f"gymnasium:{name}-v5" for name in ("HalfCheetah", "Hopper", "Pusher", "Reacher")]
GYMNASIUM = [*BATCHED, "gymnasium:Humanoid-v5"]
needs_batch = pytest.mark.skipif(not has_batches(), reason="this MuJoCo has no mujoco.batch")
PUSHED = ("scaled", "one action", "force", "twice", "heavier")


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes its log where it runs


def candidates_for(spec, n, horizon, wide=1.5):
    """n open-loop candidates, some of whose actions are outside the limits."""
    env = make_env(spec)
    task = describe(env, spec)
    rngs = [np.random.default_rng(i) for i in range(n)]
    contexts = sample_contexts(env, rngs)
    env.close()
    low, high, size = wide * task.action_low, wide * task.action_high, len(task.action_low)
    return task, [
        Candidate(c, OpenLoop(rng.uniform(low, high, (horizon, size))), horizon, i, f"c{i}")
        for i, (c, rng) in enumerate(zip(contexts, rngs, strict=True))
    ]


def alone(spec, candidate, actor=None):
    """The rollout as its env alone gives it, through nothing but its public API."""
    env = make_env(spec)
    context = candidate.context
    observation, _ = env.reset(seed=context.seed, options=dict(context.options) or None)
    observations, actions, rewards = [observation], [], []
    for t in range(candidate.horizon):
        asked = actor.act(observation[None])[0] if actor else candidate.controller.actions[t]
        action = np.clip(asked, env.action_space.low, env.action_space.high)
        action = action.astype(env.action_space.dtype)
        observation, reward, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        actions.append(action)
        rewards.append(reward)
        if terminated or truncated:
            break
    env.close()
    return Trajectory(
        np.array(observations, dtype=np.float64),
        np.array(actions, dtype=np.float64),
        np.array(actions),
        np.array(rewards, dtype=np.float64),
        terminated,
        truncated and len(actions) < candidate.horizon and not terminated,
    )


def assert_same(result, expected):
    assert isinstance(result, Trajectory), result
    np.testing.assert_array_equal(result.observations, expected.observations)
    np.testing.assert_array_equal(result.actions, expected.actions)
    np.testing.assert_array_equal(result.rewards, expected.rewards)
    assert result.terminated == expected.terminated
    assert result.truncated == expected.truncated


def execute(oracle, candidates):
    for candidate in candidates:
        oracle.submit(candidate)
    return {outcome.candidate_id: outcome.result for outcome in oracle.poll()}


@pytest.mark.first(5)
@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize("name", OURS + GYMNASIUM)
def test_equals_each_env_alone_at_any_thread_count(name):
    spec = EnvSpec(name)
    task, candidates = candidates_for(spec, 8, 60)
    expected = [alone(spec, candidate) for candidate in candidates]
    for threads in (1, 2, 4):
        with SimulationOracle(spec, threads=threads) as oracle:
            execute(oracle, candidates[:3])  # envs and batch are reused by what follows
            results = execute(oracle, candidates)
            assert list(results) == [candidate.id for candidate in candidates]
            for result, one in zip(results.values(), expected, strict=True):
                assert_same(result, one)
    if name.endswith("Hopper-v5"):
        assert len({result.steps for result in results.values()}) > 1  # they fell at their times


OTHERWISE = {
    "gymnasium:HalfCheetah-v5": [
        {"forward_reward_weight": 2.5, "ctrl_cost_weight": 0.3, "frame_skip": 3},
        {"exclude_current_positions_from_observation": False},
        {"reset_noise_scale": 0.2},
    ],
    "gymnasium:Hopper-v5": [
        {"healthy_reward": 0.3, "terminate_when_unhealthy": False, "frame_skip": 2},
        {"ctrl_cost_weight": 0.1, "exclude_current_positions_from_observation": False},
        {"healthy_z_range": [0.9, 2.0]},
    ],
    "gymnasium:Pusher-v5": [
        {"reward_near_weight": 0.7, "reward_dist_weight": 1.3, "reward_control_weight": 0.2}
    ],
    "gymnasium:Reacher-v5": [{"reward_dist_weight": 2.1, "reward_control_weight": 0.4}],
}


@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("name", "parameters"), [(name, values) for name in BATCHED for values in OTHERWISE[name]]
)
def test_an_env_with_other_parameters_equals_it_alone_too(name, parameters):
    spec = EnvSpec(name, parameters)
    _, candidates = candidates_for(spec, 4, 40)
    with SimulationOracle(spec) as oracle:
        for result, candidate in zip(execute(oracle, candidates).values(), candidates, strict=True):
            assert_same(result, alone(spec, candidate))


@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize(
    "spec",
    [
        EnvSpec("reacher"),
        EnvSpec("so101_push"),
        EnvSpec("gymnasium:Hopper-v5"),
        EnvSpec("gymnasium:Humanoid-v5"),
        EnvSpec(f"{BAD}:Pushed", {"how": "heavier"}),
    ],
)
def test_a_mujoco_without_batches_gives_the_same(spec, monkeypatch):
    _, candidates = candidates_for(spec, 3, 20)
    with SimulationOracle(spec) as oracle:
        batched = execute(oracle, candidates)
    monkeypatch.setitem(sys.modules, "mujoco.batch", None)  # as before MuJoCo 3.17
    assert isinstance(make_stepper(spec, threads=1)[0], Separate)
    with SimulationOracle(spec) as oracle:
        for name, result in execute(oracle, candidates).items():
            assert_same(result, batched[name])


@needs_batch
def test_which_mujoco_envs_are_simulated_as_one_batch():
    batched = [*BATCHED, "reacher", "cartpole_swingup", "ur5"]
    for name in [*OURS, *GYMNASIUM, f"{BAD}:Pushed"]:
        parameters = {"how": "force"} if name.endswith("Pushed") else {}
        stepper, _ = make_stepper(EnvSpec(name, parameters), threads=1)
        assert isinstance(stepper, Simulations) == (name in batched), name
    # of an env that changes what a reset draws, nothing is known
    stepper, _ = make_stepper(EnvSpec("gymnasium:Hopper-v5", {"healthy_z_range": [0.9, 2]}), 1)
    assert not isinstance(stepper, Simulations)


@needs_batch
@pytest.mark.parametrize("what", ["blown up", "infinite"])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_simulation_that_goes_wrong_in_a_batch_is_quarantined_alone(what, threads, monkeypatch):
    spec = EnvSpec("gymnasium:HalfCheetah-v5")
    _, candidates = candidates_for(spec, 4, 10)
    expected = [alone(spec, candidate) for candidate in candidates]
    step, count = Simulations.step, [0]

    def spoiling(self, rows, actions):
        count[0] += 1
        if count[0] == 5 and what == "blown up":
            self._batch.qvel[2, 0] = np.nan
        steps = step(self, rows, actions)
        if count[0] == 5 and what == "infinite":
            steps.rewards[2] = np.inf
            return StepBatch.checked(*steps[:3])
        return steps

    monkeypatch.setattr(Simulations, "step", spoiling)
    with SimulationOracle(spec, threads=threads) as oracle:
        results = execute(oracle, candidates)
    failure = results["c2"]
    assert isinstance(failure, Failure) and failure.kind == "quarantined"
    assert "rollout c2: at step 4" in failure.reason and failure.partial.steps == 4
    np.testing.assert_array_equal(failure.partial.observations, expected[2].observations[:5])
    for i in (0, 1, 3):
        assert_same(results[f"c{i}"], expected[i])


@pytest.mark.first(2)
@pytest.mark.parametrize("name", [FAKE_ENV.name, *FORMULAS])
def test_a_formula_on_a_batch_is_what_it_is_alone_to_the_last_bit(name):
    """Scalars and arrays of NumPy differ in one power of a thousand: it takes many steps."""
    spec = EnvSpec(name)
    assert is_formula(name)
    _, candidates = candidates_for(spec, 25, 120)
    with SimulationOracle(spec) as oracle:
        for result, candidate in zip(execute(oracle, candidates).values(), candidates, strict=True):
            assert_same(result, alone(spec, candidate))


@pytest.mark.parametrize("how", PUSHED)
def test_an_env_that_simulates_something_else_than_the_action_is_the_same_too(how):
    spec = EnvSpec(f"{BAD}:Pushed", {"how": how})
    _, candidates = candidates_for(spec, 3, 10)
    with SimulationOracle(spec, threads=2) as oracle:
        for result, candidate in zip(execute(oracle, candidates).values(), candidates, strict=True):
            assert_same(result, alone(spec, candidate))


@pytest.mark.parametrize("name", ["gymnasium:Hopper-v5", FAKE_ENV.name, f"{BAD}:Moody"])
def test_streamed_rollouts_get_each_observation_and_finish_apart(name):
    spec = EnvSpec(name)
    task, candidates = candidates_for(spec, 4, 12)
    policy, model = FakePolicy(task), FakeModel(task)
    streamed = [
        replace(c, controller=ClosedLoop(MEAN), horizon=c.horizon + i)
        for i, c in enumerate(candidates)
    ]
    mixed = [*streamed[:2], replace(candidates[0], id="open"), *streamed[2:]]
    with SimulationOracle(spec) as oracle:
        oracle.resolve = resolver(policy, model)
        results = execute(oracle, mixed)
    for candidate in streamed:
        actor = policy.start(model, [MEAN], [candidate.seed])
        assert_same(results[candidate.id], alone(spec, candidate, actor))
    assert_same(results["open"], alone(spec, candidates[0]))


def test_each_policy_is_started_once_for_all_its_rollouts():
    task, candidates = candidates_for(FAKE_ENV, 4, 3)
    starts = []

    class Counting(FakePolicy):
        def start(self, model, members, seeds):
            starts.append((self, list(members), list(seeds)))
            return super().start(model, members, seeds)

    one, other, model = Counting(task), Counting(task), FakeModel(task)
    policies = {"one": one, "other": other}
    streamed = [
        replace(c, controller=ClosedLoop(i % 3, name))
        for i, (c, name) in enumerate(zip(candidates, ["one", "other", "one", "one"], strict=True))
    ]
    with SimulationOracle(FAKE_ENV) as oracle:
        oracle.resolve = lambda controller: Acting(policies[controller.policy], model)
        execute(oracle, streamed)
    assert starts == [(one, [0, 2, 0], [0, 2, 3]), (other, [1], [1])]


def test_actions_are_clipped_and_what_was_asked_for_is_kept():
    task, candidates = candidates_for(FAKE_ENV, 1, 20, wide=3)
    with SimulationOracle(FAKE_ENV) as oracle:
        (outcome,) = (oracle.submit(candidates[0]), oracle.poll())[1]
    asked = candidates[0].controller.actions
    np.testing.assert_array_equal(outcome.result.requested, asked)
    np.testing.assert_array_equal(
        outcome.result.actions, np.clip(asked, task.action_low, task.action_high)
    )
    assert (outcome.result.actions != asked).any()
    assert outcome.robot_seconds == pytest.approx(20 * 0.1)


def test_an_env_gets_actions_that_its_space_contains():
    spec = EnvSpec(f"{BAD}:Strict")
    _, candidates = candidates_for(spec, 2, 5)
    with SimulationOracle(spec) as oracle:
        results = execute(oracle, candidates)
    assert all(isinstance(result, Trajectory) for result in results.values())


@pytest.mark.parametrize("name", ["gymnasium:Reacher-v5", FAKE_ENV.name])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_action_that_is_not_finite_quarantines_its_rollout_alone(name, value):
    spec = EnvSpec(name)
    _, candidates = candidates_for(spec, 3, 6)
    actions = candidates[1].controller.actions.copy()
    actions[4, 0] = value
    spoilt = [candidates[0], replace(candidates[1], controller=OpenLoop(actions)), candidates[2]]
    with SimulationOracle(spec) as oracle:
        results = execute(oracle, spoilt)
    failure = results["c1"]
    assert isinstance(failure, Failure) and failure.kind == "quarantined"
    assert "rollout c1" in failure.reason and "step 4" in failure.reason
    assert failure.partial.steps == 4
    for i in (0, 2):
        assert_same(results[f"c{i}"], alone(spec, candidates[i]))


@pytest.mark.parametrize(
    ("what", "when", "steps", "why"),
    [
        (1, 4, 4, "at step 4: MuJoCo warned: .*BADQVEL"),
        (1, 1, 1, "at step 1: MuJoCo warned: .*BADQVEL"),
        (2, 4, 3, "at step 3: the simulator was reset silently"),
        (2, 1, None, "at step 0: the simulator was reset silently"),
        (3, 4, 4, "at step 4: MuJoCo: "),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batches", [True, False])
def test_a_simulation_that_goes_wrong_is_quarantined_alone(
    what, when, steps, why, threads, batches, monkeypatch
):
    if not batches:
        monkeypatch.setitem(sys.modules, "mujoco.batch", None)
    spec = EnvSpec(f"{BAD}:BadReacher")
    _, candidates = candidates_for(spec, 4, 10)
    expected = [alone(spec, candidate) for candidate in candidates]
    bad = replace(candidates[2].context, options={"bad": (what, when)})
    spoilt = [*candidates[:2], replace(candidates[2], context=bad), candidates[3]]
    with SimulationOracle(spec, threads=threads) as oracle:
        for _ in range(2):  # what went wrong leaves nothing behind
            results = execute(oracle, spoilt)
            failure = results["c2"]
            assert isinstance(failure, Failure) and failure.kind == "quarantined"
            assert re.match(f"rollout c2: {why}", failure.reason)
            if steps is None:
                assert failure.partial is None
            else:
                assert failure.partial.steps == steps
                np.testing.assert_array_equal(
                    failure.partial.observations, expected[2].observations[: steps + 1]
                )
            for i in (0, 1, 3):
                assert_same(results[f"c{i}"], expected[i])
        assert_same(execute(oracle, candidates)["c2"], expected[2])


@pytest.mark.parametrize(
    ("mood", "kind", "why", "steps"),
    [
        ("nan", "quarantined", "not finite", 2),
        ("infinite reward", "quarantined", "reward inf", 2),
        ("raise", "failed", "ValueError: the arm came off", 2),
        ("nan at start", "quarantined", "first observation", None),
    ],
)
def test_any_other_env_that_goes_wrong_fails_alone(mood, kind, why, steps):
    spec, plain = EnvSpec(f"{BAD}:Moody", {"mood": mood}), EnvSpec(f"{BAD}:Moody")
    _, candidates = candidates_for(plain, 6, 6)
    with SimulationOracle(spec) as oracle:
        results = execute(oracle, candidates)
    failed = 0
    for candidate in candidates:
        result = results[candidate.id]
        if candidate.context.options["goal"][0] < 0:
            failed += 1
            assert isinstance(result, Failure) and result.kind == kind
            assert why in result.reason and f"rollout {candidate.id}" in result.reason
            assert (result.partial.steps if result.partial else None) == steps
        else:
            assert_same(result, alone(plain, candidate))
    assert 0 < failed < len(candidates)


@pytest.mark.parametrize("at_start", [True, False])
def test_an_observation_of_another_size_is_a_failure(at_start):
    spec = EnvSpec(f"{BAD}:Short", {"at_start": at_start})
    _, candidates = candidates_for(FAKE_ENV, 2, 4)
    with SimulationOracle(spec) as oracle:
        for result in execute(oracle, candidates).values():
            assert isinstance(result, Failure) and result.kind == "failed"
            assert "shape (1,)" in result.reason and result.partial is None


def test_what_is_derived_of_a_batched_task_is_simulated_by_itself():
    spec = EnvSpec(f"{BAD}:Heavy")
    _, candidates = candidates_for(spec, 3, 30)
    with SimulationOracle(spec) as oracle:
        for result, candidate in zip(execute(oracle, candidates).values(), candidates, strict=True):
            assert_same(result, alone(spec, candidate))


@pytest.mark.parametrize("where", ["observe", "reward"])
def test_formulas_that_raise_cost_the_rollouts_that_they_raise_in(where):
    spec, plain = EnvSpec(f"{BAD}:Raising", {"where": where}), EnvSpec("reacher")
    _, candidates = candidates_for(plain, 8, 10)
    with SimulationOracle(spec) as oracle:
        results = execute(oracle, candidates)
    failed = 0
    for candidate in candidates:
        result = results[candidate.id]
        if where == "reward" and candidate.context.options["goal"][0] > 0.05:
            failed += 1
            assert isinstance(result, Failure) and result.kind == "failed"
            assert result.reason == (
                f"rollout {candidate.id}: at step 0: the env raised ValueError: too far"
            )
        else:
            assert_same(result, alone(plain, candidate))
    assert where == "observe" or 0 < failed < len(candidates)


@pytest.mark.parametrize("name", ["reacher", "gymnasium:Ant-v5", "pendulum", f"{BAD}:Moody"])
def test_nothing_queued_gives_nothing(name):
    with SimulationOracle(EnvSpec(name)) as oracle:
        assert oracle.poll() == []


def test_a_formula_that_overflows_quarantines_its_rollout_alone():
    _, candidates = candidates_for(FAKE_ENV, 3, 4)
    far = replace(candidates[1].context, options={"state": (1e200, 0.0), "goal": (0.0,)})
    with SimulationOracle(FAKE_ENV) as oracle:
        results = execute(
            oracle, [candidates[0], replace(candidates[1], context=far), candidates[2]]
        )
    assert results["c1"].kind == "quarantined" and results["c1"].partial is None
    for i in (0, 2):
        assert_same(results[f"c{i}"], alone(FAKE_ENV, candidates[i]))


def test_what_cannot_be_executed_is_refused_when_it_is_submitted():
    task, (candidate,) = candidates_for(FAKE_ENV, 1, 5)
    with SimulationOracle(FAKE_ENV) as oracle:
        wide = replace(candidate, controller=OpenLoop(np.zeros((5, 3))))
        with pytest.raises(UserError, match=r"c0.*\(5, 3\).*\(5, 2\)"):
            oracle.submit(wide)
        with pytest.raises(UserError, match="horizon 0"):
            oracle.submit(replace(candidate, horizon=0))
        oracle.submit(candidate)
        with pytest.raises(OracleError, match="c0"):
            oracle.submit(candidate)
        oracle.capacity = 1
        with pytest.raises(OracleError, match="1 candidates"):
            oracle.submit(replace(candidate, id="other"))
        assert len(oracle.poll()) == 1
        assert oracle.poll() == []
    with pytest.raises(OracleError, match="closed"):
        oracle.submit(candidate)


def test_a_policy_that_answers_in_a_wrong_shape_is_named():
    _, (candidate,) = candidates_for(FAKE_ENV, 1, 5)

    class Short(FakePolicy):
        def start(self, model, members, seeds):
            return self

        def act(self, observations):
            return np.zeros((len(observations), 1))

    policy = Short(fake_task())
    streamed = replace(candidate, controller=ClosedLoop(MEAN))
    with SimulationOracle(FAKE_ENV) as oracle:
        oracle.resolve = resolver(policy, FakeModel(fake_task()))
        oracle.submit(streamed)
        with pytest.raises(UserError, match=r"c0.*Short.*\(1, 1\).*\(1, 2\)"):
            oracle.poll()


@pytest.mark.parametrize(
    ("name", "parameters", "kind"),
    [
        (FAKE_ENV.name, {}, Formula),
        ("gymnasium:Reacher-v5", {}, Simulations),
        ("gymnasium:Reacher-v5", {"max_episode_steps": 7}, Simulations),
        (f"{BAD}:Pushed", {"how": "force"}, Physics),
        (f"{FOREIGN}:Plain", {}, Separate),
    ],
)
def test_a_time_limit_breaks_a_rollout_off_whatever_steps_it(name, parameters, kind, tmp_path):
    limited = tmp_path / "limited.py"
    limited.write_text(
        "from gymnasium.wrappers import TimeLimit\n"
        "from robo_al.plugins import make_env\n"
        "from robo_al.types import EnvSpec\n"
        "def make():\n"
        f"    return TimeLimit(make_env(EnvSpec({name!r}, {parameters!r})), 4)\n"
    )
    if name.startswith("gymnasium"):
        spec = EnvSpec(name, parameters)
        most = parameters.get("max_episode_steps", 50)  # as Reacher is registered
    else:
        spec, most = EnvSpec(f"{limited}:make"), 4
    stepper, _ = make_stepper(spec, threads=1)
    in_batches = kind not in (Simulations, Physics) or has_batches()
    assert type(stepper) is (kind if in_batches else Separate)
    for horizon, steps in ((most + 5, most), (most, most), (most - 1, most - 1)):
        _, candidates = candidates_for(spec, 3, horizon)
        with SimulationOracle(spec) as oracle:
            for result, candidate in zip(
                execute(oracle, candidates).values(), candidates, strict=True
            ):
                assert result.steps == steps and not result.terminated
                assert result.truncated == (steps < horizon)
                assert_same(result, alone(spec, candidate))


def test_a_formula_whose_env_is_broken_off_by_itself_is_broken_off_too(tmp_path):
    """Where that is after so many steps whatever happens; else the env itself is stepped."""
    path = tmp_path / "timed.py"
    path.write_text(
        "from robo_al.testing import FakeEnv\n"
        "class Timed(FakeEnv):\n"
        "    def __init__(self, steps):\n"
        "        super().__init__()\n"
        "        self.steps = steps\n"
        "    def reset(self, **asked):\n"
        "        self.count = 0\n"
        "        return super().reset(**asked)\n"
        "    def step(self, action):\n"
        "        self.count += 1\n"
        "        observation, reward, *_ = super().step(action)\n"
        "        return observation, reward, False, self.count == self.steps, {}\n"
    )
    for own, kind in ((12, Formula), (10, Formula), (7, Separate)):  # its horizon is 10
        spec = EnvSpec(f"{path}:Timed", {"steps": own})
        assert type(make_stepper(spec, threads=1)[0]) is kind
        _, candidates = candidates_for(spec, 2, 15)
        with SimulationOracle(spec) as oracle:
            for result in execute(oracle, candidates).values():
                assert (result.steps, result.terminated, result.truncated) == (own, False, True)


def test_what_was_stepped_together_is_the_same_one_after_the_other():
    spec = EnvSpec(f"{FOREIGN}:Plain")
    _, candidates = candidates_for(spec, 5, 6)
    with SimulationOracle(spec) as together, SimulationOracle(spec, envs=2) as by_two:
        whole, parts = execute(together, candidates), execute(by_two, candidates)
    assert list(parts) == list(whole)
    for name, result in parts.items():
        assert_same(result, whole[name])
    with pytest.raises(UserError, match="envs is 0; at least 1"):
        SimulationOracle(spec, envs=0)


def test_of_one_simulator_a_process_rollouts_follow_one_another(tmp_path):
    spec = EnvSpec(f"{shutil.copy(FOREIGN.with_name('alone_env.py'), tmp_path)}:Alone")
    _, candidates = candidates_for(EnvSpec(f"{FOREIGN}:Plain"), 3, 6)
    with SimulationOracle(spec) as oracle:
        for _ in range(2):
            results = execute(oracle, candidates)
            for candidate in candidates:
                assert_same(results[candidate.id], alone(EnvSpec(f"{FOREIGN}:Plain"), candidate))


def test_an_env_that_was_lent_is_as_it_was_when_it_is_given_back():
    spec = EnvSpec(f"{BAD}:Pushed", {"how": "force"})
    _, candidates = candidates_for(spec, 2, 5)
    with SimulationOracle(spec) as oracle:
        execute(oracle, candidates)
    with borrowed(spec) as env:
        assert "do_simulation" not in vars(env.unwrapped)


class Hasty:
    """Answers with one array of its own, and spoils what it is shown."""

    def start(self, model, members, seeds):
        self.actions = np.zeros((len(seeds), 1))
        return self

    def act(self, observations):
        self.actions += 0.1
        observations *= 0
        return self.actions


@pytest.mark.parametrize("oracle", [SimulationOracle, GymnasiumOracle])
def test_arrays_that_an_actor_or_an_env_uses_again_are_copied(oracle):
    spec = EnvSpec(f"{FOREIGN}:Buffer")
    _, candidates = candidates_for(spec, 3, 4)
    hasty = ClosedLoop(MEAN)
    with oracle(spec) as made:
        made.resolve = resolver(Hasty(), FakeModel(fake_task()))
        for candidate in candidates:
            made.submit(replace(candidate, controller=hasty))
        outcomes = []
        while len(outcomes) < len(candidates):
            outcomes += made.poll()
    results = {outcome.candidate_id: outcome.result for outcome in outcomes}
    for candidate in candidates:
        result = results[candidate.id]
        np.testing.assert_allclose(result.requested[:, 0], [0.1, 0.2, 0.3, 0.4])
        np.testing.assert_array_equal(result.observations[0], candidate.context.observation)
        moved = np.diff(result.observations, axis=0)
        np.testing.assert_allclose(moved, np.tile([[0.01], [0.02], [0.03], [0.04]], 2), atol=1e-8)
