"""Listings of jobs, their logs and their history."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.queue import job_of, select_jobs
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus

_JOBS = tables.jobs
_LOGS = tables.job_logs


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
        async with self._database.read() as connection:
            row = (await connection.execute(select_jobs().where(_JOBS.c.id == job_id))).first()
        return None if row is None else job_of(row)

    async def page(self, *, statuses: Collection[JobStatus], limit: int, offset: int) -> tuple[list[Job], int]:
        """Jobs of these states (of all, if none is named), the newest first; and how many there are in all."""
        wanted = _of_states(statuses)
        query = select_jobs().where(wanted).order_by(_JOBS.c.seq.desc()).limit(limit).offset(offset)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            count = await connection.scalar(select(func.count()).select_from(_JOBS).where(wanted))
        return [job_of(row) for row in rows], count or 0

    async def in_line(self, statuses: Collection[JobStatus]) -> list[Job]:
        """Jobs of these states in the order in which they will be served."""
        query = select_jobs().where(_of_states(statuses)).order_by(_JOBS.c.seq)
        async with self._database.read() as connection:
            return [job_of(row) for row in (await connection.execute(query)).all()]

    async def counts(self) -> dict[JobStatus, int]:
        query = select(_JOBS.c.status, func.count()).group_by(_JOBS.c.status)
        async with self._database.read() as connection:
            found = {JobStatus(status): count for status, count in (await connection.execute(query)).all()}
        return {status: found.get(status, 0) for status in JobStatus}

    async def log(self, job_id: str, level: LogLevel, message: str) -> str:
        """Append one line to the job's log; gives back its time stamp."""
        async with self._database.write() as connection:
            return await log(connection, job_id, level, message)

    async def logs(self, job_id: str, *, level: LogLevel | None, limit: int) -> list[LogLine]:
        """The newest `limit` lines, in the order in which they were written."""
        wanted = (_LOGS.c.job_id == job_id) & (true() if level is None else _LOGS.c.level == level)
        query = (
            select(_LOGS.c.timestamp, _LOGS.c.level, _LOGS.c.message)
            .where(wanted)
            .order_by(_LOGS.c.id.desc())
            .limit(limit)
        )
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
        return [LogLine(time, LogLevel(name), message) for time, name, message in reversed(rows)]

    async def has_been(self, job_id: str, status: JobStatus) -> bool:
        """Whether the job ever was in this state."""
        table = tables.job_history
        query = select(table.c.id).where(table.c.job_id == job_id, table.c.to_status == status).limit(1)
        async with self._database.read() as connection:
            return (await connection.execute(query)).first() is not None

    async def history(self, job_id: str) -> list[HistoryLine]:
        table = tables.job_history
        query = (
            select(table.c.from_status, table.c.to_status, table.c.at)
            .where(table.c.job_id == job_id)
            .order_by(table.c.id)
        )
        async with self._database.read() as connection:
            return [HistoryLine(*row) for row in (await connection.execute(query)).all()]


async def log(connection: AsyncConnection, job_id: str, level: LogLevel, message: str) -> str:
    """`Jobs.log` within a transaction of the caller's."""
    now = now_text()
    await connection.execute(_LOGS.insert().values(job_id=job_id, timestamp=now, level=level, message=message))
    return now


def _of_states(statuses: Collection[JobStatus]) -> ColumnElement[bool]:
    return _JOBS.c.status.in_(statuses) if statuses else true()
