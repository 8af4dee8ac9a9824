"""What a client of the live updates signed in with: whether it still counts, and until when at most."""

from cs_archiver.server.auth import caller_of, reason_to_refuse
from cs_archiver.server.contract.live import LiveQuery
from cs_archiver.server.keys import ACCOUNTS, TOKENS
from cs_archiver.server.route import Call, Who

LiveCall = Call[LiveQuery, None]


async def require_session(call: LiveCall) -> None:
    """Ask once more what was asked when the connection was made. Raises NotAuthenticated and Forbidden."""
    caller = await caller_of(call.request.app, call.token)
    refusal = reason_to_refuse(caller.user, Who.USER)
    if refusal is not None:
        raise refusal


async def expiry_of(call: LiveCall) -> str | None:
    """When it ends by itself; None if it has ended already."""
    user, credential = call.user, call.caller.credential
    sessions = {line.jti: line.expires_at for line in await call.service(ACCOUNTS).sessions(user)}
    tokens = {f"token-{line.id}": line.expires_at for line in await call.service(TOKENS).listed(user)}
    return (sessions | tokens).get(credential)
