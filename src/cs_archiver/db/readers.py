"""The connections that read: they stay open, and each is lent for one transaction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from cs_archiver.db.driver import ReadingConnection
from cs_archiver.db.uninterrupted import UninterruptedConnection, to_the_end

_PATIENCE_SECONDS = 60.0


class NoneFree(Exception):
    """Every connection is lent, and none came back in time."""


class _Reader(NamedTuple):
    connection: UninterruptedConnection
    driver: ReadingConnection


class Readers:
    """A stack of its own, since the engine's pool makes tasks for each transaction, which cost more than reading."""

    def __init__(self, engine: AsyncEngine, connections: int) -> None:
        self._engine = engine
        self._idle: list[_Reader] = []
        self._turns = asyncio.Semaphore(connections)

    @asynccontextmanager
    async def lend(self, *, for_one_statement: bool = False) -> AsyncIterator[AsyncConnection]:
        """A snapshot to read from; for one statement, each is one by itself. Raises NoneFree."""
        await self._wait_for_turn()
        try:
            reader = self._idle.pop() if self._idle else await self._opened()
            reader.driver.within_transaction = not for_one_statement
            try:
                yield reader.connection
            except BaseException:
                await reader.connection.close()
                raise
            # Waits for nothing, so that no cancellation comes in between.
            await AsyncConnection.rollback(reader.connection)
            self._idle.append(reader)
        finally:
            self._turns.release()

    async def close(self) -> None:
        for reader in self._idle:
            await reader.connection.close()
        await self._engine.dispose()

    async def _opened(self) -> _Reader:
        connection = UninterruptedConnection(self._engine)
        try:
            started = await to_the_end(connection.start())
            raw = await to_the_end(started.get_raw_connection())
        except BaseException:
            if connection.sync_connection is not None:
                await connection.close()
            raise
        driver: Any = raw.driver_connection
        return _Reader(connection, driver)

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise NoneFree(f"no answer for {_PATIENCE_SECONDS:g} s") from error
