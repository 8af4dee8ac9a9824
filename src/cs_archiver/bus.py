"""News inside the process: a lost message costs a page refresh, never data."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from cs_archiver.domain.events import Event, JobUpdate, QueueUpdate
from cs_archiver.domain.states import FINAL, WorkerName

_BACKLOG = 1000  # events a listener may lag behind before it misses the oldest


class Listener(asyncio.Queue[Event]):
    """What one listener has yet to hear; it can tell that it lagged too far behind."""

    def __init__(self) -> None:
        super().__init__(_BACKLOG)
        self._missed = False

    def hear(self, event: Event) -> None:
        if self.full():
            self.get_nowait()
            self._missed = True
        self.put_nowait(event)

    def has_missed(self) -> bool:
        """Whether events were lost since this was last asked."""
        missed, self._missed = self._missed, False
        return missed


class Bus:
    """Publish and subscribe on one event loop; keeps the newest update of every active job."""

    def __init__(self) -> None:
        self._listeners: set[Listener] = set()
        self._latest: dict[str, JobUpdate] = {}

    def publish(self, event: Event) -> None:
        if isinstance(event, JobUpdate):
            self._remember(event)
        for listener in self._listeners:
            listener.hear(event)

    def latest(self, job_id: str) -> JobUpdate | None:
        return self._latest.get(job_id)

    @contextmanager
    def subscribe(self) -> Iterator[Listener]:
        listener = Listener()
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def _remember(self, update: JobUpdate) -> None:
        if update.status in FINAL:
            self._latest.pop(update.job_id, None)
        else:
            self._latest[update.job_id] = update


class QueueBell:
    """Wakes a worker: it also rings for what happened while the worker was busy, so that no news is missed."""

    def __init__(self, events: Listener, worker: WorkerName) -> None:
        self._events = events
        self._worker = worker

    @classmethod
    @contextmanager
    def listening(cls, bus: Bus, worker: WorkerName) -> "Iterator[QueueBell]":
        with bus.subscribe() as events:
            yield cls(events, worker)

    def hush(self) -> None:
        """Forget what rang until now: for who is about to read the queue, where all of that stands."""
        while not self._events.empty():
            self._events.get_nowait()

    async def wait(self, timeout_seconds: float) -> None:
        """Until the queue of this worker changed, or the time is over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                while not self._rings(await self._events.get()):
                    pass
        except TimeoutError:
            return

    def _rings(self, event: Event) -> bool:
        return isinstance(event, QueueUpdate) and event.worker in (None, self._worker)
