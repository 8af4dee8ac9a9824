"""Connections to SQLite whose statements, with all their rows, take one turn of the connection's thread."""

import sqlite3
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiosqlite

_Row = tuple[Any, ...]
_ROWS_AT_ONCE = 64  # of rows that nobody fetches otherwise: every statement's are fetched at once


class Connection(aiosqlite.Connection):
    """What the thread is handed is a whole statement: each turn costs more than most statements do."""

    def __init__(self, path: Path) -> None:
        # The driver must not begin transactions of its own. The thread is the same from the first to the last call.
        super().__init__(partial(sqlite3.connect, path, isolation_level=None), _ROWS_AT_ONCE)
        self._thread.daemon = True  # a disk that does not answer must not keep the program from its end

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        return _Cursor(self.run)

    async def run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Its result, once the thread has done it."""
        return await self._execute(work, self._conn)  # type: ignore[no-untyped-call]


class ReadingConnection(Connection):
    """Begins its transaction with the first statement, and ends it without waiting until the thread has done so.

    Without `within_transaction` each statement is a snapshot by itself: then there is nothing to begin and to end.
    """

    within_transaction = True

    async def run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        if self.within_transaction:
            return await self._execute(_within_transaction, self._conn, work)  # type: ignore[no-untyped-call]
        return await super().run(work)

    async def rollback(self) -> None:
        if self.within_transaction:
            self._tx.put_nowait((None, self._conn.rollback))  # before whatever this connection is asked next


class _Cursor:
    """As much of a cursor as SQLAlchemy asks for."""

    arraysize = 1

    def __init__(self, run: Callable[[Callable[[sqlite3.Connection], Any]], Any]) -> None:
        self._run = run
        self._rows: list[_Row] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Any = ()) -> None:
        await self._keep(partial(_execute, statement=statement, parameters=parameters))

    async def executemany(self, statement: str, parameters: Any) -> None:
        await self._keep(partial(_execute_many, statement=statement, parameters=parameters))

    async def fetchall(self) -> list[_Row]:
        return self._rows

    async def close(self) -> None:
        """There is nothing to close: the statement has been run to its end."""

    async def _keep(self, work: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> None:
        cursor, self._rows = await self._run(partial(_whole, work))
        self.description, self.rowcount, self.lastrowid = cursor.description, cursor.rowcount, cursor.lastrowid


async def connected(kind: type[Connection], path: Path, pragmas: Iterable[str]) -> aiosqlite.Connection:
    """A new one; where that fails its thread has ended, so that none is left to speak to a loop that is closed."""
    connection = await kind(path)
    try:
        for pragma in pragmas:
            await connection.execute_fetchall(f"PRAGMA {pragma}")
    except BaseException:
        await connection.close()
        raise
    return connection


def _within_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], Any]) -> Any:
    if not connection.in_transaction:
        connection.execute("BEGIN")
    return work(connection)


def _whole(
    work: Callable[[sqlite3.Connection], sqlite3.Cursor], connection: sqlite3.Connection
) -> tuple[sqlite3.Cursor, list[_Row]]:
    cursor = work(connection)
    return cursor, cursor.fetchall()


def _execute(connection: sqlite3.Connection, statement: str, parameters: Any) -> sqlite3.Cursor:
    return connection.execute(statement, parameters)


def _execute_many(connection: sqlite3.Connection, statement: str, parameters: Any) -> sqlite3.Cursor:
    return connection.executemany(statement, parameters)
