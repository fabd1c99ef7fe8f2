import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from robo_al.config import sources
from robo_al.config.components import Component
from robo_al.config.load import load_config
from robo_al.config.schema import Config
from robo_al.config.sources import shipped_configs
from robo_al.errors import ConfigError
from robo_al.types import Channel, EnvSpec

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def _write(text: str) -> Path:
        path = tmp_path / "config.yaml"
        path.write_text(text)
        return path

    return _write


def refusal(path: str | Path, overrides: Sequence[str] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_an_env_is_a_complete_configuration(write: Write) -> None:
    config = load_config(write("env: pendulum"))
    assert config.env == Component(name="pendulum")
    assert (config.policy.name, config.model.name) == ("icem", "gp")
    assert config.strategy.acquisition == Component(name="joint_information")
    assert config.strategy.selector == Component(name="greedy_joint")
    assert (config.oracle.name, config.explorer.name) == ("simulation", "random")


def test_the_selector_follows_what_the_acquisition_function_can_value(write: Write) -> None:
    config = load_config(write("env: pendulum\nstrategy: {acquisition: greedy_return}"))
    assert config.strategy.selector == Component(name="top_k")
    config = load_config(write("env: pendulum\nstrategy: top_k"))
    assert config.strategy.selector == Component(name="top_k")


@pytest.mark.parametrize("name", sorted(shipped_configs()))
def test_every_shipped_configuration_is_complete(name: str) -> None:
    by_name, by_path = load_config(name), load_config(shipped_configs()[name])
    assert by_name == by_path


def test_the_six_tasks_have_a_configuration() -> None:
    six = {"cartpole", "cartpole_swingup", "lava_path", "pendulum", "pendulum_penalty", "reacher"}
    assert six <= shipped_configs().keys()
    assert {load_config(name).env.name for name in six} == six


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping"),
        ("pendulum", "expected a mapping"),
        ("seed: 1", "env: missing, for example `env: pendulum`"),
        ("env: pendulun", "env: .*did you mean 'pendulum'"),
        ("env: pendulum\nsead: 1", "sead: unknown key; did you mean seed?"),
        ("env: pendulum\nzzz: 1", "zzz: unknown key; known: env, policy, "),
        ("env: pendulum\nevaluation: {start: 5}", "evaluation.start: .*mean evaluation.starts?"),
        ("env: pendulum\nevaluation: 5", "evaluation: expected .* mapping .*given 5"),
        ("env: pendulum\nseed: three", 'seed: expected an integer, given "three"'),
        ("env: pendulum\nseed: '3'", 'seed: expected an integer, given "3"'),
        ("env: pendulum\nseed: 1.0", "seed: expected an integer, given 1.0"),
        ("env: pendulum\nseed: true", "seed: expected an integer, given true"),
        ("env: pendulum\nseed: -1", "seed: expected at least 0, given -1"),
        ("env: pendulum\nrounds: 0", "rounds: expected at least 1, given 0"),
        ("env: pendulum\nrollout_steps: 0", "rollout_steps: expected at least 1, given 0"),
        ("env: pendulum\ninitial_rollouts: 0", "initial_rollouts: expected at least 1"),
        (
            "env: pendulum\ncandidates: 4\nrollouts_per_round: 5",
            "rollouts_per_round: expected at most the number of candidates, 4, given 5",
        ),
        ("env: pendulum\nrollouts_per_round: 17", "rollouts_per_round: .*, 16, given 17"),
        ("env: pendulum\npolicy: {name: sb3, hidden: 64}", "hidden: expected a list, given 64"),
        ("env: pendulum\npolicy: {name: sb3, hidden: []}", "hidden: .*list of at least 1, given"),
        ("env: pendulum\nevaluation: {starts: 0}", "evaluation.starts: expected at least 1"),
        ("env: pendulum\nstop_when_solved: no", 'stop_when_solved: .*true or false, given "no"'),
        ("env: pendulum\nloop: {queu: 1}", "loop.queu: unknown key; did you mean loop.queue?"),
        ("env: pendulum\ndevice: gpu", "device: expected 'auto', 'cpu' or 'cuda', given \"gpu\""),
        ("env: pendulum\nmodel: 3", "model: expected a name, or a mapping"),
        ("env: pendulum\nmodel: [gp]", "model: expected a name, or a mapping"),
        ("env: pendulum\nmodel: {samples: 3}", "model.name: missing"),
        ("env: pendulum\nmodel: {name: ''}", "model.name: "),
        ("env: pendulum\nmodel: gpp", "model: .*'gpp'.*gp"),
        ("env: pendulum\nmodel: {name: gp, sampels: 3}", "model.sampels: .*mean samples?"),
        ("env: pendulum\nmodel: {name: gp, samples: 2.5}", "model.samples: expected an integer"),
        ("env: pendulum\nmodel: {name: gp, samples: '3'}", "model.samples: expected an integer"),
        ("env: pendulum\nmodel: {name: gp, task: x}", "model.task: gp has no such parameter"),
        ("env: pendulum\npolicy: {name: random, beta: red}", "policy.beta: expected a number"),
        ("env: pendulum\npolicy: my/plan.py:Plan", "policy: .*my/plan.py"),
        ("env: nowhere.arm:Arm", "env: .*nowhere"),
        ("env: pendulum\nseed: 1\nseed: 2", "line 3, .*`seed` is given twice"),
        ("env: &a pendulum\nmodel: *a", "line 2, .*aliases"),
        ("env: [pendulum", "line 1"),
    ],
)
def test_bad_input_is_refused_in_one_line(write: Write, text: str, message: str) -> None:
    path = write(text)
    found = refusal(path)
    assert found.startswith(f"{path}: ")
    pattern = message.replace("?", r"\?")
    assert re.search(pattern, found), found
    assert len(found.splitlines()) == 1


