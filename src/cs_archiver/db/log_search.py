"""Finds lines in the log of a job: by level, by words, from a moment on; the newest of them."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Text, bindparam, func, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.jobs import LogLine
from cs_archiver.db.rolled import rolled, unrolled
from cs_archiver.db.words import holds
from cs_archiver.domain.events import LogLevel

_LOGS = tables.job_logs


class FoundLines(NamedTuple):
    """The newest lines in the order of writing; `total` counts all that were asked for."""

    lines: list[LogLine]
    total: int


async def find_lines(
    database: Database,
    job_id: str,
    *,
    levels: Iterable[LogLevel],
    limit: int,
    words: str | None = None,
    since: str | None = None,
) -> FoundLines:
    """The lines of these levels that hold the words, from the moment `since` on; None asks for every line."""
    has_since = since is not None
    kept = frozenset(levels)
    newest, count = _queries(kept, has_since) if words is None else _queries_for(kept, has_since, words)
    given = {"job_id": job_id, "since": since}
    rows, total = unrolled(await database.rows(newest, {**given, "limit": limit})), 0
    if len(rows) == limit:
        ((total,),) = await database.rows(count, given)
    lines = [LogLine(timestamp, LogLevel(level), message) for timestamp, level, message in reversed(rows)]
    return FoundLines(lines, max(total, len(rows)))  # some may have been removed in between


@cache  # built once for each choice of levels: that takes longer than the query
def _queries(levels: frozenset[LogLevel], has_since: bool) -> tuple[Any, Any]:
    return _queries_for(levels, has_since, None)


def _queries_for(levels: frozenset[LogLevel], has_since: bool, words: str | None) -> tuple[Any, Any]:
    """For the newest lines, and for how many there are in all."""
    wanted: ColumnElement[bool] = _LOGS.c.job_id == bindparam("job_id")
    if levels != set(LogLevel):
        wanted &= _LOGS.c.level.in_(sorted(levels))
    if has_since:
        wanted &= _LOGS.c.timestamp >= bindparam("since", type_=Text)
    if words is not None:
        wanted &= holds(_LOGS.c.message, words)
    newest = select(_LOGS.c.timestamp, _LOGS.c.level, _LOGS.c.message).where(wanted).order_by(_LOGS.c.id.desc())
    newest = newest.limit(bindparam("limit", type_=Integer))
    return rolled(newest), select(func.count()).select_from(_LOGS).where(wanted)
