import json
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from forked import Forked, finished

from robo_al.dataset.view import RunView
from robo_al.report.summary import summarise

Run = Callable[..., tuple[int, str, str]]


def program(*arguments: str | Path, folder: Path | None = None) -> tuple[int, str, str]:
    """Run a program to its end: exit code, standard output, standard error."""
    done = subprocess.run(arguments, cwd=folder, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts)


# ---------------------------------------------------------------- light


def test_help_loads_nothing_heavy() -> None:
    script = """
import sys
import robo_al
from robo_al.cli import main
try:
    main(["--help"])
except SystemExit as end:
    assert end.code == 0
heavy = {"torch", "mujoco", "numpy", "scipy", "gymnasium", "pydantic", "rich", "yaml", "pyarrow"}
assert not heavy & set(sys.modules), heavy & set(sys.modules)
"""
    code, out, err = program(sys.executable, "-c", script)
    assert code == 0, err
    for command in ("run", "resume", "show", "list", "check"):
        assert command in out


def test_show_loads_neither_torch_nor_mujoco(robo_al: Run, tmp_path: Path) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here")[0] == 0
    script = """
import sys
from robo_al.cli import main
assert main(["show", "here"]) == 0 and main(["show", "here", "--json"]) == 0
assert not {"torch", "mujoco"} & set(sys.modules)
"""
    code, _, err = program(sys.executable, "-c", script, folder=tmp_path)
    assert code == 0, err


# ---------------------------------------------------------------- run, show, resume


def test_a_run_ends_by_what_was_learned(robo_al: Run, tmp_path: Path) -> None:
    code, out, err = robo_al("run", "fake.yaml", "--seed", "3", "--strategy=variance")
    folder = tmp_path / "runs" / "fake-variance-seed3-1"
    assert (code, err) == (0, "")
    last = out.splitlines()[-2:]
    assert "2 rollouts and 20 transitions" in last[0]
    assert last[1] == f"report: {folder.relative_to(tmp_path)}/report.html"
    assert "round 1/2" in out and "round 2/2" in out
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "ledger.sqlite", "episodes", "metrics.jsonl", "report.html"} <= names

    code, out, _ = robo_al("show", str(folder), "--json")
    shown = json.loads(out)
    assert code == 0 and shown == summarise(RunView(folder))
    assert (shown["task"], shown["seed"]) == ("robo_al.testing:FakeEnv", 3)
    assert shown["strategy"] == "variance+top_k"

    code, out, _ = robo_al("show", str(folder))
    assert code == 0
    assert all(word in out for word in ("variance+top_k", "2 of 2", "2 rollouts", "mean return"))
    assert max(map(len, out.splitlines())) <= 80


