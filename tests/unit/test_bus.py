"""News inside the process: everyone who listens hears it, nobody who does not listen holds it up."""

import asyncio

import pytest

from cs_archiver.bus import Bus, QueueBell
from cs_archiver.domain.events import Event, JobUpdate, LogAdded, LogLevel, QueueUpdate, StepProgress
from cs_archiver.domain.states import FINAL, JobStatus, WorkerName

LOCAL = WorkerName.LOCAL


def update(percent: int, *, status: JobStatus = JobStatus.COPYING, job_id: str = "one") -> JobUpdate:
    return JobUpdate(job_id, status, percent, "Copying", StepProgress())


def test_every_listener_hears_every_event_in_order() -> None:
    bus = Bus()
    events: list[Event] = [
        update(1),
        LogAdded("one", "2026-01-15T14:32:01.250Z", LogLevel.INFO, "hello"),
        QueueUpdate(),
    ]
    with bus.subscribe() as first, bus.subscribe() as second:
        for event in events:
            bus.publish(event)
        for listener in (first, second):
            assert [listener.get_nowait() for _ in events] == events
            assert listener.empty()


def test_who_listens_no_longer_hears_nothing_more() -> None:
    bus = Bus()
    with bus.subscribe() as listener:
        pass
    bus.publish(QueueUpdate())
    assert listener.empty()


def test_a_listener_that_lags_misses_the_oldest_and_stops_nobody() -> None:
    bus = Bus()
    with bus.subscribe() as slow:
        for number in range(1500):
            bus.publish(update(number))
        heard = [slow.get_nowait() for _ in range(slow.qsize())]
    assert heard == [update(number) for number in range(500, 1500)]


def test_the_newest_update_of_an_active_job_is_kept() -> None:
    bus = Bus()
    assert bus.latest("one") is None
    bus.publish(update(1))
    bus.publish(update(2))
    bus.publish(update(7, job_id="two"))
    assert bus.latest("one") == update(2)
    assert bus.latest("two") == update(7, job_id="two")


@pytest.mark.parametrize("status", sorted(FINAL))
def test_nothing_is_kept_of_a_job_that_ended(status: JobStatus) -> None:
    bus = Bus()
    bus.publish(update(1))
    bus.publish(update(1, status=status))
    assert bus.latest("one") is None


async def test_the_bell_wakes_who_waits_when_the_queue_changes() -> None:
    bus = Bus()
    with QueueBell.listening(bus, LOCAL) as bell:
        waiting = asyncio.create_task(bell.wait(60.0))
        await asyncio.sleep(0)
        bus.publish(update(5))
        bus.publish(LogAdded("one", "2026-01-15T14:32:01.250Z", LogLevel.INFO, "no change of the queue"))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done(), "progress and log lines are no reason to look at the queue"
        bus.publish(QueueUpdate())
        async with asyncio.timeout(5):
            await waiting


async def test_the_bell_rings_for_what_happened_before_anyone_waited() -> None:
    bus = Bus()
    with QueueBell.listening(bus, LOCAL) as bell:
        bus.publish(QueueUpdate())
        async with asyncio.timeout(5):
            await bell.wait(60.0)


async def test_the_bell_of_one_worker_is_silent_for_what_only_the_other_serves() -> None:
    bus = Bus()
    with QueueBell.listening(bus, LOCAL) as bell:
        bus.publish(QueueUpdate(WorkerName.TRANSFER))
        waiting = asyncio.create_task(bell.wait(60.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        bus.publish(QueueUpdate(LOCAL))
        async with asyncio.timeout(5):
            await waiting


async def test_a_bell_forgets_what_rang_before_the_queue_is_read_and_nothing_later() -> None:
    bus = Bus()
    with QueueBell.listening(bus, LOCAL) as bell:
        bus.publish(QueueUpdate())
        bell.hush()
        waiting = asyncio.create_task(bell.wait(60.0))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not waiting.done()
        bus.publish(QueueUpdate())
        async with asyncio.timeout(5):
            await waiting


async def test_the_bell_wakes_in_time_although_nothing_happens() -> None:
    with QueueBell.listening(Bus(), LOCAL) as bell:
        async with asyncio.timeout(5):
            await bell.wait(0.01)


async def test_a_bell_that_is_put_away_listens_no_longer() -> None:
    bus = Bus()
    with QueueBell.listening(bus, LOCAL) as bell:
        waiting = asyncio.create_task(bell.wait(60.0))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert len(bus._listeners) == 1
    assert not bus._listeners
