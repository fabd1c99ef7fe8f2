"""The twin as the agent meets it: another process, which its own log speaks for."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from robo_al_agent.conformance import check_driver
from robo_al_agent.driver import RobotDriver, SupportsReset
from robo_al_agent.drivers.loading import make_driver
from robo_al_agent.drivers.mujoco_twin import MujocoTwin
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.twin.scene import Scene
from robo_al_agent.twin.world import main

MODEL = Path(__file__).parents[3] / "envs" / "robo_al_envs" / "assets" / "so101.xml"
HOME = (0.0, -0.3, 0.6, 0.4, 0.0)
SAG = 0.05


class World:
    """A twin's process."""

    def __init__(self, folder, *arguments):
        self.folder, self.arguments = folder, arguments
        self.socket, self.log = folder / "twin.sock", folder / "twin.jsonl"
        self.past = 0
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "robo_al_agent.twin.world", "--model", MODEL]
            + ["--socket", self.socket, "--log", self.log, *self.arguments],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert "twin.sock" in self.process.stdout.readline()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def events(self, kind=None):
        """What the log has since the test began."""
        entries = [json.loads(line) for line in self.log.read_text().splitlines()[self.past :]]
        return [entry for entry in entries if kind in (None, entry["event"])]

    def driver(self, connect=True, timeout=5.0):
        driver = MujocoTwin(socket=str(self.socket), timeout=timeout)
        if connect:
            driver.connect()
        return driver

    def ask(self, **request):
        """Ask as a client that has no control."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.connect(str(self.socket))
            line.sendall(json.dumps(request).encode() + b"\n")
            return json.loads(line.makefile().readline())


@pytest.fixture
def world(tmp_path_factory):
    worlds = []

    def start(*arguments):
        worlds.append(World(tmp_path_factory.mktemp("twin"), *arguments))
        return worlds[-1]

    yield start
    for each in worlds:
        each.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    home = World(tmp_path_factory.mktemp("twin"))
    yield home
    home.kill()


@pytest.fixture
def arm(shared):
    """A twin at home, its log from now on, and the driver that has control."""
    driver = shared.driver()
    driver.clear_fault("test")
    shared.past = len(shared.log.read_text().splitlines())
    driver.reset({"joints": HOME}, 0)
    yield shared, driver
    driver.close()


def until(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.01)


def at_rest(driver):
    return np.abs(driver.read().velocities).max() < 0.01


def near(positions, target):
    return np.abs(positions - np.asarray(target)).max() < SAG


# ---------------------------------------------------------------- the contract


@pytest.mark.proof
def test_keeps_the_contract_of_a_driver(world):
    report = check_driver(world("--watchdog", "2").driver(connect=False), move=True)
    assert report.moved and "watchdog of the device" in str(report)


def test_is_found_by_its_name(tmp_path):
    driver = make_driver({"name": "mujoco_twin", "socket": "twin.sock"}, tmp_path)
    assert isinstance(driver, RobotDriver) and isinstance(driver, SupportsReset)


def test_says_what_the_mjcf_says(world):
    spec = world("--name", "arm", "--rate", "40").driver(connect=False).describe()
    assert spec.name == "arm" and spec.rate == 40 and spec.command == "position"
    assert [joint.name for joint in spec.joints] == [
        "shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"
    ]  # fmt: skip
    assert (spec.joints[1].low, spec.joints[1].high) == (-1.74533, 1.74533)
    assert {(joint.unit, joint.effort) for joint in spec.joints} == {("rad", 3.0)}
    units = [(sensor.name, sensor.unit) for sensor in spec.sensors]
    assert units == [("puck_x", "m"), ("puck_y", "m"), ("puck_vx", "m/s"), ("puck_vy", "m/s")]
    assert spec.watchdog == "none" and spec.watchdog_seconds is None


def test_without_a_twin_it_says_how_to_start_one(tmp_path):
    driver = MujocoTwin(socket=str(tmp_path / "none.sock"))
    for call in (driver.describe, driver.connect, driver.safe_stop):
        with pytest.raises(DriverError, match="start it: robo-al-agent twin AGENT.yaml"):
            call()


# ---------------------------------------------------------------- moving


def test_holds_at_50_hz_and_every_command_is_in_its_log(arm):
    home, driver = arm
    sequences = []
    for tick in range(100):
        sample = driver.read()
        sequences.append(sample.sequence)
        assert near(sample.positions, HOME)
        driver.command(np.array(HOME) + 1e-4 * tick, 0.02)
        time.sleep(0.02)
    assert sequences == list(range(sequences[0], sequences[0] + 100))
    logged = home.events("command")
    targets = np.array([entry["target"] for entry in logged])
    np.testing.assert_allclose(targets, np.array(HOME) + 1e-4 * np.arange(100)[:, None], atol=1e-15)
    times = [entry["time"] for entry in logged]
    assert times == sorted(times) and times[-1] - times[0] > 1.9


def test_goes_evenly_to_a_target_and_stays_there(arm):
    home, driver = arm
    target = np.array(HOME) + [0.4, 0, 0, 0, 0]
    driver.command(target, 1.0)
    pan = []
    until(lambda: pan.append(driver.read().positions[0]) or pan[-1] > 0.38)
    assert any(0.1 < position < 0.3 for position in pan)
    until(lambda: at_rest(driver))
    assert near(driver.read().positions, target)
    assert len(home.events("command")) == 1


def test_what_was_sent_is_the_target_within_the_limits(arm):
    home, driver = arm
    sent = driver.command(np.array([9.0, *HOME[1:]]), 2.0)
    assert sent.tolist() == [1.91986, *HOME[1:]]
    assert home.events("command")[-1]["target"] == sent.tolist()


@pytest.mark.parametrize("target", [[0.0] * 4, [float("nan")] * 5, [float("inf")] * 5])
def test_a_command_that_is_none_is_refused(arm, target):
    home, driver = arm
    with pytest.raises(DriverError, match="is not 5 finite numbers"):
        driver.command(np.array(target), 0.02)
    assert not home.events("command") and home.events("refused")


def test_a_stop_brakes_and_holds(arm):
    home, driver = arm
    driver.command(np.array(HOME) + [1.5, 0, 0, 0, 0], 1.5)
    until(lambda: driver.read().velocities[0] > 0.5)
    driver.safe_stop()
    time.sleep(driver.describe().stop_seconds)
    until(lambda: at_rest(driver), 5)
    rest = driver.read().positions
    assert 0.05 < rest[0] < 1.4
    time.sleep(0.5)
    assert np.abs(driver.read().positions - rest).max() < 0.01
    assert [(stop["cause"], stop["client"]) for stop in home.events("stop")][-1][0] == "client"


def test_a_stop_holds_an_arm_that_a_jump_had_sent_far(arm):
    _, driver = arm
    driver.command(np.array(HOME) + [1.5, 0, 0, 0, 0], 0.0)
    until(lambda: driver.read().velocities[0] > 1.0)
    driver.safe_stop()
    until(lambda: at_rest(driver), 5)
    assert driver.read().positions[0] < 1.45


def test_closing_stops_what_was_sent(arm):
    home, driver = arm
    driver.command(np.array(HOME) + [1.5, 0, 0, 0, 0], 3.0)
    until(lambda: driver.read().velocities[0] > 0.1)
    driver.close()
    driver.close()
    for call in (driver.read, lambda: driver.command(np.zeros(5), 0.02)):
        with pytest.raises(DriverError, match="not connected"):
            call()
    other = home.driver()
    until(lambda: at_rest(other))
    assert other.read().positions[0] < 1.3
    other.close()


def test_without_torque_the_arm_sinks_until_it_is_connected_again(arm):
    home, driver = arm
    driver.release()
    until(lambda: driver.read().positions[1] > HOME[1] + 0.2)
    with pytest.raises(DriverError, match="torque is off"):
        driver.command(np.array(HOME), 1.0)
    driver.connect()
    until(lambda: at_rest(driver))
    assert driver.read().positions[1] > HOME[1] + 0.1
    driver.command(np.array(HOME), 0.5)
    until(lambda: near(driver.read().positions, HOME))
    assert [entry["event"] for entry in home.events() if entry["event"] in ("release", "refused")]


def test_an_arm_that_is_led_sinks_and_then_holds_where_it_is(arm):
    _, driver = arm
    driver.begin_leading()
    until(lambda: driver.read().positions[1] > HOME[1] + 0.2)
    assert driver.fault() is None
    with pytest.raises(DriverError, match="torque is off"):
        driver.command(np.array(HOME), 1.0)
    driver.end_leading()
    until(lambda: at_rest(driver))
    held = driver.read().positions
    assert held[1] > HOME[1] + 0.1
    driver.command(held, 0.1)  # it is driven again, from where it is
    until(lambda: near(driver.read().positions, held))


# ---------------------------------------------------------------- a scene's start


def test_a_reset_puts_arm_puck_and_goal_where_they_are_asked_for(arm):
    home, driver = arm
    start = (0.3, -0.2, 0.5, 0.3, 0.1)
    driver.reset({"joints": start, "puck": (0.3, -0.1), "goal": (0.3, 0.1, 0.2)}, 7)
    sample = driver.read()
    assert near(sample.positions, start) and np.abs(sample.velocities).max() < 1e-3
    np.testing.assert_allclose(sample.sensors, [0.3, -0.1, 0, 0], atol=1e-6)
    driver.reset({"puck": (0.25, 0.2)}, 8)
    assert near(driver.read().positions, start)
    assert home.events("reset")[-1]["options"] == {"puck": [0.25, 0.2]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pluck": (0.1, 0.2)}, "'pluck' is no body with 2 slides or hinges and no site"),
        ({"puck": (0.1, 0.2, 0.3)}, "'puck' is no body with 3"),
        ({"joints": (0.1,)}, "joints has 1 numbers, the robot 5"),
    ],
)
def test_a_start_that_cannot_be_is_refused(arm, options, message):
    home, driver = arm
    before = driver.read().positions
    with pytest.raises(DriverError, match=message):
        driver.reset(options, 0)
    assert np.abs(driver.read().positions - before).max() < 1e-3
    assert len(home.events("reset")) == 1


# ---------------------------------------------------------------- several clients


def test_the_death_of_its_client_leaves_it_holding_where_it_was_sent(arm):
    home, before = arm
    before.close()
    home.past = len(home.log.read_text().splitlines())
    code = (
        "import sys, time, numpy as np\n"
        "from robo_al_agent.drivers.mujoco_twin import MujocoTwin\n"
        "driver = MujocoTwin(socket=sys.argv[1], timeout=5.0)\n"
        "driver.connect()\n"
        "driver.command(np.array([0.5, -0.3, 0.6, 0.4, 0]), 1.0)\n"
        "print('sent', flush=True)\n"
        "time.sleep(60)\n"
    )
    client = subprocess.Popen([sys.executable, "-c", code, home.socket], stdout=subprocess.PIPE)
    assert client.stdout.readline() == b"sent\n"
    client.kill()
    client.wait()
    client.stdout.close()
    mover = home.events("command")[0]["client"]
    until(lambda: mover in [entry["client"] for entry in home.events("gone")])
    driver, there = home.driver(), (0.5, *HOME[1:])
    until(lambda: near(driver.read().positions, there) and at_rest(driver))
    time.sleep(0.5)
    assert near(driver.read().positions, there)
    assert not home.events("stop") and len(home.events("command")) == 1
    driver.close()


def test_who_has_it_is_named_to_the_second(arm):
    home, driver = arm
    second = home.driver(connect=False)
    with pytest.raises(DriverError, match=r"twin.sock is in use by this very process"):
        second.connect()
    second.close()
    driver.command(np.array(HOME), 0.02)
    assert not home.events("stop"), "whoever has no control stops nothing by leaving"


def test_a_stop_is_believed_when_it_is_measured(arm):
    home, driver = arm
    driver.command(np.array(HOME) + [0.5, 0, 0, 0, 0], 0.5)
    driver.safe_stop()
    assert np.abs(driver.read().velocities).max() < 0.05
    home.ask(do="inject", fault="stale")
    with pytest.raises(DriverError, match="whether it stopped is unknown"):
        driver.safe_stop()
    driver.clear_fault("Ada")


def test_anybody_may_stop_it(arm):
    home, driver = arm
    driver.command(np.array(HOME) + [1.5, 0, 0, 0, 0], 3.0)
    assert home.ask(do="stop") == {"ok": True}
    until(lambda: at_rest(driver))
    assert driver.read().positions[0] < 1.0


def test_only_who_has_control_may_reset_or_release(arm):
    home, _ = arm
    for request in ({"do": "reset", "options": {}}, {"do": "release"}):
        assert "another client has control" in home.ask(**request)["error"]


@pytest.mark.parametrize(
    "line",
    [b"nonsense", b"[1, 2]", b'{"do": "dance"}', b'{"do": "command"}', b'{"do": ["read"]}']
    + [b'{"do": "inject", "fault": "fire"}', b"[" * 5000, b"\xff\xfe"],
)
def test_what_is_no_request_is_refused_and_harms_nothing(arm, line):
    home, driver = arm
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.connect(str(home.socket))
        other.sendall(line + b"\n")
        assert "error" in json.loads(other.makefile().readline())
    driver.read()


def test_who_sends_without_end_is_dropped(arm):
    home, driver = arm
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.settimeout(20)
        other.connect(str(home.socket))
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(1000):
                other.sendall(b"x" * 65536)
    driver.read()


# ---------------------------------------------------------------- faults


@pytest.mark.parametrize("code", ["estop", "overload"])
def test_a_fault_stops_it_and_stays_until_a_person_clears_it(arm, code):
    home, driver = arm
    driver.command(np.array(HOME) + [1.5, 0, 0, 0, 0], 3.0)
    assert driver.fault() is None
    home.ask(do="inject", fault=code)
    assert driver.fault().code == code
    until(lambda: at_rest(driver))
    for call in (lambda: driver.command(np.array(HOME), 1.0), lambda: driver.reset({}, 0)):
        with pytest.raises(DriverError, match=f"{code} is latched"):
            call()
    driver.safe_stop()
    assert len(home.events("command")) == 1
    assert home.events("stop")[0]["cause"] == code
    driver.connect()
    assert driver.fault().code == code
    driver.clear_fault("Ada")
    assert driver.fault() is None
    assert (
        home.events("clear")[-1] | {"operator": "Ada", "faults": [code]}
        == (home.events("clear")[-1])
    )
    driver.command(np.array(HOME), 1.0)


def test_a_frozen_encoder_shows_a_robot_that_stands(arm):
    home, driver = arm
    driver.read()
    home.ask(do="inject", fault="frozen")
    driver.command(np.array(HOME) + [0.5, 0, 0, 0, 0], 0.5)
    until(lambda: home.ask(do="leave") and home.events("fault"))
    time.sleep(1.0)
    first, second = driver.read(), driver.read()
    assert near(first.positions, HOME) and driver.fault() is None
    assert second.sequence == first.sequence + 1 and second.time_ns > first.time_ns
    driver.clear_fault("Ada")
    until(lambda: near(driver.read().positions, np.array(HOME) + [0.5, 0, 0, 0, 0]))


def test_stale_readings_show_the_same_sequence_again(arm):
    home, driver = arm
    before = driver.read()
    home.ask(do="inject", fault="stale")
    time.sleep(0.1)
    again = driver.read()
    assert (again.sequence, again.time_ns) == (before.sequence, before.time_ns)
    driver.clear_fault("Ada")
    assert driver.read().sequence > before.sequence


def test_a_twin_that_was_killed_is_a_latched_fault_until_it_is_back(world):
    home = world()
    driver = home.driver()
    spec = driver.describe()
    home.kill()
    with pytest.raises(DriverError, match="does not answer"):
        driver.read()
    assert driver.fault().code == "no_reply"
    for call in (driver.read, driver.safe_stop, lambda: driver.clear_fault("Ada")):
        with pytest.raises(DriverError):
            call()
    home.start()
    with pytest.raises(DriverError):
        driver.read()
    driver.clear_fault("Ada")
    assert driver.fault() is None and near(driver.read().positions, np.zeros(5))
    assert driver.describe() == spec
    driver.close()


def test_a_twin_that_hangs_is_a_latched_fault(world):
    home = world()
    driver = home.driver(timeout=0.5)
    home.process.send_signal(signal.SIGSTOP)
    try:
        with pytest.raises(DriverError, match="timed out"):
            driver.read()
        assert driver.fault().code == "no_reply"
        driver.close()
    finally:
        home.process.send_signal(signal.SIGCONT)


def test_the_watchdog_stops_a_robot_that_nobody_commands(world):
    home = world("--watchdog", "0.3")
    driver = home.driver()
    assert driver.describe().watchdog == "device" and driver.describe().watchdog_seconds == 0.3
    driver.command(np.array([1.5, 0, 0, 0, 0]), 3.0)
    until(lambda: home.events("stop"))
    (stop,), (command,) = home.events("stop"), home.events("command")
    assert stop["cause"] == "watchdog" and stop["client"] is None
    assert 0.3 <= stop["time"] - command["time"] < 0.33
    until(lambda: at_rest(driver))
    assert driver.read().positions[0] < 1.0
    driver.command(driver.read().positions, 0.02)
    until(lambda: home.events()[-1]["time_ns"] and at_rest(driver))
    time.sleep(0.6)
    assert len(home.events("stop")) == 1, "at rest there is nothing to watch over"
    driver.close()


# ---------------------------------------------------------------- the process


def test_time_may_go_faster(world):
    home = world("--speed", "5")
    driver = home.driver()
    driver.command(np.array([1.0, 0, 0, 0, 0]), 2.0)
    until(lambda: driver.read().positions[0] > 0.95)
    driver.safe_stop()
    went = [entry for entry in home.events() if entry["event"] in ("command", "stop")]
    simulated = went[1]["time"] - went[0]["time"]
    real = (went[1]["time_ns"] - went[0]["time_ns"]) / 1e9
    assert simulated > 1.9 and 4 < simulated / real < 6
    driver.close()


def test_ends_when_it_is_terminated_and_leaves_no_socket(world):
    home = world()
    home.process.terminate()
    assert home.process.wait(20) == 0
    assert not home.socket.exists()


def test_what_cannot_be_started_says_why(shared, tmp_path, monkeypatch, capsys):
    usual = ["--socket", tmp_path / "s", "--log", tmp_path / "log"]
    (tmp_path / "torque.xml").write_text(
        "<mujoco><worldbody><body><joint name='j'/><geom size='1'/></body></worldbody>"
        "<actuator><motor name='m' joint='j' ctrlrange='-1 1'/></actuator></mujoco>"
    )
    for arguments, message in [
        (["--model", tmp_path / "none.xml", *usual], "none.xml"),
        (["--model", tmp_path / "torque.xml", *usual], "actuator m is no <position> servo"),
        (["--model", MODEL, *usual, "--watchdog", "-1"], "--watchdog -1.0: it must be above 0"),
        (["--model", MODEL, "--socket", shared.socket, "--log", tmp_path / "log"], "another twin"),
        (["--model", MODEL, "--socket", tmp_path / "s", "--log", tmp_path], "Is a directory"),
        (["--model", MODEL, "--socket", MODEL, "--log", tmp_path / "log"], "is no socket"),
        (["--model", MODEL, "--socket", tmp_path / ("x" * 200), "--log", tmp_path / "log"], "long"),
    ]:
        monkeypatch.setattr(sys, "argv", ["twin_world", *map(str, arguments)])
        assert main() == 2
        assert message in capsys.readouterr().err
    shared.driver().close()


# ---------------------------------------------------------------- the physics


def test_a_servo_sensor_and_unit_of_each_kind(tmp_path):
    path = tmp_path / "scene.xml"
    path.write_text(
        "<mujoco><worldbody><body name='cart'><joint name='rail' type='slide' axis='1 0 0'/>"
        "<geom size='0.1'/><site name='tip'/></body></worldbody><actuator><position name='s' "
        "joint='rail' kp='9' ctrlrange='-1 1'/></actuator><sensor><framepos name='at' "
        "objtype='site' objname='tip'/><jointvel name='v' joint='rail'/>"
        "<force name='f' site='tip'/></sensor></mujoco>"
    )
    scene = Scene(path)
    (joint,) = scene.joints()
    assert (joint.name, joint.unit, joint.effort) == ("rail", "m", float("inf"))
    units = {sensor.name: sensor.unit for sensor in scene.sensors()}
    assert units == {
        **{f"at[{i}]": "m" for i in range(3)},
        "v": "m/s",
        **{f"f[{i}]": "N" for i in range(3)},
    }
    assert len(scene.measure()[3]) == 7


def test_a_scene_without_servos_is_refused(tmp_path):
    path = tmp_path / "empty.xml"
    path.write_text("<mujoco><worldbody/></mujoco>")
    with pytest.raises(SetupError, match="no actuator"):
        Scene(path)
