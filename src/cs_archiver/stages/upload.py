"""awaiting_upload -> uploading -> upload_verifying: the archive is sent to a destination that is free."""

from cs_archiver.db.catalogue import Catalogue, Upload, set_succeeded
from cs_archiver.db.connection import Connection
from cs_archiver.db.queue import AlsoWrite
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import Permanent
from cs_archiver.stages.destination import Destination
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import bring_back_if_gone
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.stages.transfer import Ended, Transfers
from cs_archiver.tools.disk import file_size, local_error
from cs_archiver.tools.globus import SyncLevel
from cs_archiver.tools.threads import in_thread


class StartUpload:
    """Takes the next archive in line. Safe to repeat: it changes nothing but the state."""

    async def run(self, job: Job, _report: Report) -> Advance:
        return Advance(JobStatus.UPLOADING, said=[f"Starting Globus upload to {job.globus_destination_path}"])


class UploadArchive:
    """Safe to repeat: the same submission is sent again, and Globus runs a submission once; then it is polled."""

    def __init__(
        self,
        catalogue: Catalogue,
        places: Places,
        destination: Destination,
        transfers: Transfers,
        *,
        sync_level: SyncLevel,
    ) -> None:
        self._catalogue = catalogue
        self._places = places
        self._destination = destination
        self._transfers = transfers
        self._sync_level = sync_level

    async def run(self, job: Job, report: Report) -> Advance:
        await self._destination.require_no_archive_elsewhere(job)
        upload = await self._catalogue.latest_upload(job.id)
        if upload is not None and upload.is_of(job) and upload.outcome == "succeeded":
            said = "This archive was uploaded before: it is verified again, not sent again"
            return Advance(JobStatus.UPLOAD_VERIFYING, said=[said])
        if upload is None or not upload.goes_on_for(job):
            for earlier in await self._catalogue.open_uploads(job.id):
                await self._transfers.end(earlier, job, report)  # it may still be writing to the destination
            upload = await self._store_submission(job, report)
        else:
            upload = await self._unsent_or_found(upload, job, report)
        upload = await self._transfers.send(upload, report)
        ended = await self._transfers.until_succeeded(upload, job, report, doing="Uploading")
        return Advance(
            JobStatus.UPLOAD_VERIFYING,
            also=_noted(upload, ended),
            said=[f"Upload complete ({human_size(job.archive_size_bytes or 0)})"],
        )

    async def _unsent_or_found(self, upload: Upload, job: Job, report: Report) -> Upload:
        """A stored submission that may go on. It may have waited for long: what has come to its place is kept."""
        upload = await self._transfers.found(upload)
        if upload.task_id is None:
            why = await self._destination.why_not_send(upload, job, report)
            if why is not None:
                raise Permanent(why, problem="destination-exists")
        return upload

    async def _store_submission(self, job: Job, report: Report) -> Upload:
        """Look at the archive and at the destination, then store the request, all before anything is sent."""
        archive = self._places.archive(job)
        await bring_back_if_gone(job, self._places, report)
        size = await in_thread(lambda _work: _size_of(archive))
        if size != job.archive_size_bytes or job.archive_path is None or job.archive_sha256 is None:
            raise Permanent(
                f"the local archive {job.archive_path} is not the one that was verified "
                f"(expected {job.archive_size_bytes} bytes, found {'nothing' if size is None else size}): "
                "retry from the source",
                problem="archive-missing",
            )
        path = job.globus_destination_path
        found = await self._destination.look_at(path, report, own_job_id=job.id)
        if found.why_taken is not None:
            raise Permanent(found.why_taken, problem="destination-exists")
        if found.left_by:
            await report.log("Replacing what an earlier, unverified attempt left", LogLevel.WARNING)
        # A leftover of ours is always sent anew: a skipped file would not count as transferred.
        return await self._transfers.store(job, sync_level=None if found.left_by else self._sync_level)


def _noted(upload: Upload, ended: Ended) -> AlsoWrite:
    async def note(connection: Connection, _job: Job) -> None:
        await set_succeeded(connection, upload, left_behind=ended.left_behind)

    return note


def _size_of(path: bytes) -> int | None:
    try:
        return file_size(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise local_error(path, error, doing="read") from error
