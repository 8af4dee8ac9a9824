"""The durable queue: the only code that changes a job's state."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Row, bindparam, func, or_, select, true
from sqlalchemy.exc import IntegrityError

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.domain.states import ACTIVE, BUSY, FINAL, WAITING, JobStatus, WorkerName
from cs_archiver.errors import Conflict, JobMovedMeanwhile

AlsoWrite = Callable[[Connection, Job], Awaitable[None]]

_JOBS = tables.jobs
_STATUS, _ON_EXISTING, _INODE = map(Job._fields.index, ("status", "on_existing", "source_inode"))
_STATUSES = {status.value: status for status in JobStatus}  # a third of what it takes to call the enumeration
_ON_EXISTINGS = {what.value: what for what in OnExisting}
_SELECT = select(*(_JOBS.c[name] for name in Job._fields))  # built once: that takes longer than most queries
BY_ID = _SELECT.where(_JOBS.c.id == bindparam("job_id"))
_NEXT = {
    worker: [
        _SELECT.where(or_(*(_JOBS.c.status == state for state in states))).order_by(_JOBS.c.seq).limit(1)
        for states in (BUSY[worker], {WAITING[worker]})
    ]
    for worker in WorkerName
}


def job_of(row: Row[Any]) -> Job:
    """Of a row of `select_jobs`: by position, since lists have hundreds."""
    values = list(row)
    values[_STATUS] = _STATUSES[values[_STATUS]]
    values[_ON_EXISTING] = _ON_EXISTINGS[values[_ON_EXISTING]]
    if values[_INODE] is not None:
        values[_INODE] %= 2**64
    return Job._make(values)


def select_jobs() -> Any:
    return _SELECT


async def submit(connection: Connection, job: Mapping[str, Any]) -> Job:
    """Append a job to the queue. Raises Conflict when its folder or destination has an active job already."""
    values = {**job, "seq": await _next_seq(connection), "status": JobStatus.QUEUED, "created_at": now_text()}
    try:
        await connection.execute(_JOBS.insert().values(values))
    except IntegrityError as error:
        refused = Conflict("job-not-accepted", "The database refused this job; its log says why.")
        raise await active_conflict(connection, job) or refused from error
    return await _get(connection, str(job["id"]))


async def active_conflict(connection: Connection, job: Mapping[str, Any]) -> Conflict | None:
    """The refusal of a job whose folder or destination has an active job already, naming that one."""
    same = (_JOBS.c.source_path == job["source_path"]) | (
        _JOBS.c.globus_destination_path == job["globus_destination_path"]
    )
    active = _JOBS.c.status.in_(ACTIVE)  # few, and an index leads to them
    row = (await connection.execute(select(_JOBS.c.id, _JOBS.c.status).where(same & active))).first()
    if row is None:
        return None
    return Conflict(
        "already-queued",
        f"This folder already has an active job in the state {row.status}.",
        job_id=row.id,
        job_url=f"/api/jobs/{row.id}",
    )


class Queue:
    """Claims, moves and checkpoints of jobs, each in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, job_id: str) -> Job:
        async with self._database.read() as connection:
            return await _get(connection, job_id)

    async def next_for(self, worker: WorkerName) -> Job | None:
        """The job this worker has in hand, else the first in line for it, else None. Changes nothing.

        Strictly first in, first out: a job that waits (for disk space, for a retry) holds those behind it.
        Raises DatabaseUnhealthy while nothing could be recorded.
        """
        await self._database.require_healthy()
        async with self._database.read() as connection:
            for query in _NEXT[worker]:
                row = (await connection.execute(query)).first()
                if row is not None:
                    return job_of(row)
        return None

    async def move(
        self,
        job: Job,
        to: JobStatus,
        changes: Mapping[str, Any] | None = None,
        *,
        also: AlsoWrite | None = None,
    ) -> Job:
        """Compare-and-set from the job's present state, with `changes` of columns and `also` in one transaction.

        Raises JobMovedMeanwhile when the job is no longer in the state it was read in.
        """
        async with self._database.write() as connection:
            moved = await move(connection, job, to, changes or {})
            if also is not None:
                await also(connection, moved)
            return moved

    async def checkpoint(self, job: Job, **changes: Any) -> Job:
        """Store facts about a job without moving it. Raises JobMovedMeanwhile as `move` does."""
        async with self._database.write() as connection:
            return await _set(connection, job, changes, true())


async def move(connection: Connection, job: Job, to: JobStatus, changes: Mapping[str, Any]) -> Job:
    """`Queue.move` within a transaction of the caller's."""
    now = now_text()
    values = {"status": to, "step_started_at": now, "not_before": None, "connection_retries": 0, **changes}
    if to in FINAL:
        values["completed_at"] = now
    # A job that is to be cancelled moves nowhere else: least of all on to the deletion of its source.
    allowed = true() if to is JobStatus.CANCELLED else _JOBS.c.cancel_requested_by.is_(None)
    return await _set(connection, job, values, allowed)


async def requeue(connection: Connection, job: Job) -> Job:
    """Put a failed job at the end of the line, with every counter at zero."""
    fresh = {
        "seq": await _next_seq(connection),
        "retry_count": 0,
        "progress_percent": 0,
        "current_operation": None,
        "started_at": None,
        "completed_at": None,
        "error_message": None,
        "error_problem": None,
        "disk_was_full": 0,
        "cancel_requested_by": None,
    }
    return await move(connection, job, JobStatus.QUEUED, fresh)


async def request_cancel(connection: Connection, job: Job, *, username: str) -> Job:
    """Ask the worker that has the job in hand to end it. Raises JobMovedMeanwhile as `move` does."""
    return await _set(connection, job, {"cancel_requested_by": username, "not_before": None}, true())


async def _next_seq(connection: Connection) -> int:
    query = select(func.coalesce(func.max(_JOBS.c.seq), 0) + 1)
    return int((await connection.execute(query)).scalar_one())


async def _set(connection: Connection, job: Job, values: Mapping[str, Any], allowed: ColumnElement[bool]) -> Job:
    inode = values.get("source_inode")
    if inode is not None and inode >= 2**63:  # some NAS use all 64 bits; SQLite's integers are signed
        values = {**values, "source_inode": inode - 2**64}
    as_read = (_JOBS.c.id == job.id) & (_JOBS.c.status == job.status)
    result = await connection.execute(_JOBS.update().where(as_read, allowed).values(values))
    if result.rowcount != 1:
        raise JobMovedMeanwhile(f"job {job.id} is no longer {job.status}, or is to be cancelled")
    return await _get(connection, job.id)


async def _get(connection: Connection, job_id: str) -> Job:
    return job_of((await connection.execute(BY_ID, {"job_id": job_id})).one())
