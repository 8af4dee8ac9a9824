"""A refused request as a person meets it: led to where it can go on, or told what happened and what to do."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import hdrs, web
from yarl import URL

from cs_archiver.errors import InvalidRequest
from cs_archiver.server.cookies import token_in_cookie
from cs_archiver.server.csrf import own_origins
from cs_archiver.server.keys import PROBLEM, REQUEST_ID
from cs_archiver.server.links import called, is_own, link
from cs_archiver.server.negotiation import prefers_page
from cs_archiver.server.pages.frame import redirect, render
from cs_archiver.server.problems import problem, title_of

_log = logging.getLogger(__name__)

_INSTEAD = {
    "not-authenticated": "/login",
    "password-change-required": "/password",
    "reauthentication-required": "/reauthenticate",
    "second-factor-needed": "/second-factor",
}
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
        return redirect(await _way_around(request, error.problem))
    title = _TITLES.get(error.problem) or title_of(error.problem)
    try:
        page = await render(
            request,
            "error.html",
            {"title": title, "error": error, "request_id": request[REQUEST_ID]},
            status=error.status,
        )
    except Exception:  # noqa: BLE001  the very last stop: an answer that needs nothing beside itself
        _log.exception("no page for the refusal")
        return problem(request, error, headers=headers)
    page.headers.update(headers or {})
    if error.status == HTTPStatus.TOO_MANY_REQUESTS and "retry_after" in error.members:
        page.headers[hdrs.RETRY_AFTER] = str(error.members["retry_after"])
    return page


async def _way_around(request: web.Request, name: str) -> str:
    is_form, is_nobody = request.method != hdrs.METH_GET, name == "not-authenticated"
    here = await _page_of_form(request) if is_form else str(called(request))
    ended = "1" if is_nobody and (is_form or token_in_cookie(request)) else ""
    undone = "1" if is_form and name in {"not-authenticated", "reauthentication-required"} else ""
    following = here if is_own(request.app, here) else ""
    return link(request.app, _INSTEAD[name], next=following, ended=ended, undone=undone)


async def _page_of_form(request: web.Request) -> str:
    """Where the form was filled in, if that can be opened again: some pages are themselves the answer to a form."""
    try:
        page = URL(request.headers.get(hdrs.REFERER, ""))
        if not page.absolute or str(page.origin()).lower() not in own_origins(request):
            return ""
        found = await request.app.router.resolve(request.clone(method=hdrs.METH_GET, rel_url=page.relative()))
    except ValueError:  # no address
        return ""
    is_answer = page.raw_path == called(request).raw_path and not page.raw_query_string
    return "" if found.http_exception is not None or is_answer else page.raw_path_qs
