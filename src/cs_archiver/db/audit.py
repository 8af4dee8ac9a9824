"""The audit trail: who did what, to what, when, from where, and what came of it. Lines are only ever added."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, Text, bindparam, func, literal_column, or_, select, true, union

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.db.rolled import rolled, unrolled
from cs_archiver.db.words import holds

_AUDIT = tables.audit
_COUNTS_KEPT = 64


@dataclass(frozen=True, slots=True)
class Deed:
    """`username`: who did it, None if nobody is known; `result`: "ok" or the name of the problem."""

    action: str
    result: str
    username: str | None = None
    target: str | None = None
    detail: str | None = None
    address: str | None = None
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class AuditLine:
    id: int
    at: str
    deed: Deed


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: of what this user did or had done to its account, of this action, from one moment until another.

    `words` stands in what it was done to, or in the detail; `went_well` tells what was done from what was refused.
    """

    username: str | None = None
    action: str | None = None
    since: str | None = None
    before: str | None = None
    words: str | None = None
    went_well: bool | None = None


class _Counted(NamedTuple):
    """How many lines of some kind there are up to the one of this id."""

    last_id: int
    lines: int


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._counted: OrderedDict[Wanted, _Counted] = OrderedDict()

    async def add(self, *deeds: Deed) -> None:
        """All of them, or none."""
        at = now_text()
        async with self._database.write() as connection:
            await connection.execute(_AUDIT.insert(), [{"at": at, **asdict(deed)} for deed in deeds])

    async def page(self, wanted: Wanted, *, limit: int, offset: int) -> tuple[list[AuditLine], int]:
        """The newest first, and how many there are in all."""
        async with self._database.read() as connection:
            total = await self._count(connection, wanted)
            # From whichever end is nearer: what is passed over is gone through line by line.
            behind = max(total - offset - limit, 0)
            is_nearer_to_end = behind < offset
            if is_nearer_to_end:
                limit, offset = max(total - offset, 0) - behind, behind
            query = _page_of(wanted, newest_first=not is_nearer_to_end)
            rows = unrolled((await connection.execute(query, {"limit": limit, "offset": offset})).all())
        lines = [AuditLine(line_id, at, Deed(*deed)) for line_id, at, *deed in rows]
        return lines[::-1] if is_nearer_to_end else lines, total

    async def _count(self, connection: Connection, wanted: Wanted) -> int:
        """Of what was counted before nothing changes any more, so only what was added is counted."""
        before = self._counted.get(wanted, _Counted(0, 0))
        added, last_id = (await connection.execute(_count_of(wanted), {"last_id": before.last_id})).one()
        counted = self._counted[wanted] = _Counted(last_id or 0, before.lines + added)
        self._counted.move_to_end(wanted)
        if len(self._counted) > _COUNTS_KEPT:
            self._counted.popitem(last=False)
        return counted.lines


@lru_cache(maxsize=64)  # to build a query takes longer than to run it
def _page_of(wanted: Wanted, *, newest_first: bool) -> Any:
    columns = (_AUDIT.c.id, _AUDIT.c.at, *(_AUDIT.c[name] for name in Deed.__slots__))
    ids = _ids_of(wanted, true())
    ids = ids.order_by(literal_column("id").desc() if newest_first else literal_column("id"))
    ids = ids.limit(bindparam("limit", type_=Integer)).offset(bindparam("offset", type_=Integer))
    query = select(*columns).where(_AUDIT.c.id.in_(select(ids.subquery().c.id)))
    return rolled(query.order_by(_AUDIT.c.id.desc() if newest_first else _AUDIT.c.id))


def _ids_of(wanted: Wanted, also: ColumnElement[bool]) -> Any:
    """Of the lines that are wanted and fulfil something else: walked in the order of an index."""
    if wanted.username is None:
        return select(_AUDIT.c.id).where(*_conditions(wanted, _AUDIT.c.action), also)
    # What a user did, and what was done to its account; by the action there are more, which is no way to either.
    conditions = (*_conditions(wanted, literal_column("+audit.action", Text())), also)
    of_user = (_AUDIT.c.username, _AUDIT.c.target)
    return union(*(select(_AUDIT.c.id).where(column == wanted.username, *conditions) for column in of_user))


@lru_cache(maxsize=64)
def _count_of(wanted: Wanted) -> Any:
    """For how many lines came after one, and for the last line of all."""
    added = select(func.count()).select_from(_ids_of(wanted, _AUDIT.c.id > bindparam("last_id")).subquery())
    return select(added.scalar_subquery(), select(func.max(_AUDIT.c.id)).scalar_subquery())


def _conditions(wanted: Wanted, action: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
    if wanted.since is not None:
        yield _AUDIT.c.at >= wanted.since
    if wanted.before is not None:
        yield _AUDIT.c.at < wanted.before
    if wanted.action is not None:
        yield action == wanted.action
    if wanted.words is not None:
        yield or_(holds(_AUDIT.c.target, wanted.words), holds(_AUDIT.c.detail, wanted.words))
    if wanted.went_well is not None:
        yield _AUDIT.c.result == "ok" if wanted.went_well else _AUDIT.c.result != "ok"
