"""The queue: what both workers have in hand, what stands in line for them, and what they need."""

import asyncio
from typing import Any

from aiohttp import web

from cs_archiver.clock import now_text
from cs_archiver.db.job_search import JobSearch, SortBy
from cs_archiver.domain.states import FINAL, WAITING, WorkerName
from cs_archiver.domain.switches import EFFECTS
from cs_archiver.server.contract.forms import PageQuery
from cs_archiver.server.keys import JOBS, STATUS, SWITCHES
from cs_archiver.server.pages.frame import render_read
from cs_archiver.server.pages.queue_lanes import Lane
from cs_archiver.server.route import Call

_ENDED_SHOWN = 5
_IN_LINE_SHOWN = 500
_NEWEST_END = JobSearch(tuple(FINAL), sort_by=SortBy.COMPLETED_AT)


async def show(call: Call[PageQuery, None]) -> web.Response:
    return await render_read(call, "queue.html", _read(call))


async def _read(call: Call[PageQuery, None]) -> dict[str, Any]:
    jobs, switches = call.service(JOBS), call.service(SWITCHES)
    queue, ended, status = await asyncio.gather(
        jobs.queue(), jobs.page(_NEWEST_END, limit=_ENDED_SHOWN, offset=0), call.service(STATUS).read()
    )
    now = now_text()
    lanes = [Lane.of(name, queue, switches.paused, now) for name in WorkerName]
    waiting = {WAITING[name].value: in_line for name, in_line in queue.waiting.items()}
    return {
        "lanes": lanes,
        "waiting": waiting,
        "most_shown": _IN_LINE_SHOWN,
        "is_active": any(lane.view for lane in lanes) or any(waiting.values()),
        "switches": switches.states(),
        "effects": EFFECTS,
        "ended": ended.jobs,
        "status": status,
        "now": now,
    }
