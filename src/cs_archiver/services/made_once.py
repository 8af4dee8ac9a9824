"""What was made of one version of something, for all who ask until there is another version."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class MadeOnce(Generic[_Value]):
    """At most `most` values; those who ask while one is being made wait for it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._version = -1
        self._made: dict[Hashable, asyncio.Task[_Value]] = {}

    async def of(self, version: int, key: Hashable, make: Callable[[], Awaitable[_Value]]) -> _Value:
        """What `make` gives of `version`, which rises and was read before this call, or of a later one.

        `key` tells apart what is made of one version. Raises what `make` raises, and keeps nothing then.
        """
        if version > self._version:
            self._version, self._made = version, {}
        making = self._made.get(key)
        if making is None:
            making = asyncio.ensure_future(_made_by(make))
            self._made[key] = making
            while len(self._made) > self._most:
                del self._made[next(iter(self._made))]
        try:
            return await asyncio.shield(making)  # others may be waiting for it too
        except Exception:
            if self._made.get(key) is making:
                del self._made[key]
            raise


async def _made_by(make: Callable[[], Awaitable[_Value]]) -> _Value:
    return await make()
