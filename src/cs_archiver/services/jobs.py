"""Jobs as a person sees them: looking at those there are, and ending or retrying one."""

import logging
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from cs_archiver.bus import Bus
from cs_archiver.db import catalogue, queue
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.cleared import find_cleared
from cs_archiver.db.database import Database
from cs_archiver.db.job_lines import find_lines
from cs_archiver.db.job_search import JobSearch, find_jobs
from cs_archiver.db.jobs import HistoryLine, Jobs, log
from cs_archiver.domain.events import JobUpdate, LogAdded, LogLevel, StepProgress
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import ACTIVE, BUSY, CANCELLABLE, FINAL, WAITING, JobStatus, WorkerName
from cs_archiver.errors import Conflict, JobMovedMeanwhile, NotFound
from cs_archiver.services.job_ids import canonical, no_such_job
from cs_archiver.services.job_news import NO_NEWS, tell_of


class DiscardFiles(Protocol):
    """Removes what a job made on the local disk, given as it was right before it was cancelled."""

    def __call__(self, job: Job, *, others_archive: bool) -> Awaitable[None]: ...


_CLEARED_AT_ONCE = 200  # jobs with their logs in one transaction, so that no worker waits long for its turn to write

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job with the newest of its progress: `step` is that of the state it is in.

    `is_cleared`: it is no longer in the list, and this is what the catalogue knows of it.
    """

    job: Job
    step: StepProgress
    is_cleared: bool = False


@dataclass(frozen=True, slots=True)
class JobPage:
    """Some of the jobs; `total` counts all that were asked for."""

    jobs: list[JobView]
    total: int


class LineView(NamedTuple):
    """A job of the list as JSON, as it stands in the database, and the newest of it that was not written there."""

    text: str
    news: JobUpdate | None


@dataclass(frozen=True, slots=True)
class QueueView:
    """What each worker has in hand, and which jobs stand in line for it."""

    current: dict[WorkerName, JobView | None]
    waiting: dict[WorkerName, list[Job]]


class JobService:
    """Each change is one transaction; whoever listens hears of it after the commit."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        *,
        discard_files: DiscardFiles,
        sends_again_on_retry: bool,
    ) -> None:
        """`sends_again_on_retry`: nothing would notice what became of an earlier upload meanwhile."""
        self._database = database
        self._jobs = Jobs(database)
        self._catalogue = Catalogue(database)
        self._bus = bus
        self._discard_files = discard_files
        self._sends_again_on_retry = sends_again_on_retry

    async def cancel(self, job_id: str, *, username: str) -> None:
        """End a job; one that is being worked on ends a moment later. Its source is untouched.

        Raises NotFound as `get` does, and Conflict "deletion-has-begun" or "already-ended".
        """
        job = (await self.get(job_id)).job
        while True:
            _require_cancellable(job)
            try:
                await self._cancel(job, username)
            except JobMovedMeanwhile:
                job = (await self.get(job_id)).job
            else:
                return

    async def _cancel(self, job: Job, username: str) -> None:
        message = f"Cancelled by {username}: the source is untouched"
        at_once = job.status in WAITING.values() and not await self._catalogue.open_uploads(job.id)
        if not at_once:
            message = f"{username} asked to cancel this job"
        async with self._database.write() as connection:
            if at_once:
                cancelled = await queue.move(connection, job, JobStatus.CANCELLED, {"current_operation": "Cancelled"})
            else:
                cancelled = await queue.request_cancel(connection, job, username=username)
            timestamp = await log(connection, job.id, LogLevel.WARNING, message)
        tell_of(self._bus, cancelled, LogAdded(job.id, timestamp, LogLevel.WARNING, message))
        if cancelled.status is JobStatus.CANCELLED:
            await self._discard_files(job, others_archive=await self._jobs.is_archive_of_another(job))

    async def retry(self, job_id: str, *, username: str) -> Job:
        """Put a failed job at the end of the queue, with its retries at zero.

        Raises NotFound as `get` does, and Conflict "not-failed", "deletion-has-begun" or "already-queued".
        """
        job = (await self.get(job_id)).job
        if job.status is not JobStatus.FAILED:
            raise Conflict("not-failed", f"Only a failed job can be retried; this one is {job.status}.")
        if await self._jobs.has_been(job.id, JobStatus.DELETING_SOURCE):
            raise Conflict("deletion-has-begun", _why_not_retried(job))
        message = f"Retried by {username}"
        async with self._database.write() as connection:
            conflict = await queue.active_conflict(connection, job._asdict())
            if conflict is not None:
                raise conflict
            try:
                queued = await queue.requeue(connection, job)
            except JobMovedMeanwhile as error:
                raise Conflict("not-failed", "Somebody else retried or cleared this job just now.") from error
            if self._sends_again_on_retry:
                await catalogue.doubt_uploads(connection, job.id)
            timestamp = await log(connection, job.id, LogLevel.INFO, message)
        tell_of(self._bus, queued, LogAdded(job.id, timestamp, LogLevel.INFO, message))
        return queued

    async def clear_completed(self, *, username: str, until: str | None = None) -> int:
        """Take every completed job, or those that ended `until` then, out of the list with its log; returns how many.

        What was archived stays in the catalogue for good, and jobs that failed or were cancelled stay in the list.
        """
        count = 0
        while cleared := await self._jobs.clear_completed(until=until, at_most=_CLEARED_AT_ONCE):
            count += cleared
        _log.info("%s cleared %d completed jobs from the list", username, count)
        return count

    async def page(self, search: JobSearch, *, limit: int, offset: int) -> JobPage:
        """The jobs from `offset` on, as the search sorts them."""
        jobs, total = await find_jobs(self._database, search, limit=limit, offset=offset)
        return JobPage([self._view(job) for job in jobs], total)

    async def lines(self, search: JobSearch, *, limit: int, offset: int) -> tuple[list[LineView], int]:
        """As `page`, for long lists: each job as JSON (db.job_lines), and how many there are in all."""
        found, total = await find_lines(self._database, search, limit=limit, offset=offset)
        return [LineView(line.text, self._bus.latest(line.job_id)) for line in found], total

    async def get(self, job_id: str) -> JobView:
        """Raises NotFound for an id that no job has."""
        job = await self._jobs.find(canonical(job_id))
        if job is None:
            raise no_such_job()
        return self._view(job)

    async def on_record(self, job_id: str) -> JobView:
        """As `get`, but also of a job that was cleared from the list."""
        try:
            return await self.get(job_id)
        except NotFound:
            cleared = await find_cleared(self._database, canonical(job_id))
            if cleared is None:
                raise
            return JobView(cleared, NO_NEWS, is_cleared=True)

    async def history(self, job_id: str) -> list[HistoryLine]:
        """Every state the job was in, in order. Raises NotFound as `on_record` does."""
        lines = await self._jobs.history(canonical(job_id))
        if not lines:  # each job has one, from its first state on
            await self.on_record(job_id)
        return lines

    async def active(self) -> list[JobView]:
        """Those that have not ended, in the order in which they are served."""
        return [self._view(job) for job in await self._jobs.in_line(ACTIVE)]

    async def failed_since(self, moment: str) -> int:
        """How many of the jobs in the list failed after this moment."""
        return await self._jobs.failed_since(moment)

    async def queue(self) -> QueueView:
        active = await self._jobs.in_line(ACTIVE)  # one query, so that no job is missed or shown twice
        current = {
            worker: next((self._view(job) for job in active if job.status in states), None)
            for worker, states in BUSY.items()
        }
        waiting = {worker: [job for job in active if job.status is state] for worker, state in WAITING.items()}
        return QueueView(current, waiting)

    def _view(self, job: Job) -> JobView:
        news = self._bus.latest(job.id)
        if news is None:
            return JobView(job, NO_NEWS)
        percent, operation, step = news.added_to(job.status, job.progress_percent, job.current_operation)
        return JobView(job._replace(progress_percent=percent, current_operation=operation), step)


def _why_not_retried(job: Job) -> str:
    path = job.globus_destination_path
    if job.error_problem == "archive-missing":
        where = (
            f"its archive is no longer at {path}: what is kept in failed/{job.id}/only-copy in the storage folder may "
            "be the only copy of it"
        )
    else:
        where = f"its archive was seen at {path} right before it ended"
    return (
        f"The deletion of the source has begun; {where}. To archive what is left, remove the marker file, if there is "
        'one, refresh the folders, and submit this one again with "on_existing": "new_version".'
    )


def _require_cancellable(job: Job) -> None:
    if job.status in FINAL:
        raise Conflict("already-ended", f"This job is {job.status} already.")
    if job.status not in CANCELLABLE:
        raise Conflict(
            "deletion-has-begun",
            "The archive is verified and the deletion of the source has begun: it can only be finished.",
        )
