"""One listener on the bus for all clients of the live updates: each event is rendered once, and offered to each."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aiohttp import web

from cs_archiver.bus import Bus, Listener
from cs_archiver.domain.events import (
    Event,
    FoldersUpdate,
    JobUpdate,
    LogAdded,
    QueueUpdate,
    Retried,
    SessionEnded,
    StepProgress,
    UserEnded,
)
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL
from cs_archiver.errors import InvalidRequest, JobError, NotFound
from cs_archiver.server.contract import live
from cs_archiver.server.live_client import DEFECT, STOPPING, TRY_AGAIN, Client, Closing, News
from cs_archiver.services.jobs import JobService, JobView, QueueView

_SEND_SECONDS = 10.0
_RETRY_AFTER_SECONDS = 30
_STOP_SECONDS = 4.0  # for all clients to say goodbye; the HTTP server itself is given 5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many connections there may be at the same time, of one user and in all."""

    per_user: int = 20
    in_all: int = 2000


class TooManyConnections(InvalidRequest):
    """Sound, but there are as many connections already as there may be."""

    status = 429

    def __init__(self, detail: str) -> None:
        super().__init__("too-many-connections", detail, retry_after=_RETRY_AFTER_SECONDS)


class Live:
    """The truth is in the database; a client gets it once, as a snapshot, and from then on what changed."""

    def __init__(self, bus: Bus, jobs: JobService, limits: Limits) -> None:
        self._bus = bus
        self._jobs = jobs
        self._limits = limits
        self._seated: set[Client] = set()
        self._newcomers: set[Client] = set()  # wait for their snapshot
        self._members: set[Client] = set()  # had it, and hear everything from then on
        self._known: dict[str, Job] = {}  # active jobs as they were when they came to their present state
        self._turn = asyncio.Lock()  # between a snapshot and the offers before and after it
        self._stopping = False
        self._nobody = asyncio.Event()

    async def running(self, _app: web.Application) -> AsyncIterator[None]:
        """For cleanup_ctx: follows the bus while the application runs."""
        with self._bus.subscribe() as listener:
            tasks = [asyncio.create_task(work) for work in (self._follow(listener), self._let_go_of_stuck())]
            yield
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    async def stop(self, _app: web.Application) -> None:
        """For on_shutdown: say goodbye to every client, and to those who come from now on."""
        self._stopping = True
        self._end_all(STOPPING)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                while self._seated:
                    self._nobody.clear()
                    await self._nobody.wait()
        except TimeoutError:
            _log.warning("%d live connections did not close in time", len(self._seated))

    @property
    def count(self) -> int:
        """How many clients hear what happens."""
        return sum(not client.is_ended for client in self._members)

    @contextmanager
    def seat(self, user_id: int, credential: str) -> Iterator[Client]:
        """A place for one connection. Raises TooManyConnections."""
        self._require_room(user_id)
        client = Client(user_id, credential)
        if self._stopping:
            client.end(STOPPING)
        self._seated.add(client)
        try:
            yield client
        finally:
            for group in (self._seated, self._newcomers, self._members):
                group.discard(client)
            if not self._seated:
                self._nobody.set()

    async def join(self, client: Client) -> None:
        """Offer a snapshot, and from then on all that happens. Those who come at the same moment share one.

        Raises NeedsOperator when the database cannot be read.
        """
        self._newcomers.add(client)
        async with self._turn:
            if client not in self._newcomers:
                return  # another one's snapshot was for this one too
            newcomers = set(self._newcomers)
            snapshot = await self._snapshot()
            for newcomer in newcomers & self._newcomers:
                newcomer.offer(snapshot)
                self._members.add(newcomer)
            self._newcomers -= newcomers

    def _require_room(self, user_id: int) -> None:
        if sum(client.user_id == user_id for client in self._seated) >= self._limits.per_user:
            raise TooManyConnections(f"You have {self._limits.per_user} live connections already: close one of them.")
        if len(self._seated) >= self._limits.in_all:
            raise TooManyConnections("There are too many live connections: try again later.")

    async def _follow(self, listener: Listener) -> None:
        while True:
            events = [await listener.get()]
            async with self._turn:
                events += [listener.get_nowait() for _ in range(listener.qsize())]
                try:
                    await (self._start_over() if listener.has_missed() else self._tell(events))
                except JobError as error:
                    _log.warning("live updates end: %s", error)
                    self._end_all(TRY_AGAIN)
                except Exception:  # noqa: BLE001  whoever reconnects gets a snapshot: better than missing something
                    _log.exception("live updates end")
                    self._end_all(DEFECT)

    async def _let_go_of_stuck(self) -> None:
        # One look at all of them now and then: a time-out for each message costs as much as sending it.
        while True:
            await asyncio.sleep(_SEND_SECONDS / 10)
            for client in self._seated:
                client.end_if_stuck(time.monotonic() - _SEND_SECONDS)

    async def _start_over(self) -> None:
        _log.warning("live updates lagged too far behind: every client gets a new snapshot")
        for client in self._seated:
            client.doubted.set()
        snapshot = await self._snapshot()
        for client in self._members:
            client.start_over(snapshot)

    async def _tell(self, events: list[Event]) -> None:
        for event in events:
            await self._tell_one(event)
        # The queue is read after all the other news, so that it is not older than they are.
        if self._members and any(isinstance(event, QueueUpdate) for event in events):
            self._offer(News(live.QueueUpdate.of(await self._jobs.queue()).body(), "queue"))

    async def _tell_one(self, event: Event) -> None:
        match event:
            case JobUpdate():
                await self._tell_job(event)
            case LogAdded():
                self._offer(News(live.Log.of(event).body()))
            case FoldersUpdate():
                self._offer(News(live.FoldersUpdate.of(event).body(), "folders"))
            case SessionEnded() | UserEnded():
                self._doubt(event)
            case QueueUpdate() | Retried():
                pass  # the queue is told last, and a line of the log tells of a retry

    async def _tell_job(self, update: JobUpdate) -> None:
        if not self._members:
            return
        try:
            view = await self._view(update)
        except NotFound:
            return  # its row was cleared away meanwhile
        self._offer(News(live.JobUpdate.of(view).body(), update.job_id, update.status))
        if update.status in FINAL:
            del self._known[update.job_id]

    async def _view(self, update: JobUpdate) -> JobView:
        """The event with what stays the same throughout a state, which is read once."""
        job = self._known.get(update.job_id)
        if job is None or job.status is not update.status:
            job = (await self._jobs.get(update.job_id)).job
            if job.status is not update.status:  # it is further already: when this state began is not known any more
                job = job._replace(status=update.status, step_started_at=None)
            self._known[update.job_id] = job
        newest = job._replace(progress_percent=update.progress_percent, current_operation=update.current_operation)
        return JobView(newest, update.step)

    def _doubt(self, event: SessionEnded | UserEnded) -> None:
        for client in self._seated:
            if client.is_of(event):
                client.doubted.set()

    def _offer(self, news: News) -> None:
        for client in self._members:
            client.offer(news)

    def _end_all(self, closing: Closing) -> None:
        for client in self._seated:
            client.end(closing)

    async def _snapshot(self) -> News:
        self._known.clear()
        queue = await self._jobs.queue()
        return News(live.Snapshot.of(_active(queue), queue).body())


def _active(queue: QueueView) -> list[JobView]:
    """Every job of the queue, the newest first."""
    in_hand = [view for view in queue.current.values() if view is not None]
    waiting = [JobView(job, StepProgress()) for jobs in queue.waiting.values() for job in jobs]
    return sorted([*in_hand, *waiting], key=lambda view: view.job.seq, reverse=True)
