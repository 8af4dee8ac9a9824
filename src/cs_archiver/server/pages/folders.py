"""The folders that can be archived, those that cannot and why, and the scan that finds them."""

import asyncio
from typing import Any, Literal

from aiohttp import web

from cs_archiver.db.folder_search import FolderSearch, SortBy
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.contract.text import OptionalWords
from cs_archiver.server.keys import FOLDERS, JOBS
from cs_archiver.server.links import is_own, link
from cs_archiver.server.pages.frame import redirect, render, render_read
from cs_archiver.server.pages.listing import Listing, PageNumber, PerPage
from cs_archiver.server.route import Call
from cs_archiver.services.jobs import JobView

Sort = Literal[
    "level1", "-level1", "level2", "-level2", "name", "-name", "size", "-size", "files", "-files",
    "modified", "-modified",
]  # fmt: skip
LeftOutSort = Literal["level1", "-level1", "level2", "-level2", "name", "-name", "reason", "-reason"]


class FolderPageQuery(PageQuery):
    q: OptionalWords = None
    level1: OptionalWords = None
    level2: OptionalWords = None
    sort: Sort = "level1"
    page: PageNumber = 1
    per: PerPage = 50


class LeftOutPageQuery(PageQuery):
    q: OptionalWords = None
    sort: LeftOutSort = "level1"
    page: PageNumber = 1
    per: PerPage = 50


class RefreshForm(Form):
    """`next` is the page to come back to; with `full`, folders that are unchanged are measured again as well."""

    next: str = ""
    full: str = ""


async def listed(call: Call[FolderPageQuery, None]) -> web.Response:
    return await render_read(call, "folders.html", _read_listed(call))


async def _read_listed(call: Call[FolderPageQuery, None]) -> dict[str, Any]:
    service, query = call.service(FOLDERS), call.query
    search = FolderSearch(
        words=query.q,
        level1=query.level1,
        level2=query.level2,
        sort_by=_key(query.sort),
        descending=_is_down(query.sort),
    )
    # In this order: what changes meanwhile is told to the page, which then asks again.
    running, failure = service.running_scan, service.scan_failure
    last, jobs, page = await asyncio.gather(
        service.last_scan(),
        _active_jobs(call),
        service.page(search, limit=query.per, offset=(query.page - 1) * query.per),
    )
    if last is None and not service.is_stopped:
        service.begin_scan()
        running, failure = service.running_scan, service.scan_failure
    return {
        "query": query,
        "found": page.found,
        "listing": Listing(call.request, page.found.total, query.page, query.per, query.sort),
        "levels": page.levels,
        "left_out": page.left_out,
        "jobs": jobs,
        "running": running,
        "failure": failure,
        "stopped": service.is_stopped,
        "last": last,
        "measured_since": None if last is None else service.measured_since(last),
    }


async def left_out(call: Call[LeftOutPageQuery, None]) -> web.Response:
    service, query = call.service(FOLDERS), call.query
    search = FolderSearch(True, query.q, sort_by=_key(query.sort), descending=_is_down(query.sort))
    page = await service.page(search, limit=query.per, offset=(query.page - 1) * query.per)
    context = {
        "query": query,
        "found": page.found,
        "listing": Listing(call.request, page.found.total, query.page, query.per, query.sort),
        "last": page.last,
    }
    return await render(call.request, "left_out.html", context)


async def refresh(call: Call[None, RefreshForm]) -> web.Response:
    call.service(FOLDERS).begin_scan(in_full=bool(call.body.full))
    return _back(call)


async def stop(call: Call[None, RefreshForm]) -> web.Response:
    call.service(FOLDERS).stop_scan()
    return _back(call)


def _back(call: Call[None, RefreshForm]) -> web.Response:
    app, back = call.request.app, call.body.next
    return redirect(back if is_own(app, back) else link(app, "/folders"))


async def _active_jobs(call: Call[FolderPageQuery, None]) -> dict[str, JobView]:
    """The jobs that have not ended, by the folder they archive."""
    return {view.job.source_path: view for view in await call.service(JOBS).active()}


def _key(sort: str) -> SortBy:
    return SortBy(sort.removeprefix("-"))


def _is_down(sort: str) -> bool:
    return sort.startswith("-")
