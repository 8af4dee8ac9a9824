"""The index that tells in which jobs words may stand, kept up beside the triggers, which may not write to it."""

from sqlalchemy import delete, func, select

from cs_archiver.db.connection import Connection
from cs_archiver.db.tables import jobs_unindexed

_MOST_UNINDEXED = 1000  # to look through so many takes a millisecond; to index 100,000 anew, half a second
_INDEX_ANEW = (
    "INSERT INTO job_words (job_words) VALUES ('delete-all')",
    "INSERT INTO job_words (rowid, words) "
    "SELECT seq, source_path || char(10) || coalesce(error_message, '') FROM jobs ORDER BY seq",
)


async def keep_index(connection: Connection) -> None:
    """Index all jobs anew, if more have come since than are quickly looked through."""
    if (await connection.scalar(select(func.count()).select_from(jobs_unindexed)) or 0) <= _MOST_UNINDEXED:
        return
    for statement in _INDEX_ANEW:
        await connection.exec_driver_sql(statement)
    await connection.execute(delete(jobs_unindexed))
