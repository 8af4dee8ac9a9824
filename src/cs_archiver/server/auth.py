"""The gate: who calls, and whether this route admits them."""

from aiohttp import hdrs, web

from cs_archiver.db.accounts import User
from cs_archiver.errors import Forbidden, InvalidRequest, NotAuthenticated
from cs_archiver.server.keys import ACCOUNTS, TOKEN, USER
from cs_archiver.server.route import Route, Who


async def admit(request: web.Request, route: Route) -> None:
    """Note on the request who calls. Raises NotAuthenticated and Forbidden; routes open to anyone ask nothing."""
    if route.who is Who.ANYONE:
        return
    token = _token_of(request)
    user = await request.app[ACCOUNTS].authenticate(token)
    refusal = reason_to_refuse(user, route.who)
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
