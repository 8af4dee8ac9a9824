"""What was written down about a job: its log, and its manifest file by file."""

from collections.abc import AsyncGenerator, AsyncIterator

from aiohttp import hdrs, web

from cs_archiver.db.jobs import LogLine as Line
from cs_archiver.server.contract.job_files import FilesQuery, ManifestEntry
from cs_archiver.server.contract.job_logs import LogLine, LogsQuery
from cs_archiver.server.keys import JOB_RECORDS
from cs_archiver.server.negotiation import prefers_text
from cs_archiver.server.paging import TOTAL_COUNT, one_page
from cs_archiver.server.route import Call, Reply
from cs_archiver.server.streaming import stream_text
from cs_archiver.server.turns import made_of
from cs_archiver.services.job_ids import canonical

_VARY: dict[str, str] = {hdrs.VARY: hdrs.ACCEPT}


async def logs(call: Call[LogsQuery, None]) -> Reply | web.StreamResponse:
    query, job_id, records = call.query, call.in_path("job_id"), call.service(JOB_RECORDS)
    if prefers_text(call.request):
        batches = await records.whole_log(job_id, level=query.level, since=query.since, newest=query.newest)
        return await stream_text(call.request, as_text(batches), file_name=f"{canonical(job_id)}.txt", headers=_VARY)
    found = await records.log(job_id, level=query.level, since=query.since, limit=query.limit)
    return Reply(await made_of(found.lines, LogLine.of), {TOTAL_COUNT: str(found.total), **_VARY})


async def files(call: Call[FilesQuery, None]) -> Reply:
    query = call.query
    page = await call.service(JOB_RECORDS).manifest(
        call.in_path("job_id"), words=query.q, limit=query.limit, offset=query.offset
    )
    entries = await made_of(page.entries, ManifestEntry.of)
    return one_page(call.request, entries, limit=query.limit, offset=query.offset, total=page.total)


async def as_text(batches: AsyncIterator[list[Line]]) -> AsyncGenerator[bytes, None]:
    """A log as people download it, batch by batch."""
    async for lines in batches:
        yield "".join(f"{line.timestamp} {line.level:<7} {_indented(line.message)}\n" for line in lines).encode()


def _indented(message: str) -> str:
    """What a tool wrote over several lines must not look like lines of ours."""
    return "\n    ".join(message.splitlines())
