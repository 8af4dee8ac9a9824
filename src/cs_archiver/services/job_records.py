"""What was written down about a job: its log, its manifest file by file, and the evidence."""

from collections.abc import AsyncIterator, Collection

from cs_archiver.db.database import Database
from cs_archiver.db.evidence import Evidence, evidence_of
from cs_archiver.db.jobs import Jobs, LogLine
from cs_archiver.db.log_search import FoundLines, find_lines
from cs_archiver.db.manifests import ManifestPage, Manifests
from cs_archiver.domain.events import LogLevel
from cs_archiver.services.job_ids import canonical, no_such_job


class JobRecords:
    """Only reads. Raises NotFound for an id that no job has."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._jobs = Jobs(database)
        self._manifests = Manifests(database)

    async def log(self, job_id: str, *, level: LogLevel | None, since: str | None, limit: int) -> FoundLines:
        """The newest `limit` lines of this level, from the moment `since` on, in the order of writing."""
        levels = LogLevel if level is None else (level,)
        found = await find_lines(self._database, canonical(job_id), levels=levels, since=since, limit=limit)
        if not found.lines:
            await self._known(job_id)
        return found

    async def search_log(
        self, job_id: str, *, levels: Collection[LogLevel], words: str | None, limit: int
    ) -> FoundLines:
        """The newest `limit` lines of these levels that hold the words; none where no job has this id."""
        return await find_lines(self._database, canonical(job_id), levels=levels, words=words, limit=limit)

    async def evidence(self, job_id: str) -> Evidence:
        """Transfers, checks, and what the catalogue has of it; also of a job that was cleared from the list."""
        return await evidence_of(self._database, canonical(job_id))

    async def whole_log(
        self, job_id: str, *, level: LogLevel | None, since: str | None, newest: int | None
    ) -> AsyncIterator[list[LogLine]]:
        """Every line there is now, or the `newest` so many, in the order of writing, batch by batch."""
        return self._jobs.log_in_batches(await self._known(job_id), level=level, since=since, newest=newest)

    async def manifest(self, job_id: str, *, words: str | None, limit: int, offset: int) -> ManifestPage:
        """Entries by path; none before the folder was copied. Also of a job that was cleared from the list."""
        page = await self._manifests.page(canonical(job_id), words=words, limit=limit, offset=offset)
        if page is None:
            raise no_such_job()
        return page

    async def _known(self, job_id: str) -> str:
        job = await self._jobs.find(canonical(job_id))
        if job is None:
            raise no_such_job()
        return job.id
