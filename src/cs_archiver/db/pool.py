"""Connections that stay open, each lent for one transaction."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from cs_archiver.db.connection import Connection

_PATIENCE_SECONDS = 60.0


class NoneFree(Exception):
    """Every connection is lent, and none came back in time."""


class Pool:
    def __init__(self, make: Callable[[], Connection], connections: int) -> None:
        self._make = make
        self._idle: list[Connection] = []
        self._turns = asyncio.Semaphore(connections)

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Connection]:
        """What is not committed at the end is rolled back. Raises NoneFree, and as SQLAlchemy does."""
        await self._wait_for_turn()
        try:
            connection = self._idle.pop() if self._idle else await self._make().open()
            try:
                yield connection
            finally:  # waits for nothing, so that no cancellation comes in between
                connection.rollback()
                self._idle.append(connection)
        finally:
            self._turns.release()

    async def close(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def _wait_for_turn(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._turns.acquire()
        except TimeoutError as error:
            raise NoneFree(f"no answer for {_PATIENCE_SECONDS:g} s") from error
