"""One job: everything about it, the question before it is cancelled, and trying it again."""

import asyncio
from enum import StrEnum
from typing import Any

from aiohttp import web

from cs_archiver.clock import now_text
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import CANCELLABLE, JobStatus
from cs_archiver.errors import InvalidRequest, JobError
from cs_archiver.server.contract.forms import Form, PageQuery
from cs_archiver.server.contract.job_files import ManifestEntry
from cs_archiver.server.contract.text import OptionalWords
from cs_archiver.server.keys import JOB_RECORDS, JOBS, MARKERS
from cs_archiver.server.pages.flash import Level
from cs_archiver.server.pages.frame import go_on, refused, render, seen_until
from cs_archiver.server.pages.job_log import LINES_SHOWN, LevelShown
from cs_archiver.server.pages.job_timeline import packing_of, spans_of
from cs_archiver.server.pages.listing import Listing, PageNumber, PerPage
from cs_archiver.server.route import Call
from cs_archiver.server.turns import made_of

_PAGE = "job.html"
_CANCEL = "job_cancel.html"


class JobPageQuery(PageQuery):
    """`level` and `words` are of the log."""

    level: LevelShown = LevelShown.ALL
    words: OptionalWords = None


class FilesPageQuery(PageQuery):
    q: OptionalWords = None
    page: PageNumber = 1
    per: PerPage = 100


class Back(StrEnum):
    """Where the question was asked."""

    JOB = "job"
    QUEUE = "queue"


class CancelQuery(PageQuery):
    back: Back = Back.JOB


class CancelForm(Form):
    back: Back = Back.JOB


async def show(call: Call[JobPageQuery, None]) -> web.Response:
    now, seen = now_text(), seen_until(call.request)
    context, failures = await asyncio.gather(_context(call, call.query), call.service(JOBS).failed_since(seen))
    if failures == 1 and _is_unseen_failure(context["job"], seen):
        return await render(call.request, _PAGE, context, failures_seen=now)
    return await render(call.request, _PAGE, context, failures=failures)


async def files(call: Call[FilesPageQuery, None]) -> web.Response:
    query, job_id = call.query, call.in_path("job_id")
    offset = (query.page - 1) * query.per
    head = await _head(call)
    found = await call.service(JOB_RECORDS).manifest(job_id, words=query.q, limit=query.per, offset=offset)
    context = {
        **head,
        "query": query,
        "found": found,
        "entries": await made_of(found.entries, ManifestEntry.of),
        "listing": Listing(call.request, found.total, query.page, query.per, ""),
    }
    return await render(call.request, "job_files.html", context)


async def ask_to_cancel(call: Call[CancelQuery, None]) -> web.Response:
    view = await call.service(JOBS).get(call.in_path("job_id"))
    context = {"job": view.job, "back": call.query.back, "can_cancel": view.job.status in CANCELLABLE}
    return await render(call.request, _CANCEL, context)


async def cancel(call: Call[None, CancelForm]) -> web.Response:
    jobs, job_id, back = call.service(JOBS), call.in_path("job_id"), call.body.back
    job = (await jobs.get(job_id)).job
    try:
        await jobs.cancel(job_id, username=call.user.username)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _CANCEL, {"job": job, "back": back, "can_cancel": False})
    ended = (await jobs.get(job_id)).job.status is JobStatus.CANCELLED
    text = "is cancelled" if ended else "is being cancelled: it ends in a moment"
    path = "/queue" if back is Back.QUEUE else f"/jobs/{job.id}"
    return go_on(call, path, f"{job.folder_name} {text}. Its source is untouched.")


async def retry(call: Call[None, Form]) -> web.Response:
    jobs, job_id = call.service(JOBS), call.in_path("job_id")
    try:
        job = await jobs.retry(job_id, username=call.user.username)
    except (InvalidRequest, JobError) as error:
        return await refused(call, error, _PAGE, await _context(call, JobPageQuery()))
    return go_on(call, f"/jobs/{job.id}", f"{job.folder_name} is in the queue again.", Level.SUCCESS)


def _is_unseen_failure(job: Job, seen: str) -> bool:
    return job.status is JobStatus.FAILED and job.completed_at is not None and job.completed_at > seen


async def _context(call: Call[Any, Any], query: JobPageQuery) -> dict[str, Any]:
    records, job_id = call.service(JOB_RECORDS), call.in_path("job_id")
    head, evidence, log = await asyncio.gather(
        _head(call),
        records.evidence(job_id),
        records.search_log(job_id, levels=query.level.levels, words=query.words, limit=LINES_SHOWN),
    )
    marker = await call.service(MARKERS).of(head["job"]) if head["deletion_begun"] else None
    return {
        **head,
        "evidence": evidence,
        "marker": marker,
        "log": None if head["view"].is_cleared else log,  # it is cleared with the job
        "query": query,
    }


async def _head(call: Call[Any, Any]) -> dict[str, Any]:
    """What stands above a job's page and that of its files."""
    jobs, job_id = call.service(JOBS), call.in_path("job_id")
    view, history = await asyncio.gather(jobs.on_record(job_id), jobs.history(job_id))
    now = now_text()
    begun = any(line.to_status == JobStatus.DELETING_SOURCE for line in history)
    spans = spans_of(view.job, history, now)
    return {
        "view": view,
        "job": view.job,
        "now": now,
        "spans": spans,
        "packing": packing_of(spans),
        "can_cancel": view.job.status in CANCELLABLE and view.job.cancel_requested_by is None,
        "can_retry": view.job.status is JobStatus.FAILED and not begun,
        "deletion_begun": begun,
    }
