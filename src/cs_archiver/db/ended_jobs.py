"""The jobs that have ended: what they add up to, who asked for them, and every one of them in order."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, tuple_

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.job_search import JobSearch, status_of, wanted
from cs_archiver.db.queue import job_of, select_jobs
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL, JobStatus

_JOBS = tables.jobs
_BATCH = 500  # jobs read at once: keeps each turn of the event loop short


@dataclass(frozen=True, slots=True)
class Sum:
    """So many jobs, the bytes of their folders, and those of their archives."""

    jobs: int = 0
    folder_bytes: int = 0
    archive_bytes: int = 0


async def sums_of(database: Database, search: JobSearch) -> dict[JobStatus, Sum]:
    """For each state in which jobs end, whichever the search asks for: what fulfils the rest of it."""
    rows = await database.rows(sums_query(search))
    found = {JobStatus(status): Sum(count, folders or 0, archives or 0) for status, count, folders, archives in rows}
    return {status: found.get(status, Sum()) for status in JobStatus if status in FINAL}


def sums_query(search: JobSearch) -> Any:
    """A row of state, count and both sums for each state that has any."""
    sums = (func.sum(_JOBS.c.folder_size_bytes), func.sum(_JOBS.c.archive_size_bytes))
    status = status_of(search)
    return select(status, func.count(), *sums).where(*wanted(search, sorted(FINAL))).group_by(status)


async def ever_archived(database: Database) -> Sum:
    """All whose source was deleted since the beginning, also those that were cleared from the list."""
    archives, manifests = tables.archives.c, tables.manifests.c
    query = (
        select(func.count(), func.sum(manifests.bytes), func.sum(archives.archive_size_bytes))
        .join_from(tables.archives, tables.manifests, manifests.id == archives.manifest_id)
        .where(archives.source_deleted_at.is_not(None))
    )
    ((count, folder_bytes, archive_bytes),) = await database.rows(query)
    return Sum(count, folder_bytes or 0, archive_bytes or 0)


async def people_of(database: Database) -> list[str]:
    """Everybody who asked for a job in the list, by name."""
    # From one name to the next in the index: SQLite's own DISTINCT would look at every job.
    name = select(func.min(_JOBS.c.created_by).label("name")).cte("people", recursive=True)
    following = select(func.min(_JOBS.c.created_by)).where(_JOBS.c.created_by > name.c.name).scalar_subquery()
    people = name.union_all(select(following).where(name.c.name.is_not(None)))
    query = select(people.c.name).where(people.c.name.is_not(None)).order_by(people.c.name)
    return [name for (name,) in await database.rows(query)]


async def ended_in_batches(database: Database, search: JobSearch) -> AsyncIterator[list[Job]]:
    """Those of the search that have ended, the last first, whichever way it sorts.

    Between batches nothing is held, so that a slow reader holds up nobody; what ends meanwhile is left out.
    """
    place = tuple_(_JOBS.c.completed_at, _JOBS.c.seq)
    query = select_jobs().where(*wanted(search, search.statuses or sorted(FINAL)))
    query = query.order_by(_JOBS.c.completed_at.desc(), _JOBS.c.seq.desc()).limit(_BATCH)
    page = query
    while True:
        async with database.read() as connection:
            rows = (await connection.execute(page)).all()
        if not rows:
            return
        yield [job_of(row) for row in rows]
        page = query.where(place < tuple_(rows[-1].completed_at, rows[-1].seq))