def test_the_configuration_may_come_after_the_overrides(robo_al: Run, tmp_path: Path) -> None:
    arguments = ("run", "--seed", "3", "--stop_when_solved", "False", "fake.yaml", "--out", "here")
    assert robo_al(*arguments)[0] == 0
    written = (tmp_path / "here" / "config.yaml").read_text()
    assert "seed: 3\n" in written and "stop_when_solved: false\n" in written


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "cartpole", "--out", "full"],
        ["run", "cartpole", "--out", "full/notes.txt"],
        ["run", "cartpole", "--out", "/proc/run"],
        ["compare", "quick", "--out", "full"],
        ["compare", "quick", "--resume", "--out", "full"],
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_before_anything_heavy_is_loaded(
    tmp_path: Path, arguments: list[str]
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    script = f"""
import sys
from robo_al.cli import main
assert main({arguments}) == 2
assert not {{"torch", "mujoco", "gymnasium", "scipy", "pyarrow"}} & set(sys.modules)
"""
    code, _, err = program(sys.executable, "-c", script, folder=tmp_path)
    assert code == 0, err
    assert err.startswith("robo-al: ") and len(err.splitlines()) == 1


def test_each_run_gets_a_folder_of_its_own(robo_al: Run, tmp_path: Path) -> None:
    arguments = ("run", "fake.yaml", "--rounds", "1", "--evaluation.every", "0")
    assert [robo_al(*arguments)[0] for _ in range(2)] == [0, 0]
    names = [path.name for path in sorted((tmp_path / "runs").iterdir())]
    assert names == ["fake-joint_information-seed0-1", "fake-joint_information-seed0-2"]


def test_a_finished_run_resumed_changes_nothing(robo_al: Run, tmp_path: Path) -> None:
    assert robo_al("run", "fake.yaml", "--out", "here")[0] == 0
    before = summarise(RunView(tmp_path / "here"))
    code, out, err = robo_al("resume", "here")
    assert (code, err) == (0, "") and "report: here/report.html" in out
    assert summarise(RunView(tmp_path / "here")) == before


def test_ctrl_c_stops_and_says_how_to_go_on(robo_al: Run, tmp_path: Path) -> None:
    command = ["robo_al.cli", "run", "fake.yaml", "--out", "here"]
    with Forked(*command, "--rounds", "40", "--stop_when_solved", "false") as process:
        for line in process.stdout:
            if line.startswith("round 2/"):
                break
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err == "robo-al: stopped; go on with: robo-al resume here\n"
    stopped = summarise(RunView(tmp_path / "here"))
    assert 2 <= stopped["rounds"] < 40
    assert robo_al("resume", "here")[0] == 0
    assert summarise(RunView(tmp_path / "here"))["rollouts"] == 40


def test_a_second_process_is_refused(robo_al: Run, tmp_path: Path) -> None:
    from robo_al.build import create_campaign
    from robo_al.config.load import load_config

    with create_campaign(load_config("fake.yaml"), "here"):
        code, _, err = robo_al("resume", "here")
        assert code == 2 and "in use by another process" in err
        assert robo_al("show", "here")[0] == 0


# ---------------------------------------------------------------- bad input


MISFITS = """
import gymnasium
from robo_al.testing import FakeEnv, FakeModel

class Silent(gymnasium.Env):
    "A task of which nobody knows the reward as a function."
    horizon = 10

    def __init__(self):
        self.fake = FakeEnv()
        self.observation_space = self.fake.observation_space
        self.action_space = self.fake.action_space
        self.reset, self.step, self.dynamics = self.fake.reset, self.fake.step, self.fake.dynamics

class Forgetful:
    "A model without a covariance."
    def __init__(self, task, device):
        self._model = FakeModel(task, device)
        self.fit, self.predict, self.step = self._model.fit, self._model.predict, self._model.step
        self.members = self._model.members
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "fake.yaml", "--sead", "3"], "--sead 3: unknown key; did you mean seed?"),
        (["run", "--seed=three", "fake.yaml"], "robo-al: --seed=three: expected an integer"),
        (["run", "fake.yaml", "--rollout_steps", "0"], "rollout_steps 0: expected at least 1"),
        (["run", "fake.yaml", "--imagination_members", "9"], "at most, the members .*given 9"),
        (["run"], "no configuration is given; for example"),
        (["resume"], "no run folder is given; for example: robo-al resume"),
        (["resume", "--rounds", "a_run"], "a_run is the value of --rounds"),
        (["run", "--seed", "fake.yaml"], "fake.yaml is the value of --seed"),
        (["run", "fake.yaml", "--out", "fake.yaml/run"], "fake.yaml: not a folder"),
        (["run", "fake.yaml", "--out", "/proc/run"], "/proc/run: cannot be written"),
        (["compare", "quick", "--out", "full"], "full: not empty"),
        (["compare", "quick", "--out", "fake.yaml"], "fake.yaml: not a folder"),
        (["compare", "quick", "--out", "/proc/run"], "/proc/run: cannot be written"),
        (["compare", "quick", "--resume", "--out", "full"], "full: no comparison here"),
        (["compare", "quick", "--resume", "--out", "a_run"], "this is a run, not a comparison"),
        (["resume", "compared"], "compared: this is a comparison, not a run"),
        (["show", "compared"], "compared: this is a comparison, not a run"),
        (["inbox", "compared"], "compared: this is a comparison, not a run"),
        (["run", "fake.yaml", "--rollouts_per_round", "5"], "at most the number of candidates, 4"),
        (["run", "fake.yaml", "--model.sise", "3"], "--model.sise 3: "),
        (["run", "fake.yaml", "--env", "pendulun"], "did you mean 'pendulum'?"),
        (["run", "fake.yaml", "--env", "gymnasium:HalfChetah-v5"], "HalfCheetah"),
        (["run", "fake.yaml", "--policy", "parts.py:Plan"], "parts.py"),
        (["run", "fake.yaml", "seed"], "seed: expected an override"),
        (["run", "fake.yml"], "fake.yml: no such configuration"),
        (["run", "fake.yaml", "--out", "full"], "full: not empty"),
        (["run", "fake.yaml", "--out", "fake.yaml"], "fake.yaml: not a folder"),
        (["run", "fake.yaml", "--env", "parts.py:Silent", "--model", "true_dynamics"], "reward"),
        (["run", "fake.yaml", "--model", "parts.py:Forgetful"], "`covariance`"),
        (
            [
                "run",
                "fake.yaml",
                "--strategy.acquisition",
                "greedy_return",
                "--strategy.selector",
                "greedy_joint",
            ],
            "joint",
        ),
        (["resume", "full"], "full: no run here"),
        (["resume", "nothing"], "nothing: no run here"),
        (["show", "full"], "full: no run here"),
        (["show", "fake.yaml"], "fake.yaml: no run here"),
        (["show", "old"], "another version|format 99"),
        (["resume", "old"], "another version|format 99"),
        (["check", "nonesuch"], "'nonesuch' is not installed"),
        (["check", "parts.py:Nonesuch"], "Nonesuch"),
        (["list", "envs", "--json"], "unknown arguments: --json"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    robo_al: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    (tmp_path / "parts.py").write_text(MISFITS)
    for folder, name in (("a_run", "config.yaml"), ("compared", "comparison.yaml")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).touch()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "config.yaml").write_text("nothing: known")
    with sqlite3.connect(tmp_path / "old" / "ledger.sqlite") as ledger:
        ledger.execute("PRAGMA user_version=99")
    ledger.close()
    before = files(tmp_path)
    code, out, err = robo_al(*arguments)
    assert code == 2 and len(out.splitlines()) <= 1  # what is done first
    assert err.startswith("robo-al: ") and len(err.splitlines()) == 1, err
    assert re.search(message.replace("?", r"\?"), err), err
    assert files(tmp_path) == before


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--out"], ["list", "robots"], ["show"]])
def test_wrong_usage_exits_with_2(robo_al: Run, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        robo_al(*arguments)
    assert end.value.code == 2


# ---------------------------------------------------------------- list and check


def test_check_finds_out_what_a_plugin_is(robo_al: Run) -> None:
    code, out, err = robo_al("check", "random")  # a policy and an acquisition function
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "random keeps the contract of policies",
        "  tried: propose",
        "random keeps the contract of acquisitions",
        "  tried: __call__",
    ]
    for name, group in (
        ("FakeEnv", "envs"),
        ("FakePolicy", "policies"),
        ("FakeModel", "models"),
        ("FakeAcquisition", "acquisitions"),
        ("FakeOracle", "oracles"),
    ):
        spec = f"robo_al.testing:{name}"
        code, out, err = robo_al("check", spec, "--env", "robo_al.testing:FakeEnv")
        assert (code, err) == (0, "")
        assert out.startswith(f"{spec} keeps the contract of {group}")
        assert "\n  tried: " in out
    assert "contract of selectors" in robo_al("check", "robo_al.acquisition.select:TopK")[1]


def test_check_knows_an_env_and_a_function_that_returns_one(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "wrapped.py").write_text(
        "import gymnasium\n"
        "from robo_al.testing import FakeEnv, FakePolicy\n"
        "class Fitted(FakeEnv):\n"
        "    def fit(self): pass\n"
        "    def propose(self): pass\n"
        "class Reusing(FakeEnv):\n"
        "    def step(self, action):\n"
        "        self.seen = getattr(self, 'seen', self._state * 0)\n"
        "        self.seen[:], *rest = super().step(action)\n"
        "        return self.seen, *rest\n"
        "def make(low=-2.0):\n"
        "    return gymnasium.wrappers.RescaleAction(FakeEnv(), low, 2.0)\n"
        "def plan(task, device):\n"
        "    return FakePolicy(task)\n"
    )
    for name in ("Fitted", "make"):
        code, out, err = robo_al("check", f"wrapped.py:{name}")
        assert (code, err) == (0, "")
        # the fake's goal is constant in a rollout, which it says where it is not wrapped
        notes = [line for line in out.splitlines() if line.startswith("note")]
        assert all("kind: constant" in note for note in notes)
        assert f"wrapped.py:{name} keeps the contract of envs" in out
    code, out, _ = robo_al("check", "wrapped.py:Reusing")
    note, kept, *_ = out.splitlines()
    assert code == 0 and kept.startswith("wrapped.py:Reusing keeps the contract of envs")
    assert note.startswith("note: Reusing.step returned an array that a later call changes")
    code, _, err = robo_al("check", "wrapped.py:plan")
    assert code == 2 and "--group" in err


def test_check_names_the_method_that_breaks_a_contract(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(
        "from robo_al.testing import FakePolicy\n"
        "class Plan(FakePolicy):\n"
        "    def propose(self, n, contexts, horizon, model, rng):\n"
        "        return super().propose(n + 1, contexts, horizon, model, rng)\n"
        "class Thing: pass\n"
    )
    code, out, err = robo_al("check", "broken.py:Plan")
    assert (code, out) == (2, "")
    assert "Plan.propose: 4 candidates, not n = 3" in err
    code, _, err = robo_al("check", "broken.py:Thing")
    assert code == 2 and "--group" in err
    code, _, err = robo_al("check", "broken.py:Thing", "--group", "envs")
    assert code == 2 and "Thing" in err


def test_an_oracle_that_was_not_executed_is_told_as_such(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "bench.py").write_text(
        "class Bench:\n"
        "    capacity = 1\n"
        "    def __init__(self, env): self.robot = object()\n"
        "    def submit(self, candidate): self.robot.move(candidate)\n"
        "    def poll(self, timeout=None): return []\n"
        "    def close(self): pass\n"
    )
    code, out, err = robo_al("check", "bench.py:Bench")
    assert (code, err) == (0, "")
    first, tried, left = out.splitlines()
    assert first == "bench.py:Bench keeps the contract of oracles, as far as it was tried"
    assert tried == "  tried: capacity, close"
    assert left.startswith("  not tried: submit, poll: nothing was executed") and "--exec" in left
    code, out, err = robo_al("check", "bench.py:Bench", "--execute")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "Bench.submit: raised AttributeError" in err and "bench.py, line 4" in err


# ---------------------------------------------------------------- a lab's own parts


ARM = """
from robo_al.testing import FakeEnv, FakeOracle

class Arm(FakeEnv):
    def __init__(self, stiffness: float = 1.0):
        super().__init__()

class Bench(FakeOracle):
    def __init__(self, env):
        super().__init__()
        self.env = env
"""
PLAN = """
from robo_al.testing import FakeAcquisition, FakeModel, FakePolicy

class Plan(FakePolicy):
    def __init__(self, task, device, gain: int):
        super().__init__(task, device, streamed=True)

class Learner(FakeModel):
    pass

class Curious(FakeAcquisition):
    pass
"""


def lab(folder: Path) -> None:
    """Make a lab's folders: none of them is a package."""
    for name, text in (("my/arm.py", ARM), ("mylab/plan.py", PLAN)):
        path = folder / name
        path.parent.mkdir()
        path.write_text(text)


def test_a_labs_own_parts_need_no_packaging(tmp_path: Path) -> None:
    lab(tmp_path)
    (tmp_path / "lab.yaml").write_text("""
        env: {name: my/arm.py:Arm, stiffness: 2}
        policy: {name: mylab.plan:Plan, gain: 3}
        explorer: robo_al.testing:FakePolicy
        model: mylab.plan:Learner
        strategy: mylab.plan:Curious
        oracle: my/arm.py:Bench
        candidates: 4
        contexts: 2
        rounds: 2
        evaluation: {starts: 2}
    """)
    robo_al = Path(sys.executable).with_name("robo-al")
    code, _, err = program(robo_al, "run", "lab.yaml", "--out", "here", folder=tmp_path)
    assert (code, err) == (0, "")
    shown = summarise(RunView(tmp_path / "here"))
    assert shown["task"] == "my/arm.py:Arm(stiffness=2)"
    assert shown["strategy"].startswith("mylab.plan:Curious+")
    assert shown["rollouts"] == 2 and len(shown["evaluations"]) == 2
    # and again, from another opening
    done = finished("robo_al.cli", "resume", "here", folder=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


LAB_CONFIG = """
env: {name: my/arm.py:Arm, stiffness: 2}
policy: {name: mylab.plan:Plan, gain: 3}
explorer: robo_al.testing:FakePolicy
model: mylab.plan:Learner
strategy: mylab.plan:Curious
oracle: {name: my/arm.py:Bench, calibration: my/calibration.txt}
candidates: 4
contexts: 2
rounds: 20
evaluation: {starts: 2}
stop_when_solved: False
"""
BENCH = """
class Bench(FakeOracle):
    def __init__(self, env, calibration: str):
        super().__init__()
        self.offset = float(open(calibration).read())
"""


def a_lab_and_another_folder(tmp_path: Path) -> tuple[Path, Path]:
    """Make a lab's folder, and another with files of the same names that cannot be loaded."""
    here, there = tmp_path / "lab", tmp_path / "elsewhere"
    for folder in (here, there):
        folder.mkdir()
        lab(folder)
    with (here / "my" / "arm.py").open("a") as file:
        file.write(BENCH)
    (here / "my" / "calibration.txt").write_text("0.5")
    (here / "lab.yaml").write_text(LAB_CONFIG)
    for name in ("my/arm.py", "mylab/plan.py"):
        (there / name).write_text("raise ValueError('the wrong file')")
    return here, there


@pytest.mark.proof
@pytest.mark.parametrize("command", [["robo-al"], ["python", "-m", "robo_al.cli"]])
def test_a_run_goes_on_from_any_folder(tmp_path: Path, command: list[str]) -> None:
    here, there = a_lab_and_another_folder(tmp_path)
    command = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    code, _, err = program(*command, "run", "lab.yaml", "--rounds", "2", "--out", "x", folder=here)
    assert (code, err) == (0, "")
    assert (here / "x" / "started_in.txt").read_text() == f"{here}\n"
    written = here / "x" / "config.yaml"
    written.write_text(written.read_text().replace("rounds: 2", "rounds: 3"))
    code, out, err = program(*command, "resume", "../lab/x", folder=there)
    assert (code, err) == (0, "")
    assert out.splitlines()[1:4] == [
        f"goes on in {here}, where it was started",
        f"{there}/my/arm.py is another file than {here}/my/arm.py, and not used",
        f"{there}/mylab/plan.py is another file than {here}/mylab/plan.py, and not used",
    ]
    assert f"report: {here}/x/report.html" in out
    assert summarise(RunView(here / "x"))["rollouts"] == 3
    code, out, err = program(*command, "resume", "x", folder=here)  # and says nothing needless
    assert (code, err) == (0, "") and "goes on in" not in out


@pytest.mark.proof
def test_a_run_whose_start_is_gone_goes_on_from_where_its_files_are(tmp_path: Path) -> None:
    here, there = a_lab_and_another_folder(tmp_path)
    robo_al = Path(sys.executable).with_name("robo-al")
    code, _, err = program(robo_al, "run", "lab.yaml", "--rounds=1", "--out", "x", folder=here)
    assert (code, err) == (0, "")
    moved = here.rename(tmp_path / "moved")
    code, out, err = program(robo_al, "resume", "x", folder=moved)
    assert (code, err) == (0, "") and f"{here}, where it was started, is gone" in out
    code, out, err = program(robo_al, "resume", "../moved/x", folder=there)
    assert code == 2 and f"{here}, where it was started, is gone" in out
    assert "the wrong file" in err and "Traceback" not in err


def test_a_part_may_be_named_by_an_absolute_path_or_the_home_folder(
    robo_al: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, _ = a_lab_and_another_folder(tmp_path)
    monkeypatch.setenv("HOME", str(here))
    for number, spec in enumerate([f"{here}/my/arm.py:Arm", "~/my/arm.py:Arm"]):
        out = ("--out", f"run-{number}")
        code, _, err = robo_al("run", "fake.yaml", "--env", spec, "--rounds", "1", *out)
        assert (code, err) == (0, "")


def test_an_entry_point_is_a_name(
    robo_al: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    metadata = site / "acme_arm-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "acme_arm.py").write_text(ARM)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-arm\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[robo_al.envs]\nacme = acme_arm:Arm\n")
    monkeypatch.syspath_prepend(site)
    code, out, _ = robo_al("list", "envs")
    assert code == 0 and "acme" in [line.split()[0] for line in out.splitlines()]
    code, out, err = robo_al("run", "fake.yaml", "--env", "acme", "--rounds", "1", "--out", "here")
    assert (code, err) == (0, "")
    assert summarise(RunView(tmp_path / "here"))["task"] == "acme"
    code, _, err = robo_al("run", "fake.yaml", "--env", "acne", "--out", "there")
    assert code == 2 and "did you mean 'acme'?" in err


def test_an_exception_of_a_plugin_is_told_with_its_place(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "slow_fuse.py").write_text(
        "from robo_al.testing import FakeOracle\n"
        "class Fuse(FakeOracle):\n"
        "    polls = 0\n"
        "    def poll(self, timeout=None):\n"
        "        Fuse.polls += 1\n"
        "        if Fuse.polls == 8:\n"
        "            raise ValueError('the fuse has blown')\n"
        "        return super().poll(timeout)\n"
    )
    code, out, err = robo_al(
        "run", "fake.yaml", "--oracle", "slow_fuse.py:Fuse", "--rounds", "20", "--out", "here"
    )
    assert code == 1 and "Traceback" not in err
    assert err.count("\n") == 1 and "ValueError: the fuse has blown" in err
    assert f"{tmp_path / 'slow_fuse.py'}, line 7" in err
    assert robo_al("show", "here")[0] == 0  # the record is whole
    assert robo_al("resume", "here")[0] == 0
    assert summarise(RunView(tmp_path / "here"))["rollouts"] == 20


def test_the_program_is_installed() -> None:
    code, out, _ = program(Path(sys.executable).with_name("robo-al"), "--version")
    assert code == 0 and out.startswith("robo-al 0.")


# ---------------------------------------------------------------- compare

TASKS = "tasks: [fake.yaml]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{TASKS}\nstrategies: [randm]\nseeds: 2\nbudget: 3", "did you mean 'random'"),
        (f"{TASKS}\nstrategies: [random]\nseeds: []\nbudget: 3", "seeds: expected how many"),
        (f"{TASKS}\nstrategies: [random]\nseeds: 2\nbudget: 1", "budget: 1 rollouts"),
        (f"{TASKS}\nstrategies: [random]\nseeds: 2\nbudgit: 3", "did you mean budget?"),
        ("tasks: [gone.yaml]\nstrategies: [random]\nseeds: 2\nbudget: 3", "gone"),
    ],
)
def test_compare_refuses_what_cannot_be_in_a_line(
    robo_al: Run, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "comparison.yaml").write_text(text)
    before = files(tmp_path)
    code, out, err = robo_al("compare", "comparison.yaml", "--out", "out")
    assert code == 2 and len(out.splitlines()) <= 1 and message in err, err
    assert "Traceback" not in err and files(tmp_path) == before


