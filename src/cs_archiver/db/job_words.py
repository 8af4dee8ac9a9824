"""Which jobs hold words in their path or their error, as long as they are few."""

import json
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Integer, bindparam, func, or_, select, text

from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.words import holds

_JOBS = tables.jobs
_FEW = select(func.coalesce(func.sum(tables.job_sums.c.jobs), 0) // 10)
AMONG: ColumnElement[bool] = _JOBS.c.seq.in_(text("SELECT value FROM json_each(:seqs)").bindparams(seqs=""))
"""Only jobs whose `seq` is in the array of JSON that is given as `seqs`."""


async def few_with(connection: Connection, words: str) -> str | None:
    """The `seq` of each job that holds the words, as JSON; None where more than a tenth of all jobs do.

    A few are looked at one by one then. Among many, those that a page shows are soon found in its own order.
    """
    few: int = await connection.scalar(_FEW) or 0
    found = (await connection.scalars(_with(words), {"most": few + 1})).all()
    return None if len(found) > few else json.dumps(found)


def hold(words: str) -> ColumnElement[bool]:
    """The path ends in the folder's name, so that needs no look of its own."""
    return or_(holds(_JOBS.c.source_path, words), holds(_JOBS.c.error_message, words))


@lru_cache(maxsize=16)  # to build it takes longer than to look it up
def _with(words: str) -> Any:
    return select(_JOBS.c.seq).where(hold(words)).limit(bindparam("most", type_=Integer))
