"""Many items on several threads: their order, their errors, and how many are worked on at once."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from cs_archiver.tools.crowd import Parallelism, Spent, for_each, spent_by_thread


def threads_of_work() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("work")]


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
    assert most_ahead <= 3 * 4 + 1  # the one that the caller holds


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


def test_by_one_thread_nothing_is_begun_any_more_after_an_error_of_the_receiver() -> None:
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


def test_what_waits_in_line_is_not_begun_any_more_after_an_error() -> None:
    begun: list[int] = []
    all_taken = threading.Event()

    def items() -> Iterator[int]:
        yield from range(7)
        all_taken.set()
        yield 7

    def function(number: int) -> None:
        begun.append(number)
        assert all_taken.wait(20)
        if number == 0:
            raise OSError("number 0")
        time.sleep(0.05)

    with pytest.raises(OSError, match="number 0"):
        for_each(items(), function, threads=2, done=lambda _: None)
    assert len(begun) < 7


def test_one_item_that_takes_long_holds_up_no_other() -> None:
    far_ahead = threading.Event()

    def function(number: int) -> bool:
        if number == 30:
            far_ahead.set()
        return number != 0 or far_ahead.wait(20)

    results: list[bool] = []
    for_each(range(40), function, threads=2, done=results.append)
    assert results == [True] * 40


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


def test_an_error_of_the_last_item_alone_is_raised() -> None:
    def function(number: int) -> None:
        time.sleep(0.002)
        if number == 39:
            raise OSError("number 39")

    with pytest.raises(OSError, match="number 39"):
        for_each(range(40), function, threads=4, done=lambda _: None)


@pytest.mark.parametrize("granted", ["none", "the first", "all but the first", "the first three"])
@pytest.mark.parametrize("short", [False, True])
def test_where_the_system_starts_no_more_threads_those_there_are_do_all_of_it_once(
    monkeypatch: pytest.MonkeyPatch, granted: str, short: bool
) -> None:
    grants = {"none": [], "the first": [1], "all but the first": range(2, 99), "the first three": [1, 2, 3]}[granted]
    asked, threads, start = itertools.count(1), set(), threading.Thread.start
    begun: list[int] = []
    results: list[int] = []

    def start_some(thread: threading.Thread) -> None:
        if next(asked) not in grants:
            raise RuntimeError("can't start new thread")
        start(thread)

    def function(number: int) -> int:
        begun.append(number)
        threads.add(threading.get_ident())
        time.sleep(0.002)
        return number

    monkeypatch.setattr(threading.Thread, "start", start_some)
    for_each(range(200), function, threads=8, done=results.append, is_short=lambda _: short)
    assert sorted(results) == sorted(begun) == list(range(200))
    assert len(threads) <= min(8, len(grants)) + 1
    assert threads_of_work() == []


def test_an_end_of_the_process_is_not_taken_for_want_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    with pytest.raises(RuntimeError, match="shutdown"):
        for_each(range(5), lambda number: number, threads=2, done=lambda _: None)


def nothing() -> None: ...


class Crowd:
    """Short items of a second each, as the clocks tell, that keep `busy` processors busy."""

    def __init__(self, *, busy: float) -> None:
        self.busy = busy
        self.waits = 1
        self.ended = 0
        self.worked_on: set[int] = set()
        self._own = threading.local()

    def run(self, items: Iterator[Callable[[], object]]) -> None:
        def work_on(item: Callable[[], object]) -> None:
            self.worked_on.add(threading.get_ident())
            item()

        def is_short(item: Callable[[], object]) -> bool:
            return not isinstance(item, Long)

        for_each(items, work_on, threads=4, done=lambda _: None, is_short=is_short, spent=self._spent)

    def _spent(self) -> Spent:
        """Called when a short item is begun and when it is done."""
        has_begun = self._own.has_begun = not getattr(self._own, "has_begun", False)
        if has_begun:
            return Spent(0.0, 0.0, 0)
        self.ended += 1
        return Spent(1.0, self.busy, self.waits)

    def of_the_caller_alone(self) -> Iterator[Callable[[], object]]:
        """Items after which it is known that no other thread works on any."""
        yield from [nothing] * 10
        self.worked_on.clear()
        yield from [nothing] * 10
        assert self.worked_on == {threading.get_ident()}


class Long(threading.Event):
    def __call__(self) -> None:
        assert self.wait(20)


def test_short_items_that_keep_the_processor_busy_are_the_callers_own() -> None:
    crowd = Crowd(busy=1.0)
    crowd.run(iter([nothing] * 50))
    assert crowd.worked_on == {threading.get_ident()}


def test_the_first_short_item_is_the_callers_and_when_it_has_waited_all_threads_work() -> None:
    crowd, together = Crowd(busy=0.1), threading.Barrier(4, timeout=20)

    def items() -> Iterator[Callable[[], object]]:
        yield nothing
        assert crowd.worked_on == {threading.get_ident()}
        yield from [together.wait] * 40

    crowd.run(items())
    assert len(crowd.worked_on) == 5


def test_threads_come_when_items_begin_to_wait_and_go_when_they_keep_the_processor_busy() -> None:
    crowd, together = Crowd(busy=1.0), threading.Barrier(4, timeout=20)

    def items() -> Iterator[Callable[[], object]]:
        yield from crowd.of_the_caller_alone()
        crowd.busy = 0.7  # neither: as it was
        yield from crowd.of_the_caller_alone()
        crowd.busy, crowd.waits = 0.1, 0  # other programs have the processor
        yield from crowd.of_the_caller_alone()
        crowd.waits = 1
        yield nothing
        crowd.busy = 0.3  # by each of four: more than one processor
        yield from [together.wait] * 4
        crowd.busy = 0.7
        yield from crowd.of_the_caller_alone()

    crowd.run(items())
    assert not together.broken


def test_an_item_is_judged_by_all_that_ran_beside_it_also_when_it_ends_last() -> None:
    crowd, together = Crowd(busy=0.1), threading.Barrier(4, timeout=20)

    def last() -> None:
        together.wait()
        until = time.monotonic() + 20
        while crowd.ended < 4 and time.monotonic() < until:
            time.sleep(0.001)
        crowd.busy = 0.3  # of one that ran alone it would mean that it waited

    def items() -> Iterator[Callable[[], object]]:
        yield nothing
        crowd.busy = 0.7
        yield last
        yield from [together.wait] * 3
        yield from wait_for_five()
        crowd.busy = 0.7
        yield from crowd.of_the_caller_alone()

    def wait_for_five() -> Iterator[Callable[[], object]]:
        while crowd.ended < 5:
            time.sleep(0.001)
        yield from ()

    crowd.run(items())


def test_a_long_item_does_not_keep_short_ones_from_being_worked_on() -> None:
    crowd, long = Crowd(busy=1.0), Long()

    def items() -> Iterator[Callable[[], object]]:
        yield long
        yield from [nothing] * 10
        yield long.set

    crowd.run(items())
    assert long.is_set()
    assert crowd.ended == 11, "only short ones are judged"


def test_with_long_items_under_way_the_caller_is_one_of_the_threads() -> None:
    crowd, long, begun = Crowd(busy=1.0), Long(), list[str]()

    def end_long() -> None:
        begun.append("the long ones end")
        long.set()

    def items() -> Iterator[Callable[[], object]]:
        yield from [long] * 3
        yield lambda: begun.append("beside three")
        yield long
        threading.Timer(0.2, end_long).start()
        yield lambda: begun.append("not beside four")

    crowd.run(items())
    assert begun == ["beside three", "the long ones end", "not beside four"]


def test_an_error_of_a_long_item_ends_short_ones_as_well() -> None:
    crowd = Crowd(busy=1.0)

    class Broken(Long):
        def __call__(self) -> None:
            raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        crowd.run(itertools.chain([Broken()], itertools.repeat(lambda: time.sleep(0.001), 5000)))
    assert crowd.ended < 1000


def test_of_short_items_none_waits_in_line() -> None:
    crowd, taken = Crowd(busy=0.1), 0

    def items() -> Iterator[Callable[[], object]]:
        nonlocal taken
        for taken in range(1, 201):
            assert taken - crowd.ended <= 4 + 1
            yield nothing

    crowd.run(items())


@pytest.mark.parametrize(
    ("busy", "waits", "threads", "at_first", "then"),
    [
        (0.89, 1, 1, 4, 4),
        (0.91, 1, 1, 4, 1),
        (0.23, 1, 4, 4, 1),
        (0.51, 1, 1, 1, 1),
        (0.49, 1, 1, 1, 4),
        (0.49, 0, 1, 1, 1),
    ],
)
def test_room_is_for_one_above_nine_tenths_of_a_processor_and_for_all_below_a_half(
    busy: float, waits: int, threads: int, at_first: int, then: int
) -> None:
    parallelism = Parallelism(4, allowed=at_first)
    parallelism.judge(Spent(5.0, 3.0, 7), Spent(6.0, 3.0 + busy, 7 + waits), threads=threads)
    assert parallelism.allowed == then


def test_what_a_thread_has_spent_is_told_up_to_now_and_not_up_to_the_last_tick() -> None:
    for _ in range(8):
        began, before = time.thread_time(), spent_by_thread()
        until = time.monotonic() + 0.003
        while time.monotonic() < until:
            pass
        after, ended = spent_by_thread(), time.thread_time()
        assert after.busy - before.busy == pytest.approx(ended - began, abs=0.0005)


def test_what_other_threads_spend_is_not_counted() -> None:
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            pass

    other = threading.Thread(target=work)
    other.start()
    before = spent_by_thread()
    time.sleep(0.1)
    after = spent_by_thread()
    over.set()
    other.join()
    assert after.busy - before.busy < 0.05
