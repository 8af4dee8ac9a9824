"""Personal API tokens, for programs."""

from datetime import timedelta

from aiohttp import hdrs

from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.tokens import TokenCreated, TokenShown, TokenWish
from cs_archiver.server.keys import TOKENS
from cs_archiver.server.links import link
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Call, Reply


async def own(call: Bare) -> Reply:
    return whole([TokenShown.of(line) for line in await call.service(TOKENS).listed(call.user)])


async def create(call: Call[Query, TokenWish]) -> Reply:
    wish = call.body
    call.concerns(f"{wish.name} ({wish.scope})")
    lifetime = timedelta(days=wish.expires_in_days)
    created = await call.service(TOKENS).create(call.user, name=wish.name, scope=wish.scope, lifetime=lifetime)
    return Reply(
        TokenCreated.of(created), {hdrs.LOCATION: link(call.request.app, f"/api/auth/tokens/{created.line.id}")}
    )


async def revoke(call: Bare) -> Reply:
    await call.service(TOKENS).revoke(call.user, call.number_in_path("token_id"))
    return Reply()
