"""Each contract, broken in each way, is refused naming the class and the method."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from robo_al.checks import (
    check_acquisition,
    check_cost,
    check_env,
    check_model,
    check_oracle,
    check_plugin,
    check_policy,
    check_selector,
)
from robo_al.errors import ConfigError, OracleError, PluginError
from robo_al.plugins import known
from robo_al.tasks import sample_contexts
from robo_al.testing import (
    FAKE_ENV,
    FakeAcquisition,
    FakeEnv,
    FakeGain,
    FakeModel,
    FakeOracle,
    FakePolicy,
    fake_task,
    pool_of,
    random_imagined,
    random_transitions,
)
from robo_al.types import (
    Channel,
    ClosedLoop,
    EnvSpec,
    Failure,
    FitReport,
    OpenLoop,
    Selection,
    Trajectory,
)

TASK = fake_task()
UNKNOWN_REWARD = replace(TASK, reward=None)
GROUPS = ("acquisitions", "costs", "envs", "models", "oracles", "policies", "selectors")


def rng():
    return np.random.default_rng(0)


def contexts():
    return sample_contexts(FakeEnv(), [rng(), rng()])


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # gpytorch, as it is imported
@pytest.mark.parametrize(
    ("group", "name"),  # what needs a recording, an agent or an expert has tests of its own
    [(g, name) for g in GROUPS for name in known(g) if name not in ("replay", "robot", "expert")],
)
def test_everything_that_is_ours_keeps_its_contract(group, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_plugin(group, name, {}, EnvSpec("pendulum"))


@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("envs", "FakeEnv"),
        ("policies", "FakePolicy"),
        ("models", "FakeModel"),
        ("acquisitions", "FakeAcquisition"),
        ("oracles", "FakeOracle"),
    ],
)
def test_the_fakes_keep_their_contracts(group, name):
    check_plugin(group, f"robo_al.testing:{name}", {}, FAKE_ENV)


def test_a_model_of_an_unknown_reward_keeps_its_contract():
    check_model(FakeModel(UNKNOWN_REWARD), UNKNOWN_REWARD, random_transitions(rng()))


def test_an_env_of_gymnasium_keeps_its_contract(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_plugin("envs", "gymnasium:InvertedPendulum-v5", {}, FAKE_ENV)


def test_a_constructor_that_raises_is_named(tmp_path):
    (tmp_path / "fussy.py").write_text(
        "class Fussy:\n    def __init__(self, task, device, gain): raise TypeError('not today')\n"
    )
    with pytest.raises(PluginError, match=r"Fussy.*task, device, gain.*TypeError: not today"):
        check_plugin("policies", f"{tmp_path}/fussy.py:Fussy", {"gain": 1}, FAKE_ENV)


def test_parameters_are_checked_as_a_campaign_checks_them():
    with pytest.raises(ConfigError, match=r"(?s)nonsense: .*no such.*samples: expected at least 1"):
        check_plugin("models", "gp", {"nonsense": 1, "samples": 0}, FAKE_ENV)


def test_an_oracle_with_lasting_effects_executes_nothing():
    class Robot(FakeOracle):
        repeatable = False

        def submit(self, candidate):
            raise AssertionError("the arm moved")

    report = check_oracle(Robot())
    assert report.tried == ("capacity",)
    assert report.not_tried == ("submit, poll: nothing was executed",)


BENCH = """
from robo_al.testing import FakeOracle

class Bench(FakeOracle):
    "A robot: what it did cannot be undone."
    repeatable = False

    def __init__(self, env):
        super().__init__(env, capacity=1)

class Misspelt(Bench):
    def submit(self, candidate):
        self.move_jonts(candidate)

class Once(Bench):
    def close(self):
        assert not self.closed, "closed twice"
        super().close()

class Open(Bench):
    close = None