def test_all_wrong_entries_are_told_at_once(write: Write) -> None:
    text = """
        env: pendulun
        evaluation: {start: 5, every: -1}
        seed: three
        model: {name: gp, sampels: 3, samples: 2.5}
        candidates: 4
        rollouts_per_round: 9
        devise: cpu
    """
    lines = refusal(write(text), ["--polisy.x", "1"]).splitlines()
    paths = {line.split(":")[0].strip() for line in lines[1:]}
    assert paths == {
        "env", "evaluation.start", "evaluation.every", "seed", "model.sampels", "model.samples",
        "rollouts_per_round", "devise", "--polisy.x 1",
    }  # fmt: skip


def test_a_file_that_does_not_exist_names_those_that_do() -> None:
    found = refusal("configs/pendulm.yaml")
    assert "did you mean pendulum?" in found and "cartpole_swingup" in found
    assert "lava_path" in refusal("nothing-like-it")


def test_a_folder_and_a_binary_are_no_configuration(tmp_path: Path) -> None:
    assert "no such configuration" in refusal(tmp_path)
    binary = tmp_path / "x.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    assert str(binary) in refusal(binary)


# ---------------------------------------------------------------- overrides


def test_overrides_are_yaml_values_at_a_path(write: Write) -> None:
    path = write("env: pendulum\nevaluation: {every: 2}")
    config = load_config(
        path, ["--seed", "3", "--evaluation.starts=5", "--device=cpu", "--rollout_steps", "null"]
    )
    assert (config.seed, config.device, config.rollout_steps) == (3, "cpu", None)
    assert (config.evaluation.starts, config.evaluation.every) == (5, 2)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["--policy", "random"], {}),
        (["--policy.name", "random"], {}),
        (["--policy.name", "icem"], {"samples": 50}),
        (["--policy.elites", "5"], {"samples": 50, "elites": 5}),
        (["--policy={name: icem, elites: 5}"], {"elites": 5}),
        # the name comes first, whatever the order
        (["--policy.beta", "0.5", "--policy.name", "random"], {"beta": 0.5}),
    ],
)
def test_another_name_drops_the_parameters_of_the_old(
    write: Write, overrides: list[str], expected: dict[str, object]
) -> None:
    config = load_config(write("env: pendulum\npolicy: {name: icem, samples: 50}"), overrides)
    assert config.policy.parameters == expected


@pytest.mark.parametrize("word", ["false", "False", "FALSE"])
def test_a_boolean_may_be_written_as_in_python(write: Write, word: str) -> None:
    path = write("env: pendulum")
    assert load_config(path, ["--stop_when_solved", word]).stop_when_solved is False
    assert load_config(write(f"env: pendulum\nstop_when_solved: {word}")).stop_when_solved is False


