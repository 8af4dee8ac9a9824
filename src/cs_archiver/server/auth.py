"""Who may call what: the token of a request, and the gate in front of every handler."""

from collections.abc import Mapping
from enum import StrEnum

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from cs_archiver.db.accounts import User
from cs_archiver.errors import Forbidden, InvalidRequest, NotAuthenticated
from cs_archiver.server.keys import ACCOUNTS, TOKEN, USER


class Who(StrEnum):
    """Who may call a route; each includes those below it."""

    ANYONE = "anyone"
    NEWCOMER = "newcomer"  # signed in, also with a password that must be changed first
    USER = "user"
    ADMIN = "admin"


Access = Mapping[tuple[str, str], Who]
"""(method, path pattern) -> who may call it."""


def gate(access: Access) -> Middleware:
    """A route that is not in `access` fails instead of being open."""

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        # A path or method that does not exist is answered as such, to anyone.
        if request.match_info.http_exception is None:
            who = access[_route_of(request)]
            if who is not Who.ANYONE:
                await _admit(request, who)
        return await handler(request)

    return check


async def _admit(request: web.Request, who: Who) -> None:
    token = _token_of(request)
    user = await request.app[ACCOUNTS].authenticate(token)
    refusal = reason_to_refuse(user, who)
    if refusal is not None:
        raise refusal
    request[USER] = user
    request[TOKEN] = token


def reason_to_refuse(user: User, who: Who) -> InvalidRequest | None:
    if user.must_change_password and who is not Who.NEWCOMER:
        return Forbidden(
            "password-change-required",
            "Change your password first: POST /api/auth/password with current_password and new_password.",
        )
    if who is Who.ADMIN and not user.is_admin:
        return Forbidden("admins-only", "Only an administrator may do this.")
    return None


def _token_of(request: web.Request) -> str:
    scheme, _, token = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("not-authenticated", "Sign in at POST /api/auth/login and send its token.")
    return token.strip()


def _route_of(request: web.Request) -> tuple[str, str]:
    resource = request.match_info.route.resource
    method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
    return method, "" if resource is None else resource.canonical
