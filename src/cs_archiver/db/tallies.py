"""What is counted for monitors: from tables that only ever grow, so that no move and no sign-in is missed."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Select, bindparam, func, select

from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import COUNTS
from cs_archiver.domain.job import HELD
from cs_archiver.domain.states import ACTIVE, WAITING, JobStatus, WorkerName

_JOBS, _HISTORY, _AUDIT = tables.jobs, tables.job_history, tables.audit
_ARCHIVES, _MANIFESTS = tables.archives, tables.manifests
_MOVES_AT_ONCE = 1000  # keeps each turn of the event loop short
_A_FEW = 5
_IS_HELD = _JOBS.c.status.in_(ACTIVE) & (func.substr(_JOBS.c.current_operation, 1, len(HELD)) == HELD)


class Marks(NamedTuple):
    """How far the history of jobs and the audit trail were counted: the ids of the last lines."""

    history: int
    audit: int


class Move(NamedTuple):
    """A job left a state, in which it had been since `since`; the sizes as far as they are known."""

    id: int
    left: JobStatus
    to: JobStatus
    since: str
    at: str
    folder_bytes: int | None
    archive_bytes: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """How things stand now; `oldest` is since when the first in line of each worker has been waiting."""

    jobs: dict[JobStatus, int]
    held: int
    oldest: dict[WorkerName, str | None]
    last_success: str | None


async def marks(database: Database) -> Marks:
    """The ends of both tables."""
    async with database.read() as connection:
        history = await connection.scalar(select(func.max(_HISTORY.c.id)))
        audit = await connection.scalar(select(func.max(_AUDIT.c.id)))
    return Marks(history or 0, audit or 0)


async def moves_after(database: Database, last_id: int) -> list[Move]:
    """The moves noted after that line, in order; not all of them at once if there are many."""
    return [
        Move(row.id, JobStatus(row.from_status), JobStatus(row.to_status), row.since or row.at, row.at, *row[5:])
        for row in await database.rows(_MOVES, {"last_id": last_id})
    ]


async def refused_sign_ins_after(database: Database, last_id: int) -> tuple[int, int]:
    """How many sign-ins were refused after that line of the audit trail, and the last line looked at."""
    ((count, last),) = await database.rows(_REFUSED, {"last_id": last_id})
    return count, max(last or 0, last_id)


async def standing(database: Database) -> Standing:
    async with database.read() as connection:
        counts = {JobStatus(status): count for status, count in await connection.execute(COUNTS)}
        return Standing(
            {status: counts.get(status, 0) for status in JobStatus},
            await connection.scalar(_HELD) or 0,
            {worker: await _oldest(connection, status) for worker, status in WAITING.items()},
            await connection.scalar(select(func.max(_ARCHIVES.c.source_deleted_at))),
        )


async def held_jobs(database: Database) -> list[tuple[str, str]]:
    """A few of the jobs that wait for a person: the name of the folder, and what it waits for."""
    query = select(_JOBS.c.folder_name, _JOBS.c.current_operation).where(_IS_HELD).order_by(_JOBS.c.seq).limit(_A_FEW)
    return [(name, operation) for name, operation in await database.rows(query)]


async def _oldest(connection: Connection, status: JobStatus) -> str | None:
    since: str | None = await connection.scalar(_OLDEST, {"status": status})
    return since


def _moves() -> Select[Any]:
    before = _HISTORY.alias()
    since = (
        select(func.max(before.c.at))
        .where(before.c.job_id == _HISTORY.c.job_id, before.c.id < _HISTORY.c.id)
        .correlate(_HISTORY)
        .scalar_subquery()
    )
    return (
        select(
            _HISTORY.c.id,
            _HISTORY.c.from_status,
            _HISTORY.c.to_status,
            since.label("since"),
            _HISTORY.c.at,
            # The row of a job may have been cleared from the list since.
            func.coalesce(_JOBS.c.folder_size_bytes, _MANIFESTS.c.bytes),
            func.coalesce(_JOBS.c.archive_size_bytes, _ARCHIVES.c.archive_size_bytes),
        )
        .outerjoin_from(_HISTORY, _JOBS, _JOBS.c.id == _HISTORY.c.job_id)
        .outerjoin(_ARCHIVES, _ARCHIVES.c.job_id == _HISTORY.c.job_id)
        .outerjoin(_MANIFESTS, _MANIFESTS.c.id == _ARCHIVES.c.manifest_id)
        .where(_HISTORY.c.id > bindparam("last_id"), _HISTORY.c.from_status.is_not(None))
        .order_by(_HISTORY.c.id)
        .limit(_MOVES_AT_ONCE)
    )


_MOVES = _moves()
_REFUSED = select(func.count(), func.max(_AUDIT.c.id)).where(
    _AUDIT.c.id > bindparam("last_id"), _AUDIT.c.action == "auth_login", _AUDIT.c.result != "ok"
)
_HELD = select(func.count()).where(_IS_HELD)
_OLDEST = select(func.min(func.coalesce(_JOBS.c.step_started_at, _JOBS.c.created_at))).where(
    _JOBS.c.status == bindparam("status")
)
