"""A refused request as a person meets it: led to where it can go on, or told what happened and what to do."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web

from cs_archiver.errors import InvalidRequest
from cs_archiver.server.cookies import token_in_cookie
from cs_archiver.server.keys import PROBLEM, REQUEST_ID
from cs_archiver.server.links import called, is_own, link
from cs_archiver.server.negotiation import prefers_page
from cs_archiver.server.pages.frame import redirect, render
from cs_archiver.server.problems import problem, title_of

_log = logging.getLogger(__name__)

_INSTEAD = {"not-authenticated": "/login", "password-change-required": "/password"}
_TITLES = {
    "not-found": "There is no such page",
    "admins-only": "For administrators only",
    "cross-site-request": "This did not come from a page of this service",
    "internal-error": "Something went wrong here",
}


async def refusal(
    request: web.Request, error: InvalidRequest, *, headers: Mapping[str, str] | None = None
) -> web.Response:
    """As a page for who wants one, else as a problem document."""
    if not prefers_page(request):
        return problem(request, error, headers=headers)
    request[PROBLEM] = error.problem
    if error.problem in _INSTEAD:
        return redirect(_way_around(request, error.problem))
    title = _TITLES.get(error.problem) or title_of(error.problem)
    try:
        page = await render(
            request,
            "error.html",
            {"title": title, "error": error, "request_id": request[REQUEST_ID]},
            status=error.status,
        )
    except Exception:  # noqa: BLE001  the very last stop: an answer that needs nothing beside itself
        _log.exception("request %s: no page for the refusal", request[REQUEST_ID])
        return problem(request, error, headers=headers)
    page.headers.update(headers or {})
    if error.status == HTTPStatus.TOO_MANY_REQUESTS and "retry_after" in error.members:
        page.headers[hdrs.RETRY_AFTER] = str(error.members["retry_after"])
    return page


def _way_around(request: web.Request, name: str) -> str:
    here = str(called(request)) if request.method == hdrs.METH_GET else ""
    ended = "1" if name == "not-authenticated" and token_in_cookie(request) else ""
    return link(request.app, _INSTEAD[name], next=here if is_own(request.app, here) else "", ended=ended)
