"""Jobs as a person sees them: asking for one, and looking at those there are."""

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Sequence
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
from cs_archiver.domain.access import StillAllowed
from cs_archiver.domain.events import JobUpdate, LogAdded, LogLevel, QueueUpdate, StepProgress
from cs_archiver.domain.folders import Folder
from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.domain.states import ACTIVE, BUSY, CANCELLABLE, FINAL, WAITING, JobStatus, WorkerName
from cs_archiver.errors import (
    Conflict,
    Forbidden,
    InvalidRequest,
    JobError,
    JobMovedMeanwhile,
    NotAuthenticated,
    NotFound,
)
from cs_archiver.logs.context import about
from cs_archiver.services.folders import FolderService
from cs_archiver.services.job_ids import canonical, no_such_job

DestinationIsTaken = Callable[[str], Awaitable[str | None]]
"""Tells why nothing may be written to a path of the destination collection; None if nothing is known against it.

Only a courtesy to the person who asks: the job itself looks again before it copies the first byte.
"""


class DiscardFiles(Protocol):
    """Removes what a job made on the local disk, given as it was right before it was cancelled."""

    def __call__(self, job: Job, *, others_archive: bool) -> Awaitable[None]: ...


_NO_NEWS = StepProgress()
_CHECKS_AT_ONCE = 8  # of folders asked for together, each at the NAS and at Globus
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
    """Asking for a folder to be archived is one transaction; whoever listens hears of it after the commit."""

    def __init__(
        self,
        database: Database,
        folders: FolderService,
        bus: Bus,
        *,
        destination_base_path: str,
        destination_is_taken: DestinationIsTaken,
        discard_files: DiscardFiles,
        sends_again_on_retry: bool,
    ) -> None:
        """`sends_again_on_retry`: nothing would notice what became of an earlier upload meanwhile."""
        self._database = database
        self._jobs = Jobs(database)
        self._catalogue = Catalogue(database)
        self._folders = folders
        self._bus = bus
        self._destination_base_path = destination_base_path
        self._destination_is_taken = destination_is_taken
        self._discard_files = discard_files
        self._sends_again_on_retry = sends_again_on_retry

    async def submit(self, folder_path: str, on_existing: OnExisting, still: StillAllowed, *, username: str) -> Job:
        """Append a job for this folder to the queue.

        Raises what FolderService.require_listed raises, and Conflict when the folder has an active job
        ("already-queued") or its archive exists ("destination-exists", unless a new version is wanted).
        """
        return await self._append(await self._row_of(folder_path, on_existing, username), still)

    async def submit_each(
        self, folder_paths: Sequence[str], on_existing: OnExisting, still: StillAllowed, *, username: str
    ) -> list[Job | InvalidRequest | JobError]:
        """As `submit`, each folder for itself; they join the queue in this order. What was refused is an error here.

        Raises NotAuthenticated and Forbidden as `still` does: who asked may ask for no further folder.
        """
        some_at_once = asyncio.Semaphore(_CHECKS_AT_ONCE)

        async def row_of(path: str) -> dict[str, object] | InvalidRequest | JobError:
            try:
                async with some_at_once:
                    return await self._row_of(path, on_existing, username)
            except (InvalidRequest, JobError) as error:
                return error

        outcomes: list[Job | InvalidRequest | JobError] = []
        for row in await asyncio.gather(*map(row_of, folder_paths)):
            try:
                outcomes.append(row if isinstance(row, Exception) else await self._append(row, still))
            except (NotAuthenticated, Forbidden):
                raise
            except (InvalidRequest, JobError) as error:
                outcomes.append(error)
        return outcomes

    async def _row_of(self, folder_path: str, on_existing: OnExisting, username: str) -> dict[str, object]:
        folder = await self._folders.require_listed(folder_path)
        row = self._row(folder, on_existing, username)
        await self._refuse_second(row)
        if on_existing is OnExisting.FAIL:
            await self._refuse_taken(str(row["globus_destination_path"]))
        return row

    async def _append(self, row: dict[str, object], still: StillAllowed) -> Job:
        message = f"Job created by {row['created_by']}"
        async with self._database.write() as connection:
            await still()
            job = await queue.submit(connection, row)
            timestamp = await log(connection, job.id, LogLevel.INFO, message)
        self._publish(job, LogAdded(job.id, timestamp, LogLevel.INFO, message))
        return job

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
        self._publish(cancelled, LogAdded(job.id, timestamp, LogLevel.WARNING, message))
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
        self._publish(queued, LogAdded(job.id, timestamp, LogLevel.INFO, message))
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
            return JobView(cleared, _NO_NEWS, is_cleared=True)

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

    def _publish(self, job: Job, added: LogAdded) -> None:
        update = JobUpdate(job.id, job.status, job.progress_percent, job.current_operation, _NO_NEWS)
        for event in (update, added, QueueUpdate()):
            self._bus.publish(event)
        with about(job=job.id):
            _log.log(logging.getLevelName(added.level.value), "%s", added.message)

    async def _refuse_second(self, row: dict[str, object]) -> None:
        # Before the destination is asked: an archive there may be the one that the active job just sent.
        async with self._database.read() as connection:
            conflict = await queue.active_conflict(connection, row)
        if conflict is not None:
            raise conflict

    async def _refuse_taken(self, destination: str) -> None:
        reason = await self._destination_is_taken(destination)
        if reason is not None:
            hint = 'To archive it beside that one, send "on_existing": "new_version".'
            raise Conflict("destination-exists", f"{reason}. {hint}", destination=destination)

    def _row(self, folder: Folder, on_existing: OnExisting, username: str) -> dict[str, object]:
        return {
            "id": str(uuid.uuid4()),
            "folder_name": folder.name,
            "level1": folder.level1,
            "level2": folder.level2,
            "source_path": folder.path,
            "globus_destination_path": destination_of(folder, self._destination_base_path),
            "on_existing": on_existing,
            "folder_size_bytes": folder.size_bytes,
            "folder_file_count": folder.file_count,
            "created_by": username,
        }

    def _view(self, job: Job) -> JobView:
        news = self._bus.latest(job.id)
        if news is None:
            return JobView(job, _NO_NEWS)
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


def destination_of(folder: Folder, base_path: str) -> str:
    """Where the archive goes in the destination collection: /level1/level2/name.tar.7z below `base_path`."""
    path = f"{base_path}/{folder.level1}/{folder.level2}/{folder.name}.tar.7z"
    return "/" + "/".join(part for part in path.split("/") if part)


def _require_cancellable(job: Job) -> None:
    if job.status in FINAL:
        raise Conflict("already-ended", f"This job is {job.status} already.")
    if job.status not in CANCELLABLE:
        raise Conflict(
            "deletion-has-begun",
            "The archive is verified and the deletion of the source has begun: it can only be finished.",
        )
