"""The states of a job, the moves between them, and who serves each state: the same rows as in schema.sql."""

from enum import StrEnum


class JobStatus(StrEnum):
    QUEUED = "queued"
    COPYING = "copying"
    COMPRESSING = "compressing"
    VERIFYING = "verifying"
    AWAITING_UPLOAD = "awaiting_upload"
    UPLOADING = "uploading"
    UPLOAD_VERIFYING = "upload_verifying"
    DELETING_SOURCE = "deleting_source"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class WorkerName(StrEnum):
    """The two workers, named as in the keys of `GET /api/system/status`."""

    LOCAL = "copy_compress"
    TRANSFER = "upload"


_S = JobStatus

FINAL = frozenset({_S.COMPLETED, _S.FAILED, _S.CANCELLED})
ACTIVE = frozenset(_S) - FINAL

WAITING = {WorkerName.LOCAL: _S.QUEUED, WorkerName.TRANSFER: _S.AWAITING_UPLOAD}
"""Where each worker takes its next job from."""

BUSY = {
    WorkerName.LOCAL: frozenset({_S.COPYING, _S.COMPRESSING, _S.VERIFYING}),
    WorkerName.TRANSFER: frozenset({_S.UPLOADING, _S.UPLOAD_VERIFYING, _S.DELETING_SOURCE}),
}
"""The states in which a worker has a job in hand: never more than one job each."""

_SERVED_BY = {state: worker for worker, states in BUSY.items() for state in {*states, WAITING[worker]}}

_FORWARD = (
    (_S.QUEUED, _S.COPYING),
    (_S.COPYING, _S.COMPRESSING),
    (_S.COMPRESSING, _S.VERIFYING),
    (_S.VERIFYING, _S.AWAITING_UPLOAD),
    (_S.AWAITING_UPLOAD, _S.UPLOADING),
    (_S.UPLOADING, _S.UPLOAD_VERIFYING),
    (_S.UPLOAD_VERIFYING, _S.DELETING_SOURCE),
    (_S.DELETING_SOURCE, _S.COMPLETED),
)
_BACK_TO_QUEUE = tuple((state, _S.QUEUED) for state in (_S.COPYING, _S.COMPRESSING, _S.VERIFYING))
_AGAIN = (
    (_S.UPLOAD_VERIFYING, _S.UPLOADING),  # the destination was proven wrong: send it again
    (_S.FAILED, _S.QUEUED),
    (_S.QUEUED, _S.AWAITING_UPLOAD),  # its verified archive is still there
)
_FAIL = tuple((state, _S.FAILED) for state in JobStatus if state in ACTIVE)
_CANCEL = tuple((state, _S.CANCELLED) for state in JobStatus if state in ACTIVE and state is not _S.DELETING_SOURCE)

CANCELLABLE = frozenset(start for start, _ in _CANCEL)

MOVES = frozenset(_FORWARD + _BACK_TO_QUEUE + _AGAIN + _FAIL + _CANCEL)
"""Every allowed (from, to). Deleting cannot be cancelled: it only goes forward, or fails with the rest kept."""

_STEPS = {
    _S.QUEUED: "Waiting in the queue",
    _S.COPYING: "Step 1/3: Copying",
    _S.COMPRESSING: "Step 2/3: Compressing",
    _S.VERIFYING: "Step 3/3: Verifying",
    _S.AWAITING_UPLOAD: "Waiting for upload",
    _S.UPLOADING: "Step 1/3: Uploading",
    _S.UPLOAD_VERIFYING: "Step 2/3: Verifying upload",
    _S.DELETING_SOURCE: "Step 3/3: Deleting source",
    _S.COMPLETED: "Completed",
    _S.FAILED: "Failed",
    _S.CANCELLED: "Cancelled",
}


def step_name(status: JobStatus) -> str:
    """What the person reads above the step's bar (PRD 6.3)."""
    return _STEPS[status]


def worker_of(status: JobStatus) -> WorkerName | None:
    """The worker that has a job of this state in hand; None while it waits or after it ended."""
    return next((worker for worker, states in BUSY.items() if status in states), None)


def worker_serving(status: JobStatus) -> WorkerName:
    """The worker whose turn it is with a job of this state, in hand or in line. Raises KeyError once it has ended."""
    return _SERVED_BY[status]


def restart_of(status: JobStatus) -> JobStatus:
    """Where a job begins again when what its stage was given is in doubt."""
    if status is JobStatus.UPLOAD_VERIFYING:
        return JobStatus.UPLOADING
    return JobStatus.QUEUED if status in BUSY[WorkerName.LOCAL] else status
