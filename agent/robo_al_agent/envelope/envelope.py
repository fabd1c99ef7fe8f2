"""What the robot may do at most, and whether a rollout keeps to it. Nothing is ever clipped.

The envelope is a local file that only a person changes:

    joints:                # every joint of the robot, in its order; rad or m, s, N m or N
      - {name: lift, unit: m, position: [0, 0.3], velocity: 0.2, acceleration: 1, jerk: 20,
         effort: 40, start_distance: 0.01, tracking_error: 0.02}
      - {name: elbow, unit: rad, position: [-1.6, 1.6], velocity: 2, acceleration: 10, jerk: 200,
         effort: 3, start_distance: 0.1, tracking_error: 0.2}
    duration: 30           # s, the longest rollout
    sample_age: 0.1        # s, while it moves
    missed_deadlines: 3    # in a row, while it moves
    model:                 # may be left out, as may one of the two below: then it is not judged
      file: arm.xml        # MJCF or URDF, relative to this file
      workspace: {frame: tip, low: [-0.4, -0.4, 0.02], high: [0.4, 0.4, 0.5]}    # m
      self_collision: {margin: 0.01, allowed_collisions: [[base, forearm]]}      # m

A robot of actions (`command: action`) has `position` (the range of its numbers), `velocity` (their
rate of change), `duration`, `sample_age` and `missed_deadlines`; the rest is refused there.
`effort` is for the joints whose effort the driver measures: there it is needed, elsewhere refused,
since nothing could hold to it. While the robot moves, the measured velocity of a joint is held to
1.5 times its limit and a little more (`rules.MEASURED`): motors catch up, and readings jitter.
`start_distance` is how far a joint may be from where it is measured to the first command, and
`tracking_error` how far from where it was commanded while it moves. Where all joints have one unit,
each may be one number for all of them, beside `duration`; joints of several units need their own,
for no number means the same in rad and in m.

**Definitions.** Commands p[1..T] are due at k h (period h), p[0] is the start, at rest:
v[k] = (p[k] - p[k-1]) / h, a[k] = (v[k] - v[k-1]) / h, j[k] = (a[k] - a[k-1]) / h, and all three
are 0 up to k = 0. From every command the robot must be able to stop inside: with the largest
deceleration it comes to rest at p[k] + v[k] |v[k]| / (2 a_max), which must be a position allowed.
Workspace and self-collision are judged at every command and, on the straight line of joint space
from one to the next, so often that no joint moves more than 0.02 rad or m between two looks: the
margin has to cover what lies between.

What touches a limit is allowed: for rounding, a limit is taken as larger by 1e-9 of its size, in
space by 1e-9 m. Since nothing depends on later commands, a rollout is allowed just when each of its
beginnings is: `check_trajectory` and `check_command` are the same check.

Nothing here is a safety function: the emergency stop is hardware.

Axes: N candidates, T steps, J joints.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PrivateAttr

from robo_al_agent.envelope.limits import Geometry, Limits, wrong_entries
from robo_al_agent.envelope.malformed import MAX_STEPS, malformed, refusal
from robo_al_agent.envelope.rules import Bounds, Violation, first_broken
from robo_al_agent.envelope.space import Space, Workspace
from robo_al_agent.errors import SetupError
from robo_al_agent.geometry.collision import SelfCollision
from robo_al_agent.geometry.kinematics import Kinematics, read_model
from robo_al_agent.robot import Array, RobotSpec
from robo_al_agent.settings.files import read_settings, refuse


class Envelope(Limits):
    """The file's limits, ready to be held against rollouts: made by `load_envelope`.

    Arrays are [J], in the robot's order of joints. A host makes its own with
    `from_fields`.
    """

    _space: Space | None = PrivateAttr(default=None)

    @property
    def low(self) -> Array:
        """Lowest positions (rad or m)."""
        return np.array([joint.position[0] for joint in self.joints])

    @property
    def high(self) -> Array:
        """Highest positions (rad or m)."""
        return np.array([joint.position[1] for joint in self.joints])

    @property
    def velocities(self) -> Array:
        """Largest velocities (unit/s)."""
        return np.array([joint.velocity for joint in self.joints])

    @property
    def accelerations(self) -> Array:
        """Largest accelerations (unit/s^2); inf for a robot of actions."""
        return np.array([joint.acceleration for joint in self.joints])

    @property
    def jerks(self) -> Array:
        """Largest jerks (unit/s^3); inf for a robot of actions."""
        return np.array([joint.jerk for joint in self.joints])

    @property
    def effort(self) -> Array:
        """Largest efforts while it moves (N m or N); inf for a robot of actions."""
        return np.array([joint.effort for joint in self.joints])

    @property
    def start_distances(self) -> Array:
        """Largest ways to the first command (rad or m); inf for a robot of actions."""
        own = [joint.start_distance for joint in self.joints]
        return np.minimum(own, self.start_distance)

    @property
    def tracking_errors(self) -> Array:
        """Largest ways from where it was commanded (rad or m); inf for a robot of actions."""
        own = [joint.tracking_error for joint in self.joints]
        return np.minimum(own, self.tracking_error)

    @property
    def bounds(self) -> Bounds:
        """What single steps are held against."""
        return Bounds(
            names=tuple(joint.name for joint in self.joints),
            units=tuple(joint.unit for joint in self.joints),
            low=self.low,
            high=self.high,
            velocities=self.velocities,
            accelerations=self.accelerations,
            jerks=self.jerks,
            start_distances=self.start_distances,
            duration=self.duration,
        )

    @property
    def space(self) -> Space | None:
        """What configurations are held against; None without a model, or where it was not read."""
        return self._space


def load_envelope(path: Path, spec: RobotSpec) -> Envelope:
    """Read an envelope, and the model that it names.

    Args:
        path: the file.
        spec: what the driver says of the robot: limits must be inside the device's own.

    Raises:
        SetupError: the file or the model's cannot be read, or entries are wrong: all of them, one
            line each, with their path.
    """
    if not path.exists():
        raise SetupError(
            f"{path}: there is no envelope yet; write a first one: robo-al-agent envelope --from "
            "AGENT.yaml (of a twin: with --model MJCF), and look at its values"
        )
    data = read_settings(path)
    refuse(path, wrong_entries(data, spec))
    envelope = Envelope.model_validate(data)
    if envelope.model is not None:
        names = tuple(joint.name for joint in spec.joints)
        envelope._space = _read_space(envelope.model, path.parent, names)
    return envelope


def as_fields(envelope: Envelope, folder: Path) -> dict[str, Any]:
    """Return an envelope as JSON values, with the text of the model that it names.

    Args:
        envelope: as `load_envelope` returned it.
        folder: of its file.
    """
    model = envelope.model
    text = None if model is None else (folder / model.file).read_text(encoding="utf-8")
    return {"limits": envelope.model_dump(mode="json"), "model": text}


def from_fields(fields: Mapping[str, Any]) -> Envelope:
    """Return the envelope of `as_fields`, its model read: for the host, which has no such file.

    Raises:
        SetupError: the model is none.
    """
    envelope = Envelope.model_validate(fields["limits"])
    if envelope.model is not None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / Path(envelope.model.file).name
            path.write_text(str(fields["model"]), encoding="utf-8")
            geometry = envelope.model.model_copy(update={"file": path.name})
            names = tuple(joint.name for joint in envelope.joints)
            envelope._space = _read_space(geometry, Path(folder), names)
    return envelope


def _read_space(geometry: Geometry, folder: Path, joints: tuple[str, ...]) -> Space:
    kinematics = Kinematics(read_model(folder / geometry.file), joints)
    workspace, collision, margin = None, None, 0.0
    if geometry.workspace is not None:
        box = geometry.workspace
        body, point = kinematics.frame(box.frame)
        workspace = Workspace(box.frame, body, point, np.array(box.low), np.array(box.high))
    if geometry.self_collision is not None:
        margin = geometry.self_collision.margin
        collision = SelfCollision(kinematics, geometry.self_collision.allowed_collisions)
    return Space(kinematics, workspace, collision, margin)


# ---------------------------------------------------------------- checks


def check_trajectory(
    envelope: Envelope,
    positions: Array,
    period: float,
    start: Array,
    joints: Sequence[str] | None = None,
) -> Violation | None:
    """Return the first thing about a trajectory that is not allowed; it is refused as a whole.

    Never raises for what it is given to check: that is a violation.

    Args:
        envelope: what it must keep to.
        positions: [T, J] commands, due at `period`, 2 `period`, ... after the start (rad or m).
        period: s.
        start: [J] measured, at rest; of a robot of actions, the command in force (zeros at rest).
        joints: names in the order of `positions`, as the sender has them; None: not known.
    """
    wrong = malformed(envelope.bounds.names, positions, ("T",), period, start, joints)
    if wrong:
        return wrong
    return _first(envelope, positions[None], period, np.tile(start, (1, 3, 1)), 1)[0]


def check_candidates(
    envelope: Envelope,
    positions: Array,
    period: float,
    start: Array,
    joints: Sequence[str] | None = None,
) -> list[Violation | None]:
    """Return what `check_trajectory` says of each trajectory [N, T, J] from a start [J]."""
    wrong = malformed(envelope.bounds.names, positions, ("N", "T"), period, start, joints)
    if wrong:
        counted = isinstance(positions, np.ndarray) and positions.ndim > 0
        return [wrong] * (len(positions) if counted else 1)
    return _first(envelope, positions, period, np.tile(start, (len(positions), 3, 1)), 1)


def check_command(
    envelope: Envelope,
    target: Array,
    period: float,
    before: Array,
    step: int,
    joints: Sequence[str] | None = None,
) -> Violation | None:
    """Return what is not allowed about the next command, given those before it.

    Args:
        envelope: what it must keep to.
        target: [J] the command (rad or m).
        period: s since the last command.
        before: [3, J] the last three commands, oldest first; the start stands for those that were
            not sent yet.
        step: number of this command, from 1.
        joints: names in the order of `target`, as the sender has them; None: not known.
    """
    wrong = malformed(envelope.bounds.names, target, (), period, before, joints, ("3",))
    if wrong is None and (type(step) is not int or not 1 <= step <= MAX_STEPS):
        wrong = refusal(f"step {step!r:.40}: a whole number from 1 to {MAX_STEPS} is needed")
    if wrong:
        return wrong
    return _first(envelope, target[None, None], period, before[None], step)[0]


class Stream:
    """Checks commands one at a time as they come.

    Args:
        envelope: what they must keep to.
        start: [J] measured, at rest; of a robot of actions, the command in force (zeros at rest).
        period: s between two commands.
    """

    def __init__(self, envelope: Envelope, start: Array, period: float) -> None:
        self._envelope, self._period = envelope, period
        self._before, self._step = np.stack([start] * 3), 1

    def check(self, target: Array) -> Violation | None:
        """Return what is not allowed about sending a command [J] now; changes nothing."""
        return check_command(self._envelope, target, self._period, self._before, self._step)

    def add(self, target: Array) -> None:
        """Note that a command [J] was sent."""
        self._before = np.stack([*self._before[1:], target])
        self._step += 1


def _first(
    envelope: Envelope, positions: Array, period: float, before: Array, first_step: int
) -> list[Violation | None]:
    """Return the first violation of each of N well-formed paths, `before` [N, 3, J] included."""
    if envelope.model is not None and envelope.space is None:
        return [refusal("the envelope's model was not read: use load_envelope")] * len(positions)
    path = np.concatenate([before, positions], axis=1)
    ends, violations = first_broken(envelope.bounds, path, float(period), first_step)
    if envelope.space is None:
        return violations
    for n, step, clash in envelope.space.first_clashes(path[:, 2:], ends):
        violations[n] = clash.violation((first_step - 1 + step) * float(period))
    return violations
