"""Sensors beside the robot: real agents, real threads, sensors that go wrong as they are told."""

import json
import os
import runpy
import signal
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from robo_al_agent.drivers.loading import make_sensor
from robo_al_agent.errors import AgentError

person = runpy.run_path(str(Path(__file__).parents[1] / "person.py"))
run = person["run"]
leave = person["leave"]
until = person["until"]
ROOT = Path(__file__).parents[3]
EMULATORS = ROOT / "tests" / "emulators"
NAMES = [f"wrist.{name}" for name in ("fx", "fy", "fz", "tx", "ty", "tz")]


def wrist(folder: Path, **changes: Any) -> dict[str, Any]:
    entry = {"driver": f"{EMULATORS / 'sensors.py'}:ForceTorque", "told": str(folder / "told")}
    return {"wrist": {**entry, "oldest": 0.5, **changes}}


def still(steps: int) -> dict[str, np.ndarray]:
    return {"actions": np.zeros((steps, 2))}


def begin(client: Any, helpers: Any, name: str, steps: int = 500) -> None:
    """Begin a rollout that lasts long enough for anything to go wrong."""
    client.submit(name, helpers.content(steps), still(steps))

    def moves(session: Any) -> bool:
        state = session.jobs[name].state
        return state is not None and (state.fields.get("step") or 0) > 10

    assert client.wait(moves, 30), client.session.jobs[name]


def test_numbers_come_with_each_reading_and_at_the_sensors_own_rate(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path
) -> None:
    agent = serve(sensors=wrist(tmp_path))
    client = agent.client()
    assert client.wait(lambda s: s.agent is not None and s.agent.fields["rate"], 20)
    told = client.session.agent.fields["spec"]["sensors"]
    assert [one["name"] for one in told] == NAMES
    assert [one["unit"] for one in told] == ["N"] * 3 + ["N m"] * 3
    client.submit("run/r1", helpers.content(50), still(50))
    result = helpers.finished(client, "run/r1").result
    sensed, times = result.arrays["sensors"], result.arrays["time_ns"]
    assert sensed.shape == (51, 6)
    np.testing.assert_allclose(sensed[:, 2], -9.81)
    assert (np.abs(sensed[:, 0] - times / 1e9) < 0.5).all(), "the newest, not an old one"
    assert len(np.unique(sensed[:, 5])) > 25
    own = result.arrays["sensor.wrist"]
    assert (np.diff(own[:, 0]) > 0).all() and (np.diff(own[:, 6]) == 1).all(), "none is left out"
    np.testing.assert_allclose(own[:, 0], own[:, 1] * 1e9, rtol=1e-9)
    assert own[0, 0] <= times[3] and own[-1, 0] >= times[-3] and len(own) > 51
    assert result.fields["beside"] == {"wrist": {"cut": False, "wrong": None}}


CASES = {
    "gone": "driver_error",
    "hang": "stale",
    "hold 0.9": "stale",
    "stale": "stale",
    "nan": "reading",
    "short": "reading",
    "ahead": "reading",
}


@pytest.mark.first(2)
@pytest.mark.parametrize("how", CASES)
def test_a_sensor_that_goes_wrong_ends_a_rollout_with_its_name(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, how: str
) -> None:
    agent = serve(sensors=wrist(tmp_path))
    client = agent.client()
    begin(client, helpers, "run/r1")
    leave(tmp_path / "told", how)
    job = helpers.finished(client, "run/r1", 30)
    state = job.state.fields
    assert state["kind"] == "FAULTED" and "sensor wrist" in state["reason"], state
    assert "STOP FAILED" not in state["reason"]
    assert np.isfinite(job.result.arrays["sensors"]).all()
    assert agent.log()[-1].endswith(" stop"), "the robot was stopped, whatever its sensor does"
    assert agent.status()["fault"]["code"] == CASES[how]
    if how != "hang":  # a call that hangs ends with its process, whoever clears
        refused = run(agent.config, "clear")
        assert refused.returncode != 0 and "sensor wrist" in refused.stderr
    (tmp_path / "told").unlink()
    until(lambda: run(agent.config, "clear").returncode == 0)
    client.submit("run/r2", helpers.content(), helpers.ramp())
    assert helpers.finished(client, "run/r2", 30).state.fields["kind"] == "SUCCEEDED"


