"""A connection whose statements run to their end although the caller is cancelled meanwhile."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

_T = TypeVar("_T")


class UninterruptedConnection(AsyncConnection):
    """Each statement is finished first, and a cancellation is raised between two of them.

    One that is broken off half-way would keep its lock on the database until its cursor is collected, if ever.
    """

    async def execute(self, *arguments: Any, **options: Any) -> Any:
        return await to_the_end(super().execute(*arguments, **options))

    async def exec_driver_sql(self, *arguments: Any, **options: Any) -> Any:
        return await to_the_end(super().exec_driver_sql(*arguments, **options))

    async def commit(self) -> None:
        await to_the_end(super().commit())

    async def rollback(self) -> None:
        await to_the_end(super().rollback())

    async def close(self) -> None:
        await to_the_end(super().close())


async def to_the_end(work: Coroutine[Any, Any, _T]) -> _T:
    """Its result; a cancellation waits for it, and is raised then."""
    caller = asyncio.current_task()
    task = asyncio.create_task(work, name=None if caller is None else caller.get_name())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:  # told twice
                continue
        if not task.cancelled():
            task.exception()  # it is the cancellation that is raised
        raise
