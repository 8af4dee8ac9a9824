"""The last discovery, kept so that the folder list answers at once."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.dialects.sqlite import insert

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.connection import Connection
from cs_archiver.db.database import Database
from cs_archiver.db.folder_search import SELECT, FolderSearch, FoundFolders, find_folders, levels_of
from cs_archiver.domain.folders import Folder

_FOLDERS = tables.folders
_SCANS = tables.scans.c
_VERSION = select(tables.folder_list.c.version)
_LAST_SCAN = (
    select(_SCANS.started_at, _SCANS.finished_at, _SCANS.listed, _SCANS.left_out).order_by(_SCANS.id.desc()).limit(1)
)
_CHUNK = 500
_NEW = insert(_FOLDERS)
_ADD = _NEW.on_conflict_do_update(
    index_elements=["path"],
    set_={column.name: column for column in _NEW.excluded if column.name != "path"},
)


@dataclass(frozen=True, slots=True)
class Scan:
    """A discovery that went through: how many folders it listed, and how many it left out."""

    started_at: str
    finished_at: str
    listed: int
    left_out: int

    @property
    def total(self) -> int:
        return self.listed + self.left_out


class Folders:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def replace(self, found: Sequence[Folder], *, started_at: str) -> None:
        """Keep the result of a discovery in place of the last one."""
        listed = sum(folder.left_out is None for folder in found)
        async with self._database.write() as connection:
            await connection.execute(_FOLDERS.delete())
            for start in range(0, len(found), _CHUNK):
                rows = [folder.as_dict() for folder in found[start : start + _CHUNK]]
                await connection.execute(_FOLDERS.insert(), rows)
            await connection.execute(
                tables.scans.insert().values(
                    started_at=started_at,
                    finished_at=now_text(),
                    listed=listed,
                    left_out=len(found) - listed,
                )
            )

    async def add(self, found: Sequence[Folder]) -> None:
        """Show these already while a discovery is running, in place of what the last one said of them."""
        async with self._database.write() as connection:
            for start in range(0, len(found), _CHUNK):
                rows = [folder.as_dict() for folder in found[start : start + _CHUNK]]
                await connection.execute(_ADD, rows)

    async def listed(self) -> list[Folder]:
        """The folders that can be archived, by level 1, level 2 and name."""
        return await self._select(left_out=False)

    async def left_out(self) -> list[Folder]:
        """The folders that cannot be archived, each with the reason."""
        return await self._select(left_out=True)

    async def _select(self, *, left_out: bool) -> list[Folder]:
        reason = _FOLDERS.c.left_out
        query = SELECT.where(reason.is_not(None) if left_out else reason.is_(None)).order_by(
            _FOLDERS.c.level1, _FOLDERS.c.level2, _FOLDERS.c.name
        )
        return [Folder(*row) for row in await self._database.rows(query)]

    async def version(self) -> int:
        """Another number as soon as anything of this is another: a folder, or the last scan."""
        ((version,),) = await self._database.rows(_VERSION)
        return int(version)

    async def find(self, path: str) -> Folder | None:
        for row in await self._database.rows(SELECT.where(_FOLDERS.c.path == path)):
            return Folder(*row)
        return None

    async def find_each(self, paths: Sequence[str]) -> list[Folder]:
        """Those of these paths that the last discovery found."""
        rows = await self._database.rows(SELECT.where(_FOLDERS.c.path.in_(paths)))
        found = {row.path: Folder(*row) for row in rows}
        return [found[path] for path in paths if path in found]

    async def is_known(self) -> bool:
        """Whether the last discovery found anything at all."""
        return bool(await self._database.rows(select(_FOLDERS.c.path).limit(1)))

    async def last_scan(self) -> Scan | None:
        for row in await self._database.rows(_LAST_SCAN):
            return Scan(*row)
        return None

    async def search(self, search: FolderSearch, *, limit: int, offset: int) -> FoundFolders:
        return await find_folders(self._database, search, limit=limit, offset=offset)

    async def levels(self, *, is_left_out: bool) -> list[tuple[str, str]]:
        return await levels_of(self._database, is_left_out=is_left_out)


async def set_left_out(connection: Connection, path: str, reason: str) -> None:
    """Take a folder off the list at once, before the next discovery finds the reason by itself."""
    await connection.execute(_FOLDERS.update().where(_FOLDERS.c.path == path).values(left_out=reason))
