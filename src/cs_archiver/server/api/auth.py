"""Signing in and out, sessions, and the password."""

from aiohttp import web

from cs_archiver.server import cookies, csrf
from cs_archiver.server.address import origin_of
from cs_archiver.server.contract.auth import Account, Credentials, FormToken, OwnSession, PasswordChange, Session
from cs_archiver.server.contract.base import Query
from cs_archiver.server.keys import ACCOUNTS, ACTION, USER
from cs_archiver.server.paging import whole
from cs_archiver.server.route import Bare, Call, Reply
from cs_archiver.services import accounts
from cs_archiver.services.sign_in_queue import SignInBusy
from cs_archiver.services.throttle import TooManyAttempts


async def login(call: Call[Query, Credentials]) -> Reply:
    service, given = call.service(ACCOUNTS), call.body
    if given.cookie:
        csrf.refuse_other_sites(call.request)
    call.concerns(await service.known_name(given.username) or "an unknown name")
    try:
        session = await service.login(given.username, given.password, origin_of(call.request), code=given.code)
    except (SignInBusy, TooManyAttempts) as error:
        if is_repetition(error):
            del call.request[ACTION]
        raise
    call.request[USER] = session.user
    return _begun(call.request, session, in_cookie=given.cookie)


def is_repetition(error: Exception) -> bool:
    """Whether nothing was tried, and the trail has the beginning of it: knocking on and on must not fill it."""
    return isinstance(error, SignInBusy) or (isinstance(error, TooManyAttempts) and not error.is_first)


async def logout(call: Bare) -> Reply:
    await call.service(ACCOUNTS).logout(call.caller)
    return Reply(headers=cookies.end(call.request) if call.is_by_cookie else {})


async def me(call: Bare) -> Reply:
    return Reply(Account.of(call.user))


async def csrf_token(call: Bare) -> Reply:
    return Reply(FormToken(csrf_token=call.service(ACCOUNTS).form_token(call.caller.credential)))


async def change_password(call: Call[Query, PasswordChange]) -> Reply:
    service, change = call.service(ACCOUNTS), call.body
    session = await service.change_password(
        call.user, change.current_password, change.new_password, origin_of(call.request)
    )
    return _begun(call.request, session, in_cookie=call.is_by_cookie)


async def sessions(call: Bare) -> Reply:
    lines = await call.service(ACCOUNTS).sessions(call.user)
    return whole([OwnSession.of(line, credential=call.caller.credential) for line in lines])


async def end_session(call: Bare) -> Reply:
    session_id = call.in_path("session_id")
    await call.service(ACCOUNTS).end_session(call.user, session_id)
    is_this_one = call.is_by_cookie and session_id == call.caller.credential
    return Reply(headers=cookies.end(call.request) if is_this_one else {})


def _begun(request: web.Request, session: accounts.Session, *, in_cookie: bool) -> Reply:
    if not in_cookie:
        return Reply(Session.of(session))
    form_token = request.app[ACCOUNTS].form_token(session.jti)
    return Reply(Session.of(session), {**cookies.begin(request, session), csrf.FORM_TOKEN: form_token})
