"""Work on many items by several threads, as many at once as gain by it."""

import resource
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from cs_archiver.tools.threads import is_for_want_of_threads

_T = TypeVar("_T")
_Item = TypeVar("_Item")

_AHEAD = 4  # items a thread that wait in line: memory stays bounded for a million files
_PART_ITEMS = 32
_BUSY, _WAITING = 0.9, 0.5  # processors that the threads keep busy


class Spent(NamedTuple):
    """Of a thread: seconds by the clock, seconds on a processor, and how often it waited of its own accord."""

    clock: float
    busy: float
    waits: int


def spent_by_thread() -> Spent:
    """Since some moment in the past."""
    # rusage has the processor's time as of the last tick, up to 4 ms ago, which is as much as a task may take.
    return Spent(time.monotonic(), time.thread_time(), resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw)


class Parallelism:
    """How many threads are allowed at work: one while they keep a processor busy, else all.

    Each call gives up Python's lock and wants it back at once: threads that do little else spend several times what one
    of them takes, mostly on waking each other. Where the calls wait, as for a NAS, more threads wait side by side. To
    wait for a processor that other programs have is not to wait.
    """

    def __init__(self, threads: int, *, allowed: int) -> None:
        """`allowed` until it is known whether they wait."""
        self.allowed = allowed
        self._threads = threads

    def judge(self, before: Spent, after: Spent, *, threads: int) -> None:
        """By what one of so many `threads` at work has spent on a part of it."""
        took, busy = after.clock - before.clock, (after.busy - before.busy) * threads
        if busy > _BUSY * took:
            self.allowed = 1
        elif busy < _WAITING * took and after.waits > before.waits:
            self.allowed = self._threads


def parallelism_at_first(threads: int) -> Parallelism:
    """For one: to find out by all threads would take as long as they are in each other's way."""
    return Parallelism(threads, allowed=1)


def for_each(
    items: Iterable[_Item],
    function: Callable[[_Item], _T],
    *,
    threads: int,
    done: Callable[[_T], None],
    is_short: Callable[[_Item], bool] = lambda _item: False,
    parallelism: Parallelism | None = None,
    spent: Callable[[], Spent] = spent_by_thread,
) -> None:
    """Call `function` for every item and hand each result to `done`, in the caller's thread: one thread is that one.

    Short are items whose calls take longer than what they bring. While one of them at a time is allowed, the
    caller's thread does them itself, as one of the `threads`; `parallelism` is that of an earlier call with items of
    the kind.
    The first error stops it: what is under way ends, what still waits is dropped, and the error is raised.
    """
    if threads == 1:  # here: two threads would wake each other for every item
        for item in items:
            done(function(item))
        return
    with ThreadPoolExecutor(threads, thread_name_prefix="work") as executor:
        crowd = _Crowd(executor, function, threads, done, parallelism or parallelism_at_first(threads), spent)
        try:
            for item in items:
                crowd.take(item, short=is_short(item))
            crowd.wait_for_fewer_than(1)
        finally:
            crowd.drop_what_waits()


def for_each_part(items: Iterable[_Item], function: Callable[[Sequence[_Item]], None], *, threads: int) -> None:
    """As `for_each`, some dozens of short items a call: to hand over each would take longer than it takes."""
    rest = iter(items)
    parts = iter(lambda: list(islice(rest, _PART_ITEMS)), [])
    for_each(parts, function, threads=threads, done=lambda _nothing: None, is_short=lambda _part: True)


class _Crowd(Generic[_Item, _T]):
    def __init__(
        self,
        executor: ThreadPoolExecutor,
        function: Callable[[_Item], _T],
        threads: int,
        done: Callable[[_T], None],
        parallelism: Parallelism,
        spent: Callable[[], Spent],
    ) -> None:
        self._executor = executor
        self._function = function
        self._threads = threads
        self._done = done
        self._parallelism = parallelism
        self._spent = spent
        self._pending: set[Future[_T]] = set()
        self._turns: list[_Turn] = []
        self._has_threads = False
        self._lock = threading.Lock()

    def take(self, item: _Item, *, short: bool) -> None:
        self._hand_over([future for future in self._pending if future.done()])
        self.wait_for_fewer_than(self._threads if short else self._threads * _AHEAD)
        if not short:
            self._submit(self._function, item)
        elif self._parallelism.allowed == 1:
            self._done(self._judged(item))
        else:
            self._submit(self._judged, item)

    def _submit(self, function: Callable[[_Item], _T], item: _Item) -> None:
        """To the threads there are, where the system starts no more of them; to the caller's, where there is none."""
        future: Future[_T] = Future()
        try:
            self._executor.submit(_work_off, future, function, item)
            self._has_threads = True
        except RuntimeError as error:
            if not is_for_want_of_threads(error):
                raise
            # The executor has it in line all the same, for whichever thread is free first.
            if not self._has_threads:
                future.cancel()
                self._done(function(item))
                return
        self._pending.add(future)

    def wait_for_fewer_than(self, number: int) -> None:
        while len(self._pending) >= number:
            self._hand_over(wait(self._pending, return_when=FIRST_COMPLETED).done)

    def _hand_over(self, finished: Iterable[Future[_T]]) -> None:
        for future in finished:
            self._pending.remove(future)
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
                self._parallelism.judge(before, after, threads=turn.together)
                self._turns.remove(turn)


def _work_off(future: Future[_T], function: Callable[[_Item], _T], item: _Item) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = function(item)
    except BaseException as error:  # noqa: BLE001  raised where it is handed over
        future.set_exception(error)
    else:
        future.set_result(result)


@dataclass(eq=False, slots=True)
class _Turn:
    together: int = 0  # the most that went on at once while this one did
