"""What follows a failed attempt: again, and when; or give up (PRD 3.3)."""

from dataclasses import dataclass
from enum import StrEnum

from cs_archiver.domain.states import BUSY, JobStatus, WorkerName


class Operation(StrEnum):
    """The kinds of operation that have a limit of their own."""

    COMPRESSION = "compression"  # everything on this machine: copy, pack, test
    UPLOAD = "upload"
    CONNECTION = "connection_error"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often each kind of operation is tried again, and after how many seconds."""

    limits: dict[Operation, int]
    delay_seconds: float


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay_seconds`; `number` of `limit` retries."""

    number: int
    limit: int
    delay_seconds: float


def operation_of(status: JobStatus, *, connection_trouble: bool) -> Operation:
    if connection_trouble:
        return Operation.CONNECTION
    local = status in BUSY[WorkerName.LOCAL] or status is JobStatus.QUEUED
    return Operation.COMPRESSION if local else Operation.UPLOAD


def after_failure(policy: RetryPolicy, operation: Operation, *, retries_so_far: int) -> Again | None:
    """None means that the retries are used up."""
    limit = policy.limits[operation]
    if retries_so_far >= limit:
        return None
    return Again(retries_so_far + 1, limit, policy.delay_seconds)
