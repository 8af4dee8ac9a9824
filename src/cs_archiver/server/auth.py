"""The gate: who calls, and whether this route admits them."""

from aiohttp import hdrs, web

from cs_archiver.db.accounts import User
from cs_archiver.domain.access import Scope
from cs_archiver.errors import Forbidden, InvalidRequest, NeedsOperator, NotAuthenticated
from cs_archiver.logs.context import from_here
from cs_archiver.server.address import is_monitor
from cs_archiver.server.contract.forms import FORM_FIELD
from cs_archiver.server.cookies import token_in_cookie
from cs_archiver.server.csrf import FORM_TOKEN, require_own_page
from cs_archiver.server.keys import ACCOUNTS, ACTION, CALLER, IS_BY_COOKIE, SECOND_FACTORS, TOKEN, TOKENS, USER
from cs_archiver.server.parsing import FORM_TYPE, fields_of
from cs_archiver.server.route import Route, Who
from cs_archiver.services import tokens
from cs_archiver.services.accounts import RECENT, Caller

UNATTENDED = "X-Unattended"
"""The header by which our pages say that nobody is at them: they ask for news by themselves."""


_MINUTES = RECENT.total_seconds() / 60
_SIGN_IN_AGAIN = f"This needs a sign-in of the last {_MINUTES:.0f} minutes: sign in again at POST /api/auth/login."


async def admit(request: web.Request, route: Route) -> None:
    """Note on the request who calls. Raises NotAuthenticated and Forbidden; routes open to anyone ask nothing."""
    if route.who is Who.ANYONE or (route.is_for_monitors and is_monitor(request)):
        _note_action(request, route)
        return
    token = _token_in_header(request) or _token_in_query(request, route)
    request[IS_BY_COOKIE] = not token
    request[TOKEN] = token or token_in_cookie(request)
    caller = await _caller_by(request.app, request[TOKEN])
    request[CALLER] = caller
    request[USER] = caller.user
    from_here(user=caller.user.username)
    _note_action(request, route)
    refusal = refusal_of(request.app, caller.user, route.who) or _reason_to_refuse_token(caller.scope, route.scope)
    if refusal is not None:
        raise refusal
    if request[IS_BY_COOKIE] and (not route.is_safe or hdrs.UPGRADE in request.headers):
        expected = request.app[ACCOUNTS].form_token(caller.credential)
        require_own_page(request, shown=await _form_token_in(request, route), expected=expected)
    if route.is_sensitive and caller.scope is None and not caller.is_recent:
        raise Forbidden("reauthentication-required", _SIGN_IN_AGAIN)
    if caller.scope is None and UNATTENDED not in request.headers and not route.takes_token_in_query:
        request.app[ACCOUNTS].use.note(caller.credential)


async def may_see_details(request: web.Request) -> bool:
    """Whether someone who calls a route that is open to anyone could call one that is not."""
    if is_monitor(request):
        return True
    try:
        caller = await _caller_by(request.app, _token_in_header(request) or token_in_cookie(request))
    except (NotAuthenticated, NeedsOperator):  # where the database cannot be read, nobody is known
        return False
    return refusal_of(request.app, caller.user, Who.USER) is None


async def caller_of(app: web.Application, token: str) -> Caller:
    """Whom a session's token or a personal one stands for. Writes nothing. Raises NotAuthenticated."""
    if not token:
        raise NotAuthenticated("not-authenticated", "Sign in at POST /api/auth/login and send its token.")
    service = app[TOKENS] if token.startswith(tokens.PREFIX) else app[ACCOUNTS]
    return await service.authenticate(token)


async def _caller_by(app: web.Application, token: str) -> Caller:
    """As `caller_of`, for a request that begins: the use of a personal token is noted."""
    return await (app[TOKENS].use(token) if token.startswith(tokens.PREFIX) else caller_of(app, token))


def refusal_of(app: web.Application, user: User, who: Who) -> InvalidRequest | None:
    """Why this user may not call a route for these, or None."""
    return reason_to_refuse(user, who, lacks_factor=app[SECOND_FACTORS].is_missing(user))


def reason_to_refuse(user: User, who: Who, *, lacks_factor: bool) -> InvalidRequest | None:
    """`lacks_factor`: the user must have a second factor, and has none."""
    if user.must_change_password and who is not Who.NEWCOMER:
        return Forbidden(
            "password-change-required",
            "Change your password first: POST /api/auth/password with current_password and new_password.",
        )
    if lacks_factor and who not in {Who.NEWCOMER, Who.ENROLLING}:
        return Forbidden(
            "second-factor-needed", "Switch on a second factor first: POST /api/auth/second-factor, then .../confirm."
        )
    if who is Who.ADMIN and not user.is_admin:
        return Forbidden("admins-only", "Only an administrator may do this.")
    return None


def may_use(caller: Caller, needed: Scope) -> bool:
    """Whether what the caller shows is a session, or a token of this scope."""
    return _reason_to_refuse_token(caller.scope, needed) is None


def require_scope(caller: Caller, needed: Scope) -> None:
    """For what a route does only if it is asked to. Raises Forbidden for a personal token of a narrower scope."""
    refusal = _reason_to_refuse_token(caller.scope, needed)
    if refusal is not None:
        raise refusal


def _reason_to_refuse_token(scope: Scope | None, needed: Scope | None) -> InvalidRequest | None:
    if scope is None:
        return None
    if needed is None:
        return Forbidden("token-not-accepted", "Personal API tokens may not do this: sign in.")
    if not scope.includes(needed):
        return Forbidden("scope-too-narrow", f"This needs a token of the scope {needed}; this one has {scope}.")
    return None


def _token_in_header(request: web.Request) -> str:
    """Empty without the header: then the cookie counts."""
    given = request.headers.getall(hdrs.AUTHORIZATION, [])
    if not given:
        return ""
    if len(given) > 1:
        raise NotAuthenticated("not-authenticated", "Expected one Authorization header.")
    scheme, _, token = given[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("not-authenticated", "Expected Authorization: Bearer, and a token.")
    return token.strip()


def _token_in_query(request: web.Request, route: Route) -> str:
    """For the routes that say so: a browser's WebSocket can send no header."""
    return request.query.get("token", "") if route.takes_token_in_query else ""


async def _form_token_in(request: web.Request, route: Route) -> str:
    """Of a page's own request in a header, of its form in a field."""
    if FORM_TOKEN in request.headers or not route.takes_form or request.content_type != FORM_TYPE:
        return request.headers.get(FORM_TOKEN, "")
    return dict(await fields_of(request)).get(FORM_FIELD, "")


def _note_action(request: web.Request, route: Route) -> None:
    if not route.is_safe:
        request[ACTION] = route.deed or route.operation_id
