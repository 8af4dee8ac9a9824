"""One look at the whole file while the service starts: it takes seconds, and until it is done nothing is written."""

import asyncio
import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from cs_archiver.db.troubles import DatabaseUnusable, advice_on
from cs_archiver.domain.checks import RESTORE
from cs_archiver.tools.threads import started


class Soundness:
    """What SQLite says of its file; begun at once, on a connection and a thread of its own, before anything else is.

    So it may have begun before the file was locked: `is_of_today` tells whether it is a look at what is there now.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = _state_of(path)
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._look = started(self._check)

    @property
    def is_of_today(self) -> bool:
        """Whether nobody has written to the file since the look began; only for whoever holds its lock."""
        return _state_of(self._path) == self._looked_at

    async def require(self) -> None:
        """Wait for the end of the look. Raises DatabaseUnusable when the file is damaged."""
        await asyncio.shield(asyncio.wrap_future(self._look))

    async def close(self) -> None:
        """End a look that is still going on."""
        if not self._look.done():
            self._connection.interrupt()
        with suppress(DatabaseUnusable):  # whoever wanted to know it has asked
            await self.require()
        self._connection.close()

    def _check(self) -> None:
        try:
            (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise DatabaseUnusable(f"the database {self._path} cannot be used ({error}): {advice_on(error)}") from error
        if answer != "ok":
            raise DatabaseUnusable(f"the database is damaged ({answer}): {RESTORE}")


def begun_early(path: Path) -> Soundness | None:
    """A look at a file that is there; none where a crash left a journal, which only whoever writes brings in order."""
    journal = path.with_name(f"{path.name}-journal")
    return Soundness(path) if path.exists() and not journal.exists() else None


def _state_of(path: Path) -> list[tuple[int, ...]]:
    """Changes with everything that is written to the database, or put in its place."""
    files = (path, path.with_name(f"{path.name}-wal"))
    found = [os.stat(file) for file in files if os.path.exists(file)]
    return [(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns) for status in found if status.st_size]
