"""Signing in and out, and the password that must be changed before anything else."""

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server import cookies, csrf
from cs_archiver.server.address import origin_of
from cs_archiver.server.api.auth import is_repetition
from cs_archiver.server.contract.base import Flag
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.keys import ACCOUNTS, ACTION, USER
from cs_archiver.server.links import is_own, link
from cs_archiver.server.pages.frame import redirect, refused, render
from cs_archiver.server.route import Call
from cs_archiver.services.accounts import CodeNeeded, Session

_LOGIN, _CODE, _PASSWORD = "login.html", "login_code.html", "password.html"


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


class CodeForm(Form):
    """`ticket` stands for the password, which was right."""

    ticket: str
    code: Annotated[str, Field(max_length=64)]
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
    csrf.refuse_other_sites(call.request)
    call.concerns(await service.known_name(given.username) or "an unknown name")
    try:
        session = await service.login(given.username, given.password, origin_of(call.request))
    except CodeNeeded as error:
        return await refused(call, error, _CODE, {"ticket": error.ticket, "next": given.next, "is_first": True})
    except (InvalidRequest, JobError) as error:
        _note_once(call, error)
        context = {"next": given.next, "ended": False, "undone": False, "username": given.username}
        return await refused(call, error, _LOGIN, context)
    return _begun(call, session, given.next)


async def finish(call: Call[None, CodeForm]) -> web.Response:
    service, given = call.service(ACCOUNTS), call.body
    csrf.refuse_other_sites(call.request)
    try:
        user = service.half_done(given.ticket).user
    except InvalidRequest as error:
        context = {"next": given.next, "ended": False, "undone": False, "username": ""}
        return await refused(call, error, _LOGIN, context)
    call.concerns(user.username)
    try:
        session = await service.finish_login(given.ticket, given.code, origin_of(call.request))
    except (InvalidRequest, JobError) as error:
        _note_once(call, error)
        return await refused(call, error, _CODE, {"ticket": given.ticket, "next": given.next, "is_first": False})
    return _begun(call, session, given.next)


def _note_once(call: Call[Any, Any], error: InvalidRequest | JobError) -> None:
    if is_repetition(error):
        del call.request[ACTION]


def _begun(call: Call[Any, Any], session: Session, following: str) -> web.Response:
    call.request[USER] = session.user
    response = _go_to(call, following)
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
