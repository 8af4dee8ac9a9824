"""Managing the accounts."""

from aiohttp import hdrs

from cs_archiver.server.admitted_still import still_admitted
from cs_archiver.server.contract.auth import Account
from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.users import NewUser, PasswordReset, UserLine
from cs_archiver.server.keys import SECOND_FACTORS, USERS
from cs_archiver.server.links import link
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Call, Reply


async def listed(call: Bare) -> Reply:
    return whole([UserLine.of(user) for user in await call.service(USERS).listed()])


async def add(call: Call[Query, NewUser]) -> Reply:
    wish = call.body
    call.concerns(wish.username)
    user = await call.service(USERS).add(wish.username, wish.password, still_admitted(call), is_admin=wish.is_admin)
    return Reply(Account.of(user), {hdrs.LOCATION: link(call.request.app, f"/api/users/{user.id}")})


async def remove(call: Bare) -> Reply:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    call.concerns(user.username)
    await call.service(USERS).remove(user, still_admitted(call), by=call.user)
    return Reply()


async def remove_second_factor(call: Bare) -> Reply:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    call.concerns(user.username)
    await call.service(SECOND_FACTORS).remove(user, by=call.user)
    return Reply()


async def reset_password(call: Call[Query, PasswordReset]) -> Reply:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    call.concerns(user.username)
    still = still_admitted(call)
    await call.service(USERS).reset_password(user, call.body.new_password, still, by=call.user)
    return Reply()
