"""What a campaign on a robot waits for, in words: an agent, a person, a repair."""

import time
from collections.abc import Callable, Collection

from robo_al_agent.protocol.session import Session

GONE_SECONDS = 1.5
"""Without a word from the agent, after which it is said to be gone."""
AGAIN_SECONDS = 60.0
"""After which the same is said again."""


def cause(session: Session, address: str, wanted: Collection[str], silent: float) -> str | None:
    """Return what keeps the robot from executing what it was asked for, and what to do about it.

    Args:
        session: with the agent.
        address: of the agent.
        wanted: identifiers on the wire of what is pending.
        silent: seconds since the agent was heard.
    """
    if silent > GONE_SECONDS:
        return (
            f"the robot's agent at {address} has gone: see whether `robo-al-agent serve` runs "
            "there and the network is up; this host asks on"
        )
    if session.fault is not None:
        return (
            f"the robot is stopped: {session.fault['code']}: {session.fault['message']}; look at "
            "it, then `robo-al-agent clear AGENT.yaml` there"
        )
    if session.problem is not None:
        return f"the robot is not free: {session.problem}"
    for name in wanted:
        state = session.jobs[name].state
        if state is not None and state.fields.get("waits_for") == "resume":
            return (
                f"{state.fields['paused']} has paused the robot: `robo-al-agent resume AGENT.yaml` "
                "there lets rollouts start again"
            )
        if state is not None and state.fields.get("waits_for") == "approval":
            return (
                f"rollout {name.rpartition('/')[2]} waits for a person: `robo-al-agent approve "
                "AGENT.yaml` there, or `reject`"
            )
    return None


class Notices:
    """Tells what is waited for when that changes, and now and then while it does not.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: str | None = None
        self._at = 0.0

    def news(self, cause: str | None) -> str | None:
        """Return what is to be said now, if anything is."""
        now = self._clock()
        if cause == self._said and (cause is None or now - self._at < AGAIN_SECONDS):
            return None
        self._said, self._at = cause, now
        return "the robot goes on" if cause is None else cause
