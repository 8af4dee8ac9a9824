"""Finds jobs in the list: by state, person, end and words; sorted, a page at a time, quick with 100,000 of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum, StrEnum, auto
from functools import lru_cache
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Integer, Text, bindparam, func, literal_column, null, select, union_all

from cs_archiver.db import job_words, tables
from cs_archiver.db.connection import Ask
from cs_archiver.db.database import Database
from cs_archiver.db.queue import job_of, select_jobs
from cs_archiver.db.rolled import rolled, unrolled
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus

_Found = TypeVar("_Found")

_JOBS, _SUMS = tables.jobs, tables.job_sums
_DEEP = 1000  # so many rows are passed over without asking first from which end they are fewer


class SortBy(StrEnum):
    """What jobs can be sorted by."""

    CREATED_AT = "created_at"
    STARTED_AT = "started_at"
    COMPLETED_AT = "completed_at"
    FOLDER_NAME = "folder_name"
    STATUS = "status"
    SIZE = "size"


_COLUMNS: dict[SortBy, Any] = {sort_by: _JOBS.c[sort_by] for sort_by in SortBy if sort_by is not SortBy.SIZE} | {
    SortBy.SIZE: _JOBS.c.folder_size_bytes
}


@dataclass(frozen=True, slots=True)
class JobSearch:
    """Which jobs, and in which order. No state, no user, no words and no moments mean every one.

    `words` stands in the folder's name, its path or the error message; the case of ASCII letters does not count.
    `ended_from` is the first moment that counts, `ended_before` the first that no longer does.
    """

    statuses: tuple[JobStatus, ...] = ()
    created_by: str | None = None
    words: str | None = None
    ended_from: str | None = None
    ended_before: str | None = None
    sort_by: SortBy = SortBy.CREATED_AT
    descending: bool = True


class Way(Enum):
    """How the jobs of a page are found.

    WALK: in the order of the page, until it ends. SIFT: all that are wanted, and sorted then. AMONG: as SIFT, among
    the few that hold the words.
    """

    WALK = auto()
    SIFT = auto()
    AMONG = auto()


@dataclass(frozen=True, slots=True, eq=False)
class Read(Generic[_Found]):
    """What is read of each job, and what is made of a row that begins with it."""

    columns: tuple[ColumnElement[Any], ...]
    made: Callable[[Any], _Found]

    def each(self, rows: Sequence[Sequence[Any]]) -> list[_Found]:
        return [self.made(row) for row in rows]


_IN_FULL = Read(tuple(select_jobs().selected_columns), lambda row: job_of(row[:-1]))


async def find_jobs(database: Database, search: JobSearch, *, limit: int, offset: int) -> tuple[list[Job], int]:
    """The jobs from `offset` on, and how many there are in all."""
    return await find(database, search, _IN_FULL, limit=limit, offset=offset)


async def find(
    database: Database, search: JobSearch, read: Read[_Found], *, limit: int, offset: int
) -> tuple[list[_Found], int]:
    """As `find_jobs`; `read` says what is wanted of each."""
    page = {"limit": limit, "offset": offset}
    words = search.words
    if words is not None:
        return await database.answer(lambda ask: _found_by_words(ask, search, words, read, page))
    if offset > _DEEP:
        return await database.answer(lambda ask: _found_far_on(ask, search, read, limit=limit, offset=offset))
    rows = unrolled(await database.rows(page_of(search, _way_of(search), read), page))
    if rows:
        return read.each(rows), rows[0][-1]
    return [], (await database.rows(_count_of(search)))[0][0] if offset else 0


def _found_by_words(
    ask: Ask, search: JobSearch, words: str, read: Read[_Found], page: Mapping[str, int]
) -> tuple[list[_Found], int]:
    seqs = job_words.few_with(ask, words)
    way, given = (Way.SIFT, {}) if seqs is None else (Way.AMONG, {"seqs": seqs})
    ((total,),) = ask(_count_of(search, way), given)
    rows = unrolled(ask(page_of(search, Way.WALK if seqs is None else way, read), {**page, **given}))
    return read.each(rows), total


def _found_far_on(
    ask: Ask, search: JobSearch, read: Read[_Found], *, limit: int, offset: int
) -> tuple[list[_Found], int]:
    """From whichever end is nearer: what is passed over is gone through one by one."""
    ((total,),) = ask(_count_of(search), {})
    behind = max(total - offset - limit, 0)
    if is_nearer_to_end := behind < offset:
        search = replace(search, descending=not search.descending)
        limit, offset = max(total - offset, 0) - behind, behind
    rows = unrolled(ask(page_of(search, _way_of(search), read), {"limit": limit, "offset": offset}))
    found = read.each(rows)
    return found[::-1] if is_nearer_to_end else found, total


def _way_of(search: JobSearch) -> Way:
    # No index has what one user asked for in another order.
    return Way.WALK if search.created_by is None or search.sort_by is SortBy.CREATED_AT else Way.SIFT


@lru_cache(maxsize=64)  # to build a query takes longer than to run it
def page_of(search: JobSearch, way: Way, read: Read[Any] = _IN_FULL) -> Any:
    """The query, rolled, for the jobs on the page of `limit` and `offset`; without words, the total ends each."""
    seqs = _walked(search) if way is Way.WALK else _sifted(search, way)
    page = seqs.limit(bindparam("limit", type_=Integer)).offset(bindparam("offset", type_=Integer)).cte("page")
    total = null() if search.words is not None else _count_of(search).scalar_subquery()
    query = select(*read.columns, total.label("total")).join_from(page, _JOBS, _JOBS.c.seq == page.c.seq)
    return rolled(query.order_by(*_order(search, _COLUMNS[search.sort_by], _JOBS.c.seq)))


def _walked(search: JobSearch) -> Any:
    # Each index begins with the state, or with the user and the state: SQLite walks those of the states side by side.
    states = [
        select(_JOBS.c.seq, _COLUMNS[search.sort_by].label("sorted_by")).where(*wanted(search, (status,)))
        for status in search.statuses or JobStatus
    ]
    every = union_all(*states) if len(states) > 1 else states[0]
    return every.order_by(*_order(search, literal_column("sorted_by"), literal_column("seq")))


def _sifted(search: JobSearch, way: Way) -> Any:
    query = select(_JOBS.c.seq).where(*wanted(search, search.statuses, way))
    return query.order_by(*_order(search, _COLUMNS[search.sort_by], _JOBS.c.seq))


@lru_cache(maxsize=64)
def _count_of(search: JobSearch, way: Way = Way.WALK) -> Any:
    if is_summed(search):
        return select(func.coalesce(func.sum(_SUMS.c.jobs), 0)).where(*summed(search, search.statuses))
    return select(func.count()).select_from(_JOBS).where(*wanted(search, search.statuses, way)).correlate(None)


def is_summed(search: JobSearch) -> bool:
    """Whether what the jobs add up to is kept: of those that a user asked for, in each state."""
    return (search.words, search.ended_from, search.ended_before) == (None, None, None)


def summed(search: JobSearch, statuses: tuple[JobStatus, ...]) -> Iterator[ColumnElement[bool]]:
    """What the sums of these states must fulfil."""
    if search.created_by is not None:
        yield _SUMS.c.created_by == search.created_by
    if statuses:
        yield _SUMS.c.status.in_(statuses)


def wanted(search: JobSearch, statuses: tuple[JobStatus, ...], way: Way = Way.WALK) -> Iterator[ColumnElement[bool]]:
    """What jobs of these states must fulfil; the states that the search itself names do not count."""
    if search.created_by is not None:
        yield _JOBS.c.created_by == search.created_by
    if search.ended_from is not None:
        yield _JOBS.c.completed_at >= search.ended_from
    if search.ended_before is not None:
        yield _JOBS.c.completed_at < search.ended_before
    if search.words is not None:
        yield job_words.AMONG if way is Way.AMONG else job_words.hold(search.words)
    if statuses:
        status = status_by(way)
        yield status == statuses[0] if len(statuses) == 1 else status.in_(statuses)


def status_by(way: Way) -> ColumnElement[str]:
    """The state of a job; where they are sifted by something else, from no index, which would lead to too many."""
    return _JOBS.c.status if way is Way.WALK else literal_column("+jobs.status", Text())


def _order(search: JobSearch, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    return [column.desc() if search.descending else column.asc() for column in columns]
