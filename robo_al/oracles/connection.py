"""What an oracle has before a campaign connects with it."""

from robo_al.errors import UserError
from robo_al.protocols import Acting
from robo_al.types import ClosedLoop


def unconnected(controller: ClosedLoop) -> Acting:
    """Find no policy.

    Raises:
        UserError: always; says what to do.
    """
    raise UserError(
        f"a rollout is to be controlled by {controller.policy or 'a policy'!r}, and the oracle "
        "knows none: connect it with the campaign, `campaign.connect(oracle)`"
    )
