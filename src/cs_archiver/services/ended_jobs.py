"""The history as a whole: what the jobs in it add up to, who asked for them, and all of them one after the other."""

from collections.abc import AsyncIterator

from cs_archiver.db import ended_jobs
from cs_archiver.db.database import Database
from cs_archiver.db.ended_jobs import Sum
from cs_archiver.db.job_search import JobSearch
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus


class EndedJobs:
    """Only reads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def sums(self, search: JobSearch) -> dict[JobStatus, Sum]:
        """For each state in which jobs end, whichever the search asks for: what fulfils the rest of it."""
        return await ended_jobs.sums_of(self._database, search)

    async def ever_archived(self) -> Sum:
        """All whose source was deleted since the beginning, also those that were cleared from the list."""
        return await ended_jobs.ever_archived(self._database)

    async def people(self) -> list[str]:
        """Everybody who asked for a job in the list, by name."""
        return await ended_jobs.people_of(self._database)

    def batches(self, search: JobSearch) -> AsyncIterator[list[Job]]:
        """Those of the search that have ended, the last first, whichever way it sorts."""
        return ended_jobs.ended_in_batches(self._database, search)
