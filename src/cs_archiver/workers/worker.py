"""A worker: takes the next job, runs the stage of its state, and records what came of it."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Mapping
from datetime import timedelta
from typing import Any

from cs_archiver.bus import Bus, QueueBell
from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import JobUpdate, LogLevel, QueueUpdate, StepProgress
from cs_archiver.domain.job import Job
from cs_archiver.domain.progress import job_percent
from cs_archiver.domain.retry import RetryPolicy, after_failure, operation_of
from cs_archiver.domain.states import JobStatus, WorkerName, restart_of, step_name, worker_of
from cs_archiver.errors import (
    ConnectionTrouble,
    DiskFull,
    JobError,
    JobMovedMeanwhile,
    NeedsOperator,
    NotYet,
    Permanent,
    Temporary,
)
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.stage import Advance, Stage
from cs_archiver.workers.report import JobReport, log_line

_LOOK_SECONDS = 5.0  # the bell is news, and news may be lost: look at the queue this often in any case

_FIGURES = re.compile(r"[\d.]+")  # a wait whose figures alone changed is not told again

_log = logging.getLogger(__name__)


class Worker:
    """Serves the states of one worker, one job at a time, first in, first out."""

    def __init__(
        self,
        name: WorkerName,
        stages: Mapping[JobStatus, Stage],
        *,
        queue: Queue,
        jobs: Jobs,
        bus: Bus,
        policy: RetryPolicy,
        cancel: Stage,
        set_aside: SetAside,
        recheck_seconds: float,
    ) -> None:
        self.name = name
        self._stages = stages
        self._queue = queue
        self._jobs = jobs
        self._bus = bus
        self._policy = policy
        self._cancel = cancel
        self._set_aside = set_aside
        self._recheck_seconds = recheck_seconds

    async def run(self) -> None:
        """Until cancelled. A stage that is cancelled ends its tools before this returns."""
        with QueueBell.listening(self._bus) as bell:
            while True:
                try:
                    await self._take_turn(bell)
                except NeedsOperator as error:
                    # The database itself: nothing can be recorded, so nothing is begun until it works again.
                    _log.error("worker %s waits: %s", self.name, error)
                    await bell.wait(self._recheck_seconds)

    async def _take_turn(self, bell: QueueBell) -> None:
        job = await self._queue.next_for(self.name)
        wait_seconds = _LOOK_SECONDS if job is None else _seconds_until(job.not_before)
        if job is None or wait_seconds > 0:
            await bell.wait(min(wait_seconds, _LOOK_SECONDS))
        else:
            await self._serve(job, bell)

    async def _serve(self, job: Job, bell: QueueBell) -> None:
        try:
            await self._run_stage(job, bell)
        except JobMovedMeanwhile as error:
            _log.info("%s: what comes next is looked at anew", error)

    async def _run_stage(self, job: Job, bell: QueueBell) -> None:
        report = JobReport(job, bus=self._bus, jobs=self._jobs, queue=self._queue)
        try:
            async with report.running():
                advance = await self._until_done_or_cancelled(job, report, bell)
            if advance is not None:
                await self._advance(job, advance, report)
        except JobError as error:
            await self._after(report.newest(job), error)
        except JobMovedMeanwhile:
            raise
        except Exception as error:  # noqa: BLE001  the one place: a bug in a stage must not end the worker
            _log.exception("job_id=%s unexpected error while %s", job.id, job.status)
            failure = Permanent(f"unexpected error: {error!r}", problem="unexpected-error")
            await self._fail(report.newest(job), failure)

    async def _until_done_or_cancelled(self, job: Job, report: JobReport, bell: QueueBell) -> Advance | None:
        """What the stage came to; None once it has ended because somebody asked to cancel the job."""
        if job.cancel_requested_by is not None:
            return await self._cancel.run(job, report)
        stage = asyncio.create_task(self._stages[job.status].run(job, report), name=f"{job.status} {job.id}")
        asked = asyncio.create_task(self._cancel_requested(job, bell), name=f"cancel {job.id}")
        try:
            await asyncio.wait({stage, asked}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _end_tasks(asked, *([] if stage.done() else [stage]))
        if not stage.cancelled():
            return stage.result()
        if asked.cancelled():
            raise RuntimeError(f"the stage of {job.status} cancelled itself")
        asked.result()  # raises what kept it from looking
        return None

    async def _cancel_requested(self, job: Job, bell: QueueBell) -> None:
        while True:
            now = await self._queue.get(job.id)
            if now.cancel_requested_by is not None or now.status is not job.status:
                return
            await bell.wait(_LOOK_SECONDS)

    async def _advance(self, job: Job, advance: Advance, report: JobReport) -> None:
        changes: dict[str, object] = {
            "progress_percent": job_percent(advance.to, None, at_least=report.percent),
            "current_operation": step_name(advance.to),
            "error_message": None,
            "error_problem": None,
        }
        if advance.to is JobStatus.AWAITING_UPLOAD:  # another kind of operation, with retries of its own
            changes |= {"retry_count": 0, "disk_was_full": 0}
        changes.update(advance.changes)
        moved = await self._queue.move(job, advance.to, changes, also=advance.also)
        self._publish(moved)

    async def _after(self, job: Job, error: JobError) -> None:
        match error:
            case NotYet():
                await self._wait(job, str(error), error.problem)
            case NeedsOperator():
                await self._wait(job, f"Held: {error}", error.problem, level=LogLevel.WARNING)
            case DiskFull():
                await self._wait_for_space(job, error)
            case Temporary():
                await self._retry(job, error)
            case _:
                await self._fail(job, error)

    async def _wait(self, job: Job, operation: str, problem: str, *, level: LogLevel = LogLevel.INFO) -> None:
        """Keep the state, say why, and look again after a while; told once, not every time."""
        if _FIGURES.sub("", job.current_operation or "") != _FIGURES.sub("", operation):
            await self._tell(job, operation, level)
        waiting = await self._queue.checkpoint(
            job,
            progress_percent=job.progress_percent,
            current_operation=operation,
            error_problem=problem,
            not_before=now_text(after=timedelta(seconds=self._recheck_seconds)),
        )
        self._publish(waiting)

    async def _wait_for_space(self, job: Job, error: DiskFull) -> None:
        """A full disk is no failure: what was written goes, and the job queues for twice its size."""
        if worker_of(job.status) is WorkerName.TRANSFER or job.status is JobStatus.AWAITING_UPLOAD:
            await self._wait(job, f"Held: {error}", error.problem, level=LogLevel.WARNING)
            return
        await self._keep_going(job, self._set_aside.clear(job))
        await self._tell(job, f"{error}: waiting for disk space", LogLevel.WARNING)
        changes: dict[str, object] = {
            "progress_percent": job.progress_percent,
            "current_operation": "Waiting for disk space",
            "error_problem": error.problem,
            "disk_was_full": 1,
            "not_before": now_text(after=timedelta(seconds=self._recheck_seconds)),
        }
        if job.status is JobStatus.QUEUED:
            self._publish(await self._queue.checkpoint(job, **changes))
        else:
            self._publish(await self._queue.move(job, JobStatus.QUEUED, changes))

    async def _retry(self, job: Job, error: Temporary) -> None:
        lost_connection = isinstance(error, ConnectionTrouble)
        operation = operation_of(job.status, connection_trouble=lost_connection)
        counter = "connection_retries" if lost_connection else "retry_count"
        retries = job.connection_retries if lost_connection else job.retry_count
        again = after_failure(self._policy, operation, retries_so_far=retries)
        if again is None:
            after = f"after {retries} retries: " if retries else ""
            await self._fail(job, Permanent(f"{after}{error}", problem=error.problem))
            return
        text = f"Retry {again.number}/{again.limit} in {again.delay_seconds:g} s: {error}"
        await self._tell(job, text, LogLevel.WARNING)
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
            self._publish(await self._queue.checkpoint(job, **changes))
        else:
            self._publish(await self._queue.move(job, start, changes))

    async def _fail(self, job: Job, error: JobError) -> None:
        await self._tell(job, f"Job failed: {error}", LogLevel.ERROR)
        await self._keep_going(job, self._set_aside.keep(job, str(error)))
        changes = {
            "progress_percent": job.progress_percent,
            "error_message": str(error),
            "error_problem": error.problem,
            "current_operation": step_name(JobStatus.FAILED),
        }
        self._publish(await self._queue.move(job, JobStatus.FAILED, changes))

    async def _keep_going(self, job: Job, tidying: Awaitable[None]) -> None:
        try:
            await tidying
        except JobError as problem:
            await self._tell(job, f"Its local files stay where they are: {problem}", LogLevel.WARNING)

    async def _tell(self, job: Job, message: str, level: LogLevel = LogLevel.INFO) -> None:
        await log_line(self._jobs, self._bus, job.id, message, level)

    def _publish(self, job: Job) -> None:
        self._bus.publish(JobUpdate(job.id, job.status, job.progress_percent, job.current_operation, StepProgress()))
        self._bus.publish(QueueUpdate())


async def _end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel and wait, even when this is cancelled once more: a stage must have ended its tools first."""
    for task in tasks:
        task.cancel()
    ending = asyncio.gather(*tasks, return_exceptions=True)
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await ending
        raise


def _seconds_until(moment: str | None) -> float:
    return 0.0 if moment is None else elapsed(now_text(), moment).total_seconds()
