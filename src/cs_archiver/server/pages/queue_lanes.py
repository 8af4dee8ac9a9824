"""What each worker is at, as the queue page shows it: beyond busy and idle, a job in hand may wait or be held."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from cs_archiver.domain.job import HELD, Job
from cs_archiver.domain.states import WorkerName
from cs_archiver.domain.switches import DELETIONS_PAUSED, WORKER_PAUSED, Pauses, Switch
from cs_archiver.services.jobs import JobView, QueueView


class Doing(StrEnum):
    IDLE = "idle"
    WORKING = "working"
    WAITING = "waiting"
    HELD = "held"
    PAUSED = "paused"
    CANCELLING = "cancelling"


@dataclass(frozen=True, slots=True)
class Lane:
    """One worker: the job it has in hand, and where there is none, the one it will not begin yet.

    `will_pause`: it is paused, and goes on with the step in hand to its end.
    """

    name: WorkerName
    view: JobView | None
    waits_with: Job | None
    doing: Doing
    will_pause: bool = False

    @classmethod
    def of(cls, name: WorkerName, queue: QueueView, paused: Pauses, now: str) -> Self:
        view, is_paused = queue.current[name], Switch(name.value) in paused
        if view is not None:
            doing = _doing(view.job, now)
            return cls(name, view, None, doing, will_pause=is_paused and doing is Doing.WORKING)
        first = next(iter(queue.waiting[name]), None)
        if first is None or not (is_waiting(first, now) or is_paused):
            return cls(name, None, None, Doing.PAUSED if is_paused else Doing.IDLE)
        return cls(name, None, first, Doing.PAUSED if is_paused else _doing(first, now))


def is_waiting(job: Job, now: str) -> bool:
    """Whether its next attempt is set for later."""
    return job.not_before is not None and job.not_before > now


def _doing(job: Job, now: str) -> Doing:
    if job.cancel_requested_by is not None:
        return Doing.CANCELLING
    if job.error_problem in (WORKER_PAUSED, DELETIONS_PAUSED):
        return Doing.PAUSED
    if not is_waiting(job, now):
        return Doing.WORKING
    return Doing.HELD if (job.current_operation or "").startswith(HELD) else Doing.WAITING
