"""Finds lines in the log of a job: by level, by words, the newest of them."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import func, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import LogLine
from cs_archiver.db.words import holds
from cs_archiver.domain.events import LogLevel

_LOGS = tables.job_logs


class FoundLines(NamedTuple):
    """The newest lines in the order of writing; `total` counts all that were asked for."""

    lines: list[LogLine]
    total: int


async def find_lines(
    database: Database, job_id: str, *, levels: Collection[LogLevel], words: str | None, limit: int
) -> FoundLines:
    """The lines of these levels that hold the words; None asks for every line."""
    wanted = (_LOGS.c.job_id == job_id) & _LOGS.c.level.in_(levels)
    if words is not None:
        wanted &= holds(_LOGS.c.message, words)
    newest = select(_LOGS.c.timestamp, _LOGS.c.level, _LOGS.c.message).where(wanted)
    async with database.read() as connection:
        rows = (await connection.execute(newest.order_by(_LOGS.c.id.desc()).limit(limit))).all()
        total = await connection.scalar(select(func.count()).select_from(_LOGS).where(wanted))
    lines = [LogLine(timestamp, LogLevel(level), message) for timestamp, level, message in reversed(rows)]
    return FoundLines(lines, total or 0)
