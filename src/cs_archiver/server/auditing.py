"""Notes whatever changes something, or tried to, in the audit trail: one place for every route of the table."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler

from cs_archiver.db.audit import Deed
from cs_archiver.server.address import address_of
from cs_archiver.server.keys import ACTION, AUDIT, CALLER, OUTCOMES, PROBLEM, REQUEST_ID, TARGET, USER
from cs_archiver.server.masking import masked


@web.middleware
async def auditing(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What is refused before anybody is known, or an account is named, is not noted: nothing was done.

    So a sign-in that is none adds nothing to what is kept for good; the log has it.
    """
    try:
        response = await handler(request)
    except asyncio.CancelledError:
        await _record(request, "interrupted")
        raise
    await _record(request, request.get(PROBLEM, "ok"))
    return response


async def _record(request: web.Request, result: str) -> None:
    action = request.get(ACTION)
    if action is None:
        return
    user = request.get(USER)
    if user is None and TARGET not in request:
        return
    target = request.get(TARGET) or masked("/".join(request.match_info.values())) or None
    deeds = [
        Deed(
            action=action,
            result=its_result,
            username=None if user is None else user.username,
            target=its_target,
            detail=_by_token(request),
            address=address_of(request),
            request_id=request[REQUEST_ID],
        )
        for its_target, its_result in request.get(OUTCOMES, [(target, result)])
    ]
    await request.app[AUDIT].record(*deeds)


def _by_token(request: web.Request) -> str | None:
    caller = request.get(CALLER)
    return None if caller is None or caller.scope is None else f"with {caller.credential}"
