"""What a client of the live updates signed in with: whether it still counts."""

from cs_archiver.server.auth import caller_of, refusal_of
from cs_archiver.server.contract.live import LiveQuery
from cs_archiver.server.route import Call, Who

LiveCall = Call[LiveQuery, None]


async def require_session(call: LiveCall) -> None:
    """Ask once more what was asked when the connection was made. Raises NotAuthenticated and Forbidden."""
    caller = await caller_of(call.request.app, call.token)
    refusal = refusal_of(call.request.app, caller.user, Who.USER)
    if refusal is not None:
        raise refusal
