"""The shapes of the answers, key by key as clients know them (PRD, section 5)."""

from collections.abc import Sequence
from typing import Any

from cs_archiver.clock import now_text
from cs_archiver.db.accounts import User
from cs_archiver.db.jobs import HistoryLine, LogLine
from cs_archiver.domain.events import StepProgress
from cs_archiver.domain.folders import Folder
from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.space import GIB
from cs_archiver.domain.states import JobStatus, WorkerName, step_name
from cs_archiver.services.accounts import Session
from cs_archiver.services.jobs import JobView, QueueView
from cs_archiver.services.status import DiskSpace, SystemStatus

Json = dict[str, Any]


def user(account: User) -> Json:
    return {"id": account.id, "username": account.username, "is_admin": account.is_admin}


def session(begun: Session) -> Json:
    return {"access_token": begun.token, "token_type": "bearer", "user": user(begun.user)}


def folder(found: Folder) -> Json:
    return {
        "path": found.path,
        "name": found.name,
        "level1": found.level1,
        "level2": found.level2,
        "size_bytes": found.size_bytes,
        "size_human": human_size(found.size_bytes),
        "modified_at": found.modified_at,
        "file_count": found.file_count,
        "is_archived": False,
    }


def left_out_folder(found: Folder) -> Json:
    return {
        "path": found.path,
        "name": found.name,
        "level1": found.level1,
        "level2": found.level2,
        "reason": found.left_out,
    }


def total(rows: Sequence[object]) -> dict[str, str]:
    """The header of a list that is answered whole."""
    return {"X-Total-Count": str(len(rows))}


def retried_job(job: Job) -> Json:
    return {"job_id": job.id, "status": job.status, "retry_count": job.retry_count}


def history_line(line: HistoryLine) -> Json:
    return {"from_status": line.from_status, "to_status": line.to_status, "at": line.at}


def submitted_job(job: Job) -> Json:
    return {
        "job_id": job.id,
        "status": job.status,
        "folder_name": job.folder_name,
        "created_at": job.created_at,
    }


def job_line(view: JobView) -> Json:
    """A job in the list."""
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


def job_in_full(view: JobView) -> Json:
    job = view.job
    return {
        **job_line(view),
        "source_path": job.source_path,
        "globus_destination_path": job.globus_destination_path,
        "folder_size_bytes": job.folder_size_bytes,
        "archive_size_bytes": job.archive_size_bytes,
        "retry_count": job.retry_count,
        "globus_task_id": job.globus_task_id,
    }


def log_line(line: LogLine) -> Json:
    return {"timestamp": line.timestamp, "level": line.level, "message": line.message}


def queue(view: QueueView) -> Json:
    return {
        "current_copy_compress_job": _current(view.current[WorkerName.LOCAL]),
        "current_upload_job": _current(view.current[WorkerName.TRANSFER]),
        "awaiting_upload_jobs": _in_line(view.waiting[WorkerName.TRANSFER]),
        "queued_jobs": _in_line(view.waiting[WorkerName.LOCAL]),
    }


def system_status(status: SystemStatus) -> Json:
    counts = status.counts
    return {
        "disk_space": _disk_space(status.disk),
        "workers": {worker: _worker(job_id) for worker, job_id in status.in_hand.items()},
        "statistics": {
            "total_jobs": sum(counts.values()),
            "completed_jobs": counts[JobStatus.COMPLETED],
            "failed_jobs": counts[JobStatus.FAILED],
            "queued_jobs": counts[JobStatus.QUEUED],
        },
        "warnings": status.warnings,
        "globus_sandbox": status.is_globus_sandbox,
    }


def health() -> Json:
    return {"status": "healthy", "timestamp": now_text()}


def _current(view: JobView | None) -> Json | None:
    if view is None:
        return None
    return {
        "job_id": view.job.id,
        "folder_name": view.job.folder_name,
        "status": view.job.status,
        "progress_percent": view.job.progress_percent,
        **_step(view),
    }


def _in_line(jobs: list[Job]) -> list[Json]:
    return [
        {"job_id": job.id, "folder_name": job.folder_name, "position": position}
        for position, job in enumerate(jobs, start=1)
    ]


def _step(view: JobView) -> Json:
    step: StepProgress = view.step
    return {
        "step": step_name(view.job.status),
        "step_percent": _rounded(step.percent),
        "bytes_done": step.bytes_done,
        "bytes_total": step.bytes_total,
        "rate_bytes_per_second": _rounded(step.rate_bytes_per_second),
        "eta_seconds": _rounded(step.eta_seconds),
        "step_started_at": view.job.step_started_at,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _disk_space(disk: DiskSpace | None) -> Json:
    """Nulls when the disk does not answer: no number is better than a made-up one."""
    return {
        "total_gb": disk and round(disk.total_bytes / GIB, 2),
        "used_gb": disk and round(disk.used_bytes / GIB, 2),
        "free_gb": disk and round(disk.free_bytes / GIB, 2),
        "percent_used": disk and disk.percent_used,
    }


def _worker(job_id: str | None) -> Json:
    return {"status": "idle" if job_id is None else "busy", "current_job_id": job_id}
