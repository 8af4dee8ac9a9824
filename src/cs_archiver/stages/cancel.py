"""-> cancelled: ends what is under way for good and clears what was made so far; the source is untouched."""

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.jobs import Jobs
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.stages.transfer import Transfers


class Cancel:
    """Runs in place of the state's own stage, whose tools have ended by then. Safe to repeat."""

    def __init__(self, catalogue: Catalogue, jobs: Jobs, set_aside: SetAside, transfers: Transfers) -> None:
        self._catalogue = catalogue
        self._jobs = jobs
        self._set_aside = set_aside
        self._transfers = transfers

    async def run(self, job: Job, report: Report) -> Advance:
        report.operation("Cancelling")
        for unfinished in await self._catalogue.open_uploads(job.id):
            await self._transfers.end(unfinished, job, report)
        upload = await self._catalogue.latest_upload(job.id)
        if upload is not None and upload.outcome == "succeeded":
            told = f"{upload.destination_path} holds the archive: remove it there only if the source is still whole"
            await report.log(told, LogLevel.WARNING)
        await self._set_aside.discard(job, others_archive=await self._jobs.is_archive_of_another(job))
        return Advance(JobStatus.CANCELLED, said=[f"Cancelled by {job.cancel_requested_by}: the source is untouched"])
