"""Of a call that lasts: whether what its sender signed in with still counts."""

from typing import Any

from cs_archiver.server.auth import caller_of, refusal_of
from cs_archiver.server.route import Call, Who


async def require_session(call: Call[Any, None]) -> None:
    """Ask once more what a route for users asked when the call came in. Raises NotAuthenticated and Forbidden."""
    caller = await caller_of(call.request.app, call.token)
    refusal = refusal_of(call.request.app, caller.user, Who.USER)
    if refusal is not None:
        raise refusal
