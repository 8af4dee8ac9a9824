"""Blocking work on threads that can be stopped: a cancelled await alone would let the thread go on."""

import asyncio
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

_T = TypeVar("_T")

STOP_GRACE_SECONDS = 10.0
_REPORT_SECONDS = 0.2
_MADE_UP_SECONDS = 1.0

FREE = "free"
"""The name of a thread that has nothing to do: it holds nothing, so that a fork does well without it."""

_AT_WORK = "work"

_log = logging.getLogger(__name__)


class Stopped(Exception):
    """The work was told to stop; raised inside its threads only."""


class Work:
    """Shared by the threads of one piece of work: counts the bytes done, and carries the word to stop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._bytes_done = 0

    @property
    def bytes_done(self) -> int:
        return self._bytes_done

    def add(self, count: int) -> None:
        """Count bytes; called after every block, so it is also where a stop is noticed."""
        if self._stop.is_set():
            raise Stopped
        with self._lock:
            self._bytes_done += count

    def stop(self) -> None:
        self._stop.set()

    def rest(self, seconds: float) -> None:
        """Do nothing for so long; a stop ends it at once."""
        if seconds > 0 and self._stop.wait(seconds):
            raise Stopped


class Pace:
    """Keeps all threads of a copy together below a rate: each block pays for its time before the next is read."""

    def __init__(self, bytes_per_second: float) -> None:
        self._bytes_per_second = bytes_per_second
        self._lock = threading.Lock()
        self._paid_until = time.monotonic()

    def keep(self, count: int, work: Work) -> None:
        """Rest until so many bytes more may have been read; what a stall cost is made up for, of the last second."""
        with self._lock:
            now = time.monotonic()
            self._paid_until = max(self._paid_until, now - _MADE_UP_SECONDS) + count / self._bytes_per_second
            seconds = self._paid_until - now
        work.rest(seconds)


def begin(function: Callable[[], _T]) -> "asyncio.Future[_T]":
    """Call `function` in a thread of its own, which does not hold up the end of the process."""
    return asyncio.wrap_future(started(function))


def started(function: Callable[[], _T]) -> "Future[_T]":
    """As `begin`, where no loop runs yet."""
    future: Future[_T] = Future()
    future.set_running_or_notify_cancel()  # from here on it cannot be cancelled, only left behind

    def call() -> Callable[[], None]:
        try:
            result = function()
        except BaseException as error:  # noqa: BLE001  raised where it is awaited
            return partial(future.set_exception, error)
        return partial(future.set_result, result)

    _free_thread().do(call)
    return future


class _Thread(threading.Thread):
    """Does one thing after the other, and is free in between: it takes much longer to start one than to wake one.

    Whoever starts a thread waits until that has got a processor, and is often the event loop.
    """

    def __init__(self) -> None:
        super().__init__(name=FREE, daemon=True)
        self._things: SimpleQueue[Callable[[], Callable[[], None]]] = SimpleQueue()
        self.start()

    def do(self, call: Callable[[], Callable[[], None]]) -> None:
        """Call it, and then what it gives, which tells what came of it: by then others can have this thread."""
        self._things.put(call)

    def run(self) -> None:
        while True:
            call = self._things.get()
            self.name = _AT_WORK
            tell = call()
            self.name = FREE
            _free.append(self)
            tell()
            del call, tell  # what came of it may be large, and the next thing far away


_free: "deque[_Thread]" = deque()
os.register_at_fork(after_in_child=_free.clear)  # a fork has none of them


def _free_thread() -> _Thread:
    try:
        return _free.pop()
    except IndexError:
        return _Thread()


class OneAtATime(Generic[_T]):
    """A question of which one at most is under way: what hangs holds one thread, however often it is asked."""

    def __init__(self, ask: Callable[[], Awaitable[_T]]) -> None:
        self._ask = ask
        self._answer: asyncio.Future[_T] | None = None

    def answer(self) -> "asyncio.Future[_T]":
        """That of the question under way, which is asked now if none is. Others may wait for it: shield it."""
        if self._answer is None or self._answer.done():
            self._answer = asyncio.ensure_future(self._ask())
            self._answer.add_done_callback(_heed)
        return self._answer

    def drop(self) -> None:
        """Wait no longer for what did not answer."""
        if self._answer is not None:
            self._answer.cancel()


def _heed(answer: "asyncio.Future[_T]") -> None:
    """An error that comes when nobody waits any more would be complained of otherwise."""
    if not answer.cancelled():
        answer.exception()


async def in_thread(function: Callable[[Work], _T], on_bytes: Callable[[int], None] | None = None) -> _T:
    """Run `function` in a thread of its own, telling `on_bytes` the bytes done a few times a second.

    When cancelled it stops the work and waits for the thread to end before CancelledError goes on, so that
    nobody writes any more when the caller cleans up. Only a thread that hangs in the kernel, as on a dead NAS, is
    left behind after ten seconds: should it ever wake up, it does what it was about to, and ends.
    """
    work = Work()
    future = begin(lambda: function(work))
    try:
        while not future.done():
            await asyncio.wait({future}, timeout=_REPORT_SECONDS)
            if on_bytes is not None:
                on_bytes(work.bytes_done)
    except BaseException:  # cancelled, or on_bytes failed: either way the thread must end first
        work.stop()
        await _ended(future)
        raise
    return future.result()


async def _ended(future: "asyncio.Future[_T]") -> None:
    clock = asyncio.get_running_loop().time
    deadline = clock() + STOP_GRACE_SECONDS
    while not future.done() and clock() < deadline:
        try:
            await asyncio.wait({future}, timeout=deadline - clock())
        except asyncio.CancelledError:  # told twice; the thread must still end first
            continue
    if not future.done():
        _log.warning("a thread hangs in a call to the NAS or the disk: it is left behind")
        future.cancel()
    elif not future.cancelled():
        future.exception()


def is_for_want_of_threads(error: BaseException) -> bool:
    """Whether the system refused to start one; Python has no type of its own for that."""
    return isinstance(error, RuntimeError) and "can't start new thread" in str(error)


@contextmanager
def first_error() -> Iterator[None]:
    """Around a TaskGroup: what failed first is raised by itself, as if it had been all that was done."""
    try:
        yield
    except BaseExceptionGroup as failed:
        first = failed.exceptions[0]
        raise first from first.__cause__
