"""The audit trail: who did what, to what, when, from where, and what came of it. Lines are only ever added."""

from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, func, or_, select, true

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.words import holds

_AUDIT = tables.audit


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


class Audit:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, deed: Deed) -> None:
        async with self._database.write() as connection:
            await connection.execute(_AUDIT.insert().values(at=now_text(), **asdict(deed)))

    async def page(self, wanted: Wanted, *, limit: int, offset: int) -> tuple[list[AuditLine], int]:
        """The newest first, and how many there are in all."""
        condition = _condition(wanted)
        columns = [_AUDIT.c.id, _AUDIT.c.at, *(_AUDIT.c[name] for name in Deed.__slots__)]
        query = select(*columns).where(condition).order_by(_AUDIT.c.id.desc()).limit(limit).offset(offset)
        async with self._database.read() as connection:
            rows = (await connection.execute(query)).all()
            count = await connection.scalar(select(func.count()).select_from(_AUDIT).where(condition))
        return [AuditLine(line_id, at, Deed(*deed)) for line_id, at, *deed in rows], count or 0


def _condition(wanted: Wanted) -> ColumnElement[bool]:
    condition = _moments(wanted)
    if wanted.username is not None:
        condition &= or_(_AUDIT.c.username == wanted.username, _AUDIT.c.target == wanted.username)
    if wanted.action is not None:
        condition &= _AUDIT.c.action == wanted.action
    if wanted.words is not None:
        condition &= or_(holds(_AUDIT.c.target, wanted.words), holds(_AUDIT.c.detail, wanted.words))
    if wanted.went_well is not None:
        condition &= _AUDIT.c.result == "ok" if wanted.went_well else _AUDIT.c.result != "ok"
    return condition


def _moments(wanted: Wanted) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = true()
    if wanted.since is not None:
        condition &= _AUDIT.c.at >= wanted.since
    if wanted.before is not None:
        condition &= _AUDIT.c.at < wanted.before
    return condition
