"""What follows when a stage failed: wait, try again, make room, or give the job up; and that it is said."""

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

from cs_archiver.bus import Bus
from cs_archiver.clock import now_text
from cs_archiver.db.database import DatabaseFull
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import JobUpdate, LogLevel, QueueUpdate, Retried, StepProgress
from cs_archiver.domain.job import HELD, Job
from cs_archiver.domain.retry import Again, Operation, RetryPolicy, after_failure, operation_of
from cs_archiver.domain.states import FINAL, JobStatus, WorkerName, restart_of, step_name, worker_of, worker_serving
from cs_archiver.errors import (
    ConnectionTrouble,
    DiskFull,
    Halted,
    JobError,
    JobMovedMeanwhile,
    NeedsOperator,
    NoRoom,
    NotYet,
    Permanent,
    Temporary,
)
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.workers.report import log_line, moved_and_told

_FIGURES = re.compile(r"\(request [^)]*\)|[\d.]+( [kMGTP]?B\b)?")  # a wait is not told again when only these changed

Outage = Callable[[], Awaitable[str | None]]
"""Says why Globus is out of reach for every job, None when it answers."""


def _filled_the_disk(job: Job, error: JobError) -> bool:
    """Then it needs more room than was thought."""
    return isinstance(error, DiskFull) and not isinstance(error, NoRoom) and job.status is not JobStatus.QUEUED


