"""One look at the whole file while the service starts: it takes seconds, and until it is done nothing is written."""

import asyncio
import sqlite3
from pathlib import Path

from cs_archiver.db.schema import DatabaseUnusable
from cs_archiver.db.troubles import advice_on
from cs_archiver.tools.threads import begin


class Soundness:
    """What SQLite says of its file; begun at once, on a connection and a thread of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        self._look = begin(self._check)

    async def require(self) -> None:
        """Wait for the end of the look. Raises DatabaseUnusable when the file is damaged."""
        if not self._look.done():
            await asyncio.wait({self._look})
        self._look.result()

    async def close(self) -> None:
        """End a look that is still going on."""
        self._connection.interrupt()
        await asyncio.wait({self._look})
        self._look.exception()  # whoever wanted to know it has asked
        self._connection.close()

    def _check(self) -> None:
        try:
            (answer,) = self._connection.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.DatabaseError as error:
            raise DatabaseUnusable(f"the database {self._path} cannot be used ({error}): {advice_on(error)}") from error
        if answer != "ok":
            raise DatabaseUnusable(f"the database is damaged ({answer}): restore the last backup")
