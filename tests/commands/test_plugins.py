import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from robo_al.commands.plugins import FILES, GROUPS

Run = Callable[..., tuple[int, str, str]]


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, module: str, points: str) -> None:
    """Install a distribution of one module for this test: its entry points are real ones."""
    metadata = folder / "site" / "acme_parts-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "site" / "acme_parts.py").write_text(module)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-parts\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(points)
    monkeypatch.syspath_prepend(folder / "site")


def test_list_tells_everything_in_a_line_each(robo_al: Run) -> None:
    code, out, err = robo_al("list")
    assert (code, err) == (0, "")
    for group in (*GROUPS, *FILES):
        assert f"\n{group}\n" in f"\n{out}"
    lines = [line.partition("  ") for line in out.splitlines()]
    told = {name: text.strip() for name, _, text in lines}
    assert told["icem"] == "Plans by iCEM on the learned model."
    assert told["reacher_v5"].startswith("Reacher-v5: Gymnasium's arm")
    assert told["quick"].startswith("A first comparison")
    assert "not available" not in out and "no docstring" not in out


def test_what_cannot_be_imported_says_why(
    robo_al: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(
        tmp_path,
        monkeypatch,
        "class Silent: pass\n"
        "class Wrong:\n    'Annotated wrongly.'\n"
        "    def __init__(self, size: 'no.such.type'): ...\n",
        "[robo_al.models]\nsilent = acme_parts:Silent\nlost = acme_parts:Lost\n"
        "gone = acme_gone:Gone\n"
        "built_in = builtins:iter\nwrong = acme_parts:Wrong\n",
    )
    (tmp_path / "site" / "acme_gone.py").write_text("import a_library_that_nobody_has\n")
    code, out, err = robo_al("list", "models")
    assert (code, err) == (0, "")
    told = {line.split()[0]: line.partition("  ")[2].strip() for line in out.splitlines()}
    assert told["gp"].startswith("Independent Gaussian processes")
    assert told["silent"] == "(it has no docstring)"
    assert told["gone"].startswith("not available: models: 'gone' cannot be imported: ")
    assert "a_library_that_nobody_has" in told["gone"] and "line 1" in told["gone"]
    assert "has no 'Lost'" in told["lost"]
    assert told["built_in"].startswith("not available: <built-in function iter>")
    assert told["wrong"] == "Annotated wrongly."


def test_describe_tells_parameters_with_type_range_default_and_meaning(robo_al: Run) -> None:
    code, out, err = robo_al("describe", "icem")
    assert (code, err) == (0, "")
    assert out.startswith("policies: icem (robo_al_policies.icem:ICEM)\nPlans by iCEM on")
    assert "Pinneri et al. 2020" in out  # where it is from
    assert "  keep: number, 0 to 1, by default 0.3\n      fraction of the elites" in out
    assert "task:" not in out and max(map(len, out.splitlines())) <= 100


def test_describe_tells_of_a_name_in_several_groups(robo_al: Run) -> None:
    code, out, _ = robo_al("describe", "random")
    assert code == 0
    assert out.startswith("random is the name of 2 parts, in policies, acquisitions\n")
    assert "\npolicies: random (" in out and "\nacquisitions: random (" in out
    code, out, _ = robo_al("describe", "random", "--group", "acquisitions")
    assert code == 0 and out.startswith("acquisitions: random (") and "policies" not in out
    code, out, _ = robo_al("describe", "pendulum")
    assert "in envs, configs" in out and "rounds: 10" in out


def test_describe_takes_a_file_and_a_module(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "arm.py").write_text(
        "from robo_al.testing import FakePolicy\n"
        "class Plan(FakePolicy):\n"
        "    '''Plans as the lab does.\n\n    Args:\n        gain: of the plan.\n    '''\n"
        "    def __init__(self, task, device, gain: int = 3): ...\n"
        "class Thing: pass\n"
    )
    for spec in ("arm.py:Plan", "arm:Plan"):
        code, out, err = robo_al("describe", spec)
        assert (code, err) == (0, "")
        assert out.startswith(f"policies: {spec}\nPlans as the lab does.\n")
        assert "  gain: integer, by default 3\n      of the plan.\n" in out
    for spec, reason in (("arm.py:Thing", "--group"), ("arm.py:No", "'No'"), ("nix", "nix")):
        code, out, err = robo_al("describe", spec)
        assert (code, out, err.count("\n")) == (2, "", 1) and reason in err


UNLIMITED = """
import gymnasium, numpy as np
from gymnasium.spaces import Box, Discrete

class Choice(gymnasium.Env):
    observation_space, action_space, horizon = Box(-9, 9, (2,), np.float64), Discrete(3), 6

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2)
        return self.state.copy(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        self.state = self.state + 0.1 * (float(np.sum(action)) - 1)
        return self.state.copy(), -float(self.state @ self.state), False, False, {}

class Unbounded(Choice):
    action_space = Box(-np.inf, np.inf, (1,), np.float32)
"""


@pytest.mark.parametrize("env", ["lab.py:Choice", "lab.py:Unbounded"])
def test_what_a_configuration_says_of_an_env_counts_in_a_check(
    robo_al: Run, tmp_path: Path, env: str
) -> None:
    (tmp_path / "lab.py").write_text(UNLIMITED)
    code, _, err = robo_al("check", env)
    assert code == 2 and "action_limits: [-1, 1]" in err
    facts = ("--facts", '{"action_limits": [-1, 1]}')
    for words in ((env,), ("robo_al.testing:FakePolicy", "--env", env)):
        code, out, err = robo_al("check", *words, *facts)
        assert (code, err) == (0, "") and "keeps the contract of" in out


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ('{"rounds": 3}', "--facts: no 'rounds' is said of an env; it is horizon,"),
        ('{"horizon": 0}', "--facts: horizon: expected at least 1, given 0"),
    ],
)
def test_what_cannot_be_said_of_an_env_is_refused(robo_al: Run, facts: str, said: str) -> None:
    code, out, err = robo_al("check", "robo_al.testing:FakeEnv", "--facts", facts)
    assert (code, out) == (2, "") and said in err


def test_a_distributions_suite_has_tasks_by_name(
    robo_al: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = """
from robo_al.errors import PluginError
from robo_al_envs import Pendulum


def acme(name):
    def make(render_mode: str | None = None):
        '''Make a task of Acme.'''
        if name != "swing-up":
            raise PluginError(f"acme: there is no task {name!r}")
        return Pendulum(render_mode)

    return make
"""
    monkeypatch.delitem(sys.modules, "acme_parts", raising=False)  # of another test
    installed(tmp_path, monkeypatch, module, "[robo_al.suites]\nacme = acme_parts:acme\n")
    _, out, _ = robo_al("list", "envs")
    assert "acme:TASK" in out and "Make a task of Acme." in out
    code, out, _ = robo_al("describe", "acme:swing-up")
    assert code == 0 and "render_mode: text or null" in out
    code, out, _ = robo_al("check", "acme:swing-up")
    assert code == 0 and "keeps the contract of envs" in out
    assert robo_al("check", "acme:balance")[2] == "robo-al: acme: there is no task 'balance'\n"
    code, _, err = robo_al("check", "acme:swing-up", "--parameters", '{"speed": 1}')
    assert code == 2 and "speed: acme:swing-up has no such parameter" in err
