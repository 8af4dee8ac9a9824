"""Work on threads: told how far it is, stopped when cancelled, and over before anybody cleans up."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cs_archiver.tools.crowd import Spent, Turns
from cs_archiver.tools.threads import Stopped, Work, for_each, in_thread, started


def threads_of_work() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("work")]


def until_stopped(started: Callable[[], None], over: threading.Event | None = None) -> Callable[[Work], None]:
    """Counts bytes until it is told to stop, then takes until `over` is set to come to its end."""

    def function(work: Work) -> None:
        started()
        deadline = time.monotonic() + 20
        try:
            while time.monotonic() < deadline:
                work.add(1)
        finally:
            if over is not None:
                over.wait(20)

    return function


def told_to(event: asyncio.Event) -> Callable[[], None]:
    loop = asyncio.get_running_loop()

    def tell() -> None:
        loop.call_soon_threadsafe(event.set)

    return tell


async def some_turns_of_the_loop() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_the_result_comes_back_and_the_work_ran_on_another_thread() -> None:
    assert await in_thread(lambda _work: threading.get_ident()) != threading.get_ident()
    assert threads_of_work() == []


async def test_a_thread_is_had_again_once_its_work_is_done_and_not_before() -> None:
    first = await in_thread(lambda _work: threading.current_thread())
    assert await in_thread(lambda _work: threading.current_thread()) is first
    begun, over = asyncio.Event(), threading.Event()
    busy = asyncio.create_task(in_thread(until_stopped(told_to(begun), over)))
    await begun.wait()
    others = await asyncio.gather(*(in_thread(lambda _work: threading.current_thread()) for _ in range(3)))
    assert first not in others
    busy.cancel()
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await busy
    assert threads_of_work() == []


async def test_a_fork_asks_nothing_of_the_threads_it_has_not() -> None:
    await in_thread(lambda _work: None)
    child = os.fork()
    if child == 0:
        try:  # whatever happens, this process is not to go on as the tests do
            os._exit(7 if started(lambda: "done").result(timeout=10) == "done" else 8)
        finally:
            os._exit(9)
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status) == 7


async def test_the_bytes_are_told_while_it_works_and_once_more_at_the_end() -> None:
    told: list[int] = []
    half_told = threading.Event()

    def function(work: Work) -> str:
        work.add(500)
        assert half_told.wait(20), "nobody was told of the first half"
        work.add(500)
        return "done"

    def on_bytes(count: int) -> None:
        told.append(count)
        if count == 500:
            half_told.set()

    assert await in_thread(function, on_bytes) == "done"
    assert told[-1] == 1000
    assert told == sorted(told)


async def test_bytes_counted_by_many_threads_are_all_counted() -> None:
    def function(work: Work) -> int:
        def count(_number: int) -> None:
            for _ in range(100):
                work.add(1)

        for_each(range(200), count, threads=8, done=lambda _: None)
        return work.bytes_done

    assert await in_thread(function) == 20_000


async def test_an_error_passes_as_it_is() -> None:
    def function(_work: Work) -> None:
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        await in_thread(function)
    assert threads_of_work() == []


async def test_cancelling_stops_the_work_and_waits_for_the_thread_to_end() -> None:
    started, over = asyncio.Event(), threading.Event()
    task = asyncio.create_task(in_thread(until_stopped(told_to(started), over)))
    await started.wait()
    task.cancel()
    await some_turns_of_the_loop()
    assert not task.done(), "it must wait for its thread"
    assert threads_of_work() != []
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads_of_work() == []


async def test_cancelling_again_and_again_still_waits_for_the_thread() -> None:
    started, over = asyncio.Event(), threading.Event()
    task = asyncio.create_task(in_thread(until_stopped(told_to(started), over)))
    await started.wait()
    for _ in range(5):
        task.cancel()
        await some_turns_of_the_loop()
        assert not task.done()
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads_of_work() == []


async def test_cancelling_work_that_never_looks_still_waits_for_its_end() -> None:
    started, over = asyncio.Event(), threading.Event()
    tell = told_to(started)

    def function(_work: Work) -> None:
        tell()
        over.wait(20)

    task = asyncio.create_task(in_thread(function))
    await started.wait()
    task.cancel()
    await some_turns_of_the_loop()
    assert not task.done()
    over.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_cancelling_stops_every_thread_of_the_work() -> None:
    begun, all_begun = itertools.count(1), asyncio.Event()
    tell = told_to(all_begun)

    def function(work: Work) -> None:
        copy = until_stopped(lambda: tell() if next(begun) == 4 else None)
        for_each(range(100), lambda _number: copy(work), threads=4, done=lambda _: None)

    task = asyncio.create_task(in_thread(function))
    await all_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert threads_of_work() == []
    assert next(begun) <= 1 + 4 * 5, "at most what waited in line for the threads was begun, and stopped at once"


async def test_a_listener_that_fails_stops_the_work_instead_of_blocking_the_loop() -> None:
    stopped_at: list[float] = []

    def function(work: Work) -> None:
        try:
            deadline = time.monotonic() + 3
            while time.monotonic() < deadline:
                work.add(1)
        except Stopped:
            stopped_at.append(time.monotonic())
            raise

    def on_bytes(_count: int) -> None:
        raise ValueError("the listener fails")

    with pytest.raises(ValueError, match="the listener fails"):
        await in_thread(function, on_bytes)
    assert stopped_at, "the work went on to its end, and the event loop stood still meanwhile"


async def test_the_loop_turns_while_a_thread_works() -> None:
    turned = threading.Event()
    asyncio.get_running_loop().call_later(0.01, turned.set)
    assert await in_thread(lambda _work: turned.wait(20))


def test_results_are_handed_over_in_the_thread_of_the_caller() -> None:
    results: dict[int, int] = {}
    handed_over_in: set[int] = set()

    def done(result: tuple[int, int]) -> None:
        handed_over_in.add(threading.get_ident())
        results.update([result])

    for_each(range(1000), lambda number: (number, number * number), threads=3, done=done)
    assert results == {number: number * number for number in range(1000)}
    assert handed_over_in == {threading.get_ident()}


def test_nothing_to_do_is_done_at_once() -> None:
    for_each([], lambda item: item, threads=2, done=lambda _: pytest.fail("nothing was done"))


def test_only_as_many_items_are_taken_ahead_as_the_threads_can_soon_use() -> None:
    taken = finished = most_ahead = 0

    def items() -> Iterator[int]:
        nonlocal taken
        while taken < 500:
            taken += 1
            yield taken

    def done(_item: int) -> None:
        nonlocal finished, most_ahead
        most_ahead = max(most_ahead, taken - finished)
        finished += 1

    for_each(items(), lambda item: item, threads=3, done=done)
    assert finished == 500
    assert most_ahead <= 3 * 4


def test_the_first_error_ends_it_although_the_items_never_end() -> None:
    begun: list[int] = []

    def function(number: int) -> int:
        begun.append(number)
        if number == 40:
            raise OSError("number 40")
        return number

    with pytest.raises(OSError, match="number 40"):
        for_each(itertools.count(), function, threads=2, done=lambda _: None)
    assert len(begun) < 40 + 1 + 3 * 2 * 4
    assert threads_of_work() == []


def test_what_is_under_way_ends_before_the_error_is_raised() -> None:
    other_begun, ended = threading.Event(), threading.Event()

    def function(number: int) -> None:
        if number == 0:
            assert other_begun.wait(20)
            raise OSError("first")
        if number == 1:
            other_begun.set()
            time.sleep(0.05)  # it outlasts the error, however fast that is
            ended.set()

    with pytest.raises(OSError, match="first"):
        for_each(range(2), function, threads=2, done=lambda _: None)
    assert ended.is_set()


def test_one_thread_is_the_callers_own() -> None:
    worked_on: list[int] = []
    for_each(range(3), lambda _number: threading.get_ident(), threads=1, done=worked_on.append)
    assert worked_on == [threading.get_ident()] * 3


def test_what_waits_in_line_is_not_begun_any_more_after_an_error() -> None:
    begun: list[int] = []
    go_on = threading.Event()

    def function(number: int) -> int:
        begun.append(number)
        if number == 1:
            assert go_on.wait(20)
        return number

    def done(_number: int) -> None:
        threading.Timer(1, go_on.set).start()  # number 1 is under way until long after the error
        raise ValueError("not received")

    with pytest.raises(ValueError, match="not received"):
        for_each(itertools.count(), function, threads=1, done=done)
    assert begun in ([0], [0, 1])


def test_an_error_of_the_items_or_of_the_receiver_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("no more items")

    def done(_item: int) -> None:
        raise ValueError("not received")

    with pytest.raises(OSError, match="no more items"):
        for_each(items(), lambda item: item, threads=2, done=lambda _: None)
    with pytest.raises(ValueError, match="not received"):
        for_each(range(100), lambda item: item, threads=2, done=done)
    assert threads_of_work() == []


class Crowd:
    """Tasks of a second each, as the clocks tell, that keep `busy` processors busy together."""

    def __init__(self) -> None:
        self.busy = 0.0
        self.running = 0
        self.most_running = 0
        self._lock = threading.Lock()
        self._own = threading.local()
        self.waits = 1
        self.turns = Turns(4, spent=self._spent)

    def _spent(self) -> Spent:
        """Called when a task begins and ends."""
        has_begun = self._own.has_begun = not getattr(self._own, "has_begun", False)
        return Spent(0.0, 0.0, 0) if has_begun else Spent(1.0, self.busy, self.waits)

    def run(self, tasks: int, meet: threading.Barrier | None = None) -> None:
        self.most_running = 0
        for_each(range(tasks), lambda _task: self._task(meet), threads=4, done=lambda _: None)

    def _task(self, meet: threading.Barrier | None) -> None:
        with self.turns.taken():
            with self._lock:
                self.running += 1
                self.most_running = max(self.most_running, self.running)
            if meet is not None:
                meet.wait()
            with self._lock:
                self.running -= 1


def test_tasks_that_wait_run_all_at_once() -> None:
    crowd = Crowd()
    crowd.run(40, threading.Barrier(4, timeout=20))
    assert crowd.most_running == 4


def test_tasks_that_keep_the_processor_busy_run_one_at_a_time_until_they_wait_again() -> None:
    crowd = Crowd()
    crowd.busy = 1.0
    crowd.run(1)
    crowd.run(200)
    assert crowd.most_running == 1
    crowd.busy = 0.7  # neither: as it was
    crowd.run(200)
    assert crowd.most_running == 1
    crowd.busy, crowd.waits = 0.1, 0  # other programs have the processor
    crowd.run(200)
    assert crowd.most_running == 1
    crowd.waits = 1
    crowd.run(1)
    crowd.run(40, threading.Barrier(4, timeout=20))
    assert crowd.most_running == 4


def test_a_turn_ends_with_an_error() -> None:
    crowd = Crowd()
    crowd.busy = 1.0
    crowd.run(1)
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"), crowd.turns.taken():
            raise ValueError("broken")
