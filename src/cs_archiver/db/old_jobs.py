"""Logs of jobs that ended long ago: nothing but what people read while a job was new."""

from sqlalchemy import exists, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.domain.states import FINAL

_JOBS = tables.jobs
_LOGS = tables.job_logs


async def drop_logs(database: Database, *, until: str, at_most: int) -> int:
    """Remove the whole log of some jobs that ended `until` then and have one; gives back of how many.

    The jobs stay as they are; one that a person retried has not ended.
    """
    ended = (_JOBS.c.status.in_(sorted(FINAL))) & (_JOBS.c.completed_at <= until)
    some = select(_JOBS.c.id).where(ended, exists().where(_LOGS.c.job_id == _JOBS.c.id)).limit(at_most)
    async with database.write() as connection:
        ids = (await connection.scalars(some)).all()
        await connection.execute(_LOGS.delete().where(_LOGS.c.job_id.in_(ids)))
    return len(ids)