"""


@pytest.fixture
def bench(tmp_path):
    """The path of a file of oracles."""
    (tmp_path / "bench.py").write_text(BENCH)
    return f"{tmp_path}/bench.py"


def test_an_oracle_executes_where_it_is_asked_to(bench):
    left = check_plugin("oracles", f"{bench}:Bench", {}, FAKE_ENV).not_tried
    assert len(left) == 1 and "nothing was executed" in left[0] and "--execute" in left[0]
    report = check_plugin("oracles", f"{bench}:Bench", {}, FAKE_ENV, execute=True)
    assert report.tried == ("capacity", "submit", "poll", "close") and not report.not_tried


def test_an_oracle_whose_method_does_not_exist_is_found_where_it_executes(bench):
    assert check_plugin("oracles", f"{bench}:Misspelt", {}, FAKE_ENV).not_tried
    with pytest.raises(PluginError, match=r"Misspelt.submit: raised AttributeError.*move_jonts"):
        check_plugin("oracles", f"{bench}:Misspelt", {}, FAKE_ENV, execute=True)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("Once", "Once.close: raised AssertionError: closed twice"), ("Open", "Open.close: is no")],
)
def test_an_oracle_that_cannot_be_closed_is_refused(bench, name, wrong):
    with pytest.raises(PluginError, match=wrong):
        check_plugin("oracles", f"{bench}:{name}", {}, FAKE_ENV)


@pytest.mark.parametrize("capacity", [1, 2, 3])
def test_a_repeatable_oracle_of_any_capacity_is_executed_in_batches(capacity):
    proposed = FakePolicy(TASK).propose(3, contexts(), 4, FakeModel(TASK), rng())
    oracle = FakeOracle(capacity=capacity)
    report = check_oracle(oracle, [replace(c, id=f"{i}") for i, c in enumerate(proposed)])
    assert [c.id for c in oracle.submitted] == ["0", "1", "2", "0 again", "1 again", "2 again"]
    assert report.not_tried == ("submit of a policy that answers observations (ClosedLoop)",)


def test_an_oracle_needs_no_more_than_its_contract():
    class Least:
        repeatable = True

        def __init__(self):
            fake = FakeOracle(capacity=2)
            self.capacity = fake.capacity
            self.submit, self.poll, self.close = fake.submit, fake.poll, fake.close

    proposed = FakePolicy(TASK).propose(3, contexts(), 4, FakeModel(TASK), rng())
    check_oracle(Least(), [replace(c, id=f"{i}") for i, c in enumerate(proposed)])


# ---------------------------------------------------------------- what they are given


class ScribblingAcquisition(FakeAcquisition):
    def __call__(self, pool, rng):
        pool.imagined.rewards[:, 0] = 0
        return super().__call__(pool, rng)


class ScribblingJoint(FakeAcquisition):
    def joint(self, pool):
        pool.imagined.mask.zero_()
        return super().joint(pool)


class ScribblingObserver(FakeAcquisition):
    def observe(self, transitions, policy):
        transitions.next_observations[0, 0] += 1


class ScribblingCost:
    budget = None

    def __call__(self, imagined, task, risks):
        if risks is not None:
            risks += 1
        return torch.ones(len(imagined))


class ScribblingSelector:
    def __call__(self, acquisition, pool, k, rng):
        pool.imagined.finite[1] = False
        return Selection((2, 3), (0.0,) * len(pool), (0.0, 0.0))


class ScribblingPlanner(FakePolicy):
    def propose(self, n, contexts, horizon, model, rng):
        contexts[1].observation[0] = 0.5
        return super().propose(n, contexts, horizon, model, rng)


class Lengthening(FakePolicy):
    def propose(self, n, contexts, horizon, model, rng):
        contexts.append(contexts[0])
        return super().propose(n, contexts, horizon, model, rng)


class ScribblingLearner(FakePolicy):
    def update(self, transitions, model, rng):
        transitions.rewards[:] = 0


class ScribblingModel(FakeModel):
    def fit(self, transitions, rng):
        transitions.observations[:] -= transitions.observations.mean(0)
        return super().fit(transitions, rng)


class ScribblingOracle(FakeOracle):
    def submit(self, candidate):
        super().submit(candidate)
        candidate.controller.actions[:] = 0


def checked(thing):
    """Check a plugin as its group."""
    task, model, record = TASK, FakeModel(TASK), random_transitions(rng())
    imagined, starts = random_imagined(rng()), contexts()
    if isinstance(thing, FakeAcquisition):
        check_acquisition(thing, pool_of(imagined, model), record, FakePolicy(task))
    elif isinstance(thing, ScribblingCost):
        check_cost(thing, imagined, task)
    elif isinstance(thing, ScribblingSelector):
        check_selector(thing, FakeAcquisition(), pool_of(imagined, model))
    elif isinstance(thing, FakePolicy):
        check_policy(thing, task, model, starts, record)
    elif isinstance(thing, FakeModel):
        check_model(thing, task, record)
    else:
        proposed = FakePolicy(task).propose(2, starts, 4, model, rng())
        check_oracle(thing, [replace(c, id=f"{i}") for i, c in enumerate(proposed)])


@pytest.mark.parametrize(
    ("make", "wrong"),
    [
        (ScribblingAcquisition, "Acquisition.__call__: wrote into pool.imagined.rewards, which"),
        (ScribblingJoint, "Joint.joint: wrote into pool.imagined.mask"),
        (ScribblingObserver, "Observer.observe: wrote into transitions.next_observations"),
        (ScribblingCost, "Cost.__call__: wrote into risks"),
        (ScribblingSelector, "Selector.__call__: wrote into pool.imagined.finite"),
        (lambda: ScribblingPlanner(TASK), r"Planner.propose: wrote into contexts\[1\].observation"),
        (lambda: Lengthening(TASK), "Lengthening.propose: wrote into contexts"),
        (lambda: ScribblingLearner(TASK), "Learner.update: wrote into transitions.rewards"),
        (lambda: ScribblingModel(TASK), "Model.fit: wrote into transitions.observations"),
        (ScribblingOracle, r"Oracle.submit: .*candidates\[0\].controller.actions"),
    ],
)
def test_whoever_writes_into_what_it_was_given_is_refused(make, wrong):
    with pytest.raises(PluginError, match=wrong):
        checked(make())


def test_an_actor_and_a_model_that_write_into_what_they_were_given_are_refused():
    class Actor(FakePolicy):
        def start(self, model, members, seeds):
            actor = super().start(model, members, seeds)
            act = actor.act

            def scribble(observations):
                found = act(observations)
                observations += 1
                return found

            actor.act = scribble
            return actor

    class Stepping(FakeModel):
        def step(self, observations, actions, members):
            found = super().step(observations, actions, members)
            if len(members) == 1:
                observations.mul_(2)
            return found

    with pytest.raises(PluginError, match="Actor.start: .*(observations|answer differently)"):
        checked(Actor(TASK))
    with pytest.raises(PluginError, match="Stepping.step: "):
        checked(Stepping(TASK))


def test_what_was_tried_and_what_was_not_is_told():
    report = check_policy(FakePolicy(TASK), TASK, FakeModel(TASK), contexts())
    assert report.tried == ("propose", "start")
    assert report.not_tried == ("update", "parameters", "context_features")
    assert str(report) == "tried: propose, start\nnot tried: update; parameters; context_features"


# ---------------------------------------------------------------- oracles


class MutedOracle:
    capacity = 1


class GreedyOracle(FakeOracle):
    def submit(self, candidate):
        try:
            super().submit(candidate)
        except OracleError:
            pass


class Unbounded(FakeOracle):
    def __init__(self):
        super().__init__(capacity=0)


def answering(change):
    """An oracle whose outcomes are changed by a function."""

    class Answering(FakeOracle):
        def poll(self, timeout=None):
            return change(super().poll(timeout))

    return Answering


def with_result(change):
    """An oracle whose trajectories are changed by a function."""
    return answering(lambda outcomes: [replace(o, result=change(o.result)) for o in outcomes])


class Drifting(FakeOracle):
    def poll(self, timeout=None):
        drift = len(self.submitted)
        return [
            replace(o, result=replace(o.result, rewards=o.result.rewards + drift))
            for o in super().poll(timeout)
        ]


class DriftingBuffer(FakeOracle):
    """Answers one at a time, drifts, and fills one array again and again."""

    def __init__(self):
        super().__init__()
        self.held, self.rewards = [], np.zeros(4)

    def poll(self, timeout=None):
        self.held += super().poll(timeout)
        answered, self.held = self.held[:1], self.held[1:]
        for outcome in answered:
            self.rewards[:] = outcome.result.rewards + len(self.submitted)
        return [replace(o, result=replace(o.result, rewards=self.rewards)) for o in answered]


def in_one_array(outcomes):
    shared = outcomes[0].result.observations if outcomes else None
    return [replace(o, result=replace(o.result, observations=shared)) for o in outcomes]


def shorter(t):
    return Trajectory(t.observations[:-1], t.actions[:-1], t.requested[:-1], t.rewards[:-1])


BROKEN_ORACLES = [
    (MutedOracle, "MutedOracle.submit: there is no such method"),
    (Unbounded, "Unbounded.capacity: is 0"),
    (GreedyOracle, "GreedyOracle.submit: took the same id twice"),
    (answering(tuple), "Answering.poll: returned a tuple"),
    (answering(lambda outcomes: [o.result for o in outcomes]), "poll: answered with a Trajectory"),
    (answering(lambda outcomes: outcomes + outcomes[:1]), "poll: answered 'a' twice"),
    (
        answering(lambda outcomes: [replace(o, candidate_id="x") for o in outcomes]),
        "poll: answered 'x', which was not submitted",
    ),
    (answering(lambda outcomes: outcomes[:1]), "poll: .*'b'.* were not answered within"),
    (
        answering(lambda outcomes: [replace(o, robot_seconds=np.nan) for o in outcomes]),
        "poll: robot_seconds of 'a' is nan",
    ),
    (with_result(lambda t: Failure("broken", "so")), "poll: a Failure of kind 'broken'"),
    (with_result(lambda t: Failure("failed", "")), "poll: .* gives no reason"),
    (with_result(lambda t: None), "poll: the result is a NoneType"),
    (with_result(shorter), "poll: 'a' has 3 of 4 steps"),
    (with_result(lambda t: replace(t, observations=t.observations[:-1])), "poll: observations has"),
    (with_result(lambda t: replace(t, rewards=t.rewards * np.nan)), "poll: rewards is not finite"),
    (with_result(lambda t: replace(t, actions=t.actions[:, :1])), "poll: actions has shape"),
    (with_result(lambda t: replace(t, actions=t.actions.astype(int))), "poll: actions has dtype"),
    (with_result(lambda t: replace(t, requested=t.requested + 1)), "poll: requested are not the"),
    (with_result(lambda t: Failure("failed", "x", replace(t, rewards=t.rewards * np.inf))), "poll"),
    (
        Drifting,
        "Drifting.submit: executed 'a' twice with different results; .* set `repeatable` to False",
    ),
    (DriftingBuffer, "DriftingBuffer.submit: executed 'a' twice with different results"),
    (answering(in_one_array), "poll: answered two rollouts with the same array; copy it"),
    (
        answering(lambda outcomes: [replace(o, details={"state": 1}) for o in outcomes]),
        "poll: detail state of rollout a: there is a column of this name already",
    ),
    (with_result(lambda t: replace(t, signals={"x": np.zeros(9)})), "poll: signal x .* has 9 rows"),
]


@pytest.mark.parametrize(("oracle", "wrong"), BROKEN_ORACLES)
def test_a_broken_oracle_is_refused(oracle, wrong):
    proposed = FakePolicy(TASK).propose(2, contexts(), 4, FakeModel(TASK), rng())
    candidates = [replace(c, id=name) for c, name in zip(proposed, "ab", strict=True)]
    with pytest.raises(PluginError, match=wrong):
        check_oracle(oracle(), candidates, timeout=0.2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: FakeOracle(shuffle=True),
        lambda: FakeOracle(delay=3),
        lambda: FakeOracle(failures={0: "aborted", 2: "aborted"}),
    ],
)
def test_an_oracle_may_be_late_out_of_order_and_fail(make):
    proposed = FakePolicy(TASK).propose(2, contexts(), 4, FakeModel(TASK), rng())
    check_oracle(make(), [replace(c, id=name) for c, name in zip(proposed, "ab", strict=True)])


def test_an_oracle_may_tell_that_a_rollout_was_broken_off():
    proposed = FakePolicy(TASK).propose(1, contexts(), 4, FakeModel(TASK), rng())
    broken_off = with_result(lambda t: replace(shorter(t), truncated=True))
    check_oracle(broken_off(), [replace(proposed[0], id="a")])


# ---------------------------------------------------------------- policies


def proposing(change):
    """A policy whose candidates are changed by a function."""

    class Proposing(FakePolicy):
        def propose(self, n, contexts, horizon, model, rng):
            return change(super().propose(n, contexts, horizon, model, rng))

    return Proposing(TASK)


def each(**changes):
    return proposing(lambda candidates: [replace(c, **changes) for c in candidates])


def unable(controller):
    """A policy that proposes such controllers, and has no `start`."""

    class Unable:
        def propose(self, *arguments):
            return [replace(c, controller=controller) for c in FakePolicy(TASK).propose(*arguments)]

    return Unable()


def acting(change):
    """A policy whose actions are changed by a function."""

    class Acting(FakePolicy):
        def start(self, model, members, seeds):
            actor = super().start(model, members, seeds)
            act = actor.act
            actor.act = lambda observations: change(act(observations))
            return actor

    return Acting(TASK)


class Fickle(FakePolicy):
    calls = 0

    def propose(self, n, contexts, horizon, model, rng):
        self.calls += 1
        return super().propose(n, contexts, horizon, model, np.random.default_rng(self.calls))


class Ungrateful(FakePolicy):
    def update(self, transitions, model, rng):
        raise ZeroDivisionError("no data")


class Idle(FakePolicy):
    def start(self, model, members, seeds):
        return object()


def open_loop(shape, value=0.0):
    return OpenLoop(np.full(shape, value))


BROKEN_POLICIES = [
    (object(), "object.propose: there is no such method"),
    (proposing(lambda candidates: candidates[:2]), "Proposing.propose: 2 candidates, not n = 3"),
    (proposing(lambda candidates: ["a"] * 3), "propose: proposed a str"),
    (proposing(lambda candidates: 1 / 0), "propose: raised ZeroDivisionError"),
    (each(horizon=5), "propose: horizon 5; 1 to 4 were asked for"),
    (each(context=contexts()[0]), "propose: a context that was not among those given"),
    (each(seed=1.5), "propose: a seed that is a float"),
    (each(controller=None), "propose: a controller that is a NoneType"),
    (each(controller=open_loop((4, 3))), r"propose: actions has shape \(4, 3\), not \(4, 2\)"),
    (each(controller=open_loop((4, 2), np.nan)), "propose: actions is not finite"),
    (unable(ClosedLoop(0)), "propose: a ClosedLoop, and it has no `start`"),
    (each(controller=ClosedLoop(3)), "propose: member 3 of a model with 3"),
    (Fickle(TASK), "Fickle.propose: two calls with equal generators"),
    (Idle(TASK), "Idle.start: returned a object without `act`"),
    (acting(lambda actions: actions[:1]), r"start: act's answer has shape \(1, 2\), not \(2, 2\)"),
    (acting(lambda actions: actions * np.nan), "start: act's answer is not finite"),
    (acting(lambda actions: actions.tolist()), "start: act's answer is a list"),
    (acting(lambda a: a + np.random.default_rng().normal()), "start: two actors with equal seeds"),
    (Ungrateful(TASK), "Ungrateful.update: raised ZeroDivisionError: no data"),
]


@pytest.mark.parametrize(("policy", "wrong"), BROKEN_POLICIES)
def test_a_broken_policy_is_refused(policy, wrong):
    with pytest.raises(PluginError, match=wrong):
        check_policy(policy, TASK, FakeModel(TASK), contexts(), random_transitions(rng()))


def test_a_streamed_policy_keeps_its_contract():
    check_policy(FakePolicy(TASK, streamed=True), TASK, FakeModel(TASK), contexts())


# ---------------------------------------------------------------- models


def modelling(task=TASK, **methods):
    """A model some of whose methods are changed by functions of what they return."""
    names = {}
    for name, change in methods.items():

        def method(self, *arguments, _name=name, _change=change):
            return _change(getattr(FakeModel, _name)(self, *arguments))

        names[name] = method
    return type("Modelling", (FakeModel,), names)(task)


def predicting(**changes):
    return modelling(
        predict=lambda p: replace(p, **{k: change(getattr(p, k)) for k, change in changes.items()})
    )


class Leaky(FakeModel):
    def step(self, observations, actions, members):
        following, reward = super().step(observations, actions, members)
        return following + len(members), reward


class Memberless(FakeModel):
    members = 0


class Forgetful(FakeModel):
    def load_state_dict(self, state):
        super().load_state_dict({k: 2 * v + torch.eye(*v.shape) for k, v in state.items()})


class Lopsided(FakeModel):
    def covariance(self, first, second):
        return super().covariance(first, second).triu()


class Jittery(FakeModel):
    calls = 0

    def predict(self, observations, actions):
        self.calls += 1
        prediction = super().predict(observations, actions)
        return replace(prediction, mean=prediction.mean + self.calls)


BROKEN_MODELS = [
    (object(), "object.fit: there is no such method"),
    (modelling(fit=lambda report: report.loss), "Modelling.fit: returned a float"),
    (modelling(fit=lambda report: FitReport(np.nan)), "fit: a loss of nan"),
    (Memberless(TASK), "Memberless.members: is 0"),
    (predicting(mean=lambda x: x[..., :1]), "predict: mean has shape"),
    (predicting(mean=lambda x: x.numpy()), "predict: mean is a ndarray"),
    (predicting(mean=lambda x: x * torch.nan), "predict: mean is not finite"),
    (predicting(mean=lambda x: x.int()), "predict: mean has dtype"),
    (predicting(epistemic=lambda x: -x), "predict: epistemic is negative"),
    (predicting(aleatoric=lambda x: 0 * x), "predict: aleatoric is not positive"),
    (modelling(predict=lambda p: p.mean), "predict: returned a Tensor"),
    (Jittery(TASK), "Jittery.predict: two calls predict differently"),
    (modelling(step=lambda pair: (pair[0][0], None)), "step: the next observations has shape"),
    (
        modelling(step=lambda pair: (pair[0] + torch.rand(()), None)),
        "step: two calls with the same members differ",
    ),
    (Leaky(TASK), "Leaky.step: member 0 alone steps otherwise"),
    (modelling(covariance=lambda c: c[0]), "covariance: the covariance has shape"),
    (modelling(covariance=lambda c: -c), "covariance: not positive semi-definite"),
    (Lopsided(TASK), "covariance: .* is not symmetric"),
    (modelling(covariance=lambda c: c / c.shape[-2]), "covariance: a part of the rows"),
    (Forgetful(TASK), "Forgetful.load_state_dict: predicts differently"),
]


@pytest.mark.parametrize(("model", "wrong"), BROKEN_MODELS)
def test_a_broken_model_is_refused(model, wrong):
    with pytest.raises(PluginError, match=wrong):
        check_model(model, TASK, random_transitions(rng()))


@pytest.mark.parametrize(
    ("method", "change"),
    [
        ("predict", lambda prediction: replace(prediction, reward=None)),
        ("step", lambda pair: (pair[0], None)),
    ],
)
def test_a_model_must_learn_a_reward_that_is_not_known(method, change):
    model = modelling(UNKNOWN_REWARD, **{method: change})
    with pytest.raises(PluginError, match=f"Modelling.{method}: .*reward.* is a NoneType"):
        check_model(model, UNKNOWN_REWARD, random_transitions(rng()))


# ---------------------------------------------------------------- acquisition and selection


def scoring(change):
    class Scoring(FakeAcquisition):
        def __call__(self, pool, rng):
            return change(super().__call__(pool, rng))

    return Scoring()


def gaining(change):
    class Gaining(FakeAcquisition):
        def joint(self, pool):
            return change(pool.imagined.returns.mean(0).tolist())

    return Gaining()


class Growing(FakeGain):
    def gains(self, indices):
        return super().gains(indices) + 10 * len(self.added)


BROKEN_ACQUISITIONS = [
    (object(), "object.__call__: there is no such method"),
    (scoring(lambda scores: scores[:-1]), "Scoring.__call__: scores has shape"),
    (scoring(lambda scores: scores.tolist()), "__call__: scores is a list"),
    (scoring(lambda scores: scores.long()), "__call__: scores has dtype"),
    (scoring(lambda scores: scores * torch.nan), "__call__: scores is not finite"),
    (scoring(lambda scores: scores + torch.rand(())), "__call__: two calls with equal generators"),
    (gaining(lambda scores: None), "Gaining.joint: raised AttributeError"),
    (gaining(lambda scores: FakeGain([np.nan] * len(scores))), "joint: gains are not finite"),
    (gaining(Growing), "joint: gains of .* grew when candidate 0 was added"),
]


@pytest.mark.parametrize(("acquisition", "wrong"), BROKEN_ACQUISITIONS)
def test_a_broken_acquisition_is_refused(acquisition, wrong):
    with pytest.raises(PluginError, match=wrong):
        check_acquisition(acquisition, pool_of(random_imagined(rng())))


class Picking:
    """A selector that picks what it is told to."""

    def __init__(self, indices, scores=6, gains=2):
        self.indices, self.scores, self.gains = indices, scores, gains

    def __call__(self, acquisition, pool, k, rng):
        return Selection(self.indices, (0.0,) * self.scores, (0.0,) * self.gains)


class Dicing(Picking):
    def __call__(self, *arguments):
        self.indices = tuple(np.roll(self.indices, 1).tolist())
        return super().__call__(*arguments)


class Listing:
    def __call__(self, *arguments):
        return [1, 2]


BROKEN_SELECTORS = [
    (object(), "object.__call__: there is no such method"),
    (Listing(), "Listing.__call__: returned a list"),
    (Picking((1,)), "Picking.__call__: 1 picks, not k = 2"),
    (Picking((1, 1)), "__call__: picked one twice"),
    (Picking((1, 6)), "__call__: picked .* of 6 candidates"),
    (Picking((1, -1)), "__call__: picked .* of 6 candidates"),
    (Picking((0, 1)), "__call__: picked candidate 0, which is not eligible"),
    (Picking((1, 2), scores=2), "__call__: scores are not one a candidate"),
    (Picking((1, 2), gains=1), "__call__: gains are not one a pick"),
    (Dicing((1, 2)), "Dicing.__call__: two calls with equal generators pick otherwise"),
]


@pytest.mark.parametrize(("selector", "wrong"), BROKEN_SELECTORS)
def test_a_broken_selector_is_refused(selector, wrong):
    with pytest.raises(PluginError, match=wrong):
        check_selector(selector, FakeAcquisition(), pool_of(random_imagined(rng())))


def test_a_selector_that_picks_well_passes():
    check_selector(Picking((3, 1)), FakeAcquisition(), pool_of(random_imagined(rng())))


# ---------------------------------------------------------------- envs


class Unlimited(FakeEnv):
    def __init__(self):
        super().__init__()
        self.action_space = type(self.action_space)(-np.inf, np.inf, (2,), np.float64)


class Unseeded(FakeEnv):
    def reset(self, *, seed=None, options=None):
        return super().reset(seed=int(np.random.default_rng().integers(2**31)), options=options)


class Wandering(Unseeded):
    context = None


class Misplaced(FakeEnv):
    def context(self):
        return {"state": [0.0, 0.0], "goal": [0.5]}


class Wide(FakeEnv):
    def step(self, action):
        after, *rest = super().step(action)
        return np.append(after, 0.0), *rest


class Vague(FakeEnv):
    def step(self, action):
        after, _, *rest = super().step(action)
        return after, np.nan, *rest


class Wishful(FakeEnv):
    def step(self, action):
        after, reward, *rest = super().step(action)
        return after, reward + 1, *rest


class Wrong(FakeEnv):
    def step(self, action):
        after, *rest = super().step(action)
        self._state = self._state + 0.1
        return self._state.copy(), *rest


class NumpyOnly(FakeEnv):
    def reward(self, observation, action, next_observation):
        return np.asarray(super().reward(observation, action, next_observation))


class Fragile(FakeEnv):
    def step(self, action):
        raise OSError("cable")


def saying(**attributes):
    """An env that says something else of itself."""
    return type("Saying", (FakeEnv,), attributes)


BROKEN_ENVS = [
    (Unlimited, "a flat Box with limits is needed"),
    (Wide, r"Wide.step: the observation has shape \(4,\), not \(3,\)"),
    (Vague, "Vague.step: a reward of nan"),
    (Fragile, "Fragile.step: raised OSError: cable"),
    (saying(horizon=30.5), "it is 30.5; a number of steps is needed, and random"),
    (saying(horizon="30"), "it is '30'; a number of steps is needed"),
    (saying(horizon=-3), "it is -3; a number of steps is needed"),
    (saying(horizon=0), "it is 0; a number of steps is needed"),
]


@pytest.mark.parametrize(("env", "wrong"), BROKEN_ENVS)
def test_a_broken_env_is_refused(env, wrong):
    with pytest.raises(PluginError, match=wrong):
        check_env(env(), FAKE_ENV)


class Reusing(FakeEnv):
    """Returns one array of its own, and writes into it."""

    def __init__(self):
        super().__init__()
        self.buffer = np.zeros(3)

    def reset(self, **asked):
        self.buffer[:], info = super().reset(**asked)
        return self.buffer, info

    def step(self, action):
        self.buffer[:], *rest = super().step(action)
        return self.buffer, *rest


class ReusingSteps(FakeEnv):
    """Does so in its steps alone."""

    buffer = np.zeros(3)

    def step(self, action):
        self.buffer[:], *rest = super().step(action)
        return self.buffer, *rest


class Whole(FakeEnv):
    """Observes whole numbers, and in a list."""

    horizon, dynamics, reward, context = 5, None, None, None

    def reset(self, **asked):
        super().reset(**asked)
        return [1, 2, 3], {}

    def step(self, action):
        return [1, 2, 3], 1, False, False, {}


FOUND = [
    (FakeEnv, None),
    (Whole, None),
    (Unseeded, None),  # whose options bring a start back
    (Wandering, "the env does not start where a seed asks it to"),
    (Reusing, "Reusing.reset returned an array that a later call changes"),
    (ReusingSteps, "ReusingSteps.step returned an array that a later call changes"),
    (
        Misplaced,
        r"Misplaced.context is not used .*: reset\(options=context\(\)\) starts at another",
    ),
    (Wishful, "Wishful.reward is not used .*: it differs from what step gives"),
    (Wrong, "Wrong.dynamics is not used .*: it differs from what step gives"),
    (saying(threshold="high"), "Saying.threshold is not used .*: it is 'high'; a number"),
    (saying(dt=0), "Saying.dt is not used .*: it is 0; seconds between two actions"),
    (saying(channels=("x", "y")), "Saying.channels is not used .*tuple of robo_al.types.Channel"),
    (NumpyOnly, "NumpyOnly.reward is not used .*: given Tensors it returned a ndarray"),
]


@pytest.mark.parametrize(("env", "finding"), FOUND)
def test_what_a_campaign_can_do_with_is_found_and_said(env, finding):
    found = list(check_env(env(), FAKE_ENV).notes)
    if not isinstance(env.channels[0], Channel):  # it does not say that one of them is a goal
        assert found.pop(0).startswith("observation[2]: did not change in short rollouts")
    assert len(found) == (finding is not None)
    if finding:
        assert re.match(finding, found[0])


class Endless(FakeEnv):
    horizon = None


@pytest.mark.parametrize("group", ["envs", "policies", "oracles"])
def test_an_env_that_never_ends_is_checked_and_says_what_a_run_needs(group):
    endless = f"{__file__}:Endless"
    checked = {"envs": endless, "policies": "random", "oracles": "simulation"}[group]
    notes = check_plugin(group, checked, {}, EnvSpec(endless)).notes
    assert ("`horizon: 200` in the configuration of a run" in str(notes)) is (group == "envs")


class Chancy(FakeEnv):
    """Steps as it likes from where a seed asks it to start."""

    def step(self, action):
        after, *rest = super().step(action)
        self._state = after + np.random.default_rng().normal(size=3)
        return self._state.copy(), *rest


@pytest.mark.parametrize(("env", "chance"), [("FakeEnv", False), ("Chancy", True)])
def test_what_no_seed_decides_is_found_and_said(env, chance):
    notes = check_plugin("envs", f"{__file__}:{env}", {}, FAKE_ENV).notes
    assert ("the same actions from the same start do not give the same" in str(notes)) is chance
