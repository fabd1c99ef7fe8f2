"""What the agent raises for people to read: what was wrong, where, and what to do."""


class AgentError(Exception):
    """Base of every error that the agent raises on purpose."""

    exit_code = 1


class SetupError(AgentError):
    """AGENT.yaml, the envelope, a key or a driver's parameter cannot be used; nothing moved."""

    exit_code = 2


class BusyError(SetupError):
    """Another process has the robot."""


class WireError(AgentError):
    """A message that is none: malformed, too large, of another version."""


class LeaseError(WireError):
    """A request came from a host that has not, or no longer, the lease."""


class NotYetError(WireError):
    """A request came too early: the same one may be asked again in a moment."""


class DriverError(AgentError):
    """The robot cannot be connected, read or commanded."""


class JournalError(AgentError):
    """The journal was altered, or cannot be written."""
