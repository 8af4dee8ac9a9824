"""Signing in and out, and the password that must be changed before anything else."""

from typing import Any

from aiohttp import web

from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server import cookies, csrf
from cs_archiver.server.address import origin_of
from cs_archiver.server.contract.base import Flag
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import ACCOUNTS, ACTION, USER
from cs_archiver.server.links import is_own, link
from cs_archiver.server.pages.frame import redirect, refused, render
from cs_archiver.server.route import Call
from cs_archiver.services.accounts import Session
from cs_archiver.services.throttle import TooManyAttempts

_LOGIN, _PASSWORD = "login.html", "password.html"


class NextQuery(PageQuery):
    """`next` is where to go afterwards, as it stands in a link; `ended`: whether a session has ended;
    `undone`: and so a form was sent in vain.
    """

    next: str = ""
    ended: Flag = False
    undone: Flag = False


class SignInForm(Form):
    username: str
    password: str
    next: str = ""


class PasswordForm(Form):
    current_password: str
    new_password: str
    repeated: str
    next: str = ""

    def require_same(self) -> None:
        """Raises InvalidRequest when the new password was not typed the same way twice."""
        if self.new_password != self.repeated:
            raise InvalidRequest("invalid-value", "The two new passwords are not the same: type the new one twice.")


async def home(call: Call[None, None]) -> web.Response:
    return redirect(link(call.request.app, "/folders"))


async def form(call: Call[NextQuery, None]) -> web.Response:
    query = call.query
    context = {"next": query.next, "ended": query.ended, "undone": query.undone, "username": ""}
    return await render(call.request, _LOGIN, context)


async def login(call: Call[None, SignInForm]) -> web.Response:
    service, given = call.service(ACCOUNTS), call.body
    call.concerns(await service.known_name(given.username) or "an unknown name")
    csrf.refuse_other_sites(call.request)
    try:
        session = await service.login(given.username, given.password, origin_of(call.request))
    except (InvalidRequest, JobError) as error:
        if isinstance(error, TooManyAttempts) and not error.is_first:  # as in api.auth
            del call.request[ACTION]
        context = {"next": given.next, "ended": False, "undone": False, "username": given.username}
        return await refused(call, error, _LOGIN, context)
    call.request[USER] = session.user
    response = _go_to(call, given.next)
    response.headers.update(cookies.begin(call.request, session))
    return response


async def logout(call: Call[None, Form]) -> web.Response:
    await call.service(ACCOUNTS).logout(call.caller)
    response = redirect(link(call.request.app, "/login"))
    response.headers.update(cookies.end(call.request))
    return response


async def password_form(call: Call[NextQuery, None]) -> web.Response:
    return await render(call.request, _PASSWORD, {"next": call.query.next})


async def change_password(call: Call[None, PasswordForm]) -> web.Response:
    try:
        session = await session_of_new_password(call)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _PASSWORD, {"next": call.body.next})
    response = _go_to(call, call.body.next)
    response.headers.update(cookies.begin(call.request, session))
    return response


async def session_of_new_password(call: Call[None, PasswordForm]) -> Session:
    """The password is changed, and every older session has ended. Raises what the form is refused for."""
    given = call.body
    given.require_same()
    return await call.service(ACCOUNTS).change_password(
        call.user, given.current_password, given.new_password, origin_of(call.request)
    )


def _go_to(call: Call[Any, Any], address: str) -> web.Response:
    app = call.request.app
    return redirect(address if is_own(app, address) else link(app, "/folders"))
