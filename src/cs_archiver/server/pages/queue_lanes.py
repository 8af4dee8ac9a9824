"""What each worker is at, as the queue page shows it: beyond busy and idle, a job in hand may wait or be held."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cs_archiver.domain.job import HELD, Job
from cs_archiver.domain.states import WorkerName
from cs_archiver.services.jobs import JobView, QueueView


class Doing(StrEnum):
    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"
    HELD = "held"
    CANCELLING = "cancelling"


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker: the job it has in hand, and where there is none, the one it will not begin yet."""

    name: WorkerName
    view: JobView | None
    waits_with: Job | None
    doing: Doing

    @classmethod
    def of(cls, name: WorkerName, queue: QueueView, now: str) -> Self:
        view = queue.current[name]
        if view is not None:
            return cls(name, view, None, _doing(view.job, now))
        first = next(iter(queue.waiting[name]), None)
        if first is None or not is_waiting(first, now):
            return cls(name, None, None, Doing.IDLE)
        return cls(name, None, first, _doing(first, now))


def is_waiting(job: Job, now: str) -> bool:
    """Whether its next attempt is set for later."""
    return job.not_before is not None and job.not_before > now


def _doing(job: Job, now: str) -> Doing:
    if job.cancel_requested_by is not None:
        return Doing.CANCELLING
    if not is_waiting(job, now):
        return Doing.WORKING
    return Doing.HELD if (job.current_operation or "").startswith(HELD) else Doing.WAITING
