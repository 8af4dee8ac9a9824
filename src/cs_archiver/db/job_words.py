"""Which jobs hold words in their path or their error, as long as they are few; and the index that tells which may."""

import json
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, delete, func, or_, select, text

from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.words import holds

_JOBS, _UNINDEXED = tables.jobs, tables.jobs_unindexed
_LETTERS = 3  # in a row: what the index has of each job
_MOST_THREES = 20  # enough to leave few jobs that do not hold the words, however long these are
_FEW = select(func.coalesce(func.sum(tables.job_sums.c.jobs), 0) // 10)
_MAY_HOLD = text(
    "SELECT rowid FROM job_words WHERE job_words MATCH :threes UNION ALL SELECT seq FROM jobs_unindexed LIMIT :most"
)
_MOST_UNINDEXED = 1000  # to look through so many takes a millisecond; to index 100,000 anew, half a second
_INDEX_ANEW = (
    "INSERT INTO job_words (job_words) VALUES ('delete-all')",
    "INSERT INTO job_words (rowid, words) "
    "SELECT seq, source_path || char(10) || coalesce(error_message, '') FROM jobs ORDER BY seq",
)
AMONG: ColumnElement[bool] = _JOBS.c.seq.in_(text("SELECT value FROM json_each(:seqs)").bindparams(seqs=""))
"""Only jobs whose `seq` is in the array of JSON that is given as `seqs`."""


async def few_with(connection: Connection, words: str) -> str | None:
    """The `seq` of each job that holds the words, as JSON; None where more than a tenth of all jobs do, or may.

    A few are looked at one by one then. Among many, those that a page shows are soon found in its own order.
    """
    few: int = await connection.scalar(_FEW) or 0
    if len(words) < _LETTERS:
        found = (await connection.scalars(_with(words), {"most": few + 1})).all()
        return None if len(found) > few else json.dumps(found)
    may = (await connection.scalars(_MAY_HOLD, {"threes": threes_of(words), "most": few + 1})).all()
    if len(may) > few:
        return None
    return json.dumps((await connection.scalars(_of_those_with(words), {"seqs": json.dumps(may)})).all())


def hold(words: str) -> ColumnElement[bool]:
    """The path ends in the folder's name, so that needs no look of its own."""
    return or_(holds(_JOBS.c.source_path, words), holds(_JOBS.c.error_message, words))


def threes_of(words: str) -> str:
    """What the index must have of a job for it to hold these words, of three letters or more.

    The index tells no case apart, of any letter: so it may name jobs that do not hold the words, but lacks none.
    """
    last = len(words) - _LETTERS
    starts = [*range(0, last, _LETTERS)[:_MOST_THREES], last]
    quoted = (words[start : start + _LETTERS].replace('"', '""') for start in starts)
    return " AND ".join(f'"{three}"' for three in quoted)


async def keep_index(connection: Connection) -> None:
    """Index all jobs anew, if more have come since than are quickly looked through."""
    if (await connection.scalar(select(func.count()).select_from(_UNINDEXED)) or 0) <= _MOST_UNINDEXED:
        return
    for statement in _INDEX_ANEW:
        await connection.exec_driver_sql(statement)
    await connection.execute(delete(_UNINDEXED))


@lru_cache(maxsize=16)  # to build it takes longer than to look it up
def _with(words: str) -> Any:
    return select(_JOBS.c.seq).where(hold(words)).limit(bindparam("most", type_=Integer))


@lru_cache(maxsize=16)
def _of_those_with(words: str) -> Any:
    return select(_JOBS.c.seq).where(AMONG, hold(words))
