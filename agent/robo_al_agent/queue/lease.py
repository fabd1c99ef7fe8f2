"""Who may command the robot, and for how long."""

from dataclasses import dataclass

LEASE_SECONDS = 0.5
"""After which a robot whose host is silent is stopped."""


@dataclass(frozen=True)
class Lease:
    """A host's right to command the robot."""

    client: str
    fencing: int
    until_ns: int
