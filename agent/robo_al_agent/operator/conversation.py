"""What a person at the robot's PC says to the agent that runs there, and what it answers."""

import argparse
import contextlib
import getpass
import os
import select
import signal
import sys
import termios
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from robo_al_agent.config import AgentConfig, load_config
from robo_al_agent.errors import BusyError, NotYetError, SetupError, WireError
from robo_al_agent.operator.recording_file import need_new_file, write_file
from robo_al_agent.protocol.client import FETCH_SECONDS, ask
from robo_al_agent.protocol.wire import Message
from robo_al_agent.queue.preview import told

ERRAND_SECONDS = 180.0
"""Within which the device has done what a person asks of it, connecting anew included."""
REPLACED_SECONDS = 30.0
"""Within which a process of the agent that had to be replaced has been."""


def status(options: argparse.Namespace) -> None:
    """Tell what runs, waits, and is faulty."""
    said = _ask(load_config(options.config), "status").fields
    print(f"{said['robot']}: " + (f"runs {said['running']}" if said["running"] else "idle"))
    session = said["session"]
    note = f": {session['note']}" if session["note"] else ""
    print(f"  session of {session['operator']}{note}")
    if said["fault"]:
        print(f"  FAULT {said['fault']['code']}: {said['fault']['message']}")
        print("  nothing moves until somebody has looked at it: robo-al-agent clear")
    if said["paused"]:
        print(f"  PAUSED by {said['paused']}: no rollout starts until robo-al-agent resume")
    for wrong in said["sensors"].values():
        print(f"  MISSING {wrong}")
    if said["recording"]:
        id, readings, by_hand = said["recording"]
        torque = ", torque off" if by_hand else ""
        print(f"  RECORDS {id}: {readings} readings{torque}; robo-al-agent abort ends it")
    if said["hangs"]:
        print(f"  HANGS {said['hangs']}")
    if not said["connected"]:
        print("  the robot is not connected")
    if said["reading"]:
        print(f"  {_places(said)}, measured {said['reading']['age']:.1f} s ago")
    print(f"  held by {said['lease'] or 'nobody'}; approval: {said['approval']}")
    for rollout in said["waiting"]:
        _show(rollout)


def say(options: argparse.Namespace) -> None:
    """Approve or reject a rollout that waits, once a person has seen its motion."""
    config = load_config(options.config)
    waiting = _ask(config, "status", id=options.id).fields["waiting"]
    chosen = [rollout for rollout in waiting if options.id in (None, rollout["id"])]
    if not chosen:
        raise SetupError("no such rollout waits" if options.id else "no rollout waits")
    rollout = chosen[0]
    if options.command == "approve":
        _show(rollout)
        if sys.stdin.isatty() and not _confirmed("let it run? [y/N] "):
            raise SetupError(f"{rollout['id']} waits on: nothing was said of it")
    _ask(config, options.command, id=rollout["id"], hash=rollout["hash"])
    print(f"{options.command}: {rollout['id']}")


def errand(options: argparse.Namespace, busy: BusyError | None = None) -> None:
    """Have the agent ask something of the device, which takes its time; Ctrl-C stops the robot.

    Args:
        options: of the command line.
        busy: that some process has the robot; raised where it is no agent, and so answers nothing.
    """
    config = load_config(options.config)
    jog = options.command == "jog"
    fields = {"joint": options.joint, "delta": options.delta} if jog else {}
    try:
        _ask(config, "status", 10.0)  # whether there is an agent shows soon
    except WireError as error:
        raise busy or error from None
    until = time.monotonic() + ERRAND_SECONDS
    replacing = False
    while True:
        try:
            _ask(config, options.command, max(1.0, until - time.monotonic()), **fields)
            print(f"{options.command}: done")
            return
        except NotYetError:  # the agent's process is being replaced
            if not replacing:
                replacing, until = True, min(until, time.monotonic() + REPLACED_SECONDS)
            if time.monotonic() > until:  # the device hangs again in each new process
                raise
            time.sleep(1.0)
        except KeyboardInterrupt:
            _ask(config, "abort")
            raise


def release(options: argparse.Namespace) -> None:
    """Switch torque off, after a person has been told what falls, and offered to park first."""
    config = load_config(options.config)
    said = _ask(config, "status", 10.0).fields
    places = _places(said) or "places not known"
    print(f"torque goes off at every joint of {said['robot']} ({places}):")
    print("what a motor holds up falls, and what a gripper holds: hold the arm")
    if not config.park:
        print(
            "`park:` in AGENT.yaml, a pose from which little falls, would let it be led there first"
        )
    elif not sys.stdin.isatty():
        print("`robo-al-agent park` first would bring it to a pose from which little falls")
    elif _confirmed("bring it to its park pose first? [y/N] "):
        options.command = "park"
        errand(options)
        options.command = "release"
    if not sys.stdin.isatty() or _confirmed("torque off now? [y/N] "):
        errand(options)


def _places(said: Mapping[str, Any]) -> str:
    """Return where each joint was when it was read last, in words."""
    return ", ".join(f"{one['joint']} at {one['at']:.3g} {one['unit']}" for one in said["places"])


