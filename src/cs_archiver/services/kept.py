"""Things kept in memory for a while: to lose one costs doing something once more."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Thing = TypeVar("_Thing")

_MOST = 1000


class Kept(Generic[_Key, _Thing]):
    """By key, each for so many seconds; of too many, the oldest go."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._things: OrderedDict[_Key, tuple[float, _Thing]] = OrderedDict()

    def put(self, key: _Key, thing: _Thing) -> None:
        self._things[key] = (self._clock() + self._seconds, thing)
        self._things.move_to_end(key)
        if len(self._things) > _MOST:
            self._things.popitem(last=False)

    def get(self, key: _Key) -> _Thing | None:
        until, thing = self._things.get(key, (0.0, None))
        return thing if until > self._clock() else None

    def drop(self, key: _Key) -> None:
        self._things.pop(key, None)
