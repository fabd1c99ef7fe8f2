"""The command line of the robot's PC: `robo-al-agent serve AGENT.yaml`, and what a person says."""

import argparse
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from robo_al_agent.config import load_config
from robo_al_agent.devices.calibration import calibrate
from robo_al_agent.devices.door import Door
from robo_al_agent.driver import RobotDriver
from robo_al_agent.drivers.loading import is_sensor, make_driver, make_robot, make_sensor
from robo_al_agent.envelope.draft import write_draft
from robo_al_agent.envelope.envelope import Envelope, load_envelope
from robo_al_agent.errors import AgentError, BusyError, SetupError
from robo_al_agent.guard import Faulted
from robo_al_agent.journal.locking import lock
from robo_al_agent.motion.leading import jog_goal, lead, park_goal, park_pose
from robo_al_agent.motion.recovery import misplaced, recover
from robo_al_agent.operator import conversation, finding, servo_setup
from robo_al_agent.operator.terminal import tolerate
from robo_al_agent.protocol.keys import make_keys


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    tolerate()
    options = _parser().parse_args(arguments)
    try:
        return int(options.do(options) or 0)
    except AgentError as error:
        print(f"robo-al-agent: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads has seen enough: `robo-al-agent status ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="robo-al-agent", description="Executes a robo-al campaign's rollouts on a robot."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, do: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(do=do)
        return made

    def with_config(made: argparse.ArgumentParser) -> argparse.ArgumentParser:
        made.add_argument("config", type=Path, metavar="AGENT.yaml")
        return made

    def with_note(made: argparse.ArgumentParser) -> None:
        made.add_argument("--note", default="", metavar="TEXT", help="of this session, to keep")

    with_note(with_config(command("serve", _serve, "serve the robot until Ctrl-C")))
    keys = command("keys", _keys, "make CURVE keys for an agent and a host")
    keys.add_argument("folder", type=Path, metavar="FOLDER")
    finding.add_arguments(
        command("find", finding.find, "list serial ports and what answers; moves nothing")
    )
    servo_setup.add_arguments(
        command("setup", servo_setup.setup, "show and set what serial servos keep")
    )
    envelope = command(
        "envelope", _envelope, "write a first envelope, from what a driver says of its robot"
    )
    envelope.add_argument("--from", dest="what", required=True, metavar="AGENT.yaml|FILE.py:DRIVER")
    envelope.add_argument(
        "--out", type=Path, help="file to write (the one AGENT.yaml names, or envelope.yaml)"
    )
    envelope.add_argument(
        "--model", type=Path, metavar="MJCF", help="of a twin, which is started to be asked"
    )
    check = command(
        "check",
        _check,
        "connect, read and measure the rate; or say whether a driver keeps its contract",
    )
    check.add_argument("what", metavar="AGENT.yaml|FILE.py:DRIVER")
    for made in (envelope, check):
        made.add_argument(
            "--parameters", default="{}", metavar="JSON", help="of the driver's constructor"
        )
    check.add_argument("--move", action="store_true", help="a driver: let the robot move a little")
    twin = command("twin", _twin, "serve a MuJoCo twin, in real time, through the same code")
    with_note(with_config(twin))
    twin.add_argument(
        "--model", type=Path, required=True, metavar="MJCF", help="of robot and scene"
    )
    with_config(
        command("recover", _recover, "bring joints slowly back into their limits; Ctrl-C stops")
    )
    with_config(
        command("park", _lead, "bring it slowly to the pose `park` of AGENT.yaml; Ctrl-C stops")
    )
    jog = with_config(command("jog", _lead, "move one joint slowly by a little; Ctrl-C stops"))
    jog.add_argument("joint", metavar="JOINT")
    jog.add_argument(
        "delta", metavar="DELTA", type=_finite, help="rad, m or %%, as the joint has it"
    )
    with_config(command("status", conversation.status, "tell what runs, waits, and is faulty"))
    for name, text in (
        ("approve", "let the waiting rollout run"),
        ("reject", "do not let the waiting rollout run"),
    ):
        made = with_config(command(name, conversation.say, text))
        made.add_argument("id", nargs="?", help="of the rollout (the first that waits)")
    with_config(command("clear", conversation.errand, "clear a fault, after looking at the robot"))
    with_config(command("release", conversation.release, "torque off: THE ARM FALLS; hold it"))
    record = with_config(
        command(
            "record", conversation.record, "record a motion led by hand: THE ARM FALLS; hold it"
        )
    )
    with_note(record)
    record.add_argument(
        "--seconds", type=_finite, default=600.0, help="after which it ends (600); Enter ends it"
    )
    record.add_argument("--out", type=Path, metavar="FILE.safetensors", help="write it there too")
    kept = with_config(
        command("recordings", conversation.recordings, "list the recordings that are kept")
    )
    kept.add_argument("id", nargs="?", metavar="RECORDING")
    kept.add_argument("--out", type=Path, metavar="FILE.safetensors", help="write it there")
    kept.add_argument("--drop", action="store_true", help="let the agent forget it")
    with_config(
        command("pause", conversation.tell, "let what runs end, and start nothing until `resume`")
    )
    with_config(command("resume", conversation.tell, "let rollouts start again after `pause`"))
    with_config(command("abort", conversation.tell, "stop the robot, and drop what waits"))
    return parser


def _finite(text: str) -> float:
    """Return a number that argparse takes for an argument."""
    if not math.isfinite(number := float(text)):
        raise ValueError(text)
    return number


def _serve(options: argparse.Namespace) -> int:
    from robo_al_agent.parent import serve

    load_config(options.config)
    return serve(options.config, options.note, lambda text: print(text, flush=True))


def _keys(options: argparse.Namespace) -> None:
    make_keys(options.folder)
    print(
        f"keys are in {options.folder}. On the robot's PC: keys: {options.folder} in AGENT.yaml.\n"
        "On the host: a folder with agent.key and host.key_secret, as oracle.keys."
    )


def _envelope(options: argparse.Namespace) -> None:
    if _is_driver(options.what):
        if options.model is not None:
            raise SetupError(f"--model is for the AGENT.yaml of a twin, not for {options.what}")
        path = options.out or Path("envelope.yaml")
        write_draft(Door(_named_driver(options)).spec, path)
    else:
        _refuse_driver_options(options)
        given = Path(options.what)
        config = load_config(given)
        path = options.out or config.envelope
        with _twin_world(given, options.model) if options.model else contextlib.nullcontext():
            write_draft(Door(make_robot(config, given.resolve().parent)).spec, path)
    print(f"{path} is written: look at each of its values before anything moves")


def _is_driver(what: str) -> bool:
    return ":" in what and not Path(what).is_file()


def _refuse_driver_options(options: argparse.Namespace) -> None:
    if options.parameters != "{}" or getattr(options, "move", False):
        raise SetupError(f"--parameters and --move are for FILE.py:DRIVER, not for {options.what}")


def _check(options: argparse.Namespace) -> None:
    path = Path(options.what)
    if path.suffix == ".py" or _is_driver(options.what):
        _check_driver(options)
        return
    _refuse_driver_options(options)
    with _device(path) as (door, envelope):
        _check_sensors(path)
        spec = door.spec
        print(f"{spec.name}: {len(spec.joints)} joints, {spec.command} commands, {spec.rate:g} Hz")
        for joint in spec.joints:
            print(f"  {joint.name}: {joint.low:g} to {joint.high:g} {joint.unit}")
        if spec.watchdog == "none":
            print("watchdog: none; after the agent's death the robot holds its last command")
        else:
            after = f" after {spec.watchdog_seconds:g} s" if spec.watchdog_seconds else ""
            print(f"watchdog: {spec.watchdog}{after}")
        if spec.experimental:
            print("EXPERIMENTAL: this driver was never tried on its device")
        abilities = ["whole trajectories" if door.takes_trajectories else "streamed commands"]
        abilities += ["resets its scene"] * door.resets
        print(f"can do: {', '.join(abilities)}", flush=True)
        door.connect()
        positions = door.read().positions
        print("positions: " + ", ".join(f"{value:.4f}" for value in positions), flush=True)
        wrong = door.fault() or misplaced(envelope, spec, positions)
        if wrong is not None:
            raise Faulted(wrong)
        rate = calibrate(door)
        print(
            f"read and hold: p50 {rate.p50 * 1e3:.2f} ms, p99 {rate.p99 * 1e3:.2f} ms, largest "
            f"{rate.largest * 1e3:.2f} ms, {rate.misses} of {rate.cycles} later than "
            f"{spec.rate:g} Hz; rollouts may command at {1 / rate.shortest_period:.0f} Hz"
        )
        wrong = door.fault()
        if wrong is not None:
            raise Faulted(wrong)


def _recover(options: argparse.Namespace) -> None:
    """Lead joints back: by the agent that has the robot, or without one."""
    try:
        with _device(options.config) as (door, envelope):
            stopped: list[int] = []

            def stop(number: int, _: Any) -> None:
                stopped.append(number)
                signal.signal(number, signal.default_int_handler)  # again: ends a call that hangs

            door.connect()
            wrong = misplaced(envelope, door.spec, door.read().positions)
            print(wrong.message if wrong else "every joint is inside its limits", flush=True)
            signal.signal(signal.SIGINT, stop)
            pose = recover(door, envelope, lambda: bool(stopped))
            print("positions: " + ", ".join(f"{value:.4f}" for value in pose))
    except BusyError as busy:
        conversation.errand(options, busy)


def _lead(options: argparse.Namespace) -> None:
    """Move the robot slowly: by the agent that has it, or without one."""
    try:
        with _device(options.config) as (door, envelope):
            if options.command == "park":
                park = load_config(options.config).park
                goal = park_goal(park_pose(park, door.spec, envelope))
            else:
                goal = jog_goal(door.spec, options.joint, options.delta)
            stopped: list[int] = []
            signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
            door.connect()
            pose = lead(door, envelope, goal, lambda: bool(stopped))
            print("positions: " + ", ".join(f"{value:.4f}" for value in pose))
    except BusyError as busy:
        conversation.errand(options, busy)


@contextlib.contextmanager
def _device(path: Path) -> Iterator[tuple[Door, Envelope]]:
    """Have the robot for this process alone; let go of it in the end."""
    config = load_config(path)
    with lock(config.journal):
        door = Door(make_robot(config, path.resolve().parent))
        try:
            yield door, load_envelope(config.envelope, door.spec)
        finally:
            door.close()


def _check_sensors(path: Path) -> None:
    """Say of each sensor of AGENT.yaml what it measures, and whether it keeps its contract."""
    from robo_al_agent.conformance.sensors import check_sensor

    for name, entry in load_config(path).sensors.items():
        sensor = make_sensor(name, entry.settings, path.resolve().parent)
        try:
            print(f"sensor {name}: {check_sensor(sensor)}", flush=True)
        except AgentError as error:
            raise SetupError(f"sensor {name}: {error}") from error


def _check_driver(options: argparse.Namespace) -> None:
    """Say whether a driver or a sensor keeps its contract; see `robo_al_agent.conformance`."""
    from robo_al_agent.conformance import check_driver
    from robo_al_agent.conformance.sensors import check_sensor

    if is_sensor(options.what, Path.cwd()):
        settings = {"name": options.what, **_parameters(options)}
        print(check_sensor(make_sensor(options.what, settings, Path.cwd())))
        print(f"{options.what} keeps the contract of a sensor")
        return
    print(check_driver(_named_driver(options), move=options.move))
    print(f"{options.what} keeps the contract of a driver")


def _named_driver(options: argparse.Namespace) -> RobotDriver:
    """Make the driver that FILE.py:DRIVER and --parameters name."""
    return make_driver({"name": options.what, **_parameters(options)}, Path.cwd())


def _parameters(options: argparse.Namespace) -> dict[str, Any]:
    """Return what --parameters gives to the constructor."""
    try:
        parameters = json.loads(options.parameters)
    except ValueError:
        parameters = None
    if not isinstance(parameters, dict):
        example = '{"port": "/dev/ttyUSB0"}'
        raise SetupError(f"--parameters: {options.parameters!r}; give a JSON object like {example}")
    return parameters


def _twin(options: argparse.Namespace) -> int:
    """Start the simulated robot, then serve it like any other."""
    from robo_al_agent.parent import serve

    with _twin_world(options.config, options.model):
        return serve(options.config, options.note, lambda text: print(text, flush=True))


@contextlib.contextmanager
def _twin_world(path: Path, model: Path) -> Iterator[None]:
    """Have the simulated robot run that the file AGENT.yaml speaks to."""
    config = load_config(path)
    if config.driver.get("name") != "mujoco_twin":
        raise SetupError(f"{path}: driver.name is not mujoco_twin")
    socket = Path(str(config.driver.get("socket", "")))
    config.journal.mkdir(parents=True, exist_ok=True, mode=0o700)
    world = subprocess.Popen(
        [sys.executable, "-m", "robo_al_agent.twin.world"]
        + ["--model", str(model), "--socket", str(socket)]
        + ["--log", str(config.journal / "twin.jsonl")],
        start_new_session=True,  # Ctrl-C is for the agent, which stops the robot first
    )
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            if world.poll() is not None or time.monotonic() > deadline:
                raise SetupError(f"the simulated robot of {model} did not start")
            time.sleep(0.05)
        yield
    finally:
        world.send_signal(signal.SIGTERM)
        world.wait()


if __name__ == "__main__":
    sys.exit(main())
