"""The first words with an agent: which robot it has, and whether it may be commanded."""

from robo_al.errors import OracleError
from robo_al_agent.protocol.client import Client
from robo_al_agent.protocol.session import Session
from robo_al_agent.protocol.wire import Message


def meet(client: Client, address: str, timeout: float) -> Message:
    """Return what an agent says of itself and its robot, once the robot may be commanded.

    Args:
        client: of the agent.
        address: of the agent, for people.
        timeout: seconds that it may take.

    Raises:
        OracleError: no agent answers, or its robot may not be commanded; says why.
    """
    client.wait(_is_met, timeout)
    session = client.session
    if session.agent is None:
        raise OracleError(
            f"no agent answers at {address} within {timeout:g} s; start one there with "
            "`robo-al-agent serve AGENT.yaml`, and check address and keys"
        )
    if session.fencing_token is None or session.agent.fields["rate"] is None:
        why = session.problem or "its robot is not connected yet"
        if session.fencing_token is not None and session.fault is not None:
            why = f"its robot is not ready: {session.fault['message']}"
        raise OracleError(f"the agent at {address}: {why}")
    return session.agent


def _is_met(session: Session) -> bool:
    """Whether the robot may be commanded, or something is known to be in the way."""
    if session.agent is None:
        return False
    ready = session.agent.fields["rate"] is not None or session.fault is not None
    return session.problem is not None or (session.fencing_token is not None and ready)
