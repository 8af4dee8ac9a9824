"""Pausing either worker, or every deletion."""

from typing import Any

from cs_archiver.domain.access import Scope
from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.switches import SwitchShown, SwitchWish
from cs_archiver.server.keys import SWITCHES
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Call, Reply
from cs_archiver.services.switches import SwitchState


async def listed(call: Bare) -> Reply:
    return whole([SwitchShown.of(state) for state in call.service(SWITCHES).states()])


async def change(call: Call[Query, SwitchWish]) -> Reply:
    return Reply(SwitchShown.of(await changed(call, call.in_path("switch"), paused=call.body.paused)))


async def changed(call: Call[Any, Any], name: str, *, paused: bool) -> SwitchState:
    """Does what the caller asks, and has the audit trail say which way. Raises as SwitchService does."""
    call.concerns(f"{name}: {'pause' if paused else 'resume'}")
    service, caller = call.service(SWITCHES), call.caller
    if paused:
        return await service.pause(name, by=caller.user.username)
    by_admin = caller.user.is_admin and caller.scope in (None, Scope.ADMIN)
    return await service.resume(name, by_admin=by_admin)
