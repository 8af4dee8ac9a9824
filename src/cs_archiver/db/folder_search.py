"""Finds folders in the last discovery: by words, by level; sorted, a page at a time, quick with thousands of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select

from cs_archiver.db import tables
from cs_archiver.db.database import Database
from cs_archiver.db.words import holds
from cs_archiver.domain.folders import Folder

_FOLDERS = tables.folders
SELECT = select(*(_FOLDERS.c[name] for name in Folder.__slots__))


class SortBy(StrEnum):
    """What folders can be sorted by."""

    LEVEL1 = "level1"
    LEVEL2 = "level2"
    NAME = "name"
    SIZE = "size"
    FILES = "files"
    MODIFIED = "modified"
    REASON = "reason"


@dataclass(frozen=True, slots=True)
class FolderSearch:
    """Which folders, and in which order; what is None asks for nothing.

    `words` stands in the name, in one of the levels above it, or in the reason why it is left out.
    """

    is_left_out: bool = False
    words: str | None = None
    level1: str | None = None
    level2: str | None = None
    sort_by: SortBy = SortBy.LEVEL1
    descending: bool = False


@dataclass(frozen=True, slots=True)
class FoundFolders:
    """Some of them; `total`, `total_bytes` and `total_files` are of all that were asked for."""

    folders: list[Folder]
    total: int
    total_bytes: int
    total_files: int


async def find_folders(database: Database, search: FolderSearch, *, limit: int, offset: int) -> FoundFolders:
    """The folders from `offset` on."""
    wanted = list(_wanted(search))
    sums = (func.count(), func.sum(_FOLDERS.c.size_bytes), func.sum(_FOLDERS.c.file_count))
    page = SELECT.where(*wanted).order_by(*_order(search)).limit(limit).offset(offset)
    async with database.read() as connection:
        total, total_bytes, total_files = (await connection.execute(select(*sums).where(*wanted))).one()
        rows = (await connection.execute(page)).all()
    return FoundFolders([Folder(*row) for row in rows], total, total_bytes or 0, total_files or 0)


async def levels_of(database: Database, *, is_left_out: bool) -> list[tuple[str, str]]:
    """Every level 1 with each level 2 in it, in order."""
    pairs = select(_FOLDERS.c.level1, _FOLDERS.c.level2).where(*_wanted(FolderSearch(is_left_out))).distinct()
    return [(level1, level2) for level1, level2 in await database.rows(pairs.order_by(*_BY_PLACE[:2]))]


def _wanted(search: FolderSearch) -> Iterator[ColumnElement[bool]]:
    reason = _FOLDERS.c.left_out
    yield reason.is_not(None) if search.is_left_out else reason.is_(None)
    if search.level1 is not None:
        yield _FOLDERS.c.level1 == search.level1
    if search.level2 is not None:
        yield _FOLDERS.c.level2 == search.level2
    if search.words:
        columns = (_FOLDERS.c.name, _FOLDERS.c.level1, _FOLDERS.c.level2, *((reason,) if search.is_left_out else ()))
        yield or_(*(holds(column, search.words) for column in columns))


_COLUMNS: dict[SortBy, Any] = {
    SortBy.LEVEL1: _FOLDERS.c.level1.collate("NOCASE"),
    SortBy.LEVEL2: _FOLDERS.c.level2.collate("NOCASE"),
    SortBy.NAME: _FOLDERS.c.name.collate("NOCASE"),
    SortBy.SIZE: _FOLDERS.c.size_bytes,
    SortBy.FILES: _FOLDERS.c.file_count,
    SortBy.MODIFIED: _FOLDERS.c.modified_at,
    SortBy.REASON: _FOLDERS.c.left_out,
}
_BY_PLACE = (_COLUMNS[SortBy.LEVEL1], _COLUMNS[SortBy.LEVEL2], _COLUMNS[SortBy.NAME], _FOLDERS.c.path)


def _order(search: FolderSearch) -> tuple[Any, ...]:
    column = _COLUMNS[search.sort_by]
    return (column.desc() if search.descending else column.asc(), *_BY_PLACE)
