"""A worker: takes the next job, runs the stage of its state, and records what came of it."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from cs_archiver.bus import Bus, QueueBell
from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.database import DatabaseUnhealthy
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.progress import job_percent
from cs_archiver.domain.states import JobStatus, WorkerName, step_name
from cs_archiver.errors import (
    Halted,
    JobError,
    JobMovedMeanwhile,
    NeedsOperator,
    Permanent,
    Temporary,
)
from cs_archiver.logs.context import about
from cs_archiver.stages.stage import Advance, Stage
from cs_archiver.tools.threads import is_for_want_of_threads
from cs_archiver.workers.aftermath import Aftermath
from cs_archiver.workers.leave import Leave
from cs_archiver.workers.report import JobReport, moved_and_told

_LOOK_SECONDS = 5.0  # the bell is news, and news may be lost: look at the queue this often in any case

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
        cancel: Stage,
        aftermath: Aftermath,
        leave: Leave,
        recheck_seconds: float,
        longest_wait_seconds: float,
    ) -> None:
        self.name = name
        self._stages = stages
        self._queue = queue
        self._jobs = jobs
        self._bus = bus
        self._cancel = cancel
        self._aftermath = aftermath
        self._leave = leave
        self._recheck_seconds = recheck_seconds
        self._longest_wait_seconds = longest_wait_seconds

    async def run(self) -> None:
        """Until cancelled. A stage that is cancelled ends its tools before this returns."""
        with QueueBell.listening(self._bus, self.name) as bell:
            while True:
                try:
                    await self._take_turn(bell)
                except NeedsOperator as error:
                    # The database itself: nothing can be recorded, so nothing is begun until it works again.
                    _log.error("worker %s waits: %s", self.name, error)
                    await bell.wait(self._recheck_seconds)

    async def _take_turn(self, bell: QueueBell) -> None:
        bell.hush()  # what rang until now is in what is read next
        job = await self._queue.next_for(self.name)
        if job is not None and await self._is_halted(job):
            await bell.wait(_LOOK_SECONDS)
            return
        wait_seconds = _LOOK_SECONDS if job is None else _seconds_until(job.not_before)
        if job is not None and wait_seconds > self._longest_wait_seconds:
            wait_seconds = 0.0  # nobody waits that long: the clock was set back
        if job is None or wait_seconds > 0:
            await bell.wait(min(wait_seconds, _LOOK_SECONDS))
        else:
            await self._serve(job, bell)

    async def _is_halted(self, job: Job) -> bool:
        why = await self._leave.refused(job)
        if why is None:
            return False
        try:
            await self._aftermath.halt(job, why)
        except JobMovedMeanwhile as error:
            _log.info("%s: what comes next is looked at anew", error)
        return True

    async def _serve(self, job: Job, bell: QueueBell) -> None:
        with about(job=job.id, user=job.created_by):
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
        except Halted as why:
            await self._aftermath.halt(report.newest(job), why)
        except JobError as error:
            await self._aftermath.of(report.newest(job), error)
        except JobMovedMeanwhile:
            raise
        except Exception as error:  # noqa: BLE001  the one place: a bug in a stage must not end the worker
            if isinstance(error, OSError | MemoryError) or is_for_want_of_threads(error):
                await self._aftermath.of(report.newest(job), _unforeseen(job, error))
                return
            _log.exception("unexpected error while %s", job.status)
            failure = Permanent(f"unexpected error: {error!r}", problem="unexpected-error")
            await self._aftermath.of(report.newest(job), failure)

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
            await bell.wait(_LOOK_SECONDS)
            try:
                now = await self._queue.get(job.id)
            except DatabaseUnhealthy:  # no reason to end hours of work, which tells of it as soon as it writes
                continue
            if now.cancel_requested_by is not None or now.status is not job.status:
                return

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
        said = [(LogLevel.INFO, line) for line in advance.said]
        moved = await moved_and_told(self._queue, self._bus, job, advance.to, changes, said, advance.also)
        self._aftermath.done(job)
        self._aftermath.publish(moved)


def _unforeseen(job: Job, error: Exception) -> JobError:
    """The system refused something that no stage translated."""
    what = str(error) or type(error).__name__  # of want of memory Python says nothing more
    return Temporary(f"the system refused something while {job.status}: {what}", problem="system-error")


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
