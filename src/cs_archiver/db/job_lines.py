"""The list of jobs as JSON that SQLite makes: to make an object of Python's of each takes several times as long.

A line has the fields of server.contract.jobs.JobLine. What is on the bus and not in the database is not in it.
"""

from typing import Any, NamedTuple

from sqlalchemy import case, func, null

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.job_search import JobSearch, Read, find
from cs_archiver.domain.states import JobStatus, step_name

_JOBS = tables.jobs
_STEP = case({status.value: step_name(status) for status in JobStatus}, value=_JOBS.c.status)
_UNKNOWN = ("step_percent", "bytes_done", "bytes_total", "rate_bytes_per_second", "eta_seconds")
_FIELDS: dict[str, Any] = {
    "step": _STEP,
    **dict.fromkeys(_UNKNOWN, null()),
    "step_started_at": _JOBS.c.step_started_at,
    "job_id": _JOBS.c.id,
    "folder_name": _JOBS.c.folder_name,
    "status": _JOBS.c.status,
    "progress_percent": _JOBS.c.progress_percent,
    "current_operation": func.coalesce(func.nullif(_JOBS.c.current_operation, ""), _STEP),
    "created_by": _JOBS.c.created_by,
    "created_at": _JOBS.c.created_at,
    "started_at": _JOBS.c.started_at,
    "completed_at": _JOBS.c.completed_at,
    "error_message": _JOBS.c.error_message,
}


class FoundLine(NamedTuple):
    job_id: str
    text: str


async def find_lines(database: Database, search: JobSearch, *, limit: int, offset: int) -> tuple[list[FoundLine], int]:
    """As `find_jobs`, each as one object of JSON."""
    return await find(database, search, _LINES, limit=limit, offset=offset)


_LINES = Read(
    (_JOBS.c.id, func.json_object(*(part for field in _FIELDS.items() for part in field))),
    lambda row: FoundLine(row[0], row[1]),
)
