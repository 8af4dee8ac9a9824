"""Work on many items by several threads, as many at once as gain by it."""

import os
import resource
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

_T = TypeVar("_T")
_Item = TypeVar("_Item")

_AHEAD = 4  # items a thread that wait in line: memory stays bounded for a million files
_BUSY, _WAITING = 0.9, 0.5  # processors that the threads keep busy
_KNOWN_SECONDS = 0.1  # on a processor: in shorter times the kernel's ticks do not tell how many of them were its own
_LEFT_OF_GAIN = 0.6  # by waking each other threads lose the rest of what they would gain by Amdahl's law


class Spent(NamedTuple):
    """Of a thread: seconds by the clock, seconds on a processor, and how often it waited of its own accord.

    `in_kernel` are those on a processor in which others could have Python's lock, up to a tick of the kernel ago.
    """

    clock: float
    busy: float
    in_kernel: float
    waits: int


def spent_by_thread() -> Spent:
    """Since some moment in the past."""
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    # It has the processor's time as of the last tick, up to 4 ms ago, which is as much as a task may take.
    return Spent(time.monotonic(), time.thread_time(), usage.ru_stime, usage.ru_nvcsw)


class Room:
    """For how many threads there is room: all while they wait, and one, or a few, while they keep a processor busy.

    Each call gives up Python's lock and wants it back at once: threads that do little else spend several times what one
    of them takes, mostly on waking each other. Where the calls wait, as for a NAS, more threads wait side by side. To
    wait for a processor that other programs have is not to wait. Where most of the time is the kernel's, as where
    files are made on a disk, a few threads have it work for them side by side, if there are processors.
    """

    def __init__(self, threads: int, *, allowed: int) -> None:
        """`allowed` until it is known whether they wait."""
        self.allowed = allowed
        self._threads = threads
        self._alone_busy = self._alone_in_kernel = 0.0

    def judge(self, before: Spent, after: Spent, *, threads: int) -> None:
        """By what one of so many `threads` at work has spent on a part of it."""
        took, busy = after.clock - before.clock, (after.busy - before.busy) * threads
        if threads == 1:  # to wake others is the kernel's work, too
            self._alone_busy += busy
            self._alone_in_kernel += after.in_kernel - before.in_kernel
        if busy > _BUSY * took:
            self.allowed = self._that_gain()
        elif busy < _WAITING * took and after.waits > before.waits:
            self.allowed = self._threads

    def _that_gain(self) -> int:
        """How many, of those that keep a processor busy."""
        if self._alone_busy < _KNOWN_SECONDS:
            return 1
        of_python = max(self._alone_busy - self._alone_in_kernel, 0.05 * self._alone_busy)
        gain = _LEFT_OF_GAIN * self._alone_busy / of_python
        return max(1, min(int(gain), self._threads, len(os.sched_getaffinity(0))))


def room_at_first(threads: int) -> Room:
    """For one: to find out by all threads would take as long as they are in each other's way."""
    return Room(threads, allowed=1)


def for_each(
    items: Iterable[_Item],
    function: Callable[[_Item], _T],
    *,
    threads: int,
    done: Callable[[_T], None],
    is_short: Callable[[_Item], bool] = lambda _item: False,
    room: Room | None = None,
    spent: Callable[[], Spent] = spent_by_thread,
) -> None:
    """Call `function` for every item and hand each result to `done`, in the caller's thread: one thread is that one.

    Short are items whose calls take longer than what they bring: as many at once as there is `room` for, that of an
    earlier call with items of the kind. One at a time are done by the caller's thread, as one of the `threads`.
    The first error stops it: what is under way ends, what still waits is dropped, and the error is raised.
    """
    if threads == 1:  # here: two threads would wake each other for every item
        for item in items:
            done(function(item))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="work") as executor:
        crowd = _Crowd(executor, function, threads, done, room or room_at_first(threads), spent)
        try:
            for item in items:
                crowd.take(item, short=is_short(item))
            crowd.wait_for_fewer_than(1)
        finally:
            crowd.drop_what_waits()


class _Crowd(Generic[_Item, _T]):
    def __init__(
        self,
        executor: ThreadPoolExecutor,
        function: Callable[[_Item], _T],
        threads: int,
        done: Callable[[_T], None],
        room: Room,
        spent: Callable[[], Spent],
    ) -> None:
        self._executor = executor
        self._function = function
        self._threads = threads
        self._done = done
        self._room = room
        self._spent = spent
        self._pending: set[Future[_T]] = set()
        self._short: set[Future[_T]] = set()  # of those
        self._turns: list[_Turn] = []
        self._lock = threading.Lock()

    def take(self, item: _Item, *, short: bool) -> None:
        self._hand_over([future for future in self._pending if future.done()])
        self.wait_for_fewer_than(self._threads if short else self._threads * _AHEAD)
        if not short:
            self._pending.add(self._executor.submit(self._function, item))
        elif self._room.allowed == 1:
            self._done(self._judged(item))
        else:
            while len(self._short) >= self._room.allowed:
                self._hand_over(wait(self._short, return_when=FIRST_COMPLETED).done)
            future = self._executor.submit(self._judged, item)
            self._pending.add(future)
            self._short.add(future)

    def wait_for_fewer_than(self, number: int) -> None:
        while len(self._pending) >= number:
            self._hand_over(wait(self._pending, return_when=FIRST_COMPLETED).done)

    def _hand_over(self, finished: Iterable[Future[_T]]) -> None:
        for future in finished:
            self._pending.remove(future)
            self._short.discard(future)
            self._done(future.result())

    def drop_what_waits(self) -> None:
        for future in self._pending:
            future.cancel()

    def _judged(self, item: _Item) -> _T:
        turn = _Turn()
        with self._lock:
            self._turns.append(turn)
            for one in self._turns:
                one.together = max(one.together, len(self._turns))
        before = self._spent()
        try:
            return self._function(item)
        finally:
            after = self._spent()
            with self._lock:
                self._room.judge(before, after, threads=turn.together)
                self._turns.remove(turn)


@dataclass(eq=False, slots=True)
class _Turn:
    together: int = 0  # the most that went on at once while this one did
