"""Finds jobs in the list: by state, person, end and words; sorted, a page at a time, quick with 100,000 of them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, Text, func, literal_column, or_, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.queue import job_of, select_jobs
from cs_archiver.db.words import holds
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus

_JOBS = tables.jobs


class SortBy(StrEnum):
    """What jobs can be sorted by."""

    CREATED_AT = "created_at"
    STARTED_AT = "started_at"
    COMPLETED_AT = "completed_at"
    FOLDER_NAME = "folder_name"
    STATUS = "status"
    SIZE = "size"


_COLUMNS = {sort_by: _JOBS.c[sort_by] for sort_by in SortBy if sort_by is not SortBy.SIZE} | {
    SortBy.SIZE: _JOBS.c.folder_size_bytes
}


@dataclass(frozen=True, slots=True)
class JobSearch:
    """Which jobs, and in which order. No state, no user, no words and no moments mean every one.

    `words` stands in the folder's name, its path or the error message; the case of ASCII letters does not count.
    `ended_from` is the first moment that counts, `ended_before` the first that no longer does.
    """

    statuses: Collection[JobStatus] = ()
    created_by: str | None = None
    words: str | None = None
    ended_from: str | None = None
    ended_before: str | None = None
    sort_by: SortBy = SortBy.CREATED_AT
    descending: bool = True


async def find_jobs(database: Database, search: JobSearch, *, limit: int, offset: int) -> tuple[list[Job], int]:
    """The jobs from `offset` on, and how many there are in all."""
    async with database.read() as connection:
        page = (await connection.execute(page_of(search, limit=limit, offset=offset))).all()
        if not page:
            return [], (await connection.scalar(_count_of(search)) or 0) if offset else 0
        on_page = select_jobs().where(_JOBS.c.seq.in_([row.seq for row in page])).order_by(*_order(search))
        rows = (await connection.execute(on_page)).all()
    return [job_of(row) for row in rows], page[0].total


def page_of(search: JobSearch, *, limit: int, offset: int) -> Any:
    """The query for the `seq` of each job on the page, from an index alone where there are no words; and the total."""
    # Each index begins with the state, or with the user and the state. Words take a walk over every job: one is enough.
    statuses = search.statuses or (() if search.words else tuple(JobStatus))
    total = func.count().over() if search.words else _count_of(search).scalar_subquery()
    query = select(_JOBS.c.seq, total.label("total")).where(*wanted(search, statuses))
    return query.order_by(*_order(search)).limit(limit).offset(offset)


def _count_of(search: JobSearch) -> Any:
    return select(func.count()).select_from(_JOBS).where(*wanted(search, search.statuses)).correlate(None)


def wanted(search: JobSearch, statuses: Collection[JobStatus]) -> Iterator[ColumnElement[bool]]:
    """What jobs of these states must fulfil; the states that the search itself names do not count."""
    if search.created_by is not None:
        yield _JOBS.c.created_by == search.created_by
    if search.ended_from is not None:
        yield _JOBS.c.completed_at >= search.ended_from
    if search.ended_before is not None:
        yield _JOBS.c.completed_at < search.ended_before
    if search.words is not None:
        # The path ends in the folder's name.
        yield or_(holds(_JOBS.c.source_path, search.words), holds(_JOBS.c.error_message, search.words))
    if statuses:
        yield status_of(search).in_(statuses)


def status_of(search: JobSearch) -> ColumnElement[str]:
    """The state of a job; from no index where words are searched, as each job must be read anyway, in any order."""
    return _JOBS.c.status if search.words is None else literal_column("+jobs.status", Text())


def _order(search: JobSearch) -> list[ColumnElement[Any]]:
    columns = [_COLUMNS[search.sort_by], _JOBS.c.seq]
    return [column.desc() if search.descending else column.asc() for column in columns]