def test_a_parameter_of_a_default_component_can_be_given(write: Write) -> None:
    path = write("env: pendulum\nstrategy: {selector: null}")
    config = load_config(path, ["--model.samples", "4", "--strategy.selector.name", "top_k"])
    assert config.model == Component(name="gp", samples=4)
    assert config.strategy.selector == Component(name="top_k")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["--sead", "3"], "^--sead 3: unknown key; did you mean seed?"),
        (["--evaluation.start", "3"], "^--evaluation.start 3: .*did you mean evaluation.starts?"),
        (["--model.sampels=3"], "^--model.sampels=3: .*did you mean samples?"),
        (["--model={name: gp, samples: 0}"], "^--model={name: gp, samples: 0}: model.samples: "),
        (["--model.name", "gpp"], "^--model.name gpp: model: .*'gpp' is not known"),
        (["--strategy", "varianc"], "^--strategy varianc: strategy.acquisition: .*'variance'"),
        (["--stop_when_solved", "yes"], "^--stop_when_solved yes: expected .*true or false"),
        (["--candidates=two"], '^--candidates=two: expected an integer, given "two"'),
        (["--seed"], "--seed: no value"),
        (["--seed", "--rounds", "3"], "--seed: no value"),
        (["seed", "3"], "seed: expected an override such as --seed 3"),
        (["--", "3"], "expected an override"),
        (["--seed", "[1"], r"^--seed \[1: line 1"),
        (["--seed.x", "1"], "^--seed.x 1: seed is 0"),
        (["--rounds", "0"], "^--rounds 0: expected at least 1"),
    ],
)
def test_a_wrong_override_is_refused(write: Write, overrides: list[str], message: str) -> None:
    found = refusal(write("env: pendulum\nseed: 0"), overrides)
    assert re.search(message.replace("?", r"\?"), found), found


# ---------------------------------------------------------------- identity


def test_the_text_of_a_configuration_is_the_configuration(write: Write) -> None:
    config = load_config(
        write("env: pendulum\nmodel: {name: gp, samples: 4}"), ["--strategy", "variance"]
    )
    again = load_config(write(config.text()))
    assert again == config and again.sha256() == config.sha256()


def test_the_hash_depends_on_what_is_said_and_not_on_how(write: Write) -> None:
    one = load_config(write("env: pendulum\nseed: 1")).sha256()
    assert load_config(write("seed: 1 # comment\nenv: {name: pendulum}")).sha256() == one
    assert load_config(write("env: pendulum\nseed: 2")).sha256() != one


