"""Where a robot stands: a start that nobody asked for, looked at once nothing moves it any more."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from robo_al_agent.devices.readings import measured_rates
from robo_al_agent.devices.rest import REST
from robo_al_agent.motion.tables import MEASURED
from robo_al_agent.protocol.session import Session
from robo_al_agent.robot import Sample


class Standing:
    """Waits for a reading of a robot that is idle and at rest, taken after this was made.

    Args:
        joints: what the agent's description says of each joint.
    """

    def __init__(self, joints: Sequence[Mapping[str, Any]]) -> None:
        self._names = tuple(joint["name"] for joint in joints)
        self._rest = np.array([REST[joint["unit"]] for joint in joints])
        self._since_ns = time.monotonic_ns()
        self.sample: Sample | None = None
        """The newest reading of a robot that is idle."""
        self._before: Sample | None = None
        """Another one, taken earlier."""
        self._waits_for = "its agent does not say how it is"

    @property
    def waits_for(self) -> str:
        """What keeps the start from being looked at."""
        return f"no start can be looked at yet: {self._waits_for}"

    def take(self, session: Session) -> bool:
        """Take the agent's last answer into account; return whether the robot stands there."""
        said = session.status
        if said is None or session.status_ns < self._since_ns:
            return False
        fields, reading = said.fields, said.fields["reading"]
        busy = [fields["running"], *(rollout["id"] for rollout in fields["waiting"])]
        named = [name for name in busy if name is not None]
        if named or reading is None or not fields["connected"]:
            self._waits_for = f"{named[0]} has its turn" if named else "nothing is measured"
            self._before = self.sample = None
            return False
        if self.sample is None or self.sample.sequence != reading["sequence"]:
            q, speeds, efforts, sensors = (said.arrays[name] for name in MEASURED)
            newest = Sample(reading["time_ns"], reading["sequence"], q, speeds, efforts, sensors)
            self._before, self.sample = self.sample, newest
        # The answer is no earlier than its question: so old is the reading at most.
        taken_ns = session.status_ns - round(reading["age"] * 1e9)
        if self._before is None or taken_ns < self._since_ns:
            self._waits_for = "nothing new is measured"
            return False
        rates = measured_rates(self._before, self.sample, self._rest)
        worst = int((rates / self._rest).argmax())
        self._waits_for = f"joint {self._names[worst]} moves"
        return bool(rates[worst] <= self._rest[worst])
