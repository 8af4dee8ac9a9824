"""A connection for the event loop: what it is asked runs in a thread of its own, one statement a turn."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import aiosqlite
from sqlalchemy import Connection as SyncConnection
from sqlalchemy import CursorResult, Engine, Executable, Row, ScalarResult

_T = TypeVar("_T")

AnyRow = Row[*tuple[Any, ...]]
Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None
Asked = tuple[Executable, Parameters]
Ask = Callable[[Executable, Mapping[str, Any]], Sequence[AnyRow]]
"""Gives all rows of one query, with its parameters; in the thread that has the connection."""
DriverParameters = Mapping[str, Any] | tuple[Any, ...] | list[tuple[Any, ...]] | None

_ROWS_AT_ONCE = 64  # of cursors of the thread's own, which nobody asks for


class Connection:
    """A transaction begins with its first statement, and ends with `commit` or `rollback`.

    SQLAlchemy works in the thread, and each turn there costs more than most statements do. A statement is finished
    before its caller is cancelled: one that is broken off would keep its lock on the database.
    """

    def __init__(self, engine: Engine, *, begin: str) -> None:
        connector: Any = engine.connect  # the thread is the same from the first to the last call
        self._thread = aiosqlite.Connection(connector, _ROWS_AT_ONCE)
        self._thread._thread.daemon = True  # a disk that does not answer must not keep the program from its end
        self._begin = begin

    async def open(self) -> "Connection":
        """Itself. Raises as SQLAlchemy does; where that fails its thread has ended."""
        opening = asyncio.ensure_future(self._thread)
        try:
            _ = await to_the_end(opening)
        except BaseException:
            if opening.cancelled() or opening.exception() is not None:
                await asyncio.to_thread(self._thread._thread.join)  # or it would speak to a loop that is closed
            else:
                await self.close()
            raise
        return self

    async def execute(self, statement: Executable, parameters: Parameters = None) -> CursorResult[*tuple[Any, ...]]:
        return await self._turn(partial(self._executed, statement=statement, parameters=parameters))

    async def scalar(self, statement: Executable, parameters: Parameters = None) -> Any:
        return (await self.execute(statement, parameters)).scalar()

    async def scalars(self, statement: Executable, parameters: Parameters = None) -> ScalarResult[Any]:
        return (await self.execute(statement, parameters)).scalars()

    async def exec_driver_sql(
        self, statement: str, parameters: DriverParameters = None
    ) -> CursorResult[*tuple[Any, ...]]:
        return await self._turn(partial(self._executed_as_it_is, statement=statement, parameters=parameters))

    async def rows_of_each(self, asked: Sequence[Asked]) -> "list[Sequence[AnyRow] | Exception]":
        """All rows of each query, or what it raised, of one snapshot."""
        return await self._turn(partial(self._rows_of_each, asked=asked))

    async def answer(self, work: Callable[[Ask], _T]) -> _T:
        """What `work` makes of what it asks for, one query after the other, of one snapshot; it runs in the thread."""
        return await self._turn(partial(self._answered, work=work))

    async def commit(self) -> None:
        await self._turn(SyncConnection.commit)

    def rollback(self) -> None:
        """What is not committed, without waiting: before whatever this connection is asked next."""
        if self._sync.get_transaction() is not None:
            self._thread._tx.put_nowait((None, partial(_rolled_back, self._sync)))

    async def close(self) -> None:
        """What is not committed is rolled back."""
        await to_the_end(asyncio.ensure_future(self._thread.close()))

    @property
    def _sync(self) -> SyncConnection:
        connection: Any = self._thread._conn
        return cast(SyncConnection, connection)

    async def _turn(self, work: Callable[[SyncConnection], _T]) -> _T:
        future: asyncio.Future[_T] = asyncio.get_running_loop().create_future()
        self._thread._tx.put_nowait((future, partial(work, self._sync)))
        return await to_the_end(future)

    def _executed(
        self, connection: SyncConnection, statement: Executable, parameters: Parameters
    ) -> CursorResult[*tuple[Any, ...]]:
        self._begun(connection)
        return connection.execute(statement, parameters)

    def _executed_as_it_is(
        self, connection: SyncConnection, statement: str, parameters: DriverParameters
    ) -> CursorResult[*tuple[Any, ...]]:
        self._begun(connection)
        return connection.exec_driver_sql(statement, parameters)

    def _rows_of_each(self, connection: SyncConnection, asked: Sequence[Asked]) -> "list[Sequence[AnyRow] | Exception]":
        try:
            if len(asked) > 1:  # one is a snapshot by itself, which needs no transaction
                self._begun(connection)
            return [_rows(connection, query, parameters) for query, parameters in asked]
        finally:
            connection.rollback()

    def _answered(self, connection: SyncConnection, work: Callable[[Ask], _T]) -> _T:
        try:
            self._begun(connection)
            return work(lambda query, parameters: connection.execute(query, parameters).all())
        finally:
            connection.rollback()

    def _begun(self, connection: SyncConnection) -> None:
        if not connection.in_transaction():
            connection.exec_driver_sql(self._begin)


def _rows(connection: SyncConnection, query: Executable, parameters: Parameters) -> Sequence[AnyRow] | Exception:
    try:
        return connection.execute(query, parameters).all()
    except Exception as error:  # noqa: BLE001  raised for whoever asked this one
        return error


def _rolled_back(connection: SyncConnection) -> None:
    connection.rollback()
    connection.connection.rollback()  # after a commit that failed, SQLAlchemy leaves SQLite in its transaction


async def to_the_end(work: asyncio.Future[_T]) -> _T:
    """Its result; a cancellation waits for it, and is raised then."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:  # told twice
                continue
        if not work.cancelled():
            work.exception()  # it is the cancellation that is raised
        raise
