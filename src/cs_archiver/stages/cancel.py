"""-> cancelled: ends what is under way for good and clears what was made so far; the source is untouched."""

from datetime import timedelta

from cs_archiver.db.catalogue import Catalogue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus
from cs_archiver.stages.destination import left_behind
from cs_archiver.stages.set_aside import SetAside
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.stages.transfer import ended
from cs_archiver.tools.globus import Globus


class Cancel:
    """Runs in place of the state's own stage, whose tools have ended by then. Safe to repeat."""

    def __init__(
        self,
        globus: Globus,
        catalogue: Catalogue,
        set_aside: SetAside,
        *,
        collection: str,
        poll_interval: timedelta,
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._set_aside = set_aside
        self._collection = collection
        self._poll_interval = poll_interval

    async def run(self, job: Job, report: Report) -> Advance:
        report.operation("Cancelling")
        await self._end_transfer(job, report)
        await self._set_aside.discard(job)
        await report.log(f"Cancelled by {job.cancel_requested_by}: the source is untouched")
        return Advance(JobStatus.CANCELLED)

    async def _end_transfer(self, job: Job, report: Report) -> None:
        upload = await self._catalogue.latest_upload(job.id)
        if upload is not None and upload.outcome == "succeeded":
            where = upload.destination_path
            await report.log(f"{where} holds the archive; nothing rests on it, remove it there", LogLevel.WARNING)
        if upload is None or upload.outcome is not None:
            return
        if upload.task_id is None:
            # The submission may have reached Globus without its answer reaching us: only sending it again tells.
            upload = await self._catalogue.set_task(upload, await self._globus.submit(upload.request))
        status = await ended(self._globus, upload.task_id or "", poll_interval=self._poll_interval)
        left_there = await left_behind(self._globus, self._collection, upload.destination_path)
        await self._catalogue.set_failed(upload, left_behind=left_there)
        left = "may hold a part of it" if status == "FAILED" else "holds it, unverified"
        await report.log(f"Globus task {upload.task_id} has ended; {upload.destination_path} {left}", LogLevel.WARNING)
