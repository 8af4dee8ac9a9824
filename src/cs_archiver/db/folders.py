"""The last discovery, kept so that the folder list answers at once."""

from collections.abc import Sequence

from sqlalchemy import select

from cs_archiver.clock import now_text
from cs_archiver.db import tables
from cs_archiver.db.database import Connection, Database
from cs_archiver.domain.folders import Folder

_FOLDERS = tables.folders
_CHUNK = 500


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

    async def listed(self) -> list[Folder]:
        """The folders that can be archived, by level 1, level 2 and name."""
        return await self._select(left_out=False)

    async def left_out(self) -> list[Folder]:
        """The folders that cannot be archived, each with the reason."""
        return await self._select(left_out=True)

    async def _select(self, *, left_out: bool) -> list[Folder]:
        reason = _FOLDERS.c.left_out
        query = (
            select(_FOLDERS)
            .where(reason.is_not(None) if left_out else reason.is_(None))
            .order_by(_FOLDERS.c.level1, _FOLDERS.c.level2, _FOLDERS.c.name)
        )
        async with self._database.read() as connection:
            return [Folder(**row._mapping) for row in (await connection.execute(query)).all()]

    async def find(self, path: str) -> Folder | None:
        async with self._database.read() as connection:
            row = (await connection.execute(select(_FOLDERS).where(_FOLDERS.c.path == path))).first()
        return None if row is None else Folder(**row._mapping)

    async def is_known(self) -> bool:
        """Whether the last discovery found anything at all."""
        async with self._database.read() as connection:
            return (await connection.execute(select(_FOLDERS.c.path).limit(1))).first() is not None

    async def was_scanned(self) -> bool:
        async with self._database.read() as connection:
            return (await connection.execute(select(tables.scans.c.id).limit(1))).first() is not None


async def set_left_out(connection: Connection, path: str, reason: str) -> None:
    """Take a folder off the list at once, before the next discovery finds the reason by itself."""
    await connection.execute(_FOLDERS.update().where(_FOLDERS.c.path == path).values(left_out=reason))
