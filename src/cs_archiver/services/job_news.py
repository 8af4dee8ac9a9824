"""What is told of a job once a change that a person asked for is committed: to listeners, and to the log."""

import logging

from cs_archiver.bus import Bus
from cs_archiver.domain.events import JobUpdate, LogAdded, QueueUpdate, StepProgress
from cs_archiver.domain.job import Job
from cs_archiver.logs.context import about

NO_NEWS = StepProgress()

_log = logging.getLogger(__name__)


def tell_of(bus: Bus, job: Job, added: LogAdded) -> None:
    """`job` as the change left it; `added` is the line that the same transaction wrote into its log."""
    update = JobUpdate(job.id, job.status, job.progress_percent, job.current_operation, NO_NEWS)
    for event in (update, added, QueueUpdate()):
        bus.publish(event)
    with about(job=job.id):
        _log.log(logging.getLevelName(added.level.value), "%s", added.message)