@pytest.mark.proof
@pytest.mark.parametrize("how", ["gone", "hang", "hold 0.9"])
def test_a_sensor_that_is_not_required_is_noted_and_delays_nothing(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, how: str
) -> None:
    agent = serve(sensors=wrist(tmp_path, required=False))
    client = agent.client()
    begin(client, helpers, "run/r1", 300)
    leave(tmp_path / "told", how)
    job = helpers.finished(client, "run/r1", 60)
    assert job.state.fields["kind"] == "SUCCEEDED"
    sensed = job.result.arrays["sensors"]
    assert np.isfinite(sensed[0]).all() and np.isnan(sensed[-1]).all()
    assert "sensor wrist" in job.result.fields["beside"]["wrist"]["wrong"]
    assert "MISSING sensor wrist" in run(agent.config, "status").stdout
    assert agent.status()["fault"] is None
    if how != "hang":
        (tmp_path / "told").unlink()
        until(lambda: not agent.status()["sensors"])
        client.submit("run/r2", helpers.content(), helpers.ramp())
        result = helpers.finished(client, "run/r2", 30).result
        assert np.isfinite(result.arrays["sensors"]).all()


def test_a_sensor_that_is_not_there_keeps_the_agent_up_and_is_named(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    leave(tmp_path / "told", "gone")
    agent = serve(sensors=wrist(tmp_path))
    fault = agent.status()["fault"]
    assert fault["message"].startswith("sensor wrist: connect: OSError: [Errno 5]")
    (tmp_path / "told").unlink()
    assert run(agent.config, "clear").returncode == 0


def test_a_trajectory_of_the_controllers_is_ended_as_well(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path
) -> None:
    name = f"{EMULATORS / 'misbehaving.py'}:MisbehavingController"
    agent = serve(driver={"name": name, "folder": str(tmp_path)}, sensors=wrist(tmp_path))
    client = agent.client()
    moving = 0.0004 * np.arange(1, 501)[:, None] * np.ones(2)
    client.submit("run/r1", helpers.content(500), {"actions": moving})
    until(lambda: '"execute"' in (tmp_path / "log").read_text())
    leave(tmp_path / "told", "gone")
    job = helpers.finished(client, "run/r1", 60)
    assert job.state.fields["kind"] == "FAULTED" and "sensor wrist" in job.state.fields["reason"]
    robot = json.loads((tmp_path / "robot.json").read_text())
    assert abs(robot["to"][0]) < 0.15, "it was stopped on its way"


def test_rows_of_other_sensors_are_not_taken_for_these(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path
) -> None:
    """The agent and its parent are killed in motion, and the sensor is taken out of AGENT.yaml."""
    agent = serve(sensors=wrist(tmp_path))
    client = agent.client()
    begin(client, helpers, "run/r1")
    (child,) = subprocess.check_output(
        ["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], text=True
    ).split()
    agent.process.send_signal(signal.SIGSTOP)  # so that neither ends in order without the other
    os.kill(int(child), signal.SIGKILL)
    agent.process.kill()
    client.close()
    helpers.end(agent.process)
    before = agent.config.read_text()
    less = yaml.safe_load(before)
    del less["sensors"]
    agent.config.write_text(yaml.safe_dump(less))
    done = run(agent.config, "serve")
    assert done.returncode == 2 and "other joints or sensors" in done.stderr, done
    agent.config.write_text(before)
    agent.process = helpers.run_agent(agent.config)
    again = agent.client()
    again.submit("run/r1", helpers.content(500), still(500))
    job = helpers.finished(again, "run/r1", 30)
    assert job.state.fields["kind"] == "INTERRUPTED"
    np.testing.assert_allclose(job.result.arrays["sensors"][:, 2], -9.81)


def test_it_is_recorded_with_a_motion_that_is_led(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    name = f"{EMULATORS / 'misbehaving.py'}:Led"
    agent = serve(driver={"name": name, "folder": str(tmp_path)}, sensors=wrist(tmp_path))
    file = tmp_path / "led.safetensors"
    done = run(agent.config, "record", "--seconds", "0.5", "--out", str(file))
    assert "SUCCEEDED" in done.stdout, done
    (one,) = agent.client().recordings()
    got = agent.client().fetch_recording(one["id"])
    assert [sensor["name"] for sensor in got.fields["sensors"]] == NAMES
    assert np.isfinite(got.arrays["sensors"]).all() and len(got.arrays["sensor.wrist"]) > 10
    loaded = pytest.importorskip("safetensors.numpy").load_file(file)
    np.testing.assert_array_equal(loaded["sensor.wrist"], got.arrays["sensor.wrist"])


def test_an_entry_that_cannot_be_used_is_refused_at_the_start(
    serve: Callable[..., Any], helpers: Any
) -> None:
    agent = serve()
    helpers.end(agent.process)
    force = f"driver: '{EMULATORS / 'sensors.py'}:ForceTorque'"
    for entry, told in (
        ("told: x", "sensors.wrist.driver: missing"),
        ("driver: forze", "sensors.wrist: sensor forze: not known"),
        (f"{force}, tols: x", "'told'"),
        (f"{force.replace('ForceTorque', 'SensorSpec')}, rate: 1", "it lacks describe"),
        (f"{force}, told: x, rate: 0", "its rate is 0 Hz"),
        (f"{force}, told: x, oldest: 0", "oldest"),
    ):
        config = agent.folder / "other.yaml"
        config.write_text(f"{agent.config.read_text()}\nsensors: {{wrist: {{{entry}}}}}\n")
        done = run(config, "serve")
        assert done.returncode == 2 and told in done.stderr, done
        assert "Traceback" not in done.stderr


@pytest.mark.first(3)
@pytest.mark.parametrize(
    ("how", "wrong"),
    [
        ("", None),
        ("gone", "connect: OSError"),
        ("hold 0.9", "read took 0.9"),
        ("hold 0.05", "Hz are declared"),
        ("stale", "its time stamp does not move"),
        ("nan", "not finite"),
        ("short", "of shape (2,)"),
        ("ahead", "later than now"),
    ],
)
def test_check_says_what_is_wrong_with_a_sensor(
    tmp_path: Path, how: str, wrong: str | None
) -> None:
    told = tmp_path / "told"
    leave(told, how)
    what, parameters = (
        f"{EMULATORS / 'sensors.py'}:ForceTorque",
        json.dumps({"told": str(told), "rate": 50}),
    )
    done = run(Path(what), "check", "--parameters", parameters)
    if wrong is None:
        assert done.returncode == 0 and "keeps the contract of a sensor" in done.stdout, done
        assert "fx N, fy N, fz N, tx N m, ty N m, tz N m" in done.stdout
    else:
        assert done.returncode == 1 and wrong in done.stderr and "ForceTorque" in done.stderr, done
        assert "Traceback" not in done.stderr


def test_check_looks_at_the_sensors_of_an_agent(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path
) -> None:
    agent = serve(sensors=wrist(tmp_path, rate=50))
    helpers.end(agent.process)
    done = run(agent.config, "check")
    assert done.returncode == 0 and "sensor wrist: fx N, fy N" in done.stdout, done
    leave(tmp_path / "told", "gone")
    done = run(agent.config, "check")
    assert done.returncode != 0 and "sensor wrist: ForceTorque.connect" in done.stderr, done


# ---------------------------------------------------------------- cameras


def test_what_is_named_in_the_package_is_a_sensor() -> None:
    pytest.importorskip("cv2")
    package = tomllib.loads((ROOT / "agent" / "pyproject.toml").read_text())
    for place in package["project"]["entry-points"]["robo_al.sensors"].values():
        made = make_sensor("camera", {"name": place, "source": "/none"}, ROOT)
        with pytest.raises(AgentError, match="OpenCV cannot open it"):
            made.connect()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video of 20 frames, each of a grey of its own."""
    cv2 = pytest.importorskip("cv2")
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 30, (64, 48))
    for grey in range(20):
        writer.write(np.full((48, 64, 3), 10 * grey, np.uint8))
    writer.release()
    return path


def overview(folder: Path, video: Path, **changes: Any) -> dict[str, Any]:
    entry = {"driver": f"{EMULATORS / 'sensors.py'}:VideoCamera", "told": str(folder / "told")}
    return {"overview": {**entry, "source": str(video), "oldest": 0.5, **changes}}


def frames(folder: Path, result: Any) -> tuple[np.ndarray, list[int]]:
    """Return times of the frames of a result, and the grey of each, from the files alone."""
    cv2 = pytest.importorskip("cv2")
    import hashlib

    about, rows = result.fields["beside"]["overview"], result.arrays["sensor.overview"]
    path = folder / "journal" / about["file"]
    data = path.read_bytes()[: about["bytes"]]
    assert hashlib.sha256(data).hexdigest() == about["sha256"]
    index = [json.loads(line) for line in path.with_suffix(".index").read_text().splitlines()]
    assert [(one["time_ns"], one["offset"]) for one in index[: len(rows)]] == [
        tuple(row) for row in rows.tolist()
    ]
    greys = []
    for begin_, end in zip(rows[:, 1], [*rows[1:, 1], about["bytes"]], strict=True):
        picture = cv2.imdecode(np.frombuffer(data[begin_:end], np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (48, 64, 3)
        greys.append(round(float(picture.mean()) / 10))
    return rows[:, 0], greys


def test_frames_are_files_and_the_result_has_their_times_place_and_hash(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, video: Path
) -> None:
    agent = serve(sensors={**overview(tmp_path, video), **wrist(tmp_path)})
    client = agent.client()
    for name in ("run/r1", "run/r2"):
        client.submit(name, helpers.content(60), still(60))
        result = helpers.finished(client, name).result
        times, greys = frames(tmp_path, result)
        stamps = result.arrays["time_ns"]
        assert len(greys) > 15 and (np.diff(times) > 0).all()
        assert times[0] < stamps[20] and times[-1] > stamps[-20]
        steps = np.diff(greys)
        assert set(steps.tolist()) <= {1, -19}, "every frame, in its order, over and over"
        assert result.arrays["sensors"].shape == (61, 6), "a camera has no numbers"
        assert sum(array.nbytes for array in result.arrays.values()) < 100_000, "no pixels"
        client.acknowledge(name)
    assert client.wait(lambda s: not s.jobs, 20)
    assert len(list((tmp_path / "journal" / "frames").glob("*.mjpeg"))) == 2, "they stay"


CAMERA_CASES = {
    "gone": "driver_error",
    "hang": "stale",
    "hold 0.9": "stale",
    "stale": "stale",
    "short": "reading",
}


@pytest.mark.first(1)
@pytest.mark.parametrize("how", CAMERA_CASES)
def test_a_camera_that_goes_wrong_ends_a_rollout_with_its_name(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, video: Path, how: str
) -> None:
    agent = serve(sensors=overview(tmp_path, video))
    client = agent.client()
    begin(client, helpers, "run/r1")
    leave(tmp_path / "told", how)
    job = helpers.finished(client, "run/r1", 30)
    assert job.state.fields["kind"] == "FAULTED" and "sensor overview" in job.state.fields["reason"]
    assert agent.status()["fault"]["code"] == CAMERA_CASES[how]
    _, greys = frames(tmp_path, job.result)
    assert greys, "what was seen until then is kept"
    (tmp_path / "told").unlink()
    until(lambda: run(agent.config, "clear").returncode == 0)
    client.submit("run/r2", helpers.content(), helpers.ramp())
    assert helpers.finished(client, "run/r2", 30).state.fields["kind"] == "SUCCEEDED"


def test_a_camera_that_hangs_and_is_not_required_delays_nothing(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, video: Path
) -> None:
    leave(tmp_path / "told", "hang")
    agent = serve(sensors=overview(tmp_path, video, required=False))
    client = agent.client()
    client.submit("run/r1", helpers.content(60), still(60))
    job = helpers.finished(client, "run/r1", 30)
    assert job.state.fields["kind"] == "SUCCEEDED"
    assert "sensor overview" in job.result.fields["beside"]["overview"]["wrong"]
    assert job.result.arrays["sensor.overview"].shape == (0, 2)


def test_frames_survive_a_kill_of_the_agent(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, video: Path
) -> None:
    agent = serve(sensors=overview(tmp_path, video))
    client = agent.client()
    begin(client, helpers, "run/r1")
    until(lambda: any(p.stat().st_size for p in (tmp_path / "journal/frames").glob("*.index")))
    (child,) = subprocess.check_output(
        ["ps", "-o", "pid=", "--ppid", str(agent.process.pid)], text=True
    ).split()
    os.kill(int(child), signal.SIGKILL)
    job = helpers.finished(client, "run/r1", 60)
    assert job.state.fields["kind"] == "INTERRUPTED"
    times, greys = frames(tmp_path, job.result)
    assert greys and (np.diff(times) > 0).all()


def test_a_disk_that_is_full_of_frames_is_a_fault_of_the_camera(
    serve: Callable[..., Any], helpers: Any, tmp_path: Path, video: Path
) -> None:
    disk = tmp_path / "journal" / "frames"
    disk.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a disk")
    agent = serve(sensors=overview(tmp_path, video))
    try:
        client = agent.client()
        begin(client, helpers, "run/r1")
        with (disk / "rubbish").open("wb", buffering=0) as file, pytest.raises(OSError):
            while True:
                file.write(bytes(1024))
        job = helpers.finished(client, "run/r1", 30)
        assert job.state.fields["kind"] == "FAULTED"
        assert "its frames cannot be kept" in job.state.fields["reason"]
        frames(tmp_path, job.result)  # what was kept is whole
        (disk / "rubbish").unlink()
        until(lambda: run(agent.config, "clear").returncode == 0)
        client.submit("run/r2", helpers.content(20), still(20))
        second = helpers.finished(client, "run/r2", 30)
        assert second.state.fields["kind"] == "SUCCEEDED" and frames(tmp_path, second.result)[1]
    finally:
        helpers.end(agent.process)
        subprocess.run(["umount", disk], check=True)
