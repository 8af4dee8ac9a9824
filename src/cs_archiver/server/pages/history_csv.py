"""The history as a table for spreadsheets, in which no text can pass for a formula."""

import csv
import io
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from cs_archiver.clock import elapsed
from cs_archiver.domain.job import Job

MEDIA = "text/csv"

_BYTE_ORDER_MARK = "\ufeff"  # without it, Excel takes UTF-8 for something else
_FORMULAS_BEGIN_WITH = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are their wide twins
_COLUMNS = (
    "job_id", "folder_name", "level1", "level2", "source_path", "globus_destination_path", "status", "created_by",
    "created_at", "started_at", "completed_at", "duration_seconds", "folder_size_bytes", "folder_file_count",
    "archive_size_bytes", "archive_sha256", "globus_task_id", "error_message",
)  # fmt: skip


async def table(batches: AsyncIterator[list[Job]]) -> AsyncGenerator[bytes, None]:
    """A line with the names of the columns, and one for each job."""
    yield (_BYTE_ORDER_MARK + _lines([_COLUMNS])).encode()
    async for jobs in batches:
        yield _lines(map(_row, jobs)).encode()


def seconds_of(job: Job) -> float | None:
    """How long the job took from its start to its end; None if it did not start, or has not ended."""
    if job.started_at is None or job.completed_at is None:
        return None
    return elapsed(job.started_at, job.completed_at).total_seconds()


def _row(job: Job) -> list[Any]:
    seconds = seconds_of(job)
    more = {"job_id": job.id, "duration_seconds": None if seconds is None else round(seconds)}
    return [_harmless(more[name] if name in more else getattr(job, name)) for name in _COLUMNS]


def _harmless(value: Any) -> Any:
    """Spreadsheets run what looks like a formula, whatever file it comes from; behind an apostrophe it is text."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULAS_BEGIN_WITH):
        return "'" + value
    return value


def _lines(rows: Iterable[Iterable[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue()
