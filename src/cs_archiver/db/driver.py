"""What SQLAlchemy is given as SQLite: cursors that have fetched every row by the time a statement has been run."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

_Row = tuple[Any, ...]


class _Whole:
    """As much of a cursor as SQLAlchemy asks for; once it has run it needs neither SQLite nor its thread."""

    arraysize = 1

    def __init__(self, cursor: Callable[[], sqlite3.Cursor]) -> None:
        self._cursor = cursor
        self._rows: Iterator[_Row] = iter(())
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    def execute(self, statement: str, parameters: Any = ()) -> None:
        self._keep(self._cursor().execute(statement, parameters))

    def executemany(self, statement: str, parameters: Any) -> None:
        self._keep(self._cursor().executemany(statement, parameters))

    def fetchone(self) -> _Row | None:
        return next(self._rows, None)

    def fetchmany(self, size: int = arraysize) -> list[_Row]:
        return list(islice(self._rows, size))

    def fetchall(self) -> list[_Row]:
        return list(self._rows)

    def close(self) -> None:
        """There is nothing to close: the statement has been run to its end."""

    def _keep(self, cursor: sqlite3.Cursor) -> None:
        self._rows = iter(cursor.fetchall())
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid


class _Connection(sqlite3.Connection):
    def cursor(self, *_factory: Any) -> _Whole:  # type: ignore[override]
        return _Whole(super().cursor)


def connect(path: Path, pragmas: Iterable[str]) -> sqlite3.Connection:
    """For one thread alone. It begins no transactions of its own."""
    connection = sqlite3.connect(path, isolation_level=None, factory=_Connection)
    try:
        for pragma in pragmas:
            connection.cursor().execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection
