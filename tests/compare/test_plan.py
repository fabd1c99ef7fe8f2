from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robo_al.compare.plan import Plan, Run, TaskPlan, content_hash, load_plan
from robo_al.compare.trial import dry_run
from robo_al.config import plain_yaml
from robo_al.config.load import check_config, load_config
from robo_al.errors import ConfigError
from robo_al.tasks.starts import FOUND

Write = Callable[..., Path]


def refusal(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_plan(path)
    return str(caught.value).removeprefix(f"{path}: ")


def fake(tmp_path: Path, **overrides: Any) -> dict[str, Any]:
    return {"fake": {"config": str(tmp_path / "fake.yaml")} | overrides}


def test_a_plan_has_every_campaign(write: Write) -> None:
    plan = load_plan(write(tasks=["pendulum", "cartpole"], seeds=[3, 1], budget=7))
    assert plan.tasks == (
        TaskPlan("pendulum", -150.0, 7, "return"),
        TaskPlan("cartpole", -12.5, 7, "return"),
    )
    assert plan.strategies == ("random", "joint_information")
    assert plan.runs == [
        Run(task, strategy, seed)
        for seed in (3, 1)  # seed by seed
        for task in ("pendulum", "cartpole")
        for strategy in ("random", "joint_information")
    ]


def test_a_campaign_is_the_tasks_with_the_strategy_and_the_seed(write: Write) -> None:
    careful = {"acquisition": "target_information", "selector": "top_k"}
    plan = load_plan(
        write(
            tasks={"pendulum": {"candidates": 8, "policy": {"samples": 50}}},
            strategies={"random": "random", "careful": careful},
        )
    )
    base = load_config("pendulum").model_dump()
    for strategy, value in (("random", "random"), ("careful", careful)):
        changes = {
            "policy": base["policy"] | {"samples": 50},
            "candidates": 8,
            "strategy": value,
            "rounds": 3,
            "seed": 1,
            "threshold": -150.0,
            "evaluation": {"starts": 20},  # as for every horizon up to 200 steps
            "device": "cpu",
        }
        assert plan.config(Run("pendulum", strategy, 1)) == check_config(base | changes, "")


def test_a_configuration_is_looked_up_beside_the_plan_and_then_from_here(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tasks={"arm": {"config": "arms/arm.yaml", "threshold": 0}})
    for folder in ("arms", "here/arms"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert "arms/arm.yaml: no such configuration" in refusal(path)
    (tmp_path / "here" / "arms" / "arm.yaml").write_text("env: cartpole")
    assert load_plan(path).configs["arm", "random"].env.name == "cartpole"
    (path.parent / "arms" / "arm.yaml").write_text("env: pendulum")
    assert load_plan(path).configs["arm", "random"].env.name == "pendulum"


def test_the_true_dynamics_are_imagined_in_once_whatever_the_task_says(write: Write) -> None:
    tasks = {"pendulum": {"imagination_members": 3}}
    plan = load_plan(write(tasks=tasks, bounds=["true_dynamics", "all_knowing"]))
    members = {name: plan.configs["pendulum", name].imagination_members for name in plan.strategies}
    assert members["true_dynamics"] == 1 and members["all_knowing"] == members["random"] == 3


def test_a_component_with_another_name_loses_its_parameters(write: Write) -> None:
    tasks = {"pendulum": {"policy": {"name": "icem", "samples": 50}, "explorer": "icem"}}
    config = load_plan(write(tasks=tasks)).config(Run("pendulum", "random", 0))
    assert config.policy.parameters == {"samples": 50}
    assert config.explorer.name == "icem"


@pytest.mark.parametrize(
    ("budget", "initial", "batch", "rounds"),
    [(5, 1, 1, 5), (10, 2, 1, 9), (9, 1, 4, 3), (10, 1, 4, 4), (2, 1, 4, 2)],
)
def test_rounds_follow_from_the_budget(
    write: Write, tmp_path: Path, budget: int, initial: int, batch: int, rounds: int
) -> None:
    tasks = fake(tmp_path, initial_rollouts=initial, rollouts_per_round=batch)
    plan = load_plan(write(tasks=tasks, budget=budget))
    assert plan.config(Run("fake", "random", 0)).rounds == rounds


def test_bounds_are_special_campaigns_that_come_last(write: Write) -> None:
    plan = load_plan(write(bounds=["all_knowing", "true_dynamics"]))
    assert plan.strategies == ("random", "joint_information", "all_knowing", "true_dynamics")
    assert plan.bounds == ("all_knowing", "true_dynamics")
    truth, knowing = (plan.config(Run("fake", name, 1)) for name in plan.bounds[::-1])
    assert (truth.model.name, truth.rounds, truth.seed) == ("true_dynamics", 2, 1)
    assert knowing.model.name == "robo_al.testing:FakeModel" and knowing.rounds == 3
    dry_run(plan, (), lambda task, strategy: None)


def test_the_content_is_whole_and_says_what_it_is(write: Write) -> None:
    plan = load_plan(write(bounds=["true_dynamics"]))
    content = plain_yaml.parse(plan.text())
    assert content == plan.content()
    assert content["sha256"] == content_hash(content)
    assert content["tasks"]["fake"]["threshold"] == -5.0
    assert content["tasks"]["fake"]["config"]["model"] == {"name": "robo_al.testing:FakeModel"}
    assert set(content["strategies"]) == {"random", "joint_information"}
    assert (content["seeds"], content["bounds"]) == ([0, 1], ["true_dynamics"])
    other = load_plan(write(budget=4)).content()
    assert other["sha256"] != content["sha256"]


# ---------------------------------------------------------------- what is wrong


THRESHOLDLESS = """
from robo_al.testing import FakeEnv


class Env(FakeEnv):
    threshold = None
"""


def test_a_task_without_a_threshold_is_refused_unless_one_is_given(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(THRESHOLDLESS)
    env = f"{tmp_path}/mine.py:Env"
    said = refusal(write(tasks=fake(tmp_path, env=env)))
    assert said == "task fake has no threshold; give one: tasks: {fake: {threshold: -10}}"
    plan = load_plan(write(tasks=fake(tmp_path, env=env, threshold=-7)))
    assert plan.tasks[0].threshold == -7


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"tasks": ["pendulumm"]}, r"pendulumm: no such configuration; did you mean pendulum\?"),
        ({"tasks": {"pendulum": {"candidate": 3}}}, r"tasks\.pendulum: candidate: unknown key"),
        ({"tasks": {"pendulum": {"policy": {"sample": 3}}}}, r"policy\.sample: .*samples\?"),
        ({"tasks": {"pendulum": {"evaluation": {"every": 0}}}}, r"evaluation\.every: 0"),
        ({"strategies": ["randon"]}, r"strategies\.randon: .*did you mean 'random'"),
        ({"strategies": {"x": {"selector": "top_kk"}}}, r"strategies\.x: .*did you mean 'top_k'"),
        ({"budget": 1}, r"tasks\.fake\.budget: 1 rollouts, of which 1 are the first"),
    ],
)
def test_what_cannot_be_run_is_refused(write: Write, entries: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_plan(write(**entries))


def test_everything_wrong_is_told_at_once(write: Write) -> None:
    tasks = {"pendulum": {"candidates": 0}, "cartpole": {"budget": 1}, "reacher": {}}
    said = refusal(write(tasks=tasks, strategies=["random", "wrong", "bad"])).splitlines()
    assert [line.strip().partition(":")[0] for line in said] == [
        "cannot be used",
        "tasks.pendulum",
        "tasks.cartpole.budget",
        "strategies.wrong",
        "strategies.bad",
    ]


# ---------------------------------------------------------------- dry run


BROKEN = """
from robo_al.testing import FakeAcquisition


class Acquisition(FakeAcquisition):
    def __call__(self, pool, rng):
        return super().__call__(pool, rng)[:-1]
"""


def test_parts_that_do_not_go_together_are_found_before_anything_is_written(
    write: Write, tmp_path: Path
) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    plan = load_plan(
        write(strategies={"random": "random", "broken": f"{tmp_path}/broken.py:Acquisition"})
    )
    tried = []
    with pytest.raises(ConfigError, match="task fake, strategy broken: .*scores has shape"):
        dry_run(plan, (), lambda task, strategy: tried.append((task, strategy)))
    assert tried == [("fake", "random"), ("fake", "broken")]
    dry_run(plan, [("fake", "broken")], lambda task, strategy: None)


def test_what_is_to_be_said_of_a_task_is_found(write: Write, tmp_path: Path) -> None:
    (tmp_path / "found.py").write_text(
        "import numpy as np\n"
        "from robo_al.testing import FakeEnv\n\n\n"
        "class Wandering(FakeEnv):\n"
        "    context = None\n\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return super().reset(seed=int(np.random.default_rng().integers(2**31)))\n"
    )
    env = f"{tmp_path}/found.py:Wandering"
    plan = load_plan(write(tasks=fake(tmp_path, env=env, oracle="simulation")))
    assert dry_run(plan, (), lambda task, strategy: None) == {"fake": (FOUND,)}


def only_proposes(path: Path) -> Plan:
    """Return the plan with a policy that cannot control a rollout."""
    path.with_name("proposer.py").write_text(
        "from robo_al.testing import FakePolicy\n\n\n"
        "class Proposer:\n"
        "    def __init__(self, task, device):\n"
        "        self.propose = FakePolicy(task).propose\n"
    )
    return load_plan(path)


def test_a_policy_that_cannot_be_evaluated_is_found(write: Write, tmp_path: Path) -> None:
    plan = only_proposes(write(tasks=fake(tmp_path, policy=f"{tmp_path}/proposer.py:Proposer")))
    with pytest.raises(ConfigError, match="it cannot be evaluated"):
        dry_run(plan, (), lambda task, strategy: None)


def test_batch_size_and_candidates_may_be_a_strategy_s(write: Write) -> None:
    strategies = {
        "one": {"acquisition": "random"},
        "four": {"acquisition": "random", "rollouts_per_round": 4, "candidates": 12},
    }
    plan = load_plan(write(strategies=strategies, budget=9, reference="one"))
    one, four = (plan.configs["fake", name] for name in ("one", "four"))
    assert (one.rollouts_per_round, one.candidates, one.rounds) == (1, 4, 9)
    assert (four.rollouts_per_round, four.candidates, four.rounds) == (4, 12, 3)
    assert four.strategy == one.strategy and plan.reference == "one"
    assert plan.content()["strategies"]["four"]["rollouts_per_round"] == 4
    with pytest.raises(ConfigError, match="rollouts_per_round"):
        load_plan(write(strategies={"none": {"acquisition": "random", "rollouts_per_round": 0}}))
    with pytest.raises(ConfigError, match="reference: expected one of the strategies, one"):
        load_plan(write(strategies={"one": "random"}, reference="two"))
