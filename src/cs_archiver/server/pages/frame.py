"""What surrounds every page: who is signed in, where one can go, what has just happened and how things are shown."""

import asyncio
import math
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp_jinja2
from aiohttp import hdrs, web

from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.accounts import User
from cs_archiver.errors import InvalidRequest, JobError, NotAuthenticated
from cs_archiver.server.auth import caller_of, refusal_of
from cs_archiver.server.cookies import token_in_cookie
from cs_archiver.server.keys import ACCOUNTS, CALLER, FLASHES, JOBS, PROBLEM, STATUS, SWITCHES
from cs_archiver.server.links import inner_path, link
from cs_archiver.server.negotiation import prefers_page
from cs_archiver.server.pages.flash import FLASH, Flash, Level
from cs_archiver.server.pages.nav import ACCOUNT_NAV, NAV, NavItem
from cs_archiver.server.pages.preferences import FAILURES_SEEN, Preferences, keep, preferences_of
from cs_archiver.server.problems import NotReady
from cs_archiver.server.route import Call, Who
from cs_archiver.services.accounts import Caller
from cs_archiver.services.switches import SwitchState

_FOR_EVER = "0001-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Frame:
    """`user` is None on pages for those who are not signed in; `failures` counts the jobs that failed since `seen`.

    `check_troubles` are the titles of the checks that somebody should look at, `pauses` is all that is paused,
    `seconds_left` is how long the session lasts from now on, `idle_seconds` how long when it is not used; 0: no limit.
    `is_held`: who is signed in must do something first, and can go nowhere else.
    """

    path: str
    user: User | None
    form_token: str
    preferences: Preferences
    flash: Flash | None
    failures: int = 0
    seen: str = _FOR_EVER
    check_troubles: Sequence[str] = ()
    pauses: Sequence[SwitchState] = ()
    seconds_left: int = 0
    idle_seconds: int = 0
    is_held: bool = False

    @property
    def nav(self) -> list[NavItem]:
        return self._allowed(NAV, Who.USER)

    @property
    def admin_nav(self) -> list[NavItem]:
        return self._allowed(NAV, Who.ADMIN)

    @property
    def account_nav(self) -> list[NavItem]:
        return self._allowed(ACCOUNT_NAV, Who.USER)

    def is_at(self, item: NavItem) -> bool:
        return self.path == item.path or self.path.startswith(item.path + "/")

    def _allowed(self, items: tuple[NavItem, ...], who: Who) -> list[NavItem]:
        if self.user is None or self.is_held or (who is Who.ADMIN and not self.user.is_admin):
            return []
        return [item for item in items if item.who is who]


async def render_read(
    call: Call[Any, Any], template: str, reading: Awaitable[dict[str, Any]], *, failures_seen: str | None = None
) -> web.Response:
    """As `render`: what the page shows is read at the same moment as what its frame does."""
    failed = call.service(JOBS).failed_since(failures_seen or seen_until(call.request))
    context, failures = await asyncio.gather(reading, failed)
    return await render(call.request, template, context, failures_seen=failures_seen, failures=failures)


async def render(
    request: web.Request,
    template: str,
    context: dict[str, Any] | None = None,
    *,
    status: int = 200,
    failures_seen: str | None = None,
    failures: int | None = None,
) -> web.Response:
    """The page within its frame, which templates find as `frame`.

    `failures_seen`: it shows those until this moment. `failures`: so many came after what was seen, if that is known.
    """
    frame = await _frame_of(request, failures_seen, failures, is_calm=status < 500)
    response = aiohttp_jinja2.render_template(template, request, {"frame": frame, **(context or {})}, status=status)
    response.headers[hdrs.VARY] = f"{hdrs.ACCEPT}, {hdrs.COOKIE}"
    response.enable_compression()
    if failures_seen is not None:
        keep(response, request, FAILURES_SEEN, failures_seen)
    return response


async def refused(
    call: Call[Any, Any], error: InvalidRequest | JobError, template: str, context: dict[str, Any]
) -> web.Response:
    """The page of a form once more, with why it was refused as `error`.

    Raises the error for who wants no page, or is signed in no longer.
    """
    if not prefers_page(call.request) or error.problem == "not-authenticated":
        raise error
    refusal = NotReady(error.problem, str(error)) if isinstance(error, JobError) else error
    call.request[PROBLEM] = refusal.problem
    return await render(call.request, template, {**context, "error": refusal}, status=refusal.status)


def go_on(
    call: Call[Any, Any], path: str, text: str = "", level: Level = Level.SUCCESS, /, **query: object
) -> web.Response:
    """After a form, to the page of this path, which says the text once."""
    if text:
        query[FLASH] = call.service(FLASHES).leave(call.caller.credential, Flash(level, text))
    return redirect(link(call.request.app, path, **query))


def redirect(address: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: address})


def seen_until(request: web.Request) -> str:
    """The moment up to which this browser has been shown the jobs that failed."""
    moment = request.cookies.get(FAILURES_SEEN, "")
    try:
        datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    except ValueError:
        return _FOR_EVER
    return moment


async def _frame_of(request: web.Request, failures_seen: str | None, failures: int | None, *, is_calm: bool) -> Frame:
    """`is_calm`: nothing is known to be wrong with the service itself, so it can be asked for more."""
    caller = request.get(CALLER) or (await _visitor(request) if is_calm else None)
    path, preferences = inner_path(request), preferences_of(request)
    if caller is None:
        return Frame(path, None, "", preferences, None)
    name = request.query.get(FLASH)
    flash = request.app[FLASHES].take(caller.credential, name) if name else None
    form_token = request.app[ACCOUNTS].form_token(caller.credential)
    seen = failures_seen or seen_until(request)
    if failures is None:
        failures = await request.app[JOBS].failed_since(seen) if is_calm else 0
    is_held = refusal_of(request.app, caller.user, Who.USER) is not None
    troubles = [] if is_held else [check.title for check in request.app[STATUS].checks.troubles]
    pauses = [state for state in request.app[SWITCHES].states() if state.pause]
    left = math.ceil(elapsed(now_text(), caller.expires_at).total_seconds())
    idle = request.app[ACCOUNTS].use.idle_seconds
    return Frame(
        path, caller.user, form_token, preferences, flash, failures, seen, troubles, pauses, left, idle, is_held
    )


async def _visitor(request: web.Request) -> Caller | None:
    """Who looks at a page that is open to anyone."""
    try:
        return await caller_of(request.app, token_in_cookie(request))
    except (NotAuthenticated, JobError):
        return None
