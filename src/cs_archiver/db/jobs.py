"""Listings of jobs, their logs and their history."""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, select, true

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.db.queue import BY_ID, job_of, select_jobs
from cs_archiver.db.rolled import rolled, unrolled
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus

_JOBS = tables.jobs
_LOGS = tables.job_logs
_ADD_LINE = _LOGS.insert()
_BATCH = 1000  # lines of a log read at once: keeps each turn of the event loop short


@dataclass(frozen=True, slots=True)
class LogLine:
    timestamp: str
    level: LogLevel
    message: str


@dataclass(frozen=True, slots=True)
class HistoryLine:
    from_status: str | None
    to_status: str
    at: str


class Jobs:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, job_id: str) -> Job | None:
        for row in await self._database.rows(BY_ID, {"job_id": job_id}):
            return job_of(row)
        return None

    async def in_line(self, statuses: Collection[JobStatus]) -> list[Job]:
        """Jobs of these states in the order in which they will be served."""
        return [job_of(row) for row in await self._database.rows(_in_line(frozenset(statuses)))]

    async def counts(self) -> dict[JobStatus, int]:
        found = {JobStatus(status): count for status, count in await self._database.rows(COUNTS)}
        return {status: found.get(status, 0) for status in JobStatus}

    async def failed_since(self, moment: str) -> int:
        """How many of the jobs in the list failed after this moment."""
        ((count,),) = await self._database.rows(_FAILED_SINCE, {"moment": moment})
        return int(count)

    async def cancelled_of(self, job_ids: Collection[str], archive_paths: Collection[str]) -> list[Job]:
        """The cancelled jobs of these ids, or with an archive under one of these paths."""
        named = _JOBS.c.id.in_(job_ids) | _JOBS.c.archive_path.in_(archive_paths)
        query = select_jobs().where(_JOBS.c.status == JobStatus.CANCELLED, named)
        return [job_of(row) for row in await self._database.rows(query)]

    async def is_archive_of_another(self, job: Job) -> bool:
        """Whether another job, that was not cancelled, has its archive under the same path."""
        same = (_JOBS.c.archive_path == job.archive_path) & (_JOBS.c.status != JobStatus.CANCELLED)
        query = select(_JOBS.c.id).where(same, _JOBS.c.id != job.id).limit(1)
        return bool(await self._database.rows(query))

    async def log(self, job_id: str, level: LogLevel, message: str) -> str:
        """Append one line to the job's log; gives back its time stamp."""
        async with self._database.write() as connection:
            return await log(connection, job_id, level, message)

    async def log_all(self, job_id: str, lines: Sequence[tuple[LogLevel, str]]) -> str:
        """Append these lines in one transaction; gives back their time stamp."""
        now = now_text()
        rows = [{"job_id": job_id, "timestamp": now, "level": level, "message": message} for level, message in lines]
        async with self._database.write() as connection:
            await connection.execute(_LOGS.insert(), rows)
        return now

    async def log_in_batches(
        self, job_id: str, *, level: LogLevel | None, since: str | None, newest: int | None
    ) -> AsyncIterator[list[LogLine]]:
        """Every line there is now, or the `newest` so many, in the order of writing.

        Between batches nothing is held, so that a slow reader holds up nobody.
        """
        wanted = _lines_of(job_id, level, since)
        ids = select(_LOGS.c.id).where(wanted).order_by(_LOGS.c.id.desc())
        async with self._database.read() as connection:
            last = await connection.scalar(ids.limit(1)) or 0
            skipped = 0 if newest is None else await connection.scalar(ids.limit(1).offset(newest)) or 0
        while True:
            query = _select_lines(wanted, _LOGS.c.id > skipped, _LOGS.c.id <= last).order_by(_LOGS.c.id)
            async with self._database.read() as connection:
                rows = unrolled((await connection.execute(rolled(query.limit(_BATCH)))).all())
            if not rows:
                return
            yield [LogLine(timestamp, LogLevel(level), message) for _, timestamp, level, message in rows]
            skipped = rows[-1][0]

    async def clear_completed(self, *, until: str | None, at_most: int) -> int:
        """Take some completed jobs, and their logs, out of the list; gives back how many.

        `until`: those that ended later stay.

        What they archived stays in the catalogue, and the states they were in stay in the history.
        """
        is_meant = _JOBS.c.status == JobStatus.COMPLETED
        if until is not None:
            is_meant &= _JOBS.c.completed_at <= until
        some = select(_JOBS.c.id).where(is_meant).limit(at_most)
        async with self._database.write() as connection:
            return (await connection.execute(_JOBS.delete().where(_JOBS.c.id.in_(some)))).rowcount

    async def has_been(self, job_id: str, status: JobStatus) -> bool:
        """Whether the job ever was in this state."""
        table = tables.job_history
        query = select(table.c.id).where(table.c.job_id == job_id, table.c.to_status == status).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def history(self, job_id: str) -> list[HistoryLine]:
        return [HistoryLine(*row) for row in await self._database.rows(_HISTORY, {"job_id": job_id})]


async def log(connection: Connection, job_id: str, level: LogLevel, message: str) -> str:
    """`Jobs.log` within a transaction of the caller's."""
    now = now_text()
    await connection.execute(_ADD_LINE, {"job_id": job_id, "timestamp": now, "level": level, "message": message})
    return now


def _select_lines(*wanted: ColumnElement[bool]) -> Any:
    return select(_LOGS.c.id, _LOGS.c.timestamp, _LOGS.c.level, _LOGS.c.message).where(*wanted)


def _lines_of(job_id: str, level: LogLevel | None, since: str | None) -> ColumnElement[bool]:
    wanted: ColumnElement[bool] = _LOGS.c.job_id == job_id
    if level is not None:
        wanted &= _LOGS.c.level == level
    if since is not None:
        wanted &= _LOGS.c.timestamp >= since
    return wanted


@cache  # built once for each set of states that is asked for: that takes longer than the query
def _in_line(statuses: frozenset[JobStatus]) -> Any:
    of_states = _JOBS.c.status.in_(sorted(statuses)) if statuses else true()
    return select_jobs().where(of_states).order_by(_JOBS.c.seq)


def _failed_since() -> Any:
    is_new = (_JOBS.c.status == JobStatus.FAILED) & (_JOBS.c.completed_at > bindparam("moment"))
    return select(func.count()).where(is_new)


def _history() -> Any:
    of_job = tables.job_history.c
    lines = select(of_job.from_status, of_job.to_status, of_job.at).where(of_job.job_id == bindparam("job_id"))
    return lines.order_by(of_job.id)


COUNTS = select(tables.job_sums.c.status, func.sum(tables.job_sums.c.jobs)).group_by(tables.job_sums.c.status)
"""How many jobs of each state are in the list."""

_FAILED_SINCE = _failed_since()
_HISTORY = _history()
