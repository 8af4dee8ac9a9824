"""After a crash or a shutdown: what was interrupted on this machine goes back to its place in the queue."""

from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.states import BUSY, JobStatus, WorkerName


async def requeue_interrupted(queue: Queue, jobs: Jobs) -> int:
    """Move jobs that were copying, compressing or verifying back to the queue; gives back how many.

    Jobs at Globus and deletions stay in their states: their stages go on where they were.
    """
    interrupted = await jobs.in_line(BUSY[WorkerName.LOCAL])
    for job in interrupted:
        if job.cancel_requested_by is not None:
            continue  # its worker ends it from the state it is in
        await jobs.log(job.id, LogLevel.WARNING, f"Interrupted while {job.status}: starts again from the queue")
        await queue.move(
            job,
            JobStatus.QUEUED,
            {"current_operation": "Interrupted: starts again"},
        )
    return len(interrupted)
