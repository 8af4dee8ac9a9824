"""Which jobs hold words in their path or their error, as long as they are few."""

from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, text

from cs_archiver.db import tables
from cs_archiver.db.connection import Ask
from cs_archiver.db.words import holds

_JOBS = tables.jobs
_LETTERS = 3  # in a row: what the index has of each job
_MOST_THREES = 20  # enough to leave few jobs that do not hold the words, however long these are
_FEW = select(func.coalesce(func.sum(tables.job_sums.c.jobs), 0) // 10)
_MAY_HOLD = text(
    "SELECT count(*), json_group_array(seq) FROM ("
    "SELECT rowid AS seq FROM job_words WHERE job_words MATCH :threes UNION ALL SELECT seq FROM jobs_unindexed "
    "LIMIT (SELECT coalesce(sum(jobs), 0) / 10 + 1 FROM job_sums))"
)
AMONG: ColumnElement[bool] = _JOBS.c.seq.in_(text("SELECT value FROM json_each(:seqs)").bindparams(seqs=""))
"""Only jobs whose `seq` is in the array of JSON that is given as `seqs`."""


def few_with(ask: Ask, words: str) -> str | None:
    """The `seq` of each job that holds the words, as JSON; None where more than a tenth of all jobs do, or may.

    A few are looked at one by one then. Among many, those that a page shows are soon found in its own order.
    SQLite puts them into JSON: thousands of numbers never become objects of Python's, only to be sent back to it.
    """
    ((few,),) = ask(_FEW, {})
    if len(words) < _LETTERS:
        ((found, seqs),) = ask(_with(words), {})
        return None if found > few else str(seqs)
    ((may, seqs),) = ask(_MAY_HOLD, {"threes": threes_of(words)})
    if may > few:
        return None
    ((_, seqs),) = ask(_of_those_with(words), {"seqs": seqs})
    return str(seqs)


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


@lru_cache(maxsize=16)  # to build it takes longer than to look it up
def _with(words: str) -> Any:
    return _counted(select(_JOBS.c.seq).where(hold(words)).limit(_FEW.scalar_subquery() + 1))


@lru_cache(maxsize=16)
def _of_those_with(words: str) -> Any:
    return _counted(select(_JOBS.c.seq).where(AMONG, hold(words)))


def _counted(seqs: "Select[int]") -> Any:
    """How many they are, and all of them as JSON, in one row."""
    found = seqs.subquery()
    return select(func.count(), func.json_group_array(found.c.seq)).select_from(found)
