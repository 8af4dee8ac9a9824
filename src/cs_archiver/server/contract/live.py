"""What is sent over the WebSocket: the state first, then what changes."""

from collections.abc import Iterable
from typing import Annotated, Literal, Self

from pydantic import Field

from cs_archiver.domain.events import FoldersUpdate as ScanEvent
from cs_archiver.domain.events import LogAdded, LogLevel
from cs_archiver.domain.states import JobStatus, WorkerName
from cs_archiver.server.contract.base import Answer, JobId, Moment, Query, WholePercent
from cs_archiver.server.contract.jobs import JobLine, Queue, Step
from cs_archiver.services.jobs import JobView, QueueView


class LiveQuery(Query):
    token: Annotated[
        str | None, Field(description="For clients that cannot send an Authorization header; never logged.")
    ] = None


class Message(Answer):
    """One message but for its number: all who listen get the same bytes, each with a number of its own behind them."""

    def body(self) -> bytes:
        return self.model_dump_json().encode()


def numbered(body: bytes, seq: int) -> bytes:
    """The message as one connection gets it; `seq` counts from 1."""
    return b'%b,"seq":%d}' % (body[:-1], seq)


class Snapshot(Message):
    """Every job that has not ended, the newest first, and the queue."""

    type: Literal["snapshot"] = "snapshot"
    jobs: list[JobLine]
    queue: Queue

    @classmethod
    def of(cls, jobs: Iterable[JobView], queue: QueueView) -> Self:
        return cls(jobs=[JobLine.of(view) for view in jobs], queue=Queue.of(queue))


class JobUpdate(Message, Step):
    """A job moved, progressed, or says something new about its present operation."""

    type: Literal["job_update"] = "job_update"
    job_id: JobId
    status: JobStatus
    progress_percent: WholePercent
    current_operation: str

    @classmethod
    def of(cls, view: JobView) -> Self:
        line = JobLine.of(view)
        return cls(**{name: getattr(line, name) for name in cls.model_fields if name != "type"})


class QueueUpdate(Message):
    """What a worker has in hand, or the order of the queue, changed; `queue_length` counts the jobs still queued."""

    type: Literal["queue_update"] = "queue_update"
    queue_length: int
    current_copy_compress_job: JobId | None
    current_upload_job: JobId | None

    @classmethod
    def of(cls, view: QueueView) -> Self:
        in_hand = {worker: None if job is None else job.job.id for worker, job in view.current.items()}
        return cls(
            queue_length=len(view.waiting[WorkerName.LOCAL]),
            current_copy_compress_job=in_hand[WorkerName.LOCAL],
            current_upload_job=in_hand[WorkerName.TRANSFER],
        )


class FoldersUpdate(Message):
    """A scan of the NAS began or ended: `GET /api/folders` and `GET /api/folders/scan` tell the rest."""

    type: Literal["folders_update"] = "folders_update"
    scanning: bool

    @classmethod
    def of(cls, event: ScanEvent) -> Self:
        return cls(scanning=event.scanning)


class Log(Message):
    """A line was added to the log of a job."""

    type: Literal["log"] = "log"
    job_id: JobId
    timestamp: Moment
    level: LogLevel
    message: str

    @classmethod
    def of(cls, added: LogAdded) -> Self:
        return cls(job_id=added.job_id, timestamp=added.timestamp, level=added.level, message=added.message)
