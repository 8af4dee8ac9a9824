"""How many threads of very many short calls may work at once: as they keep a processor busy, or wait."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

_BUSY, _WAITING = 0.9, 0.5  # processors that the threads keep busy


class Spent(NamedTuple):
    """Of a thread: seconds by the clock, seconds on a processor, and how often it waited of its own accord."""

    clock: float
    busy: float
    waits: int


def spent_by_thread() -> Spent:
    """Since some moment in the past."""
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return Spent(time.monotonic(), usage.ru_utime + usage.ru_stime, usage.ru_nvcsw)


class Room:
    """For how many threads there is room: one while they keep a processor busy, else all.

    Each call gives up Python's lock and wants it back at once: threads that do little else spend several times what one
    of them takes, mostly on waking each other. Where the calls wait, as for a NAS, more threads wait side by side. To
    wait for a processor that other programs have is not to wait.
    """

    def __init__(self, threads: int) -> None:
        self.allowed = threads
        self._threads = threads

    def judge(self, before: Spent, after: Spent, *, threads: int) -> None:
        """By what one of so many `threads` at work has spent on a part of it."""
        took, busy = after.clock - before.clock, (after.busy - before.busy) * threads
        if busy > _BUSY * took:
            self.allowed = 1
        elif busy < _WAITING * took and after.waits > before.waits:
            self.allowed = self._threads


class Turns:
    """Lets as many tasks go on at once as there is Room for."""

    def __init__(self, threads: int, *, spent: Callable[[], Spent] = spent_by_thread) -> None:
        self._room = Room(threads)
        self._spent = spent
        self._condition = threading.Condition()
        self._running = 0

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, and have it until the block ends."""
        with self._condition:
            self._condition.wait_for(lambda: self._running < self._room.allowed)
            self._running += 1
            running = self._running
        before = self._spent()
        try:
            yield
        finally:
            after = self._spent()
            with self._condition:
                self._room.judge(before, after, threads=max(running, self._running))
                self._running -= 1
                self._condition.notify(self._room.allowed)
