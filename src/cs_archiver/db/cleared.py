"""Jobs that were cleared from the list, as the catalogue and the history of their states still know them."""

from typing import Any

from sqlalchemy import func, select

from cs_archiver.clock import elapsed
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.domain.estimate import Past
from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.domain.states import JobStatus

_ARCHIVES = tables.archives
_HISTORY = tables.job_history
_MANIFESTS = tables.manifests


async def find_cleared(database: Database, job_id: str) -> Job | None:
    """The job as it was when it completed, but for what went with its row; None where nothing of it is on record."""
    sealed = (_MANIFESTS.c.files, _MANIFESTS.c.bytes, _MANIFESTS.c.attempt)
    query = select(_ARCHIVES, *sealed).join(_MANIFESTS, _MANIFESTS.c.id == _ARCHIVES.c.manifest_id)
    async with database.read() as connection:
        row = (await connection.execute(query.where(_ARCHIVES.c.job_id == job_id))).first()
        return None if row is None else _job_of(row, await _moves(connection, job_id))


async def newest_archived(database: Database, *, limit: int) -> list[Past]:
    """The last jobs that completed, whether or not they were cleared from the list since."""
    of_job = _HISTORY.c.job_id == _ARCHIVES.c.job_id
    failed = select(func.max(_HISTORY.c.id)).where(of_job, _HISTORY.c.to_status == JobStatus.FAILED).scalar_subquery()
    moves = _HISTORY.alias()
    began = select(func.min(moves.c.at)).where(
        moves.c.job_id == _ARCHIVES.c.job_id,
        moves.c.to_status == JobStatus.COPYING,
        moves.c.id > func.coalesce(failed.correlate(_ARCHIVES), 0),
    )
    ended = select(func.max(_HISTORY.c.at)).where(of_job, _HISTORY.c.to_status == JobStatus.COMPLETED)
    query = (
        select(_MANIFESTS.c.bytes, began.scalar_subquery(), ended.scalar_subquery())
        .join_from(_ARCHIVES, _MANIFESTS, _MANIFESTS.c.id == _ARCHIVES.c.manifest_id)
        .where(_ARCHIVES.c.source_deleted_at.is_not(None))
        .order_by(_ARCHIVES.c.id.desc())
        .limit(limit)
    )
    rows = await database.rows(query)
    return [Past(size, elapsed(start, end).total_seconds()) for size, start, end in rows if start and end]


async def _moves(connection: Connection, job_id: str) -> list[tuple[JobStatus, str]]:
    query = select(_HISTORY.c.to_status, _HISTORY.c.at).where(_HISTORY.c.job_id == job_id).order_by(_HISTORY.c.id)
    return [(JobStatus(status), at) for status, at in await connection.execute(query)]


def _job_of(row: Any, moves: list[tuple[JobStatus, str]]) -> Job:
    return Job(
        id=row.job_id,
        seq=0,
        folder_name=row.folder_name,
        level1=row.level1,
        level2=row.level2,
        source_path=row.source_path,
        globus_destination_path=row.globus_path,
        archive_path=None,
        on_existing=OnExisting.FAIL,
        status=JobStatus.COMPLETED,  # no other is ever cleared
        progress_percent=100,
        current_operation=None,
        step_started_at=None,
        folder_size_bytes=row.bytes,
        folder_file_count=row.files,
        archive_size_bytes=row.archive_size_bytes,
        archive_sha256=row.archive_sha256,
        source_inode=None,
        attempt=row.attempt,
        manifest_id=row.manifest_id,
        created_by=row.created_by,
        created_at=moves[0][1],
        started_at=_started_at(moves),
        completed_at=moves[-1][1],
        error_message=None,
        error_problem=None,
        retry_count=0,
        connection_retries=0,
        not_before=None,
        disk_was_full=0,
        cancel_requested_by=None,
        globus_task_id=row.globus_task_id,
    )


def _started_at(moves: list[tuple[JobStatus, str]]) -> str | None:
    """When it left the queue, for the first time since somebody retried it."""
    failures = [number for number, (status, _) in enumerate(moves) if status is JobStatus.FAILED]
    newest = moves[failures[-1] + 1 :] if failures else moves
    return next((at for status, at in newest if status is not JobStatus.QUEUED), None)
