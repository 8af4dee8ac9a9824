"""Of a call that lasts: whether what its sender signed in with still counts."""

from functools import partial
from typing import Any

from aiohttp import web

from cs_archiver.domain.access import StillAllowed
from cs_archiver.server.auth import caller_of, refusal_of
from cs_archiver.server.keys import CALLER, TOKEN
from cs_archiver.server.route import Call, Who


async def require_admitted_still(request: web.Request, who: Who) -> None:
    """Ask once more what a route for these asked when the request came in; nothing of who was not asked then.

    Raises NotAuthenticated and Forbidden.
    """
    if CALLER not in request:
        return
    caller = await caller_of(request.app, request[TOKEN])
    refusal = refusal_of(request.app, caller.user, who)
    if refusal is not None:
        raise refusal


def still_admitted(call: Call[Any, Any]) -> StillAllowed:
    """For what may have to wait before it changes anything."""
    return partial(require_admitted_still, call.request, call.who)
