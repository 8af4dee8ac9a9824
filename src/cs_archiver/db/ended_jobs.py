"""The jobs that have ended: what they add up to, who asked for them, and every one of them in order."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import func, select, tuple_

from cs_archiver.db import job_words, tables
from cs_archiver.db.connection import AnyRow, Ask
from cs_archiver.db.database import Database
from cs_archiver.db.job_search import JobSearch, Way, is_summed, status_by, summed, wanted
from cs_archiver.db.queue import job_of, select_jobs
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL, JobStatus

_JOBS, _SUMS = tables.jobs, tables.job_sums
_ENDED = tuple(status for status in JobStatus if status in FINAL)
_EVER = select(
    tables.deletion_sums.c.sources, tables.deletion_sums.c.folder_bytes, tables.deletion_sums.c.archive_bytes
)
_PEOPLE = select(_SUMS.c.created_by).where(_SUMS.c.jobs > 0).distinct().order_by(_SUMS.c.created_by)
_BATCH = 500  # jobs read at once: keeps each turn of the event loop short


@dataclass(frozen=True, slots=True)
class Sum:
    """So many jobs, the bytes of their folders, and those of their archives."""

    jobs: int = 0
    folder_bytes: int = 0
    archive_bytes: int = 0


async def sums_of(database: Database, search: JobSearch) -> dict[JobStatus, Sum]:
    """For each state in which jobs end, whichever the search asks for: what fulfils the rest of it."""
    words = search.words
    if words is None:
        rows = await database.rows(sums_query(search, Way.WALK))
    else:
        rows = await database.answer(lambda ask: _sums_by_words(ask, search, words))
    found = {JobStatus(status): Sum(count, folders or 0, archives or 0) for status, count, folders, archives in rows}
    return {status: found.get(status, Sum()) for status in _ENDED}


def _sums_by_words(ask: Ask, search: JobSearch, words: str) -> Sequence[AnyRow]:
    seqs = job_words.few_with(ask, words)
    way, given = (Way.SIFT, {}) if seqs is None else (Way.AMONG, {"seqs": seqs})
    return ask(sums_query(search, way), given)


@lru_cache(maxsize=64)  # to build a query takes longer than to run it
def sums_query(search: JobSearch, way: Way) -> Any:
    """A row of state, count and both sums for each state that has any."""
    if is_summed(search):
        sums = (func.sum(column) for column in (_SUMS.c.jobs, _SUMS.c.folder_bytes, _SUMS.c.archive_bytes))
        return select(_SUMS.c.status, *sums).where(*summed(search, _ENDED)).group_by(_SUMS.c.status)
    status = status_by(way)
    in_bytes = (func.sum(_JOBS.c.folder_size_bytes), func.sum(_JOBS.c.archive_size_bytes))
    return select(status, func.count(), *in_bytes).where(*wanted(search, _ENDED, way)).group_by(status)


async def ever_archived(database: Database) -> Sum:
    """All whose source was deleted since the beginning, also those that were cleared from the list."""
    ((sources, folder_bytes, archive_bytes),) = await database.rows(_EVER)
    return Sum(sources, folder_bytes, archive_bytes)


async def people_of(database: Database) -> list[str]:
    """Everybody who asked for a job in the list, by name."""
    return [name for (name,) in await database.rows(_PEOPLE)]


async def ended_in_batches(database: Database, search: JobSearch) -> AsyncIterator[list[Job]]:
    """Those of the search that have ended, the last first, whichever way it sorts.

    Between batches nothing is held, so that a slow reader holds up nobody; what ends meanwhile is left out.
    """
    place = tuple_(_JOBS.c.completed_at, _JOBS.c.seq)
    query = select_jobs().where(*wanted(search, search.statuses or _ENDED))
    query = query.order_by(_JOBS.c.completed_at.desc(), _JOBS.c.seq.desc()).limit(_BATCH)
    page = query
    while True:
        async with database.read() as connection:
            rows = (await connection.execute(page)).all()
        if not rows:
            return
        yield [job_of(row) for row in rows]
        page = query.where(place < tuple_(rows[-1].completed_at, rows[-1].seq))