def _confirmed(question: str) -> bool:
    """Return whether a person in a terminal says yes, to what was asked and not before it."""
    with contextlib.suppress(termios.error):
        termios.tcflush(sys.stdin, termios.TCIFLUSH)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def tell(options: argparse.Namespace) -> None:
    """Say something that is done at once."""
    _ask(load_config(options.config), options.command)
    print(f"{options.command}: done")


def _show(rollout: Mapping[str, Any]) -> None:
    """Print a rollout that waits: how long it is, why it was chosen, and where each joint goes."""
    seconds = rollout["horizon"] * rollout["period"]
    print(f"  waits: {rollout['id']}, {seconds:g} s  {rollout['why']}".rstrip())
    for line in told(rollout["motion"]) if "motion" in rollout else ():
        print(f"    {line}")


def record(options: argparse.Namespace) -> None:
    """Have a motion recorded that a person leads, until Enter, Ctrl-C or a time."""
    config = load_config(options.config)
    if options.out is not None:
        need_new_file(options.out)
    robot = _ask(config, "status", 10.0).fields["robot"]
    print(f"{robot}: where its driver can let go of it, torque goes off at every joint:")
    print("what a motor holds up falls, and what a gripper holds: hold the arm")
    if sys.stdin.isatty() and not _confirmed("begin? [y/N] "):
        return
    id = f"recording/{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: stopped.append(number))
    asked = {"id": id, "note": options.note, "duration": options.seconds}
    begun = _ask(config, "record", ERRAND_SECONDS, **asked).fields
    led = "torque is off: lead it by hand"
    if not begun["by_hand"]:
        led = "this driver cannot let go of the robot: it is only read, however it is led"
    print(f"{id}: {led}; Enter or Ctrl-C ends it", flush=True)
    state = _watch_recording(config, id, stopped)
    print(f"{state['kind']}: {state['reason']}")
    if state["fault"]:
        print(f"  FAULT {state['fault']['code']}: {state['fault']['message']}")
    if options.out is not None:
        _write(_ask_plainly(config, "fetch", FETCH_SECONDS, id=id), options.out)


def _watch_recording(config: AgentConfig, id: str, stopped: list[int]) -> Mapping[str, Any]:
    """End a recording when a person says so; return its state once it has ended."""
    ended, heard = False, time.monotonic()
    while True:
        try:
            state = _ask_plainly(config, "state", id=id).fields
        except WireError:  # the agent's process may just be replaced
            if time.monotonic() - heard > REPLACED_SECONDS or len(stopped) > 1:
                raise
            continue
        heard = time.monotonic()
        if state["state"] != "started":
            return state
        listened = [sys.stdin] if sys.stdin.isatty() and not ended else []
        entered = bool(select.select(listened, [], [], 0.1)[0])
        if (entered or stopped) and not ended:
            ended = True
            with contextlib.suppress(WireError):  # it may have ended by itself: its state says so
                _ask(config, "end_recording", ERRAND_SECONDS)


def recordings(options: argparse.Namespace) -> None:
    """List the recordings that are kept; write one as a file, or let the agent forget it."""
    config = load_config(options.config)
    if options.id is None:
        if options.out is not None or options.drop:
            raise SetupError("--out and --drop are for one recording: name it")
        said = _ask_plainly(config, "recordings").fields
        for one in said["recordings"]:
            note = f": {one['note']}" if one["note"] else ""
            print(f"{one['id']}  {one['kind']}  {one['reason']}  {one['operator']}{note}")
        if said["further"]:
            print(f"and {said['further']} newer ones")
        return
    if options.out is None and not options.drop:
        raise SetupError(f"{options.id}: say what is to be done with it: --out FILE, --drop")
    found = _ask_plainly(config, "fetch", FETCH_SECONDS, id=options.id)
    if found.kind != "recording":
        raise SetupError(f"{options.id} is no recording but a rollout, which is its host's")
    if options.out is not None:
        _write(found, options.out)
    if options.drop:
        _ask_plainly(config, "acknowledge", id=options.id)
        print(f"{options.id}: dropped")


def _write(recording: Message, path: Path) -> None:
    write_file(path, recording)
    print(f"{recording.fields['id']} is written to {path}")


def operator(config: AgentConfig) -> str:
    """Return who is at the robot."""
    with contextlib.suppress(KeyError, OSError):  # an account without a name
        return config.operator or getpass.getuser()
    return str(os.getuid())


def _ask(config: AgentConfig, kind: str, seconds: float = 2.0, **fields: Any) -> Message:
    name = operator(config)
    who = {"who": name} if kind == "abort" else {"operator": name}
    return _ask_plainly(config, kind, seconds, **who, **fields)


def _ask_plainly(config: AgentConfig, kind: str, seconds: float = 2.0, **fields: Any) -> Message:
    """Ask what anybody may ask, who does not say a name."""
    address = f"ipc://{config.journal.resolve() / 'operator.sock'}"
    return ask(address, Message(kind, {"request": 0, **fields}), None, seconds)