def test_an_installed_package_brings_its_own_configurations(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "robo_al"
    (package / "_configs").mkdir(parents=True)
    (package / "_configs" / "installed.yaml").write_text("env: pendulum")
    monkeypatch.setattr(sources, "__file__", str(package / "config" / "sources.py"))
    assert list(shipped_configs()) == ["installed"]
    assert load_config("installed").env.name == "pendulum"


def test_a_configuration_cannot_be_changed() -> None:
    config = Config(env=Component(name="pendulum"))
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1  # type: ignore[misc]


# ---------------------------------------------------------------- strategies


@pytest.mark.parametrize(
    ("text", "acquisition", "selector"),
    [
        ("variance", "variance", "top_k"),
        ("joint_information", "joint_information", "greedy_joint"),
        ("lcmd", None, "lcmd"),
        ("kmeans++", None, "kmeans++"),
        ("stochastic", "joint_information", "stochastic"),
        ("random", "random", "top_k"),  # also a policy; here an acquisition function
        ("{acquisition: target_information, selector: top_k}", "target_information", "top_k"),
        ("robo_al.acquisition.select:TopK", "joint_information", "robo_al.acquisition.select:TopK"),
        ("robo_al.testing:FakeAcquisition", "robo_al.testing:FakeAcquisition", "greedy_joint"),
    ],
)
def test_a_strategy_is_named_by_its_acquisition_function_or_its_selector(
    write: Write, text: str, acquisition: str | None, selector: str
) -> None:
    strategy = load_config(write(f"env: pendulum\nstrategy: {text}")).strategy
    assert (strategy.acquisition and strategy.acquisition.name) == acquisition
    assert strategy.selector is not None and strategy.selector.name == selector


def test_a_whole_strategy_can_be_written(write: Write) -> None:
    path = write(
        "env: lava_path\n"
        "strategy: {acquisition: target_information, selector: greedy_joint,\n"
        "  cost: {name: seconds, reset: 5}, constraint: {delta: 0.05, total: 0.1}}"
    )
    strategy = load_config(path, ["--strategy.cost.budget", "60"]).strategy
    assert strategy.cost == Component(name="seconds", reset=5, budget=60)
    assert strategy.constraint is not None
    assert (strategy.constraint.delta, strategy.constraint.total) == (0.05, 0.1)
    assert strategy.short_name == "target_information+per_seconds+constrained"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("jont_information", "strategy.acquisition: .*did you mean 'joint_information'"),
        ("{selector: topk}", "strategy.selector: .*did you mean 'top_k'"),
        ("{acquisition: variance, selector: lcmd}", "strategy.acquisition: selector lcmd does not"),
        ("{aquisition: variance}", "strategy.aquisition: unknown key.*strategy.acquisition"),
        ("{cost: minutes}", "strategy.cost: .*'minutes' is not known"),
        ("{cost: {name: seconds, bugdet: 3}}", "strategy.cost.bugdet: .*did you mean budget"),
        ("{constraint: {delta: 2}}", "strategy.constraint.delta: expected less than 1, given 2"),
        ("{constraint: {delt: 0.1}}", "strategy.constraint.delt: unknown key"),
        ("{constraint: {total: 0.1}}", "strategy.constraint.delta: missing"),
        ("[variance]", "strategy: expected a name, or a mapping"),
    ],
)
def test_a_wrong_strategy_is_refused(write: Write, text: str, message: str) -> None:
    found = refusal(write(f"env: pendulum\nstrategy: {text}"))
    assert re.search(message, found), found


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("action_limits: [-1, 0.5]", [[-1.0, 0.5]]),
        ("action_limits: [[-1, 1], [0, 2]]", [[-1.0, 1.0], [0.0, 2.0]]),
        ("action_limits: null", None),
    ],
)
def test_limits_are_a_pair_for_all_actions_or_one_for_each(write, text, limits) -> None:
    config = load_config(write(f"env: pendulum\n{text}"))
    assert config.action_limits == limits
    assert load_config(write(config.text())) == config
    assert load_config(write("env: pendulum"), ["--action_limits", "[-2, 2]"]).action_limits == [
        [-2.0, 2.0]
    ]


def test_channels_are_names_with_a_unit_and_a_kind_if_they_have_one(write) -> None:
    config = load_config(
        write("env: pendulum\nchannels: [x, {name: angle, unit: rad, kind: angle}]")
    )
    assert EnvSpec.in_config(config.model_dump()).facts.channels == (
        Channel("x", "1"),
        Channel("angle", "rad", "angle"),
    )
    assert load_config(write(config.text())) == config


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("action_limits: [1, -1]", "action_limits: expected a pair of numbers"),
        ("action_limits: [[-1, 1], [0]]", "action_limits: expected a pair of numbers"),
        ("action_limits: [low, high]", "action_limits: expected a pair of numbers"),
        ("action_limits: [true, 1]", "action_limits: expected a pair of numbers"),
        ("action_limits: []", "action_limits: expected a pair of numbers"),
        ("channels: x", "channels: expected a list"),
        ("channels: []", "channels: expected"),
        ("channels: [{unit: m}]", "channels.0.name: missing"),
        ("channels: [{name: x, knd: angle}]", "channels.0.knd: unknown key; did you mean chan"),
        ("channels: [{name: x, kind: round}]", "channels.0.kind: expected 'linear'"),
        ("control_period: 0", "control_period: expected greater than 0"),
        (
            "encoder: {name: my/none.py:Enc}",
            "encoder: encoders: 'my/none.py:Enc': there is no file",
        ),
        (
            "encoder: {name: robo_al.encoding.downscale:Downscale, size: 0, seize: 3}",
            "encoder.size: expected at least 1",
        ),
        (
            "encoder: {name: robo_al.encoding.downscale:Downscale, seize: 3}",
            "encoder.seize: .* has no such parameter; did you mean size",
        ),
    ],
)
def test_what_is_wrong_of_an_env_s_facts_is_told(write, text: str, said: str) -> None:
    assert re.search(said, refusal(write(f"env: pendulum\n{text}")))
