"""The envelope: its file, its rules one by one, and 10^5 trajectories against another checker."""

import importlib.util
import math
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robo_al_agent.envelope.envelope import (
    Envelope,
    Stream,
    check_candidates,
    check_command,
    check_trajectory,
    load_envelope,
)
from robo_al_agent.errors import SetupError
from robo_al_agent.robot import Array, Joint, RobotSpec

ASSETS = Path(__file__).parents[1] / "assets"


def load_checker() -> Any:
    path = Path(__file__).with_name("envelope_checker.py")
    spec = importlib.util.spec_from_file_location("envelope_checker", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ARM = RobotSpec(
    name="arm",
    joints=(
        Joint("lift", 0, 0.4, "m", velocity=0.5, effort=50),
        Joint("shoulder", -2, 2, velocity=3, effort=5),
        Joint("elbow", -3, 3, velocity=3, effort=5),
    ),
    rate=50,
    watchdog="none",
    watchdog_seconds=None,
    stop_seconds=0.5,
)
LIMITS = """
joints:
  - {name: lift, unit: m, position: [0, 0.3], velocity: 0.2, acceleration: 1, jerk: 20, effort: 40,
     start_distance: 0.02, tracking_error: 0.05}
  - {name: shoulder, unit: rad, position: [-1.6, 1.6], velocity: 2, acceleration: 10, jerk: 200,
     effort: 3, start_distance: 0.1, tracking_error: 0.2}
  - {name: elbow, unit: rad, position: [-0.5, 2.5], velocity: 2.0, acceleration: 12.5, jerk: 400,
     effort: 3, start_distance: 0.1, tracking_error: 0.3}
duration: 10
sample_age: 0.1
missed_deadlines: 3
"""
NAMES = ("lift", "shoulder", "elbow")
FOLDING = RobotSpec(
    name="folding",
    joints=tuple(Joint(name, -4, 4, effort=9) for name in ("pan", "lift", "elbow")),
    rate=50,
    watchdog="none",
    watchdog_seconds=None,
    stop_seconds=0.5,
)
FOLDING_LIMITS = """
joints:
  - {name: pan, unit: rad, position: [-3, 3], velocity: 30, acceleration: 2000, jerk: 200000,
     effort: 3}
  - {name: lift, unit: rad, position: [-2.5, 1.5], velocity: 30, acceleration: 2000, jerk: 200000,
     effort: 3}
  - {name: elbow, unit: rad, position: [-3, 3], velocity: 30, acceleration: 2000, jerk: 200000,
     effort: 3}
duration: 10
start_distance: 0.5
tracking_error: 0.2
sample_age: 0.1
missed_deadlines: 3
model:
  file: elbow.xml
  workspace: {frame: tip, low: [-0.25, -0.3, -0.1], high: [0.38, 0.3, 0.6]}
  self_collision: {margin: 0.01}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "envelope.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("envelope")


@pytest.fixture(scope="module")
def arm(folder) -> Envelope:
    return load_envelope(written(folder, LIMITS), ARM)


@pytest.fixture(scope="module")
def folding(tmp_path_factory) -> Envelope:
    folder = tmp_path_factory.mktemp("folding")
    shutil.copy(ASSETS / "elbow.xml", folder)
    return load_envelope(written(folder, FOLDING_LIMITS), FOLDING)


HOME = np.array([0.15, 0.2, 1.0])


def smooth(goal: Array, seconds: float, period: float, start: Array = HOME) -> Array:
    """Return a minimum-jerk way [T, J]."""
    s = np.arange(1, round(seconds / period) + 1)[:, None] * period / seconds
    return start + (goal - start) * (10 * s**3 - 15 * s**4 + 6 * s**5)


# ---------------------------------------------------------------- the file


def test_a_file_by_hand(arm):
    assert arm.bounds.names == NAMES
    np.testing.assert_array_equal(arm.low, [0, -1.6, -0.5])
    np.testing.assert_array_equal(arm.high, [0.3, 1.6, 2.5])
    np.testing.assert_array_equal(arm.velocities, [0.2, 2, 2])
    np.testing.assert_array_equal(arm.accelerations, [1, 10, 12.5])
    np.testing.assert_array_equal(arm.jerks, [20, 200, 400])
    np.testing.assert_array_equal(arm.effort, [40, 3, 3])
    np.testing.assert_array_equal(arm.start_distances, [0.02, 0.1, 0.1])
    np.testing.assert_array_equal(arm.tracking_errors, [0.05, 0.2, 0.3])
    assert (arm.duration, arm.sample_age, arm.missed_deadlines) == (10, 0.1, 3)
    with pytest.raises(ValueError, match="frozen"):
        arm.duration = 99


def test_the_example_of_the_documentation_can_be_read(tmp_path):
    import robo_al_agent.envelope.envelope as module

    assert module.__doc__ is not None
    lines = module.__doc__.split("changes:\n\n")[1].split("\nA robot of actions")[0]
    text = "\n".join(line[4:] for line in lines.splitlines())
    (tmp_path / "arm.xml").write_text(
        '<mujoco><worldbody><geom name="foot" size="0.1"/><body name="base">'
        '<joint name="lift" type="slide"/><body name="upper"><joint name="elbow"/>'
        '<body name="forearm" pos="0 0 1"><geom size="0.1"/><site name="tip"/></body></body></body>'
        "</worldbody></mujoco>"
    )
    spec = replace(ARM, joints=(ARM.joints[0], ARM.joints[2]))
    assert load_envelope(written(tmp_path, text), spec).bounds.names == ("lift", "elbow")


def test_it_travels_as_json(arm, folding):
    fields = arm.model_dump(mode="json")
    again = Envelope.model_validate(fields)
    assert again.model_dump() == arm.model_dump()
    assert check_trajectory(again, smooth(HOME, 1, 0.02), 0.02, HOME) is None
    fields = folding.model_dump(mode="json")
    start = np.array([0.0, -0.5, 1])
    unread = Envelope.model_validate(fields)
    refusal = check_trajectory(unread, start[None], 0.02, start)
    assert str(refusal) == "the envelope's model was not read: use load_envelope"
    known = Envelope.model_validate({**fields, "model": None})
    assert check_trajectory(known, start[None], 0.02, start) is None


def test_everything_that_is_wrong_is_told_at_once(tmp_path):
    path = written(
        tmp_path,
        """
joints:
  - {name: lift, unit: m, position: [0, 0.5], velocity: -1, acceleration: 1, jerk: 20, effort: 60}
  - {name: elbow, unit: deg, position: [3, -3], velocity: 9, jerk: 400, effort: 3, speed: 2}
  - {name: sholder, unit: rad, position: [-1, 1], velocity: 1, acceleration: 1, jerk: 1, effort: 1}
duration: "10"
start_distance: 0.1
sample_age: 0
missed_deadlines: 2.5
speed: 3
model: {file: arm.xml}
""",
    )
    with pytest.raises(SetupError) as caught:
        load_envelope(path, ARM)
    for line in (
        f"{path}: cannot be used",
        "joints.lift.velocity: input should be greater than 0, given -1",
        "joints.lift.position: the device itself takes [0, 0.4] m, given [0, 0.5]",
        "joints.lift.effort: the device itself allows 50, given 60",
        "joints.elbow.velocity: the device itself allows 3, given 9",
        "joints.elbow.unit: the device has rad, given deg",
        "joints.elbow.position: [low, high] with low below high is needed, given [3, -3]",
        "joints.elbow.speed: no such key",
        "joints.elbow.acceleration: missing",
        "joints.shoulder: missing, it is a joint of the robot",
        "joints.sholder: the robot has no such joint; did you mean shoulder?",
        "duration: input should be a valid number, given '10'",
        "tracking_error: missing",
        "sample_age: input should be greater than 0, given 0",
        "missed_deadlines: input should be a valid integer, given 2.5",
        "speed: no such key",
        "model: neither workspace nor self_collision needs it: give one, or no model",
    ):
        assert f"\n  {line}" in f"\n  {caught.value}"


def test_an_effort_that_nobody_measures_is_no_limit(tmp_path):
    spec = replace(ARM, joints=tuple(replace(joint, effort=None) for joint in ARM.joints))
    with pytest.raises(SetupError) as caught:
        load_envelope(written(tmp_path, LIMITS), spec)
    for name in ("lift", "shoulder", "elbow"):
        told = f"joints.{name}.effort: its driver measures none, so nothing could hold to it: leave"
        assert told in str(caught.value)
    envelope = load_envelope(written(tmp_path, re.sub(r",\s*effort: \d+", "", LIMITS)), spec)
    assert (envelope.effort == np.inf).all()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0, 0.3]", "[0, 0.5]", "joints.lift.position: the device itself takes [0, 0.4] m"),
        ("[-1.6, 1.6]", "[-90, 90]", "joints.shoulder.position: the device itself takes [-2, 2]"),
        ("velocity: 0.2", "velocity: 0.6", "joints.lift.velocity: the device itself allows 0.5"),
        ("effort: 40", "effort: 51", "joints.lift.effort: the device itself allows 50"),
        ("unit: m", "unit: rad", "joints.lift.unit: the device has m, given rad"),
        ("unit: m, ", "", "joints.lift.unit: missing"),
        ("velocity: 0.2, ", "", "joints.lift.velocity: missing"),
        (", effort: 40", "", "joints.lift.effort: missing"),
        ("jerk: 20,", "jerk: .inf,", "line 3, column 85: .inf is not a finite number"),
        ("jerk: 20,", "jerk: .nan,", "line 3, column 85: .nan is not a finite number"),
        ("jerk: 20,", "jerk: 1e999,", "1e999 is not a finite number"),
        ("jerk: 20,", "jerk: true,", "joints.lift.jerk: input should be a valid number"),
        ("jerk: 20,", "jerk: ,", "joints.lift.jerk: input should be a valid number, given None"),
        ("[0, 0.3]", "[0, 0.1, 0.3]", "joints.lift.position: tuple should have at most 2 items"),
        ("[0, 0.3]", "0.3", "joints.lift.position: input should be a valid tuple"),
        ("name: elbow", "name: shoulder", "joints.shoulder: given 2 times"),
        ("duration: 10", "duration: 10\nduration: 99", "line 10, column 1: the key `duration` is"),
        ("duration: 10", "", "duration: missing"),
        (", tracking_error: 0.3", "", "joints.elbow.tracking_error: missing"),
        ("distance: 0.02", "distance: 0", "joints.lift.start_distance: input should be"),
        (
            "duration: 10",
            "duration: 10\nstart_distance: 1",
            "for lift, shoulder, elbow again: give",
        ),
        ("missed_deadlines: 3", "missed_deadlines: -1", "missed_deadlines: input should be"),
        ("duration: 10", "duration: &a 10\nother: *a", "aliases are not allowed"),
        ("duration: 10", "duration: [", "line"),
        (LIMITS, "- 3", "expected `key: value` lines, found [3]"),
        (LIMITS, "joints: 3", "joints: input should be a valid tuple, given 3"),
        (LIMITS, "joints: [3, [4]]", "joints.0: input should be a valid dictionary"),
        (LIMITS, "", "expected `key: value` lines, found None"),
    ],
)
def test_a_file_that_cannot_be_used(old, new, message, tmp_path):
    assert old in LIMITS
    path = written(tmp_path, LIMITS.replace(old, new, 1))
    with pytest.raises(SetupError) as caught:
        load_envelope(path, ARM)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_one_number_for_joints_of_several_units_is_refused(tmp_path):
    text = re.sub(r",\s*start_distance: [\d.]+, tracking_error: [\d.]+", "", LIMITS)
    with pytest.raises(SetupError) as caught:
        load_envelope(written(tmp_path, text), ARM)
    assert "start_distance: missing" in str(caught.value)
    with pytest.raises(SetupError) as caught:
        load_envelope(written(tmp_path, f"{text}start_distance: 0.1\ntracking_error: 0.2\n"), ARM)
    for key in ("start_distance", "tracking_error"):
        told = (
            f"{key}: one number for lift in m, and shoulder, elbow in rad: give one of each joint"
        )
        assert told in str(caught.value)


def test_the_order_of_the_joints_is_the_robots(tmp_path):
    data = yaml.safe_load(LIMITS)
    data["joints"].reverse()
    with pytest.raises(SetupError, match="order must be the robot's: lift, shoulder, elbow"):
        load_envelope(written(tmp_path, yaml.safe_dump(data)), ARM)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SetupError, match="there is no envelope yet"):
        load_envelope(tmp_path / "none.yaml", ARM)
    with pytest.raises(SetupError, match="these are no settings"):
        load_envelope(written(tmp_path, "#" * 2_000_000), ARM)
    (tmp_path / "envelope.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SetupError, match="envelope.yaml"):
        load_envelope(tmp_path / "envelope.yaml", ARM)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("elbow.xml", "none.xml", "none.xml: .*No such file"),
        ("frame: tip", "frame: top", "no site or body top; there are tip, world, column"),
        ("low: [-0.25,", "low: [0.5,", "workspace.high: each number must be above that of `low`"),
        (", -0.1]", "]", "workspace.low.2: missing"),
        ("margin: 0.01", "margin: -1", "self_collision.margin: input should be greater"),
        ("margin: 0.01", "allowed_collisions: [[a]], margin: 0", "allowed_collisions.0"),
        ("margin: 0.01", "allowed_collisions: [[a, upper]], margin: 0", "no body a; there are"),
    ],
)
def test_a_model_that_cannot_be_used(old, new, message, tmp_path):
    assert old in FOLDING_LIMITS
    shutil.copy(ASSETS / "elbow.xml", tmp_path)
    with pytest.raises(SetupError, match=message):
        load_envelope(written(tmp_path, FOLDING_LIMITS.replace(old, new, 1)), FOLDING)


# ---------------------------------------------------------------- a robot of actions

CHEETAH = replace(
    ARM, joints=(Joint("hip", -1, 1, "1"), Joint("knee", -1, 1, "1")), command="action"
)
ACTIONS = """
joints:
  - {name: hip, unit: 1, position: [-1, 1], velocity: 20}
  - {name: knee, unit: 1, position: [-1, 0.5], velocity: 20}
duration: 2
sample_age: 0.2
missed_deadlines: 2
"""


def test_actions_have_a_range_and_a_rate_of_change(tmp_path):
    envelope = load_envelope(written(tmp_path, ACTIONS), CHEETAH)
    rest = np.zeros(2)

    def check(*rows: list[float]) -> str:
        return str(check_trajectory(envelope, np.array(rows), 0.05, rest))

    assert check([1, 0.5], [0, -0.5], [1, 0.5]) == "None"
    assert check([0, 0.6]) == "joint knee at 0.05 s: position 0.6, limit 0.5"
    assert check([1, 0], [-0.5, 0]) == "joint hip at 0.1 s: velocity -30 1/s, limit 20.0"
    assert check(*[[0.0, 0]] * 41) == "at 2.05 s: duration 2.05 s, limit 2.0"
    again = Envelope.model_validate(envelope.model_dump(mode="json"))
    assert again == envelope and math.isinf(again.jerks[0])


def test_actions_have_no_limits_of_motion(tmp_path):
    text = ACTIONS.replace("velocity: 20}", "velocity: 20, jerk: 3, effort: 2}", 1)
    text = text.replace("velocity: 20}", "velocity: 20, start_distance: 1}")
    text += "tracking_error: 1\nstart_distance: 1\nmodel: {file: a.xml}\n"
    with pytest.raises(SetupError) as caught:
        load_envelope(written(tmp_path, text), CHEETAH)
    for key in (
        "joints.hip.jerk",
        "joints.hip.effort",
        "tracking_error",
        "start_distance",
        "joints.knee.start_distance",
        "model",
    ):
        assert f"{key}: not for a robot of actions: " in str(caught.value)


# ---------------------------------------------------------------- the rules, one by one


def test_smooth_motions_are_allowed(arm):
    for goal in ([0.3, 1.6, 2.5], [0, -1.6, -0.5], [0.2, 0, 1]):
        assert check_trajectory(arm, smooth(np.array(goal), 4, 0.02), 0.02, HOME) is None


def test_holding_is_allowed_at_any_pace(arm):
    for period in (1e-9, 0.001, 0.5, 3, 10, np.float64(0.1)):
        assert check_trajectory(arm, HOME[None], period, HOME) is None


def first(envelope: Envelope, steps: list[float], start: float = 0.0, period: float = 0.1) -> str:
    """Return what is said of positions of the shoulder."""
    rows = np.tile(HOME, (len(steps), 1))
    rows[:, 1] = steps
    begin = np.array([HOME[0], start, HOME[2]])
    return str(check_trajectory(envelope, rows, period, begin))


@pytest.mark.parametrize(
    ("steps", "start", "said"),
    [
        ([1.7], 1.6, "position 1.7 rad, limit 1.6"),
        ([-1.7], -1.6, "position -1.7 rad, limit -1.6"),
        ([1.6 + 1e-8], 1.6, "position 1.60000001 rad, limit 1.6"),
        ([0.15], 0.0, "distance from the start 0.15 rad, limit 0.1"),
        ([math.nan], 0.0, "command nan rad is no number to send"),
        ([-math.inf], 0.0, "command -inf rad is no number to send"),
        ([5e-324], 0.0, "command 4.94e-324 rad is no number to send"),
        ([1e308], 0.0, "position 1e+308 rad, limit 1.6"),
        ([89.0], 0.2, "position 89 rad, limit 1.6"),
    ],
)
def test_the_first_command(arm, steps, start, said):
    assert first(arm, steps, start) == f"joint shoulder at 0.1 s: {said}"


def test_later_commands(arm):
    wide = arm.model_copy(update={"joints": loose(arm)})
    speeding = [0, 0.1, 0.3, 0.45, 0.7]
    assert first(wide, speeding) == "joint shoulder at 0.5 s: velocity 2.5 rad/s, limit 2.0"
    narrow = arm.model_copy(update={"joints": loose(arm, acceleration=10)})
    assert first(narrow, [0.002, 0.008, 0.0185], 0.0, 0.02) == (
        "joint shoulder at 0.06 s: acceleration 11.2 rad/s^2, limit 10.0"
    )
    assert first(arm, [0.0016, 0.0064, 0.0124], 0.0, 0.02) == (
        "joint shoulder at 0.06 s: jerk -250 rad/s^3, limit 200.0"
    )


def test_what_touches_a_limit_is_allowed(arm):
    assert first(arm, [0.1], 0.0) == "None"  # start distance 0.1 rad, acceleration 10 rad/s^2
    assert first(arm, [0.1 * (1 + 1e-8)], 0.0).endswith("0.100000001 rad, limit 0.1")
    assert first(arm, [0.1 * (1 + 1e-10)], 0.0) == "None"
    assert first(arm, [1.6], 1.6) == first(arm, [-1.6], -1.6) == "None"


def loose(envelope: Envelope, **limits: float) -> tuple[Any, ...]:
    """Return joints without limits of acceleration and jerk, or with others."""
    update = {"acceleration": 1e3, "jerk": 1e9, **limits}
    return tuple(joint.model_copy(update=update) for joint in envelope.joints)


def test_there_must_be_room_to_stop(arm):
    """At 1 rad/s and 10 rad/s^2 the arm needs 0.05 rad."""
    joints = loose(arm, acceleration=10.0)
    wide = arm.model_copy(update={"joints": joints})
    assert first(wide, [1.55], 1.45) == "None"
    assert first(wide, [1.5502], 1.4502) == (
        "joint shoulder at 0.1 s: stops only at 1.6002 rad, limit 1.6"
    )
    assert first(wide, [-1.5502], -1.4502) == (
        "joint shoulder at 0.1 s: stops only at -1.6002 rad, limit -1.6"
    )
    assert first(wide, [1.5], 1.6) == "None"  # away from the limit


def test_the_time(arm):
    assert check_trajectory(arm, np.tile(HOME, (500, 1)), 0.02, HOME) is None
    refusal = check_trajectory(arm, np.tile(HOME, (501, 1)), 0.02, HOME)
    assert str(refusal) == "at 10.02 s: duration 10.02 s, limit 10.0"


def test_the_first_in_time_is_told(arm):
    rows = smooth(np.array([0.2, 0.4, 1.2]), 4, 0.02)
    rows[90, 0], rows[40, 2] = 0.4, math.nan
    refusal = check_trajectory(arm, rows, 0.02, HOME)
    assert refusal is not None
    assert (refusal.rule, refusal.joint, refusal.seconds) == ("number", "elbow", 41 * 0.02)
    rows[20, 1] += 0.5
    refusal = check_trajectory(arm, rows, 0.02, HOME)
    assert refusal is not None
    assert (refusal.rule, refusal.joint, refusal.seconds) == ("velocity", "shoulder", 21 * 0.02)
    assert refusal.limit == 2.0 and refusal.value == pytest.approx(25, rel=0.1)


ROWS = np.tile(HOME, (5, 1))


class Unfriendly:
    def __array__(self, *args, **kwargs):
        raise RuntimeError("no")

    def __len__(self):
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"positions": ROWS.tolist()}, "positions: a numpy array is needed, given a list"),
        ({"positions": None}, "positions: a numpy array is needed, given a NoneType"),
        ({"positions": Unfriendly()}, "positions: a numpy array is needed, given a Unfriendly"),
        ({"positions": np.ma.masked_array(ROWS, True)}, "given a MaskedArray"),
        ({"positions": ROWS.astype(np.float32)}, "positions: float64 is needed, given float32"),
        ({"positions": ROWS.astype(">f8")}, "positions: float64 is needed, given >f8"),
        ({"positions": ROWS.astype(complex)}, "given complex128"),
        ({"positions": ROWS.astype(object)}, "given object"),
        ({"positions": np.zeros((5, 3), int)}, "given int64"),
        ({"positions": ROWS[:0]}, "positions: 0 commands; 1 to 100000 are needed"),
        ({"positions": np.zeros((100_001, 3))}, "positions: 100001 commands"),
        ({"positions": np.broadcast_to(HOME, (10**12, 3))}, "positions: 1000000000000 commands"),
        ({"positions": ROWS[:, :2]}, "positions: shape [T, 3] is needed, given [5, 2]"),
        ({"positions": ROWS.T}, "positions: shape [T, 3] is needed, given [3, 5]"),
        ({"positions": HOME}, "positions: shape [T, 3] is needed, given [3]"),
        ({"positions": ROWS[None]}, "positions: shape [T, 3] is needed, given [1, 5, 3]"),
        ({"positions": np.array(1.0)}, "positions: shape [T, 3] is needed, given []"),
        ({"period": 0.0}, "period 0.0: a finite number of seconds above 0"),
        ({"period": -0.02}, "period -0.02"),
        ({"period": math.nan}, "period nan"),
        ({"period": math.inf}, "period inf"),
        ({"period": 5e-324}, "period 5e-324"),
        ({"period": 10**400}, "period 1000"),
        ({"period": True}, "period True"),
        ({"period": "0.02"}, "period '0.02'"),
        ({"period": None}, "period None"),
        ({"start": HOME[:2]}, "start: shape [3] is needed, given [2]"),
        ({"start": ROWS}, "start: shape [3] is needed, given [5, 3]"),
        ({"start": list(HOME)}, "start: a numpy array is needed"),
        ({"start": HOME * math.nan}, "start is not finite"),
        ({"joints": ("lift", "elbow", "shoulder")}, "joints are lift, elbow, shoulder; in their"),
        ({"joints": NAMES[:2]}, "joints are lift, shoulder; in their order they must be"),
        ({"joints": ()}, "joints are ; in their order they must be lift, shoulder, elbow"),
        ({"joints": "lift"}, "joints: names are needed, given 'lift'"),
        ({"joints": (1, 2, 3)}, "joints: names are needed, given (1, 2, 3)"),
        ({"joints": [ROWS] * 3}, "joints: names are needed"),
    ],
)
def test_what_is_no_trajectory(arm, changed, said):
    values = {"positions": ROWS, "period": 0.02, "start": HOME, "joints": NAMES, **changed}
    refusal = check_trajectory(arm, **values)
    assert refusal is not None and refusal.rule == "malformed"
    assert said in str(refusal)


def test_what_is_no_command(arm):
    before = np.tile(HOME, (3, 1))
    assert check_command(arm, HOME, 0.02, before, 1) is None
    for target, history, step, said in (
        (HOME[:2], before, 1, "positions: shape [3] is needed"),
        (HOME[None], before, 1, "positions: shape [3] is needed"),
        (HOME, before[:2], 1, "start: shape [3, 3] is needed"),
        (HOME, HOME, 1, "start: shape [3, 3] is needed"),
        (HOME, before, 0, "step 0: a whole number"),
        (HOME, before, 1.0, "step 1.0: a whole number"),
        (HOME, before, 10**9, "step 1000000000: a whole number"),
    ):
        refusal = check_command(arm, target, 0.02, history, step)
        assert refusal is not None and said in str(refusal)


def test_candidates_that_are_none(arm):
    assert check_candidates(arm, np.zeros((0, 5, 3)), 0.02, HOME) == []
    (refusal,) = check_candidates(arm, None, 0.02, HOME)  # type: ignore[arg-type]
    assert "a numpy array is needed" in str(refusal)
    refusals = check_candidates(arm, np.zeros((4, 0, 3)), 0.02, HOME)
    assert [str(item) for item in refusals] == ["positions: 0 commands; 1 to 100000 are needed"] * 4


# ---------------------------------------------------------------- in space


def test_workspace_and_self_collision_are_told_in_words(folding):
    def check(goal: list[float], start: list[float]) -> str:
        way = smooth(np.array(goal), 1, 0.05, np.array(start))
        return str(check_trajectory(folding, way, 0.05, np.array(start)))

    assert check([1.0, -1, 2], [0.0, -1, 2]) == "None"
    raised = check([0.0, -1.4, 0], [0.0, -1.4, 2])
    assert raised.startswith("frame tip at 0.") and raised.endswith(" m, limit 0.6")
    assert " s: z 0.60" in raised
    folded = check([0, 0.3, 2.9], [0.0, -0.3, 2.0])
    assert folded.startswith("bodies column and lower at 0.") and folded.endswith("limit 0.01")
    lowered = check([0.0, 0.2, 1.3], [0.0, -0.6, 1.3])
    assert lowered.startswith("bodies lower and world at 0.") and lowered.endswith("limit 0.01")


def test_the_way_between_two_commands_is_looked_at(folding):
    """Both ends are inside the workspace, the middle is above it."""
    start, end = np.array([0, -1.4, 1.0]), np.array([0, -1.4, -1.0])
    wide = folding.model_copy(update={"start_distance": 3.0})
    for pose in (start, end):
        assert check_trajectory(wide, pose[None], 1.0, pose) is None
    refusal = check_trajectory(wide, end[None], 1.0, start)
    assert refusal is not None and refusal.rule == "workspace"
    assert refusal.seconds is not None and 0 < refusal.seconds < 1


# ---------------------------------------------------------------- against the other checker


Cases = tuple[str, Array, float, Array]
"""What they are, positions [N, T, J], period, start [J]."""


def integrated(jerks: Array, start: Array, period: float) -> Array:
    """Return positions [N, T, J] whose finite differences are the jerks [N, T, J]."""
    velocities = np.cumsum(np.cumsum(jerks, axis=1), axis=1) * period**2
    return start + np.cumsum(velocities, axis=1) * period


ACCEPTABLE = ("smooth", "touching", "jerky", "near a limit", "spiked", "fast", "denormal", "long")
HOPELESS = ("broken", "degrees")
KINDS = (*ACCEPTABLE, *HOPELESS, "anywhere", "huge", "returning")
SHARES = [0.4, 0.2, 0.2, 0.1, 0.1]


def numeric_cases(arm: Envelope, rng: np.random.Generator, batches: int) -> Iterator[Cases]:
    """Yield random and adversarial trajectories, 400 at a time."""
    for batch in range(batches):
        kind = KINDS[batch % len(KINDS)]
        steps = int(rng.choice([1, 2, 3, 5, 8, 13]))
        period = float(rng.choice([0.001, 0.02, 0.05, 0.1, 1 / 3]))
        start = rng.uniform(arm.low, arm.high)
        if kind == "near a limit":
            away = (arm.high - arm.low) * rng.choice([-1, 1], 3) * 10.0 ** rng.uniform(-5, -0.5, 3)
            start = np.where(rng.random(3) < 0.5, arm.low + away, arm.high - away)
        elif kind == "long":
            period = arm.duration / steps * (1 + rng.choice([-1e-2, -1e-12, 1e-12, 1e-8, 1e-2]))
        elif kind == "fast":
            steps, period, start = 13, rng.choice([0.05, 0.1]), (arm.low + arm.high) / 2
        elif kind == "denormal":
            start = np.zeros(3)
        elif kind == "returning":  # from outside, slowly enough to end there
            steps, j = 1, rng.integers(3)
            start[j] = arm.low[j] - 1.2 * min(arm.jerks[j] * period**3, 0.1)
        yield kind, made(kind, arm, rng, (400, steps, 3), period, start), period, start


def made(
    kind: str, arm: Envelope, rng: np.random.Generator, shape: Any, period: float, start: Array
) -> Array:
    """Return trajectories [N, T, J] of a kind."""
    ways = smooth_ways(arm, rng, shape, period, start)
    most = np.minimum(arm.accelerations / period, arm.velocities / period**2)
    jerks, each = np.minimum(arm.jerks, most), (shape[0], 1, 1)

    def by_jerks(low: float, high: float, sizes: Array) -> Array:
        return integrated(rng.uniform(low, high, shape) * jerks * sizes, start, period)

    def touching() -> Array:  # rounding may put it on either side
        sizes = 1 + rng.choice([0, 0, 1e-12, -1e-12, 5e-10, 2e-9, 1e-8, -1e-8, 1e-5], each)
        return integrated(rng.choice([-1.0, 0, 1], shape) * jerks * sizes, start, period)

    def fast() -> Array:  # up to the limit of velocity
        s = (np.arange(1, shape[1] + 1) / shape[1])[:, None]
        sizes = rng.choice([-1, -0.9, 0, 0.9, 1], (shape[0], 1, 3))
        sizes *= arm.velocities * (1 + rng.choice([0, 5e-10, 1e-8, 0.01], each))
        return start + np.cumsum(sizes * (3 * s**2 - 2 * s**3), axis=1) * period

    makers: dict[str, Callable[[], Array]] = {
        "touching": touching,
        "fast": fast,
        "jerky": lambda: by_jerks(-1.2, 1.2, np.ones(3)),
        "near a limit": lambda: by_jerks(
            -0.2, 1, rng.choice([-1, 1], (shape[0], 1, 3)) * 10.0 ** rng.uniform(-5, 0, each)
        ),
        "returning": lambda: by_jerks(0, 1.1, np.ones(3)),
        "spiked": lambda: spiked(ways, jerks * period**3, rng),
        "broken": lambda: broken(ways, rng),
        "degrees": lambda: np.rad2deg(ways),
        "anywhere": lambda: rng.uniform(arm.low, arm.high, shape),
        "huge": lambda: ways * 10.0 ** rng.uniform(0, 306, each),
        "denormal": lambda: rng.choice([0.0, -0.0, 3e-308, 1e-310, 5e-324], shape, p=SHARES),
    }
    return makers.get(kind, lambda: ways)()


def smooth_ways(
    arm: Envelope, rng: np.random.Generator, shape: Any, period: float, start: Array
) -> Array:
    """Return minimum-jerk ways, the largest of them a fifth too fast."""
    seconds, s = shape[1] * period, (np.arange(1, shape[1] + 1) / shape[1])[:, None]
    most = np.minimum(arm.velocities * seconds / 1.875, arm.accelerations * seconds**2 / 5.774)
    reach = np.minimum(most, arm.jerks * seconds**3 / 60) * rng.uniform(0.02, 1.2, (shape[0], 1, 1))
    reach = rng.uniform(-1, 1, (shape[0], 1, 3)) * np.minimum(reach, arm.high - arm.low)
    return start + reach * (10 * s**3 - 15 * s**4 + 6 * s**5)


def spiked(ways: Array, size: Array, rng: np.random.Generator) -> Array:
    """Return ways with one command displaced by about what the limits allow."""
    ways = ways.copy()
    n = np.arange(len(ways))
    t, j = rng.integers(0, ways.shape[1], len(ways)), rng.integers(0, 3, len(ways))
    ways[n, t, j] += size[j] * rng.uniform(-1.5, 1.5, len(ways))
    return ways


def broken(ways: Array, rng: np.random.Generator) -> Array:
    """Return ways with one value that is none."""
    ways = ways.copy()
    n = np.arange(len(ways))
    t, j = rng.integers(0, ways.shape[1], len(ways)), rng.integers(0, 3, len(ways))
    values = [math.nan, math.inf, -math.inf, 5e-324, -1e-310, 1e308, -1e200]
    ways[n, t, j] = rng.choice(values, len(ways))
    return ways


@pytest.mark.proof
def test_a_hundred_thousand_trajectories_and_no_false_accept(arm, folder):
    checker = load_checker().Checker(folder / "envelope.yaml")
    rng = np.random.default_rng(11)
    said: Counter[tuple[str, str, str]] = Counter()
    disagreements = []
    for kind, positions, period, start in numeric_cases(arm, rng, 250):
        ours = check_candidates(arm, positions, period, start, NAMES)
        for n, violation in enumerate(ours):
            theirs = checker.reason(positions[n], period, start, NAMES)
            said[kind, "yes" if violation is None else "no", "yes" if theirs is None else "no"] += 1
            if violation is None and theirs is not None:
                disagreements.append((kind, theirs, positions[n].tolist(), period, start.tolist()))
        n = int(rng.integers(len(ours)))
        assert check_trajectory(arm, positions[n], period, start, NAMES) == ours[n]
    for answers, count in sorted(said.items()):
        print(*answers, count)  # kind, envelope, checker
    assert sum(said.values()) == 100_000
    assert disagreements == []
    refused = {kind: said[kind, "no", "yes"] for kind in KINDS}
    assert sum(refused.values()) == refused["touching"] <= 1000  # of rounding, at 1 kHz
    for kind in ACCEPTABLE:
        assert min(said[kind, "yes", "yes"], said[kind, "no", "no"]) > 200
    for kind in HOPELESS:
        assert said[kind, "yes", "yes"] == 0


def test_a_stream_is_refused_just_where_the_whole_is(arm, folding):
    """Every beginning of a trajectory is judged as the whole is."""
    rng = np.random.default_rng(12)
    chosen = [
        (arm, rows, period, start)
        for _, ways, period, start in numeric_cases(arm, rng, 50)
        for rows in ways[:10]
    ]
    chosen += [(folding, *case) for case in space_cases(folding, rng, 50)]
    ends: Counter[int] = Counter()
    for envelope, rows, period, start in chosen:
        whole = check_trajectory(envelope, rows, period, start)
        stream, streamed, sent = Stream(envelope, start, period), None, 0
        for row in rows:
            streamed = stream.check(row)
            if streamed is not None:
                assert stream.check(row) == streamed  # asking changes nothing
                break
            stream.add(row)
            sent += 1
        assert str(streamed) == str(whole)
        if 0 < sent < len(rows):
            assert check_trajectory(envelope, rows[:sent], period, start) is None
        ends[sent] += 1
    assert len(ends) > 5


def space_cases(
    folding: Envelope, rng: np.random.Generator, count: int
) -> Iterator[tuple[Array, float, Array]]:
    """Yield ways through the joint space of an arm that can fold on itself."""
    for _ in range(count):
        start = rng.uniform(folding.low, folding.high)
        drift = rng.uniform(-0.08, 0.08, 3)
        steps = rng.integers(1, 7)
        rows = start + np.cumsum(drift + rng.uniform(-0.02, 0.02, (steps, 3)), axis=0)
        yield rows, 0.05, start


@pytest.mark.proof
def test_no_false_accept_in_space(folding, tmp_path):
    shutil.copy(ASSETS / "elbow.xml", tmp_path)
    checker = load_checker().Checker(written(tmp_path, FOLDING_LIMITS))
    rng = np.random.default_rng(13)
    said: Counter[tuple[str, bool]] = Counter()
    names = folding.bounds.names
    for rows, period, start in [*space_cases(folding, rng, 2000), *grazing(folding, rng, 40)]:
        ours = check_trajectory(folding, rows, period, start, names)
        theirs = checker.reason(rows, period, start, names)
        assert ours is not None or theirs is None, (theirs, rows, start)
        said["allowed" if ours is None else ours.rule, theirs is None] += 1
    print(said)
    assert said["workspace", True] + said["self_collision", True] <= 0.03 * sum(said.values())
    assert min(said["allowed", True], said["workspace", False]) > 300
    assert said["self_collision", False] > 100


def grazing(
    folding: Envelope, rng: np.random.Generator, count: int
) -> Iterator[tuple[Array, float, Array]]:
    """Yield single commands on both sides of where they become forbidden, 1e-5 rad apart."""
    while count:
        inside, outside = (rng.uniform(folding.low, folding.high) for _ in range(2))
        hold = lambda pose: check_trajectory(folding, pose[None], 0.05, pose) is None  # noqa: E731
        if not hold(inside) or hold(outside):
            continue
        while np.abs(outside - inside).max() > 1e-5:
            middle = (inside + outside) / 2
            inside, outside = (middle, outside) if hold(middle) else (inside, middle)
        yield inside[None], 0.05, inside
        yield outside[None], 0.05, outside
        count -= 1


def test_wrong_orders_and_shapes_are_refused_by_both(arm, folder):
    checker = load_checker().Checker(folder / "envelope.yaml")
    rng = np.random.default_rng(14)
    for _ in range(500):
        order = tuple(rng.permutation(NAMES)[: rng.integers(0, 4)].tolist())
        shape = tuple(rng.integers(0, 5, rng.integers(0, 4)))
        rows = np.broadcast_to(HOME[0], shape).astype(rng.choice(["f8", "f4", "i8"]))
        ours = check_trajectory(arm, rows, 0.05, HOME, order)
        assert (ours is not None) or checker.reason(rows, 0.05, HOME, order) is None
