"""How jobs ended, in the order in which they did: numbered, so that whoever tells of it knows how far they are."""

from dataclasses import dataclass

from sqlalchemy import func, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.queue import job_of, select_jobs
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus

_HISTORY = tables.job_history.c


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Jobs that came to one state after the outcome of some number: `newest` is the last, `count` is of all.

    `jobs` are the first of them, without those that were cleared from the list; `deletion_stopped` has the ids of
    those that failed while their source was being deleted.
    """

    newest: int
    count: int
    jobs: list[Job]
    deletion_stopped: frozenset[str]


@dataclass(frozen=True, slots=True)
class Period:
    """What came of the jobs since some moment; the bytes are those of the sources that were deleted."""

    completed: int
    failed: int
    freed_bytes: int


async def newest(database: Database) -> int:
    """The number of the last outcome there is; 0 where there is none."""
    return int((await database.rows(select(func.coalesce(func.max(_HISTORY.id), 0))))[0][0])


async def since(database: Database, status: JobStatus, number: int, *, most_jobs: int) -> Outcomes:
    """Raises DatabaseUnhealthy as `Database.read` does."""
    is_meant = (_HISTORY.id > number) & (_HISTORY.to_status == status)
    ended = select(_HISTORY.job_id, _HISTORY.from_status).where(is_meant).order_by(_HISTORY.id).limit(most_jobs)
    async with database.read() as connection:
        totals = select(func.coalesce(func.max(_HISTORY.id), number), func.count()).where(is_meant)
        last, count = (await connection.execute(totals)).one()
        before = {row.job_id: row.from_status for row in await connection.execute(ended)}
        query = select_jobs().where(tables.jobs.c.id.in_(before))
        jobs = {row.id: job_of(row) for row in await connection.execute(query)}
    stopped = frozenset(job_id for job_id, status in before.items() if status == JobStatus.DELETING_SOURCE)
    return Outcomes(last, count, [jobs[job_id] for job_id in before if job_id in jobs], stopped)


async def of_period(database: Database, begin: str) -> Period:
    """What happened from this moment on. Raises DatabaseUnhealthy as `Database.read` does."""
    archives, manifests = tables.archives.c, tables.manifests.c
    deleted = (
        select(func.count(), func.coalesce(func.sum(manifests.bytes), 0))
        .join_from(tables.archives, tables.manifests, manifests.id == archives.manifest_id)
        .where(archives.source_deleted_at >= begin)
    )
    failed = (
        select(func.count())
        .select_from(tables.jobs)
        .where(tables.jobs.c.status == JobStatus.FAILED, tables.jobs.c.completed_at >= begin)
    )
    async with database.read() as connection:
        completed, freed_bytes = (await connection.execute(deleted)).one()
        return Period(completed, await connection.scalar(failed) or 0, freed_bytes)
