"""`robo-al-agent setup`: reads, shows and, when asked, sets what serial servos keep.

    robo-al-agent setup feetech /dev/ttyACM0                                 shows all motors
    robo-al-agent setup feetech /dev/ttyACM0 --motor 1 --set id=5            sets one
    robo-al-agent setup feetech /dev/ttyACM0 --fix                           what `connect` refuses
    robo-al-agent setup feetech /dev/ttyACM0 --motor 3 --middle              this pose is tick 2048
    robo-al-agent setup feetech /dev/ttyACM0 --lerobot arm.json [--write]    LeRobot's calibration

Nothing is written to a motor that holds: its arm would fall, or jump by a homing offset.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

from robo_al_agent.drivers.servo_bus import ServoBus
from robo_al_agent.drivers.servo_registers import TURN, Settings
from robo_al_agent.errors import DriverError, SetupError
from robo_al_agent.operator.finding import FAMILIES, find_motors
from robo_al_agent.operator.lerobot_calibration import Calibration, entries, read_calibration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's arguments."""
    parser.add_argument("family", choices=list(FAMILIES), help="the motors' driver")
    parser.add_argument("port", help="device file of the adapter; see `robo-al-agent find`")
    parser.add_argument("--baudrate", type=int, default=1_000_000, help="bits a second (1000000)")
    parser.add_argument("--motor", type=int, metavar="ID", help="this one alone")
    parser.add_argument(
        "--set", nargs="+", metavar="NAME=NUMBER", help="settings of --motor: id=5 homing_offset=0"
    )
    parser.add_argument(
        "--fix", action="store_true", help="set what connecting refuses: modes, phases"
    )
    parser.add_argument(
        "--middle",
        action="store_true",
        help="set homing offsets with which the present pose is tick 2048, the middle",
    )
    parser.add_argument(
        "--lerobot", type=Path, metavar="JSON", help="print the entries of LeRobot's calibration"
    )
    parser.add_argument(
        "--write", action="store_true", help="with --lerobot: its offsets and limits, to the motors"
    )
    parser.add_argument(
        "--release", action="store_true", help="torque off before writing: THE ARM FALLS; hold it"
    )


def setup(options: argparse.Namespace) -> None:
    """Do what is asked, and show what the motors keep afterwards.

    Raises:
        SetupError: what is asked cannot be; nothing was written then.
        DriverError: no motor answers, or one does not keep what is written.
    """
    wanted = _numbers(options.set or [])
    if wanted and options.motor is None:
        raise SetupError("--set: say which motor, by --motor ID")
    if options.write and options.lerobot is None:
        raise SetupError("--write belongs to --lerobot FILE")
    calibration = None if options.lerobot is None else read_calibration(options.lerobot)
    bus = ServoBus(FAMILIES[options.family], options.port, options.baudrate)
    try:
        found = _motors(bus, options.motor)
        changes = {id: dict(wanted) for id in found} if wanted else {}
        if calibration is not None and options.write:
            changes = _calibrated(calibration, found, changes)
        for id, settings in found.items():
            if options.fix:
                changes.setdefault(id, {}).update(_fixes(bus, settings))
            if options.middle:
                middle = _middle(bus, id, settings)
                changes.setdefault(id, {})["homing_offset"] = middle
        _check(bus, changes, options.release)
        for id, numbers in changes.items():
            _write(bus, id, numbers)
        _show(bus, options.motor if "id" not in wanted else wanted["id"])
    finally:
        bus.close()
    if calibration is not None:
        print(entries(calibration))


def _numbers(given: list[str]) -> dict[str, int]:
    """Return `NAME=NUMBER`s as such."""
    numbers = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            numbers[name] = int(value)
        except ValueError:
            raise SetupError(f"--set {text}: NAME=NUMBER is needed, as in id=5") from None
    return numbers


def _motors(bus: ServoBus, only: int | None) -> dict[int, Settings]:
    """Return what the motors keep, by id."""
    ids = list(find_motors(bus)) if only is None else [only]
    if not ids:
        hint = "is their power on, and the baud rate right? `robo-al-agent find` tries all rates"
        raise DriverError(f"port {bus.name}: no motor answers: {hint}")
    return {id: bus.settings(id) for id in ids}


