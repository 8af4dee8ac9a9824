"""At the start: interrupted jobs return to the queue, leftovers of cancels go, an older database is noticed."""

import logging

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.states import BUSY, JobStatus, WorkerName
from cs_archiver.errors import JobError, NeedsOperator
from cs_archiver.logs.context import about
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.tools.mark import SentMark
from cs_archiver.tools.threads import in_thread

_log = logging.getLogger(__name__)

OLDER_DATABASE = (
    "This database is older than what was already sent to Globus: it was restored from a backup, or replaced. Nothing "
    "at the destination is taken for a leftover of ours; a job whose archive is there already fails and says so."
)


async def doubt_older_database(catalogue: Catalogue, mark: SentMark) -> str | None:
    """What to tell people when this database knows nothing of the last submission or deletion; else None.

    Then nothing may be believed about what lies at the destination: it may be an archive whose source is gone.
    """
    newest_sent = await in_thread(lambda _work: mark.read())
    known = await catalogue.last_number()
    if newest_sent is None and known == 0:
        await in_thread(lambda _work: mark.raise_to(0))  # from now on its absence means something
        return None
    if newest_sent is not None and known >= newest_sent:
        return None
    await catalogue.doubt_everything_sent(go_on_after=max(known, newest_sent or 0))
    await in_thread(lambda _work: mark.raise_to(max(known, newest_sent or 0)))
    _log.warning("%s", OLDER_DATABASE)
    return OLDER_DATABASE


async def requeue_before_the_end(queue: Queue, jobs: Jobs) -> None:
    """As `requeue_interrupted`, and no reason to end otherwise than in good order: the next start does it too."""
    try:
        await requeue_interrupted(queue, jobs)
    except NeedsOperator as error:
        _log.warning("interrupted jobs go back to the queue at the next start: %s", error)


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


async def discard_left_by_cancels(jobs: Jobs, set_aside: SetAside) -> None:
    """Remove what cancelled jobs left because the service ended, or the disk refused, right after their cancel.

    Only before any worker begins: afterwards another job may write an archive of the same name. What cannot be
    removed is no reason not to start; the next start tries again.
    """
    # What lies there is little, and cancelled jobs may be many: so it is asked which of them it belongs to.
    there = await set_aside.what_is_there()
    if not there.job_ids and not there.archive_paths:
        return
    for job in await jobs.cancelled_of(there.job_ids, there.archive_paths):
        if job.archive_path is None or await jobs.is_archive_of_another(job):
            continue
        try:
            if await set_aside.discard_left(job):
                await jobs.log(job.id, LogLevel.INFO, "What this job left on the local disk is removed")
        except JobError as error:
            with about(job=job.id, user=job.created_by):
                _log.warning("what it left is looked at again at the next start: %s", error)
