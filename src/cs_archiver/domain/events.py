"""What the bus carries: news for whoever listens. The truth is in the database."""

from dataclasses import dataclass
from enum import StrEnum

from cs_archiver.domain.retry import Operation
from cs_archiver.domain.states import JobStatus, WorkerName


class LogLevel(StrEnum):
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far the present step of a job is. Rates are bytes a second; None is unknown."""

    percent: float | None = None
    bytes_done: int | None = None
    bytes_total: int | None = None
    rate_bytes_per_second: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job moved, progressed, or says something new about its present operation."""

    job_id: str
    status: JobStatus
    progress_percent: int
    current_operation: str | None
    step: StepProgress

    def added_to(self, status: JobStatus, percent: int, operation: str | None) -> tuple[int, str | None, StepProgress]:
        """What is known with it of a job that is on record as this; no more than that if it has moved since."""
        if self.status is not status:
            return percent, operation, StepProgress()
        return max(percent, self.progress_percent), self.current_operation or operation, self.step


@dataclass(frozen=True, slots=True)
class QueueUpdate:
    """The order of the queue, or what a worker has in hand, changed; with `worker`, only what that one serves."""

    worker: WorkerName | None = None


@dataclass(frozen=True, slots=True)
class FoldersUpdate:
    """A scan of the NAS began or ended: the list of folders may be another."""

    scanning: bool


@dataclass(frozen=True, slots=True)
class LogAdded:
    job_id: str
    timestamp: str
    level: LogLevel
    message: str


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt of this job failed, and is repeated by itself after a while."""

    job_id: str
    operation: Operation


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """A session, or a personal token, no longer counts: `credential` as in services.accounts.Caller."""

    credential: str


@dataclass(frozen=True, slots=True)
class UserEnded:
    """All that was signed in as this user no longer counts: it was deleted, or has another password."""

    user_id: int


Event = JobUpdate | QueueUpdate | FoldersUpdate | LogAdded | Retried | SessionEnded | UserEnded
