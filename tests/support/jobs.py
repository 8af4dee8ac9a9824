"""Rows for tests that need a job without running one."""

import uuid
from typing import Any

from cs_archiver.db import queue
from cs_archiver.db.database import Database
from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.domain.states import JobStatus


def job_row(name: str = "Project_Alpha", **values: Any) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "folder_name": name,
        "level1": "Production",
        "level2": "2024",
        "source_path": f"/nas/Production/2024/{name}",
        "globus_destination_path": f"/Production/2024/{name}.tar.7z",
        "on_existing": OnExisting.FAIL,
        "folder_size_bytes": 5,
        "created_by": "admin",
        **values,
    }


async def submit(database: Database, name: str = "Project_Alpha", **values: Any) -> Job:
    async with database.write() as connection:
        return await queue.submit(connection, job_row(name, **values))


def a_job(status: JobStatus = JobStatus.QUEUED, **values: Any) -> Job:
    """A job as the queue would hand it out, without a database."""
    row: dict[str, Any] = dict.fromkeys(Job._fields)
    row |= {"seq": 1, "status": status, "progress_percent": 0, "attempt": 0, "retry_count": 0}
    row |= {
        "connection_retries": 0,
        "disk_was_full": 0,
        "created_at": "2026-01-15T14:32:01.000Z",
        **job_row(),
        **values,
    }
    return Job(**row)
