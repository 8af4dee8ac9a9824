"""Blocking work on threads that can be stopped: a cancelled await alone would let the thread go on."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")
_Item = TypeVar("_Item")

_REPORT_SECONDS = 0.2
_AHEAD = 4  # tasks a thread that wait in line: memory stays bounded for a million files


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


async def in_thread(function: Callable[[Work], _T], on_bytes: Callable[[int], None] | None = None) -> _T:
    """Run `function` in a thread of its own, telling `on_bytes` the bytes done a few times a second.

    When cancelled it stops the work and waits for the thread to end before CancelledError goes on, so that
    nobody writes any more when the caller cleans up.
    """
    work = Work()
    with ThreadPoolExecutor(1, thread_name_prefix="work") as executor:
        future = asyncio.get_running_loop().run_in_executor(executor, function, work)
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
    while not future.done():
        try:
            await asyncio.wait({future})
        except asyncio.CancelledError:  # told twice; the thread must still end first
            continue
    if not future.cancelled():
        future.exception()


def for_each(
    items: Iterable[_Item], function: Callable[[_Item], _T], *, threads: int, done: Callable[[_T], None]
) -> None:
    """Call `function` for every item on several threads and hand each result to `done`, in the caller's thread.

    The first error stops it: what is under way ends, what still waits is dropped, and the error is raised.
    """
    iterator = iter(items)
    with ThreadPoolExecutor(threads, thread_name_prefix="work") as executor:
        pending: set[Future[_T]] = set()
        try:
            while True:
                for item in islice(iterator, threads * _AHEAD - len(pending)):
                    pending.add(executor.submit(function, item))
                if not pending:
                    return
                finished, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in finished:
                    done(future.result())
        finally:
            for future in pending:
                future.cancel()