def _calibrated(
    calibration: Mapping[str, Calibration],
    found: Mapping[int, Settings],
    changes: dict[int, dict[str, int]],
) -> dict[int, dict[str, int]]:
    missing = [name for name, one in calibration.items() if one.id not in found]
    if missing:
        ids = ", ".join(map(str, found))
        raise SetupError(f"--lerobot: {', '.join(missing)} do not answer; there are ids {ids}")
    for one in calibration.values():
        numbers = changes.setdefault(one.id, {})
        numbers["homing_offset"] = one.homing_offset
        numbers["lowest"] = one.range_min
        numbers["highest"] = one.range_max
    return changes


def _fixes(bus: ServoBus, settings: Settings) -> dict[str, int]:
    """Return what to set where something is wrong that a number mends."""
    wrong = bus.family.wrong(settings)
    return {one.name: one.needed for one in wrong if one.needed is not None}


def _middle(bus: ServoBus, id: int, settings: Settings) -> int:
    """Return the homing offset with which the present pose is shown as the middle."""
    family = bus.family
    data, _ = bus.read([id], family.position.address, family.position.size)[0]
    shown = family.position.decode(data, family.position.address)
    offset = settings["homing_offset"] + family.offset_sign * (TURN // 2 - shown)
    if family.offset_sign < 0:  # positions are shown modulo a turn, so offsets are, too
        offset = (offset + TURN // 2) % TURN - TURN // 2
        offset = max(offset, -family.largest_offset)
    if abs(offset) > family.largest_offset:
        most = family.largest_offset
        raise SetupError(
            f"motor {id}: its middle would need homing offset {offset}; -{most} to {most} are "
            "possible: put its horn on anew, turned"
        )
    return offset


def _check(bus: ServoBus, changes: Mapping[int, Mapping[str, int]], release: bool) -> None:
    """Refuse what cannot be written, before anything is; switch torque off where that is asked."""
    family = bus.family
    for id, numbers in changes.items():
        for name, value in numbers.items():
            if name not in family.writable:
                known = ", ".join(family.writable)
                raise SetupError(f"{name}: no setting of {family.name}; there are {known}")
            try:
                family.settings[name].encode(value)
            except SetupError as error:
                raise SetupError(f"{name}: {error}") from None
        new = numbers.get("id", id)
        if not 0 <= new <= 252:
            raise SetupError(f"id: {new}; 0 to 252 are possible")
        if new != id and new in find_motors(bus):
            raise SetupError(f"id: {new} is another motor's already; two cannot be told apart")
    holding = [id for id in changes if bus.read([id], family.torque.address, 1)[0][0] != b"\0"]
    if holding and not release:
        raise SetupError(
            f"motors {', '.join(map(str, holding))} hold: support the arm, and add --release, "
            "which switches torque off: THE ARM FALLS"
        )
    for id in holding:
        bus.write(id, family.torque.address, b"\0")


def _write(bus: ServoBus, id: int, numbers: Mapping[str, int]) -> None:
    """Write settings for good, and read them back."""
    family = bus.family
    if family.lock is not None:
        bus.write(id, family.lock.address, b"\0")
    new = numbers.get("id", id)
    for name in sorted(numbers, key=lambda name: name == "id"):  # its answer to that has which id?
        register = family.settings[name]
        bus.write(id, register.address, register.encode(numbers[name]), answered=name != "id")
    if family.lock is not None:
        bus.write(new, family.lock.address, b"\1")
    kept = bus.settings(new)
    lost = [
        f"{name} is {kept[name]}, not {value}"
        for name, value in numbers.items()
        if kept[name] != value
    ]
    if lost:
        raise DriverError(f"motor {new} did not keep what was written: {'; '.join(lost)}")


def _show(bus: ServoBus, only: int | None) -> None:
    """Print what motors keep, and what of it is wrong."""
    family = bus.family
    print(f"{family.name} on {bus.name}")
    for id, settings in _motors(bus, only).items():
        model = family.models.get(settings["model"], "unknown")
        numbers = ", ".join(
            f"{name} {value}" for name, value in settings.items() if name not in ("id", "model")
        )
        data, _ = bus.read([id], family.position.address, family.position.size)[0]
        tick = family.position.decode(data, family.position.address)
        holds = bus.read([id], family.torque.address, 1)[0][0] != b"\0"
        state = f"at tick {tick}, {'holding' if holds else 'torque off'}"
        print(f"  motor {id}: model {settings['model']} ({model}), {numbers}; {state}")
        for one in family.wrong(settings):
            print(f"    WRONG {one.message}")
