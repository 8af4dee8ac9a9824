"""The accounts, as administrators manage them."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from cs_archiver.clock import now_text
from cs_archiver.db.accounts import User
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.admitted_still import still_admitted
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import SECOND_FACTORS, USERS
from cs_archiver.server.pages.frame import go_on, refused, render
from cs_archiver.server.route import Call

_USERS = "/admin/users"
_NEW, _DELETE, _RESET = "admin_user_new.html", "admin_user_delete.html", "admin_user_password.html"
_FACTOR = "admin_user_factor.html"


class NewUserForm(Form):
    username: str
    password: str
    is_admin: bool = False


class ResetForm(Form):
    new_password: str


async def users(call: Call[PageQuery, None]) -> web.Response:
    return await render(
        call.request, "admin_users.html", {"users": await call.service(USERS).listed(), "now": now_text()}
    )


async def ask_for_user(call: Call[PageQuery, None]) -> web.Response:
    return await render(call.request, _NEW, {"given": None})


async def add(call: Call[None, NewUserForm]) -> web.Response:
    wish = call.body
    call.concerns(wish.username)
    try:
        user = await call.service(USERS).add(wish.username, wish.password, still_admitted(call), is_admin=wish.is_admin)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _NEW, {"given": wish})
    text = f"{user.username} can sign in now, and must choose another password within 7 days."
    return go_on(call, _USERS, text)


async def ask_to_delete(call: Call[PageQuery, None]) -> web.Response:
    return await _ask(call, _DELETE)


async def delete(call: Call[None, Form]) -> web.Response:
    text = "The account {} is deleted; its sessions and tokens have ended."
    still = still_admitted(call)
    return await _do(call, _DELETE, text, lambda user: call.service(USERS).remove(user, still, by=call.user))


async def ask_to_remove_factor(call: Call[PageQuery, None]) -> web.Response:
    return await _ask(call, _FACTOR)


async def remove_factor(call: Call[None, Form]) -> web.Response:
    text = "{} signs in with the password alone now; all sessions have ended."
    return await _do(call, _FACTOR, text, lambda user: call.service(SECOND_FACTORS).remove(user, by=call.user))


async def ask_to_reset(call: Call[PageQuery, None]) -> web.Response:
    return await _ask(call, _RESET)


async def reset_password(call: Call[None, ResetForm]) -> web.Response:
    text = "{} has a new password, and must choose another within 7 days. Tell it in person."
    still = still_admitted(call)

    async def reset(user: User) -> None:
        await call.service(USERS).reset_password(user, call.body.new_password, still, by=call.user)

    return await _do(call, _RESET, text, reset)


async def _ask(call: Call[PageQuery, None], template: str) -> web.Response:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    return await render(call.request, template, {"user": user})


async def _do(call: Call[Any, Any], template: str, text: str, deed: Callable[[User], Awaitable[None]]) -> web.Response:
    """`text` says of whom what was done; the question of `template` is asked again where it is refused."""
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    call.concerns(user.username)
    try:
        await deed(user)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, template, {"user": user})
    return go_on(call, _USERS, text.format(user.username))
