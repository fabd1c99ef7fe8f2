"""One rollout in motion: to its start, then step after step, and what was measured.

Step k of a rollout that begins at t0: at t0 + k period the robot is read, and the commands of that
step are sent (streamed ones from half a period later on, for the host needs time to answer). A
rollout of T steps has T + 1 samples. The way to the start is motion like any other: the robot is
read before each of its commands, and held against the same limits. Whatever goes wrong ends the
rollout with a safe stop.
"""

import heapq
from collections.abc import Callable

import numpy as np

from robo_al_agent.devices.door import Door
from robo_al_agent.devices.rest import rest_rates
from robo_al_agent.envelope.envelope import Envelope, Stream, check_trajectory
from robo_al_agent.motion.paths import approach, filled
from robo_al_agent.motion.plan import Plan
from robo_al_agent.motion.recorded import Ending, Recorded
from robo_al_agent.motion.watching import deviation
from robo_al_agent.robot import (
    Array,
    Ended,
    Fault,
    JointTrajectory,
    Sample,
    Tolerance,
)

SETTLE_NS = 10**9
"""How long the robot may take to be at rest at the start of a rollout."""
GOAL_SECONDS = 2.0
"""How long after its planned end a trajectory may take to be at its goal."""


class Execution:
    """A rollout from its start to its end; called by the control loop alone.

    Args:
        plan: what to do.
        door: of a robot that is connected and healthy.
        envelope: what it must keep to.
        shortest_period: seconds between two commands that the robot was measured to take.
        push: told each sample of a streamed rollout: step, sample, last command, deadline (ns).
        keep: told each step as the journal has it.
        now_ns: monotonic time.
    """

    def __init__(
        self,
        plan: Plan,
        door: Door,
        envelope: Envelope,
        shortest_period: float,
        push: Callable[[int, Sample, Array, int], None],
        keep: Callable[[bytes], None],
        now_ns: int,
    ) -> None:
        spec = door.spec
        self.plan, self.recorded = plan, Recorded(spec)
        self.answers: dict[int, Array] = {}
        """Commands [J] of a streamed rollout by step, as they come."""
        self.handed_over = False
        """Whether the robot's own controller executes the trajectory now."""
        self._door, self._spec, self._envelope = door, spec, envelope
        self._push, self._keep = push, keep
        self._step_ns = round(plan.content.period * 1e9)
        self._between = plan.content.period / plan.content.substeps
        self._between_ns = round(self._between * 1e9)
        # However far apart a rollout's commands are, the way to its start is a smooth one.
        self._pace = max(min(self._between, 1 / spec.rate), shortest_period)
        self._pace_ns = round(self._pace * 1e9)
        self._due: list[tuple[int, int, Callable[[int, int], Ending | None]]] = []
        self._ordinal = 0
        self._target = np.zeros(0)
        self._sent: Array | None = None
        """The command in force: none before the first."""
        self._stream: Stream | None = None
        self._misses_in_a_row = 0
        self._settled_ns = now_ns
        self._cancelled: Ending | None = None
        self._at(now_ns, self._begin)

    @property
    def step(self) -> int:
        """How many steps have their command."""
        return len(self.recorded.sent)

    @property
    def next_ns(self) -> int:
        """When `advance` wants to be called."""
        return self._due[0][0]

    def advance(self, now_ns: int) -> Ending | None:
        """Do the next thing that is due; return how the rollout ended, if it did.

        Raises:
            Faulted: a call of the driver went wrong.
        """
        due_ns, _, act = heapq.heappop(self._due)
        return act(now_ns, due_ns)

    def cancel(self, ending: Ending) -> None:
        """End what the controller executes; from another thread, again and again until it ends.

        Once is not enough: a trajectory that is only being sent has nothing to cancel yet.
        """
        if self._cancelled is None:
            self._cancelled = ending
        self._door.cancel()

    def _at(self, time_ns: int, act: Callable[[int, int], Ending | None]) -> None:
        self._ordinal += 1
        heapq.heappush(self._due, (time_ns, self._ordinal, act))

    def _begin(self, now_ns: int, due_ns: int) -> Ending | None:
        """Put the robot at the start, or plan the way to it; at one that was found it stands."""
        content, start = self.plan.content, self.plan.content.start
        if self._door.resets and not content.found:
            self._door.reset(start, content.seed)
        here = self._door.read().positions
        self._target = np.array(start["joints"]) if "joints" in start else here
        way = np.zeros((0, len(here)))
        if self._spec.command == "position" and "joints" in start and not content.found:
            velocities = 0.5 * self._envelope.velocities
            way = approach(here, self._target, self._envelope, self._pace, velocities)
        if len(way):
            violation = check_trajectory(self._envelope, way, self._pace, here)
            if violation is not None:
                return Ending("REJECTED_ENVELOPE", f"on the way to the start: {violation}")
        self._at(self._door.now_ns(), self._walker(way, 0))
        return None

    def _walker(self, way: Array, i: int) -> Callable[[int, int], Ending | None]:
        """Return what makes step i of a way [n, J] to the start, and waits there after the last."""

        def walk(now_ns: int, due_ns: int) -> Ending | None:
            if i == len(way):
                self._settled_ns = now_ns + SETTLE_NS
                return self._settle(now_ns, due_ns)
            late = now_ns - due_ns > self._pace_ns // 2
            ending = self._watched(self._door.read(), late, "on the way to the start, ")
            if ending is not None:
                return ending
            self._sent = self._door.command(way[i], self._pace)
            begin = now_ns if late else due_ns  # nothing is hurried after it
            self._at(begin + self._pace_ns, self._walker(way, i + 1))
            return None

        return walk

    def _settle(self, now_ns: int, due_ns: int) -> Ending | None:
        """Wait until the robot is at rest at the start, then go."""
        if self._spec.command == "position":
            sample = self._door.read()
            ending = self._watched(sample, False, "at the start, ")
            if ending is not None:
                return ending
            away = np.abs(sample.positions - self._target)
            limits = self._envelope.start_distances
            worst = int((away / limits).argmax())
            near = away[worst] <= limits[worst]
            still = bool((np.abs(sample.velocities) <= rest_rates(self._spec)).all())
            if not (near and still) and now_ns < self._settled_ns:
                self._at(now_ns + self._pace_ns, self._settle)
                return None
            if not near:
                told = (
                    f"joint {self._spec.joints[worst].name} is {away[worst]:.3g} from the start; "
                    f"limit {limits[worst]:g}"
                )
                if self.plan.content.found:  # no fault: somebody may move a robot that waits
                    moved = "it was moved since the start was looked at, and is not brought back"
                    return Ending("ABORTED_SAFETY", f"{told}: {moved}")
                return Ending.of(Fault("not_at_start", told))
        if self.plan.commands is not None and "joints" not in self.plan.content.start:
            violation = self.plan.violation(self._envelope, self._target)
            if violation is not None:
                return Ending("REJECTED_ENVELOPE", str(violation))
        self._stream = Stream(self._envelope, self._target, self._between)
        whole = self._door.takes_trajectories and self.plan.commands is not None
        self._at(now_ns, self._hand_over if whole else self._sample)
        return None

    def _hand_over(self, now_ns: int, due_ns: int) -> Ending | None:
        """Let the controller execute the trajectory, and take its samples at the steps' times."""
        commands = self.plan.commands
        assert commands is not None
        path = filled(self._target, commands, self.plan.content.substeps)
        seconds: Array = np.arange(1.0, len(path) + 1) * self._between
        rates: Array = np.diff(np.concatenate([self._target[None], path]), axis=0) / self._between
        rates[-1] = 0  # it ends at rest
        tracking = self._envelope.tracking_errors
        samples: list[Sample] = []

        def keep(sample: Sample) -> None:
            samples.append(sample)
            wrong = deviation(self._spec, self._envelope, sample, None, self._door.now_ns())
            if wrong is not None:
                self.cancel(Ending.of(wrong, "in the trajectory, "))

        self.handed_over = True
        try:
            ended = self._door.execute(
                JointTrajectory(seconds, path, rates),
                Tolerance(tracking, tracking, GOAL_SECONDS),
                keep,
            )
        finally:
            self.handed_over = False
        steps = min(len(commands), round(ended.fraction * len(commands)))
        self.recorded.requested = list(commands[:steps])
        self.recorded.sent = list(commands[:steps])
        times = np.array([sample.time_ns for sample in samples])
        for k in range(steps + 1 if samples else 0):
            nearest = np.abs(times - (times[0] + k * self._step_ns)).argmin()
            self.recorded.samples.append(samples[int(nearest)])
        return self._cancelled or self._of_controller(ended)

    def _of_controller(self, ended: Ended) -> Ending:
        """Return how a trajectory ended, with what the robot then has latched."""
        if ended.kind in ("FAULTED", "ESTOP", "TOLERANCE_VIOLATED"):
            fault = self._door.fault() or Fault(ended.kind.lower(), ended.reason)
            return Ending(ended.kind, ended.reason, fault)
        return Ending(ended.kind, ended.reason)

    def _sample(self, now_ns: int, due_ns: int) -> Ending | None:
        """Read the robot at the beginning of a step."""
        late = now_ns - due_ns
        counted = self.plan.content.controller != "streamed"
        sample = self._door.read()
        self.recorded.samples.append(sample)
        ending = self._watched(sample, counted and late > self._between_ns // 2, "", counted)
        if ending is not None:
            return ending
        if self.step == self.plan.content.horizon:
            return Ending("SUCCEEDED")
        begin = now_ns if late > self._between_ns // 4 else due_ns  # nothing is hurried after it
        command = begin
        if self.plan.content.controller == "streamed":
            command = begin + self._step_ns // 2
            self._push(self.step, sample, self._target, command)
        self._at(command, self._command)
        self._at(begin + self._step_ns, self._sample)
        return None

    def _command(self, now_ns: int, due_ns: int) -> Ending | None:
        """Decide the command of a step, and send the first part of it."""
        assert self._stream is not None
        k, content = self.step, self.plan.content
        if self.plan.commands is not None:
            target = self.plan.commands[k]
        elif self.plan.policy is not None:
            target = self.plan.policy.act(self.recorded.samples[-1], self._target)
        else:
            answer = self.answers.pop(k, None)
            self._count(answer is None)
            if self._misses_in_a_row > self._envelope.missed_deadlines:
                missed, allowed = self._misses_in_a_row, self._envelope.missed_deadlines
                return Ending(
                    "LINK_LOST",
                    f"the host missed {missed} deadlines in a row (the envelope's "
                    f"missed_deadlines: {allowed}): it is too busy or too far away for this "
                    "period; a policy that sends whole motions, as primitives, needs no answers",
                )
            target = self._target if answer is None else answer  # hold, once or twice
        for i, pose in enumerate(filled(self._target, target[None], content.substeps)):
            violation = self._stream.check(pose)
            if violation is not None:
                return Ending("ABORTED_SAFETY", f"step {k}: {violation}")
            self._stream.add(pose)
            last = k if i == content.substeps - 1 else None
            self._at(due_ns + i * self._between_ns, self._sender(pose, last))
        self._target = target
        self.recorded.requested.append(target)
        self.recorded.sent.append(target)
        self._keep(self.recorded.row())
        return None

    def _sender(self, pose: Array, step: int | None) -> Callable[[int, int], Ending | None]:
        """Return what sends one command; the last one of a step is what was sent in it."""

        def send(now_ns: int, due_ns: int) -> Ending | None:
            self._sent = self._door.command(pose, self._between)
            if step is not None:
                self.recorded.sent[step] = self._sent
            return None

        return send

    def _watched(
        self, sample: Sample, late: bool, where: str, counted: bool = True
    ) -> Ending | None:
        """Return why the robot must not go on, after a reading.

        Args:
            sample: the reading.
            late: whether it came more than half a period late.
            where: in the rollout, for a person.
            counted: whether this is where a missed deadline counts.
        """
        if counted:
            self._count(late)
        if self._misses_in_a_row > self._envelope.missed_deadlines:
            missed = f"{self._misses_in_a_row} control steps in a row"
            return Ending("ABORTED_SAFETY", f"{where}{missed} came more than half a period late")
        place = where or f"at step {self.step}, "
        now_ns = self._door.now_ns()
        wrong = deviation(self._spec, self._envelope, sample, self._sent, now_ns)
        return None if wrong is None else Ending.of(wrong, place)

    def _count(self, missed: bool) -> None:
        self.recorded.misses += missed
        self._misses_in_a_row = self._misses_in_a_row + 1 if missed else 0
