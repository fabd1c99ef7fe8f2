"""Who may command the robot, and for how long."""

from dataclasses import dataclass

from robo_al_agent.errors import LeaseError, WireError
from robo_al_agent.journal.records import Journal
from robo_al_agent.protocol import requests

LEASE_SECONDS = 0.5
"""After which a robot whose host is silent is stopped."""


@dataclass(frozen=True)
class Lease:
    """A host's right to command the robot."""

    client: str
    fencing_token: int
    until_ns: int


class Leases:
    """Gives the robot to one host at a time, each time with a higher counter.

    Args:
        journal: has a counter before it is given.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.latest: Lease | None = None
        """Given and not given back, perhaps expired: replaced by the thread that answers requests,
        and never changed."""

    def held(self, now_ns: int) -> Lease | None:
        """Return the lease that is in force."""
        lease = self.latest
        return lease if lease is not None and now_ns < lease.until_ns else None

    def grant(self, fields: requests.Lease, now_ns: int) -> Lease:
        """Give the robot to a host, or let it keep the robot.

        Raises:
            LeaseError: the lease that it wants to keep has expired.
            WireError: another host has the robot.
            JournalError: the counter cannot be written down; nothing is given then.
        """
        held = self.held(now_ns)
        if held is not None and held.client != fields.client:
            raise WireError(f"lease: {held.client} has the robot; it is free when that host ends")
        if fields.fencing_token is not None and (
            held is None or held.fencing_token != fields.fencing_token
        ):
            raise LeaseError(f"lease: {fields.fencing_token} has expired; ask for a new one")
        fencing_token = fields.fencing_token
        if fencing_token is None:
            fencing_token = self._journal.fencing_token + 1
            self._journal.lease(fencing_token)
        lease = Lease(fields.client, fencing_token, now_ns + round(LEASE_SECONDS * 1e9))
        self.latest = lease
        return lease

    def give_back(self, fencing_token: int, now_ns: int) -> None:
        """Let the robot be free; raises `LeaseError` where this is not the lease."""
        self.need(fencing_token, now_ns)
        self.latest = None

    def need(self, fencing_token: int, now_ns: int) -> None:
        """Raise `LeaseError` unless this is the counter of the lease that is in force."""
        held = self.held(now_ns)
        if held is None or held.fencing_token != fencing_token:
            raise LeaseError(f"{fencing_token} is not the present lease; ask for one")
