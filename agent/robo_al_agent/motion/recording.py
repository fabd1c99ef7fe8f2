"""A motion that a person leads, recorded: by hand where the driver lets go, else by reading only.

It is in the journal like a rollout, accepted -> started -> ended -> acknowledged, so it survives a
kill, and is kept until somebody has acknowledged it. Nothing is commanded while it is made; then
the torque comes back where the robot is. What is wrong with the device ends it, and what was
recorded until then stays.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from robo_al_agent.devices.door import Door
from robo_al_agent.devices.readings import too_old
from robo_al_agent.envelope.envelope import Envelope
from robo_al_agent.errors import WireError
from robo_al_agent.guard import Faulted
from robo_al_agent.journal.records import Journal, Rollout
from robo_al_agent.motion.device import Device
from robo_al_agent.motion.latch import Latch
from robo_al_agent.motion.recorded import Ending
from robo_al_agent.motion.recovery import misplaced
from robo_al_agent.motion.tables import arrays_of, numbers, samples_of
from robo_al_agent.motion.watching import kind_of
from robo_al_agent.protocol.requests import Record
from robo_al_agent.protocol.wire import MAX_MESSAGE, Message, content_hash
from robo_al_agent.robot import Fault, RobotSpec, Sample

MOST_BYTES = MAX_MESSAGE // 2
"""Of the samples of one recording, so that it can be fetched as one message."""


@dataclass
class Take:
    """One recording while it is made."""

    id: str
    about: Mapping[str, Any]
    """What was asked, and by whom: see `Recorder.begin`."""
    by_hand: bool
    """Whether the driver has let go of the robot."""
    next_ns: int
    until_ns: int
    samples: list[Sample] = field(default_factory=list)
    late: int = 0
    """Readings that came more than half a period late."""


class Recorder:
    """Makes recordings, one at a time; used by the control loop alone.

    Args:
        device: of the robot.
        envelope: says how old a reading may be, and where joints may be.
        journal: keeps the recordings.
        latch: the fault.
        keep: told each row, to be written by another thread: id, row.
        write: does what a full disk may refuse: now, or when there is room again.
    """

    def __init__(
        self,
        device: Device,
        envelope: Envelope,
        journal: Journal,
        latch: Latch,
        keep: Callable[[str, bytes], None],
        write: Callable[[Callable[[], None]], None],
    ) -> None:
        self.take: Take | None = None
        """What is being recorded now."""
        self._device = device
        self._door = device.door
        self._envelope = envelope
        self._journal = journal
        self._latch = latch
        self._keep = keep
        self._write = write

    def begin(self, asked: Record) -> Message:
        """Let go of the robot where its driver can, and begin to read it; say which.

        Raises:
            WireError: there is a recording of this id already, or the driver could not let go.
            JournalError: it cannot be written down; nothing has happened then.
        """
        if asked.id in self._journal.rollouts:
            raise WireError(f"{asked.id} is there already: give what is new a new id")
        now_ns, by_hand = self._door.now_ns(), self._door.leads
        about = {
            "robot": self._door.spec.name,
            "operator": asked.operator,
            "note": " ".join(asked.note.split()),
            "began": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "by_hand": by_hand,
        }
        request = Message("record", about)
        rollout = Rollout(asked.id, content_hash(request), "accepted", recording=True)
        self._journal.accept(rollout, request)
        self._journal.start(asked.id, approved=False)
        self._door.sensing.begin(asked.id)
        self.take = Take(asked.id, about, by_hand, now_ns, now_ns + round(asked.duration * 1e9))
        if by_hand:
            try:
                self._door.begin_leading()
            except Faulted as error:
                self.end(Ending.of(error.fault))
                raise WireError(f"the driver could not let go: {error}") from error
        return Message("recording_begun", {"id": asked.id, "by_hand": by_hand})

    def advance(self, now_ns: int, said: Ending | None) -> int:
        """Read the robot when that is due, and end in time; return when to call again (ns).

        Args:
            now_ns: monotonic time.
            said: how a person ends it, if one does.
        """
        take = self.take
        assert take is not None
        ending = said
        try:
            ending = ending or self._due(take, now_ns)
        except Faulted as error:
            ending = Ending.of(error.fault)
        if ending is not None:
            self.end(ending)
            return now_ns
        return take.next_ns

    def _due(self, take: Take, now_ns: int) -> Ending | None:
        """Return how the recording ends, if it does, after a reading if that is due."""
        fault = self._latch.fault
        if fault is not None:
            return Ending(kind_of(fault), fault.message)
        if now_ns >= take.until_ns:
            return Ending("SUCCEEDED", "its time was over")
        return self._read(take, now_ns) if now_ns >= take.next_ns else None

    def _read(self, take: Take, now_ns: int) -> Ending | None:
        """Read the robot; return how the recording ends, if it does."""
        fault = self._door.fault()
        if fault is not None:
            return Ending.of(fault)
        sample, period_ns = self._door.read(), round(1e9 / self._door.spec.rate)
        old = too_old(sample, self._envelope.sample_age, self._door.now_ns())
        if old is not None:
            return Ending.of(old)
        take.samples.append(sample)
        row = np.concatenate(numbers(sample)).astype("<f8").tobytes()
        self._keep(take.id, row)
        late = now_ns - take.next_ns > period_ns // 2
        take.late += late
        take.next_ns = (now_ns if late else take.next_ns) + period_ns
        if (len(take.samples) + 1) * len(row) > MOST_BYTES:
            return Ending("SUCCEEDED", "it was as long as one recording may be")
        return None

    def end(self, ending: Ending) -> None:
        """Hold the robot where it is, if a person led it, and write the recording down."""
        take = self.take
        assert take is not None
        wrong: Fault | None = None
        if take.by_hand:
            try:
                self._door.end_leading()
                wrong = self._misplaced()
            except Faulted as error:
                wrong = error.fault
                failed = f"THE ROBOT DOES NOT HOLD, its torque may be off: {wrong.message}"
                first = ending.fault or wrong
                told = Fault(first.code, f"{first.message}; {failed}")
                ending = Ending("FAULTED", f"{ending.reason}; {failed}", told)
        fault = ending.fault or wrong
        if fault is not None:
            self._latch.latch(fault)
        self.write_end(ending)

    def _misplaced(self) -> Fault | None:
        """Return which joints were led outside their limits, or why nobody knows."""
        try:
            return misplaced(self._envelope, self._door.spec, self._door.read().positions)
        except Faulted as error:
            return error.fault

    def write_end(self, ending: Ending) -> None:
        """Write down how it ended; called by the thread that watches, where the loop hangs."""
        take, self.take = self.take, None
        assert take is not None
        result = _result(take.id, self._door.spec, take.about, take.samples, ending, take.late)
        result = self._door.sensing.end(result, self._door.now_ns())
        reason = str(result.fields["reason"])
        self._write(lambda: self._journal.end(take.id, ending.kind, reason, 1.0, result))


def end_interrupted(journal: Journal, rollout: Rollout, door: Door) -> None:
    """End a recording that a killed agent left, with what is on the disk of it."""
    about = dict(journal.request(rollout.id).fields)
    samples, _ = samples_of(door.spec, journal.samples(rollout.id))
    ending = Ending("INTERRUPTED", "the agent ended while it was made")
    result = _result(rollout.id, door.spec, about, samples, ending, None)
    result = door.sensing.left_behind(rollout.id, result)
    journal.end(rollout.id, ending.kind, str(result.fields["reason"]), 1.0, result)


def kept(journal: Journal, most: int = 50) -> Message:
    """Return what is known of the oldest recordings that nobody has acknowledged."""
    there = [one for one in journal.rollouts.values() if one.recording and one.state == "ended"]
    listed = [
        {"id": one.id, "kind": one.kind, "reason": one.reason, "sha256": one.sha256}
        | dict(journal.request(one.id).fields)
        for one in there[:most]
    ]
    return Message("recordings", {"recordings": listed, "further": len(there) - len(listed)})


def _result(
    id: str,
    spec: RobotSpec,
    about: Mapping[str, Any],
    samples: list[Sample],
    ending: Ending,
    late: int | None,
) -> Message:
    """Return a recording as it is kept: what was measured, of what, and how it ended."""
    arrays = arrays_of(spec, samples)
    joints = [
        {"name": joint.name, "unit": joint.unit, "effort": joint.effort is not None}
        for joint in spec.joints
    ]
    if not any(joint["effort"] for joint in joints):
        del arrays["efforts"]  # zeros that nobody measured
    seconds = (samples[-1].time_ns - samples[0].time_ns) / 1e9 if samples else 0.0
    fields = {
        **about,
        "id": id,
        "kind": ending.kind,
        "reason": f"{ending.reason}; {len(samples)} readings in {seconds:.3g} s",
        "joints": joints,
        "sensors": [{"name": sensor.name, "unit": sensor.unit} for sensor in spec.sensors],
        "rate": spec.rate,
        "late": late,
    }
    return Message("recording", fields, arrays)
