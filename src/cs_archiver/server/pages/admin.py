"""The accounts, as administrators manage them."""

from aiohttp import web

from cs_archiver.clock import now_text
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import USERS
from cs_archiver.server.pages.frame import go_on, refused, render
from cs_archiver.server.route import Call

_USERS = "/admin/users"
_NEW, _DELETE, _RESET = "admin_user_new.html", "admin_user_delete.html", "admin_user_password.html"


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
        user = await call.service(USERS).add(wish.username, wish.password, is_admin=wish.is_admin)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _NEW, {"given": wish})
    text = f"{user.username} can sign in now, and must choose another password within 7 days."
    return go_on(call, _USERS, text)


async def ask_to_delete(call: Call[PageQuery, None]) -> web.Response:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    return await render(call.request, _DELETE, {"user": user})


async def delete(call: Call[None, Form]) -> web.Response:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    call.concerns(user.username)
    try:
        await call.service(USERS).remove(user, by=call.user)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _DELETE, {"user": user})
    return go_on(call, _USERS, f"The account {user.username} is deleted; its sessions and tokens have ended.")


async def ask_to_reset(call: Call[PageQuery, None]) -> web.Response:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    return await render(call.request, _RESET, {"user": user})


async def reset_password(call: Call[None, ResetForm]) -> web.Response:
    user = await call.service(USERS).get(call.number_in_path("user_id"))
    call.concerns(user.username)
    try:
        await call.service(USERS).reset_password(user, call.body.new_password, by=call.user)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _RESET, {"user": user})
    text = f"{user.username} has a new password, and must choose another within 7 days. Tell it in person."
    return go_on(call, _USERS, text)
