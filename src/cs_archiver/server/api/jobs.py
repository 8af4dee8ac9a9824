"""Asking for a folder to be archived, and following the job."""

from aiohttp import hdrs

from cs_archiver.server.admitted_still import require_admitted_still, still_admitted
from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.job_bulk import ClearedJobs
from cs_archiver.server.contract.job_search import JobsQuery, WaitQuery
from cs_archiver.server.contract.jobs import (
    HistoryLine,
    JobInFull,
    JobLine,
    NewJob,
    Queue,
    RetriedJob,
    SubmittedJob,
)
from cs_archiver.server.keys import JOB_WAITS, JOBS, SUBMISSIONS
from cs_archiver.server.links import link
from cs_archiver.server.paging import one_page, whole
from cs_archiver.server.route import Bare, Call, Made, Reply
from cs_archiver.server.turns import made_of


async def submit(call: Call[Query, NewJob]) -> Reply:
    wish = call.body
    call.concerns(wish.folder_path)
    still = still_admitted(call)
    job = await call.service(SUBMISSIONS).submit(wish.folder_path, wish.on_existing, still, username=call.user.username)
    return Reply(SubmittedJob.of(job), {hdrs.LOCATION: link(call.request.app, f"/api/jobs/{job.id}")})


async def page(call: Call[JobsQuery, None]) -> Reply:
    query = call.query
    found, total = await call.service(JOBS).lines(query.search, limit=query.limit, offset=query.offset)
    lines = await made_of(found, JobLine.as_json)
    return one_page(call.request, Made.list_of(lines), limit=query.limit, offset=query.offset, total=total)


async def one(call: Call[WaitQuery, None]) -> Reply:
    job_id, wait = call.in_path("job_id"), call.query.wait
    if wait:
        view = await call.service(JOB_WAITS).until_changed(job_id, seconds=wait, username=call.user.username)
        await require_admitted_still(call.request, call.who)  # it may have ended meanwhile
        return Reply(JobInFull.of(view))
    return Reply(JobInFull.of(await call.service(JOBS).get(job_id)))


async def cancel(call: Bare) -> Reply:
    await call.service(JOBS).cancel(call.in_path("job_id"), username=call.user.username)
    return Reply()


async def retry(call: Bare) -> Reply:
    return Reply(RetriedJob.of(await call.service(JOBS).retry(call.in_path("job_id"), username=call.user.username)))


async def clear_completed(call: Bare) -> Reply:
    return Reply(ClearedJobs(deleted_count=await call.service(JOBS).clear_completed(username=call.user.username)))


async def history(call: Bare) -> Reply:
    lines = await call.service(JOBS).history(call.in_path("job_id"))
    return whole([HistoryLine.of(line) for line in lines])


async def queue(call: Bare) -> Reply:
    return Reply(Queue.of(await call.service(JOBS).queue()))
