"""How a running stage is heard: its log, and its progress on the bus and, now and then, in the database."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from cs_archiver.bus import Bus
from cs_archiver.db.connection import Connection
from cs_archiver.db.jobs import Jobs, log
from cs_archiver.db.queue import AlsoWrite, Queue
from cs_archiver.domain.events import JobUpdate, LogAdded, LogLevel, StepProgress
from cs_archiver.domain.job import Job
from cs_archiver.domain.progress import StepMeter, job_percent
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import JobMovedMeanwhile, NeedsOperator
from cs_archiver.logs.context import about

_PUBLISH_SECONDS = 0.2
_STORE_SECONDS = 2.0

_log = logging.getLogger(__name__)


class JobReport:
    """A stage's Report. Progress is news: published a few times a second, stored every few seconds."""

    def __init__(self, job: Job, *, bus: Bus, jobs: Jobs, queue: Queue) -> None:
        self._job = job
        self._bus = bus
        self._jobs = jobs
        self._queue = queue
        self._meter = StepMeter()
        self._step = StepProgress()
        self._operation = job.current_operation
        self._percent = job.progress_percent
        self._changed = True
        self._connection_retries = job.connection_retries
        self._recorded: dict[str, Any] = {}

    def newest(self, job: Job) -> Job:
        """The job as it was read, with what became known since."""
        return job._replace(
            progress_percent=self._percent, connection_retries=self._connection_retries, **self._recorded
        )

    @property
    def percent(self) -> int:
        return self._percent

    async def log(self, message: str, level: LogLevel = LogLevel.INFO) -> None:
        await log_line(self._jobs, self._bus, self._job.id, message, level)

    async def log_all(self, lines: Sequence[tuple[LogLevel, str]]) -> None:
        timestamp = await self._jobs.log_all(self._job.id, lines)
        for level, message in lines:
            _tell(self._bus, LogAdded(self._job.id, timestamp, level, message))

    async def record(self, **facts: object) -> None:
        await self._queue.checkpoint(self._job, **facts)
        self._recorded.update(facts)

    async def recovered(self) -> None:
        if self._connection_retries:
            self._connection_retries = 0
            await self._queue.checkpoint(self._job, connection_retries=0)

    def operation(self, text: str) -> None:
        self._operation = text
        self._meter = StepMeter()
        self._step = StepProgress()
        self._changed = True

    def progress(
        self,
        *,
        bytes_done: int | None = None,
        bytes_total: int | None = None,
        percent: float | None = None,
        operation: str | None = None,
    ) -> None:
        self._operation = operation or self._operation
        self._step = self._meter.reading(
            time.monotonic(), bytes_done=bytes_done, bytes_total=bytes_total, percent=percent
        )
        self._percent = job_percent(self._job.status, self._step.percent, at_least=self._percent)
        self._changed = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the stage runs, pass on what it tells."""
        stop = asyncio.Event()
        ticker = asyncio.create_task(self._tick(stop), name=f"report of job {self._job.id}")
        try:
            yield
        finally:
            stop.set()
            await ticker

    async def _tick(self, stop: asyncio.Event) -> None:
        stored_at = time.monotonic()
        stored = (self._job.progress_percent, self._job.current_operation)
        while not stop.is_set():
            self._publish_if_changed()
            if time.monotonic() - stored_at >= _STORE_SECONDS and stored != (self._percent, self._operation):
                stored_at, stored = time.monotonic(), (self._percent, self._operation)
                await self._store()
            with contextlib.suppress(TimeoutError):  # not wait_for: before 3.12 it may swallow a cancellation
                async with asyncio.timeout(_PUBLISH_SECONDS):
                    await stop.wait()

    def _publish_if_changed(self) -> None:
        if not self._changed:
            return
        self._changed = False
        job = self._job
        self._bus.publish(JobUpdate(job.id, job.status, self._percent, self._operation, self._step))

    async def _store(self) -> None:
        try:
            await self._queue.checkpoint(self._job, progress_percent=self._percent, current_operation=self._operation)
        except (JobMovedMeanwhile, NeedsOperator) as error:
            # Progress in the database is a convenience: not storing it must not disturb the job.
            _log.warning("the progress was not stored: %s", error)


async def log_line(jobs: Jobs, bus: Bus, job_id: str, message: str, level: LogLevel) -> None:
    """Append to the job's log, to the service's own log, and tell whoever listens."""
    _tell(bus, LogAdded(job_id, await jobs.log(job_id, level, message), level, message))


async def moved_and_told(
    queue: Queue,
    bus: Bus,
    job: Job,
    to: JobStatus,
    changes: Mapping[str, Any],
    said: Sequence[tuple[LogLevel, str]],
    also: AlsoWrite | None = None,
) -> Job:
    """Move the job, with these lines of its log and whatever else in one transaction; the lines are told after it.

    Raises as `Queue.move` does.
    """
    written: list[LogAdded] = []

    async def with_its_lines(connection: Connection, moved: Job) -> None:
        if also is not None:
            await also(connection, moved)
        for level, message in said:
            written.append(LogAdded(job.id, await log(connection, job.id, level, message), level, message))

    moved = await queue.move(job, to, changes, also=with_its_lines)
    for line in written:
        _tell(bus, line)
    return moved


def _tell(bus: Bus, line: LogAdded) -> None:
    """What `log_line` does once the line is in the job's log."""
    with about(job=line.job_id):
        _log.log(logging.getLevelName(line.level.value), "%s", line.message)
    bus.publish(line)
