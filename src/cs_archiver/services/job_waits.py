"""Waiting for a job to change its state, for scripts that would ask again and again otherwise."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from cs_archiver.bus import Bus
from cs_archiver.domain.events import Event, JobUpdate
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL
from cs_archiver.errors import InvalidRequest
from cs_archiver.services.jobs import JobService, JobView

MOST_WAITS_OF_A_USER = 10
_LOOK_SECONDS = 5.0  # news may be lost: look at the job this often in any case
_RETRY_AFTER_SECONDS = 5


class TooManyWaits(InvalidRequest):
    """This user waits for so many jobs already."""

    status = 429


class JobWaits:
    """Those who wait, counted by user."""

    def __init__(self, jobs: JobService, bus: Bus) -> None:
        self._jobs = jobs
        self._bus = bus
        self._of_user: Counter[str] = Counter()
        self._waits: set[asyncio.Timeout] = set()
        self._ended = False

    async def until_changed(self, job_id: str, *, seconds: float, username: str) -> JobView:
        """The job once it left the state it is in now, or after so many seconds; at once when it has ended.

        Raises NotFound as JobService.get does, also when the job is cleared from the list meanwhile, and TooManyWaits.
        """
        with self._counted(username), self._bus.subscribe() as events:
            clock = asyncio.get_running_loop().time
            over = clock() + seconds
            view = await self._jobs.get(job_id)
            begun_in = view.job.status
            while view.job.status is begun_in and begun_in not in FINAL and clock() < over and not self._ended:
                await self._news_of(view.job, events, patience=min(over - clock(), _LOOK_SECONDS))
                view = await self._jobs.get(view.job.id)
            return view

    def end(self) -> None:
        """Whoever waits gets the job as it is now, and from here on nobody waits."""
        self._ended = True
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(asyncio.get_running_loop().time())

    async def _news_of(self, job: Job, events: "asyncio.Queue[Event]", *, patience: float) -> None:
        try:
            async with asyncio.timeout(patience) as wait:
                self._waits.add(wait)
                try:
                    while not _tells_of_another_state(await events.get(), job):
                        pass
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            return

    @contextmanager
    def _counted(self, username: str) -> Iterator[None]:
        if self._of_user[username] >= MOST_WAITS_OF_A_USER:
            raise TooManyWaits(
                "too-many-waits",
                f"You wait for {MOST_WAITS_OF_A_USER} jobs already: ask without `wait`, or when one has answered.",
                retry_after=_RETRY_AFTER_SECONDS,
            )
        self._of_user[username] += 1
        try:
            yield
        finally:
            self._of_user[username] -= 1
            if not self._of_user[username]:
                del self._of_user[username]


def _tells_of_another_state(event: Event, job: Job) -> bool:
    return isinstance(event, JobUpdate) and event.job_id == job.id and event.status is not job.status
