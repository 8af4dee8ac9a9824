"""The jobs that have ended: found again, added up, exported, and cleared from the list."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from cs_archiver.clock import now_text
from cs_archiver.db.ended_jobs import Sum
from cs_archiver.db.job_search import JobSearch
from cs_archiver.domain.states import JobStatus
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.contract.text import Words
from cs_archiver.server.keys import ENDED_JOBS, JOBS
from cs_archiver.server.pages.flash import Level
from cs_archiver.server.pages.frame import go_on, render, render_read
from cs_archiver.server.pages.history_csv import MEDIA, seconds_of, table
from cs_archiver.server.pages.history_query import HistoryQuery
from cs_archiver.server.pages.listing import Listing
from cs_archiver.server.pages.preferences import preferences_of
from cs_archiver.server.pages.words import count_text
from cs_archiver.server.route import Call
from cs_archiver.server.streaming import stream_text


class ClearForm(Form):
    """`until`: what ended after the question was asked was not counted in it, and stays."""

    until: Words


async def show(call: Call[HistoryQuery, None]) -> web.Response:
    seen = now_text() if call.query.shows_newest_failures else None
    return await render_read(call, "history.html", _read(call), failures_seen=seen)


async def _read(call: Call[HistoryQuery, None]) -> dict[str, Any]:
    query, ended = call.query, call.service(ENDED_JOBS)
    search = query.search(preferences_of(call.request).time_zone)
    sums, found, ever, people = await asyncio.gather(
        ended.sums(search),
        call.service(JOBS).page(search, limit=query.per, offset=(query.page - 1) * query.per),
        ended.ever_archived(),
        ended.people(),
    )
    return {
        "query": query,
        "views": found.jobs,
        "seconds_of": seconds_of,
        "sums": sums,
        "done": sums[JobStatus.COMPLETED] if JobStatus.COMPLETED in search.statuses else Sum(),
        "ever": ever,
        "people": people,
        "listing": Listing(call.request, found.total, query.page, query.per, query.sort),
    }


async def export(call: Call[HistoryQuery, None]) -> web.StreamResponse:
    search = call.query.search(preferences_of(call.request).time_zone)
    pieces = table(call.service(ENDED_JOBS).batches(search))
    name = f"cs-archiver-history-{datetime.now(UTC):%Y-%m-%d}.csv"
    return await stream_text(call.request, pieces, file_name=name, headers={}, media=MEDIA)


async def ask_to_clear(call: Call[PageQuery, None]) -> web.Response:
    until = now_text()
    sums = await call.service(ENDED_JOBS).sums(JobSearch())
    return await render(call.request, "history_clear.html", {"count": sums[JobStatus.COMPLETED].jobs, "until": until})


async def clear(call: Call[None, ClearForm]) -> web.Response:
    count = await call.service(JOBS).clear_completed(username=call.user.username, until=call.body.until)
    if not count:
        return go_on(call, "/history", "There was no completed job to clear.", Level.WARNING)
    jobs = "1 completed job" if count == 1 else f"{count_text(count)} completed jobs"
    return go_on(call, "/history", f"Cleared {jobs} from the list. What was archived stays on record.")
