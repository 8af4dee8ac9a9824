"""Work on threads: told how far it is, stopped when cancelled, and over before anybody cleans up."""

import asyncio
import itertools
import os
import threading
import time
from collections.abc import Callable

import pytest

from cs_archiver.tools.crowd import for_each
from cs_archiver.tools.threads import Stopped, Work, in_thread, started


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
