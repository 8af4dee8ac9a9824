"""Removes, after a while, what failed jobs left on the local disk; never of a job whose deletion had begun."""

import asyncio
import logging
from datetime import timedelta

from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.jobs import Jobs
from cs_archiver.db.switches import Switches
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import FINAL, JobStatus
from cs_archiver.errors import JobError
from cs_archiver.logs.context import about
from cs_archiver.stages.set_aside import SetAside

_LOOK_SECONDS = 3600.0

_log = logging.getLogger(__name__)


class Retention:
    """`keep` None: for good."""

    def __init__(self, jobs: Jobs, set_aside: SetAside, switches: Switches, *, keep: timedelta | None) -> None:
        self._jobs = jobs
        self._switches = switches
        self._set_aside = set_aside
        self._keep = keep

    async def run(self) -> None:
        """Look once an hour, until cancelled."""
        while self._keep is not None:
            try:
                await self.look(self._keep)
            except JobError as error:
                _log.warning("what failed jobs left is looked at again later: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self, keep: timedelta) -> None:
        """Raises Halted while deletions are paused: what is left of failed jobs is kept then as well."""
        await self._switches.require_deletions(has_begun=False)
        for job_id in await self._set_aside.kept_jobs():
            job = await self._jobs.find(job_id)
            if job is not None and await self._is_over(job, keep):
                await self._set_aside.forget(job)
                with about(job=job.id, user=job.created_by):
                    _log.info("what it left in the folder for failed jobs is removed")

    async def _is_over(self, job: Job, keep: timedelta) -> bool:
        """Whether nothing can rest on these files any more; a job that is not known keeps its own."""
        if job.status not in FINAL or job.completed_at is None or elapsed(job.completed_at, now_text()) < keep:
            return False
        # Once a deletion had begun and did not end well, the local archive may be the only copy of what is gone.
        return job.status is JobStatus.COMPLETED or not await self._jobs.has_been(job.id, JobStatus.DELETING_SOURCE)
