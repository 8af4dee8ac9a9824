"""One answer for all who ask the same at the same moment, as pages do when they hear of the same news."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Shared(Generic[_Answer]):
    """While an answer is being made, those who ask the same wait and share the next one.

    So nobody gets one that was begun before they asked, which could lack what they know to have happened.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Future[None]] = {}
        self._next: dict[Hashable, asyncio.Task[_Answer]] = {}

    async def answer(self, key: Hashable, make: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """What `make` gives to all who ask with this key. Raises what `make` raises."""
        following, before = self._next.get(key), self._under_way.get(key)
        if following is None:
            if before is None:
                return await self._made(key, make)
            following = self._next[key] = asyncio.create_task(self._made_after(before, key, make))
        return await asyncio.shield(following)  # others wait for it too

    async def _made_after(
        self, before: asyncio.Future[None], key: Hashable, make: Callable[[], Awaitable[_Answer]]
    ) -> _Answer:
        await asyncio.wait([before])
        del self._next[key]  # from here on it may lack something
        return await self._made(key, make)

    async def _made(self, key: Hashable, make: Callable[[], Awaitable[_Answer]]) -> _Answer:
        ended = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            return await make()
        finally:
            del self._under_way[key]
            ended.set_result(None)