@pytest.mark.proof
def test_a_comparison_finds_files_beside_its_plan_and_goes_on_from_any_folder(
    tmp_path: Path,
) -> None:
    here, there = a_lab_and_another_folder(tmp_path)
    (here / "plans" / "configs").mkdir(parents=True)
    (here / "lab.yaml").rename(here / "plans" / "configs" / "lab.yaml")
    plan = "tasks: {arm: {config: configs/lab.yaml, threshold: 0}}\nstrategies: [random]\n"
    (here / "plans" / "plan.yaml").write_text(f"{plan}seeds: 1\nbudget: 2\n")
    robo_al, out = Path(sys.executable).with_name("robo-al"), ("--out", "../lab/out")
    arguments = ("compare", "../lab/plans/plan.yaml", "--jobs", "1", *out)
    code, _, err = program(robo_al, *arguments, folder=here)
    assert code == 0, err
    (here / "plans" / "plan.yaml").write_text(f"{plan}seeds: 2\nbudget: 2\n")
    code, shown, err = program(robo_al, *arguments, "--resume", folder=there)
    assert code == 0, err
    assert f"goes on in {here}, where it was started" in shown
    assert f"{there}/my/arm.py is another file" in shown
    assert (here / "out" / "runs" / "arm" / "random" / "seed-1" / "config.yaml").is_file()


def test_compare_goes_on_only_where_it_is_asked_to(robo_al: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    (tmp_path / "comparison.yaml").write_text(f"{TASKS}\nstrategies: [random]\nseeds: 1\nbudget: 2")
    code, _, err = robo_al("compare", "comparison.yaml", "--out", "out")
    assert code == 2 and "not empty (it has notes.txt); give a new folder" in err
    code, _, err = robo_al("compare", "nothing.yaml")
    assert code == 2 and "give a YAML file or one of benchmark, first, quick" in err
    code, _, err = robo_al("compare", "comparison.yaml", "--jobs", "0")
    assert code == 2 and "at least 1 process" in err
