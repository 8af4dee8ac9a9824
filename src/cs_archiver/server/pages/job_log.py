"""Which lines of a job's log its page shows, and the whole log as a download."""

from collections.abc import Collection
from enum import StrEnum

from aiohttp import web

from cs_archiver.domain.events import LogLevel
from cs_archiver.server.api.job_records import as_text
from cs_archiver.server.contract.forms import PageQuery
from cs_archiver.server.keys import JOB_RECORDS
from cs_archiver.server.route import Call
from cs_archiver.server.streaming import stream_text
from cs_archiver.services.job_ids import canonical

LINES_SHOWN = 1000


class LevelShown(StrEnum):
    """This level and worse, as people look for trouble."""

    ALL = "all"
    WARNING = "warning"
    ERROR = "error"

    @property
    def levels(self) -> Collection[LogLevel]:
        from_here = {"all": 0, "warning": 1, "error": 2}[self]
        return tuple(LogLevel)[from_here:]


async def download(call: Call[PageQuery, None]) -> web.StreamResponse:
    job_id = call.in_path("job_id")
    batches = await call.service(JOB_RECORDS).whole_log(job_id, level=None, since=None, newest=None)
    return await stream_text(call.request, as_text(batches), file_name=f"{canonical(job_id)}.txt", headers={})
