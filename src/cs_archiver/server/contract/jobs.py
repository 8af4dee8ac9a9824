"""Asking for a folder to be archived, and what can be seen of its job."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, ConfigDict, Field

from cs_archiver.db import jobs
from cs_archiver.domain.events import StepProgress
from cs_archiver.domain.job import Job, OnExisting
from cs_archiver.domain.states import JobStatus, WorkerName, step_name
from cs_archiver.server.contract.base import (
    Answer,
    Body,
    ByteCount,
    JobId,
    Moment,
    Percent,
    WholePercent,
)
from cs_archiver.server.contract.text import NO_NUL, storable
from cs_archiver.services.jobs import JobView, LineView, QueueView

_LONGEST_PATH = 4096  # Linux PATH_MAX
EXAMPLE_PATH = "/mnt/qnap/CitySpace Tech Team/Production/2024/Project_Alpha"


FolderPath = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_LONGEST_PATH,
        json_schema_extra={"pattern": NO_NUL},
        description="The path of a listed folder, exactly as it is listed.",
    ),
    AfterValidator(storable),
]


class NewJob(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"folder_path": EXAMPLE_PATH}]})

    folder_path: FolderPath
    on_existing: Annotated[
        OnExisting, Field(description="What to do when the destination has an archive of this name already.")
    ] = OnExisting.FAIL


class SubmittedJob(Answer):
    job_id: JobId
    status: JobStatus
    folder_name: str
    created_at: Moment

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job_id=job.id, status=job.status, folder_name=job.folder_name, created_at=job.created_at)


class RetriedJob(Answer):
    job_id: JobId
    status: JobStatus
    retry_count: int

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(job_id=job.id, status=job.status, retry_count=job.retry_count)


class Step(Answer):
    """How far the present step is; null is unknown."""

    step: Annotated[str, Field(examples=["Step 2/3: Compressing"])]
    step_percent: Percent | None
    bytes_done: ByteCount | None
    bytes_total: ByteCount | None
    rate_bytes_per_second: float | None
    eta_seconds: float | None
    step_started_at: Moment | None


class JobLine(Step):
    """A job in the list."""

    job_id: JobId
    folder_name: str
    status: JobStatus
    progress_percent: Annotated[WholePercent, Field(description="Of the whole job; never falls within one run.")]
    current_operation: str
    created_by: str
    created_at: Moment
    started_at: Moment | None
    completed_at: Moment | None
    error_message: str | None

    @classmethod
    def of(cls, view: JobView) -> Self:
        return cls(**_line(view))

    @classmethod
    def as_json(cls, line: LineView) -> str:
        """One line of a long list: nothing is made of a job of which there is no news."""
        if line.news is None:
            return line.text
        job = cls.model_validate_json(line.text)
        percent, operation, step = line.news.added_to(job.status, job.progress_percent, job.current_operation)
        newest = {"progress_percent": percent, "current_operation": operation, **_measured(step)}
        return job.model_copy(update=newest).model_dump_json()


class JobInFull(JobLine):
    """Everything about one job."""

    source_path: str
    globus_destination_path: str
    folder_size_bytes: ByteCount | None
    archive_size_bytes: ByteCount | None
    retry_count: Annotated[int, Field(description="Of the present operation.")]
    globus_task_id: str | None

    @classmethod
    def of(cls, view: JobView) -> Self:
        job = view.job
        return cls(
            **_line(view),
            source_path=job.source_path,
            globus_destination_path=job.globus_destination_path,
            folder_size_bytes=job.folder_size_bytes,
            archive_size_bytes=job.archive_size_bytes,
            retry_count=job.retry_count,
            globus_task_id=job.globus_task_id,
        )


class HistoryLine(Answer):
    from_status: Annotated[JobStatus | None, Field(description="Null for the first line.")]
    to_status: JobStatus
    at: Moment

    @classmethod
    def of(cls, line: jobs.HistoryLine) -> Self:
        before = None if line.from_status is None else JobStatus(line.from_status)
        return cls(from_status=before, to_status=JobStatus(line.to_status), at=line.at)


class CurrentJob(Step):
    """What a worker has in hand."""

    job_id: JobId
    folder_name: str
    status: JobStatus
    progress_percent: WholePercent

    @classmethod
    def of(cls, view: JobView | None) -> Self | None:
        if view is None:
            return None
        job = view.job
        return cls(
            job_id=job.id,
            folder_name=job.folder_name,
            status=job.status,
            progress_percent=job.progress_percent,
            **_step(view),
        )


class WaitingJob(Answer):
    """A job that stands in line; `position` counts from 1."""

    job_id: JobId
    folder_name: str
    position: int

    @classmethod
    def in_line(cls, waiting: list[Job]) -> list[Self]:
        return [
            cls(job_id=job.id, folder_name=job.folder_name, position=position)
            for position, job in enumerate(waiting, start=1)
        ]


class Queue(Answer):
    current_copy_compress_job: CurrentJob | None
    current_upload_job: CurrentJob | None
    awaiting_upload_jobs: list[WaitingJob]
    queued_jobs: list[WaitingJob]

    @classmethod
    def of(cls, view: QueueView) -> Self:
        return cls(
            current_copy_compress_job=CurrentJob.of(view.current[WorkerName.LOCAL]),
            current_upload_job=CurrentJob.of(view.current[WorkerName.TRANSFER]),
            awaiting_upload_jobs=WaitingJob.in_line(view.waiting[WorkerName.TRANSFER]),
            queued_jobs=WaitingJob.in_line(view.waiting[WorkerName.LOCAL]),
        )


def _line(view: JobView) -> dict[str, Any]:
    job = view.job
    return {
        "job_id": job.id,
        "folder_name": job.folder_name,
        "status": job.status,
        "progress_percent": job.progress_percent,
        "current_operation": job.current_operation or step_name(job.status),
        "created_by": job.created_by,
        "created_at": job.created_at,
        "started_at": job.started_at,
        "completed_at": job.completed_at,
        "error_message": job.error_message,
        **_step(view),
    }


def _step(view: JobView) -> dict[str, Any]:
    return {
        "step": step_name(view.job.status),
        **_measured(view.step),
        "step_started_at": view.job.step_started_at,
    }


def _measured(step: StepProgress) -> dict[str, Any]:
    return {
        "step_percent": _rounded(step.percent),
        "bytes_done": step.bytes_done,
        "bytes_total": step.bytes_total,
        "rate_bytes_per_second": _rounded(step.rate_bytes_per_second),
        "eta_seconds": _rounded(step.eta_seconds),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
