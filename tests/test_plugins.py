import os
import subprocess
import sys

import gymnasium
import mujoco
import pytest

from robo_al import plugins
from robo_al.errors import PluginError
from robo_al.plugins import known, load, make_env, render_offscreen
from robo_al.types import EnvSpec
from robo_al_envs import Pendulum

ARM = """
from dataclasses import dataclass
from robo_al_envs import Pendulum

@dataclass
class Part:
    size: int = 1

class Arm(Pendulum):
    def __init__(self, weight: float = 1.0, render_mode=None):
        if weight < 0:
            raise ValueError("a weight below zero")
        super().__init__(render_mode)
        self.weight = weight

number = 7
"""


REGISTERING = """
import gymnasium
from robo_al_envs import Pendulum


def weld():
    raise ValueError("11 numbers are not 12")


for name, entry in (("Arm", Pendulum), ("Bad", "no_such_part:Env"), ("Weld", weld)):
    if f"mylab/{name}-v0" not in gymnasium.registry:
        gymnasium.register(f"mylab/{name}-v0", entry, max_episode_steps=7)
"""


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """A folder that is no package, with a lab's own parts; where the program was started."""
    (tmp_path / "my").mkdir()
    (tmp_path / "my" / "arm.py").write_text(ARM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def test_a_name_is_an_entry_point():
    assert load("envs", "pendulum") is Pendulum
    assert known("envs")["pendulum"] == "robo_al_envs.pendulum:Pendulum"


def test_known_names_are_sorted_and_of_their_group():
    assert list(known("envs")) == sorted(known("envs"))
    assert "pendulum" not in known("policies")


def test_an_unknown_name_says_which_are_known_and_the_nearest():
    with pytest.raises(PluginError) as caught:
        load("envs", "pendulun")
    message = str(caught.value)
    assert "envs" in message and "'pendulun'" in message
    assert "lava_path" in message and "did you mean 'pendulum'" in message


def test_a_file_needs_no_packaging(lab):
    arm = load("envs", "my/arm.py:Arm")
    assert arm(weight=2.0).weight == 2.0
    assert load("envs", "my/arm.py:Arm") is arm
    assert load("envs", f"{lab}/my/arm.py:Arm") is arm
    assert load("envs", "my/arm.py:Part")().size == 1


def test_a_files_private_name_is_the_same_in_every_process(lab):
    code = "from robo_al.plugins import load; print(load('envs', 'my/arm.py:Arm').__module__)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == load("envs", "my/arm.py:Arm").__module__


def test_two_files_of_one_name_are_two_modules(lab):
    (lab / "arm.py").write_text("class Arm:\n    pass\n")
    assert load("envs", "arm.py:Arm") is not load("envs", "my/arm.py:Arm")


def test_a_module_is_found_from_the_folder_of_the_program(lab):
    (lab / "mylab_found").mkdir()
    (lab / "mylab_found" / "plan.py").write_text("class Plan:\n    pass\n")
    assert load("policies", "mylab_found.plan:Plan").__name__ == "Plan"


@pytest.mark.parametrize(
    ("source", "spec", "parts"),
    [
        (None, "my/leg.py:Leg", ["no file", "leg.py"]),
        (None, "nowhere.leg:Leg", ["no module 'nowhere'"]),
        ("", "leg.py:Leg", ["has no 'Leg'", "leg.py"]),
        ("class Legs:\n    pass\n", "leg.py:Leg", ["did you mean 'Legs'"]),
        ("x = 1\ny = 1 / 0\n", "leg.py:Leg", ["ZeroDivisionError", "leg.py, line 2"]),
        ("x = 1\ny = (\n", "leg.py:Leg", ["SyntaxError", "leg.py, line 2"]),
        ("\nimport no_such_library\n", "leg.py:Leg", ["no_such_library", "leg.py, line 2"]),
        ("\nraise SystemExit(3)\n", "leg.py:Leg", ["SystemExit", "leg.py, line 2"]),
        ("Leg = 3\n", "leg.py:Leg", ["no class but 3"]),
    ],
)
def test_what_cannot_be_loaded_is_one_line_with_the_reason_and_the_place(lab, source, spec, parts):
    if source is not None:
        (lab / "leg.py").write_text(source)
    with pytest.raises(PluginError) as caught:
        load("envs", spec)
    message = str(caught.value)
    assert "\n" not in message and repr(spec) in message
    assert all(part in message for part in parts), message


def test_a_module_that_imports_what_is_missing_says_so(lab):
    (lab / "mylab_broken.py").write_text("import no_such_library\n")
    with pytest.raises(PluginError, match=r"no_such_library.*mylab_broken.py, line 1"):
        load("policies", "mylab_broken:Plan")


def test_a_file_that_was_mended_can_be_loaded(lab):
    (lab / "leg.py").write_text("1 / 0\n")
    with pytest.raises(PluginError):
        load("envs", "leg.py:Leg")
    (lab / "leg.py").write_text("class Leg:\n    pass  # mended\n")
    assert load("envs", "leg.py:Leg").__name__ == "Leg"


def test_makes_ours_and_gymnasiums_and_a_labs(lab):
    assert isinstance(make_env(EnvSpec("pendulum")), Pendulum)
    assert make_env(EnvSpec("my/arm.py:Arm", {"weight": 3.0})).unwrapped.weight == 3.0
    pendulum = make_env(EnvSpec("gymnasium:Pendulum-v1", {"g": 3.0}))
    assert pendulum.unwrapped.g == 3.0
    assert pendulum.spec.max_episode_steps == 200


def test_an_id_goes_with_the_module_that_registers_it(lab):
    (lab / "mylab_arms.py").write_text(REGISTERING)
    gymnasium.registry.pop("mylab/Arm-v0", None)
    with pytest.raises(PluginError, match="gymnasium:MODULE:mylab/Arm-v0"):
        make_env(EnvSpec("gymnasium:mylab/Arm-v0"))
    env = make_env(EnvSpec("gymnasium:mylab_arms:mylab/Arm-v0"))
    assert isinstance(env.unwrapped, Pendulum) and env.spec.max_episode_steps == 7


@pytest.mark.parametrize(
    ("spec", "parts"),
    [
        (EnvSpec("gymnasium:Raecher-v5"), ["'Raecher-v5'", "nearest: Reacher-v5"]),
        (EnvSpec("gymnasium:Reacher-v77"), ["Reacher-v77", "nearest: Reacher-v"]),
        (EnvSpec("gymnasium:Cable-v0"), ["the name of its module: gymnasium:MODULE:Cable-v0"]),
        (EnvSpec("gymnasium:no_such_module:Env-v0"), ["no module 'no_such_module', installed"]),
        (EnvSpec("gymnasium:mylab_envs:Leg-v0"), ["'Leg-v0'", "importing mylab_envs did not"]),
        (EnvSpec("gymnasium:mylab_envs:mylab/Bad-v0"), ["cannot be imported", "no_such_part"]),
        (EnvSpec("gymnasium:mylab_envs:mylab/Weld-v0"), ["11 numbers", mujoco.__version__]),
        (EnvSpec("gymnasium:Reacher-v5", {"colour": 1}), ["colour"]),
        (EnvSpec("pendulum", {"rendermode": 1}), ["no parameter rendermode", "'render_mode'"]),
        (EnvSpec("my/arm.py:Arm", {"weight": -1}), ["weight below zero", "arm.py, line"]),
        (EnvSpec("my/arm.py:Part"), ["no gymnasium.Env"]),
        (EnvSpec("my/arm.py:number"), ["no class"]),
        (EnvSpec("unheard"), ["known are"]),
    ],
    ids=str,
)
def test_an_env_that_cannot_be_made_is_one_line(lab, spec, parts):
    (lab / "mylab_envs.py").write_text(REGISTERING)
    with pytest.raises(PluginError) as caught:
        make_env(spec)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_mujoco_renders_without_a_display_unless_told_otherwise(monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    render_offscreen()
    assert "MUJOCO_GL" not in os.environ
    monkeypatch.delenv("DISPLAY")
    render_offscreen()
    assert os.environ["MUJOCO_GL"] == "egl"
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    render_offscreen()
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_importing_it_is_light():
    code = (
        "import sys, robo_al.plugins;"
        "print([m for m in ('torch', 'mujoco', 'gymnasium') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
    assert plugins.GYMNASIUM == "gymnasium:"
    assert gymnasium.spec("Reacher-v5")