class Aftermath:
    def __init__(
        self,
        *,
        queue: Queue,
        jobs: Jobs,
        bus: Bus,
        policy: RetryPolicy,
        set_aside: SetAside,
        outage: Outage,
        recheck_seconds: float,
    ) -> None:
        self._queue = queue
        self._jobs = jobs
        self._bus = bus
        self._policy = policy
        self._set_aside = set_aside
        self._outage = outage
        self._recheck_seconds = recheck_seconds
        self._cleared: dict[tuple[str, JobStatus], JobError] = {}  # for a full disk, which is not recorded yet
        self._gave_up_on: dict[JobStatus, str] = {}  # the last job that ended for want of a connection

    async def of(self, job: Job, error: JobError) -> None:
        """Record what comes next for this job. Raises JobMovedMeanwhile, and NeedsOperator for the database."""
        if job.cancel_requested_by is not None:
            await self._hold(job, error)  # it goes nowhere but to cancelled, as soon as that can be done
            return
        match error := self._cleared.get((job.id, job.status), error):
            case NotYet():
                await self._wait(job, str(error), error.problem)
            case DiskFull() | DatabaseFull() if await self._is_of_our_disk(error):
                await self._wait_for_space(job, error)
            case NeedsOperator():
                await self._hold(job, error)
            case Temporary() if job.status is JobStatus.DELETING_SOURCE:
                await self._hold(job, error)  # it cannot be retried by hand, so it is not given up for this
            case ConnectionTrouble():
                await self._connect_again(job, error)
            case Temporary():
                await self._retry(job, error)
            case _:
                await self._fail(job, error)

    async def halt(self, job: Job, why: Halted) -> None:
        """Have it wait until it is let go on, which is looked for all the time. Raises as `of` does."""
        text = str(why)
        if (text, why.problem, why.until) == (job.current_operation, job.error_problem, job.not_before):
            return
        if text != job.current_operation:
            await self._tell(job, text, LogLevel.INFO)
        facts = {"current_operation": text, "error_problem": why.problem, "not_before": why.until}
        self.publish(await self._queue.checkpoint(job, progress_percent=job.progress_percent, **facts))

    def publish(self, job: Job) -> None:
        """Tell whoever listens what the job is now."""
        self._bus.publish(JobUpdate(job.id, job.status, job.progress_percent, job.current_operation, StepProgress()))
        self._bus.publish(QueueUpdate(None if job.status in FINAL else worker_serving(job.status)))

    async def _hold(self, job: Job, error: JobError) -> None:
        await self._wait(job, f"{HELD}{error}", error.problem, level=LogLevel.WARNING)

    async def _wait(self, job: Job, operation: str, problem: str, *, level: LogLevel = LogLevel.INFO) -> None:
        """Keep the state, say why, and look again after a while; told once, not every time."""
        if _FIGURES.sub("", job.current_operation or "") != _FIGURES.sub("", operation):
            await self._tell(job, operation, level)
        waiting = await self._queue.checkpoint(
            job,
            progress_percent=job.progress_percent,
            current_operation=operation,
            error_problem=problem,
            not_before=self._later(),
        )
        self.publish(waiting)

    async def _is_of_our_disk(self, error: JobError) -> bool:
        return not isinstance(error, DatabaseFull) or await self._set_aside.may_make_room()

    async def _wait_for_space(self, job: Job, error: JobError) -> None:
        """A full disk is no failure: what was written goes, and the job queues for more room than before.

        It goes first, since on one disk with the database nothing can be recorded before.
        """
        if worker_of(job.status) is WorkerName.TRANSFER or job.status is JobStatus.AWAITING_UPLOAD:
            await self._hold(job, error)
            return
        self._cleared[job.id, job.status] = error  # should the database not take it, the next error has this reason
        await self._keep_going(job, self._set_aside.clear(job))
        await self._tell(job, f"{error}: waiting for disk space", LogLevel.WARNING)
        changes: dict[str, object] = {
            "progress_percent": job.progress_percent,
            "current_operation": "Waiting for disk space",
            "error_problem": error.problem,
            "disk_was_full": max(1, job.disk_was_full + _filled_the_disk(job, error)),
            "not_before": self._later(),
        }
        if job.status is JobStatus.QUEUED:
            self.publish(await self._queue.checkpoint(job, **changes))
        else:
            self.publish(await self._queue.move(job, JobStatus.QUEUED, changes))
        del self._cleared[job.id, job.status]

    async def _retry(self, job: Job, error: Temporary) -> None:
        operation = operation_of(job.status, connection_trouble=False)
        again = after_failure(self._policy, operation, retries_so_far=job.retry_count)
        if again is None:
            await self._give_up(job, error, job.retry_count)
        else:
            await self._try_again(job, error, again, "retry_count")

    async def _connect_again(self, job: Job, error: ConnectionTrouble) -> None:
        """With the retries used up: an outage is waited for, and trouble of this job alone ends it.

        An outage may have ended since this job's last attempt, so that one more tells the two apart.
        """
        retries = job.connection_retries
        again = after_failure(self._policy, Operation.CONNECTION, retries_so_far=retries)
        limit = self._policy.limits[Operation.CONNECTION]
        if again is None:
            outage = await self._outage()
            if outage is not None:
                await self._hold(job, NeedsOperator(f"Globus is out of reach: {outage}", problem=error.problem))
                return
            again = None if retries > limit else Again(retries + 1, limit + 1, 0.0)
        if again is None and self._gave_up_on.get(job.status, job.id) != job.id:
            # The one before ended like this too: it is not the job.
            await self._hold(job, NeedsOperator(f"Globus does not do its work: {error}", problem=error.problem))
            return
        if again is None:
            self._gave_up_on[job.status] = job.id
            await self._give_up(job, error, retries)
        else:
            await self._try_again(job, error, again, "connection_retries")

    def done(self, job: Job) -> None:
        """The stage of this job's state has done its work: Globus does what it asks, and the disk has room."""
        self._gave_up_on.pop(job.status, None)
        self._cleared.pop((job.id, job.status), None)

    async def _try_again(self, job: Job, error: Temporary, again: Again, counter: str) -> None:
        text = f"Retry {again.number}/{again.limit} in {again.delay_seconds:g} s: {error}"
        await self._tell(job, text, LogLevel.WARNING)
        is_connection = counter == "connection_retries"
        self._bus.publish(Retried(job.id, operation_of(job.status, connection_trouble=is_connection)))
        changes: dict[str, object] = {
            counter: again.number,
            "progress_percent": job.progress_percent,
            "current_operation": text,
            "error_message": str(error),
            "error_problem": error.problem,
            "not_before": now_text(after=timedelta(seconds=again.delay_seconds)),
        }
        start = restart_of(job.status) if error.start_over else job.status
        if start is job.status:
            self.publish(await self._queue.checkpoint(job, **changes))
        else:
            self.publish(await self._queue.move(job, start, changes))

    async def _give_up(self, job: Job, error: JobError, retries: int) -> None:
        after = f"after {retries} retries: " if retries else ""
        await self._fail(job, Permanent(f"{after}{error}", problem=error.problem))

    async def _fail(self, job: Job, error: JobError) -> None:
        await self._keep_going(job, self._set_aside.keep(job, str(error)))
        changes = {
            "progress_percent": job.progress_percent,
            "error_message": str(error),
            "error_problem": error.problem,
            "current_operation": step_name(JobStatus.FAILED),
        }
        said = [(LogLevel.ERROR, f"Job failed: {error}")]
        try:
            failed = await moved_and_told(self._queue, self._bus, job, JobStatus.FAILED, changes, said)
        except JobMovedMeanwhile:
            await self._discard_if_cancelled(job)
            raise
        self.publish(failed)

    async def _discard_if_cancelled(self, job: Job) -> None:
        """Somebody cancelled it at once while it waited, and what was set aside since came too late for that."""
        if (await self._queue.get(job.id)).status is JobStatus.CANCELLED:
            others_archive = await self._jobs.is_archive_of_another(job)
            await self._keep_going(job, self._set_aside.discard(job, others_archive=others_archive))

    async def _keep_going(self, job: Job, tidying: Awaitable[None]) -> None:
        try:
            await tidying
        except JobError as problem:
            await self._tell(job, f"Not all of its local files could be put away: {problem}", LogLevel.WARNING)

    async def _tell(self, job: Job, message: str, level: LogLevel = LogLevel.INFO) -> None:
        await log_line(self._jobs, self._bus, job.id, message, level)

    def _later(self) -> str:
        return now_text(after=timedelta(seconds=self._recheck_seconds))
