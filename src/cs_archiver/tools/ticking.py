"""Does something again and again: beside what blocks, and with ever longer rests."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

_FIRST_SECONDS: Final = 0.02
_GROWTH: Final = 1.15


@contextmanager
def every(seconds: float, do: Callable[[], None], *, grace_seconds: float) -> Iterator[None]:
    """Does it on a thread of its own as often as this, and once more at the end, which may take `grace_seconds`.

    One that hangs for longer, as at a NAS that does not answer, is left behind.
    """
    is_over = threading.Event()

    def tick() -> None:
        while not is_over.wait(seconds):
            do()
        do()

    thread = threading.Thread(target=tick, name="ticking", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join(grace_seconds)


class GrowingRests:
    """Between two looks at something: short at first, then each a little longer, up to `longest`.

    So the end of a task is seen soon after it, by the time it took: a small archive does not wait for its proof.
    """

    def __init__(self, longest: timedelta) -> None:
        self._longest_seconds = longest.total_seconds()
        self._next_seconds = _FIRST_SECONDS

    async def rest(self) -> None:
        await asyncio.sleep(min(self._next_seconds, self._longest_seconds))
        self._next_seconds *= _GROWTH
