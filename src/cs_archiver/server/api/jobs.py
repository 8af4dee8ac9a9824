"""Asking for a folder to be archived, and following the job."""

from aiohttp import hdrs

from cs_archiver.server.contract.base import Query
from cs_archiver.server.contract.jobs import (
    HistoryLine,
    JobInFull,
    JobLine,
    JobsQuery,
    LogLine,
    LogsQuery,
    NewJob,
    Queue,
    RetriedJob,
    SubmittedJob,
)
from cs_archiver.server.keys import JOBS
from cs_archiver.server.paging import one_page, whole
from cs_archiver.server.route import Bare, Call, Reply


async def submit(call: Call[Query, NewJob]) -> Reply:
    wish = call.body
    job = await call.service(JOBS).submit(wish.folder_path, wish.on_existing, username=call.user.username)
    return Reply(SubmittedJob.of(job), {hdrs.LOCATION: f"/api/jobs/{job.id}"})


async def page(call: Call[JobsQuery, None]) -> Reply:
    query = call.query
    found = await call.service(JOBS).page(statuses=query.status, limit=query.limit, offset=query.offset)
    lines = [JobLine.of(view) for view in found.jobs]
    return one_page(call.request, lines, limit=query.limit, offset=query.offset, total=found.total)


async def one(call: Bare) -> Reply:
    return Reply(JobInFull.of(await call.service(JOBS).get(call.in_path("job_id"))))


async def cancel(call: Bare) -> Reply:
    await call.service(JOBS).cancel(call.in_path("job_id"), username=call.user.username)
    return Reply()


async def retry(call: Bare) -> Reply:
    return Reply(RetriedJob.of(await call.service(JOBS).retry(call.in_path("job_id"), username=call.user.username)))


async def history(call: Bare) -> Reply:
    lines = await call.service(JOBS).history(call.in_path("job_id"))
    return whole([HistoryLine.of(line) for line in lines])


async def logs(call: Call[LogsQuery, None]) -> Reply:
    lines = await call.service(JOBS).logs(call.in_path("job_id"), level=call.query.level, limit=call.query.limit)
    return whole([LogLine.of(line) for line in lines])


async def queue(call: Bare) -> Reply:
    return Reply(Queue.of(await call.service(JOBS).queue()))
