"""What a client of the live updates signed in with: whether it still counts."""

from cs_archiver.server.auth import caller_of, reason_to_refuse
from cs_archiver.server.contract.live import LiveQuery
from cs_archiver.server.route import Call, Who

LiveCall = Call[LiveQuery, None]


async def require_session(call: LiveCall) -> None:
    """Ask once more what was asked when the connection was made. Raises NotAuthenticated and Forbidden."""
    caller = await caller_of(call.request.app, call.token)
    refusal = reason_to_refuse(caller.user, Who.USER)
    if refusal is not None:
        raise refusal
