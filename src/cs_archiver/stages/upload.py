"""awaiting_upload -> uploading -> upload_verifying: a submission is stored, sent to Globus, then polled."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeGuard

from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.catalogue import Catalogue, Upload
from cs_archiver.db.queue import Queue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import ConnectionTrouble, NeedsOperator, Permanent, Temporary
from cs_archiver.stages.destination import left_behind, why_taken
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.stages.transfer import ended
from cs_archiver.tools.disk import file_size
from cs_archiver.tools.globus import Globus, SyncLevel, transfer_document
from cs_archiver.tools.threads import in_thread

_KNOWN_STATUSES = ("ACTIVE", "INACTIVE", "SUCCEEDED", "FAILED")


@dataclass(frozen=True, slots=True)
class UploadSettings:
    """`deadline` None leaves it to Globus, which extends its own while there is progress."""

    source_collection: str
    destination_collection: str
    sync_level: SyncLevel
    external_checksum: bool
    poll_interval: timedelta
    task_timeout: timedelta
    deadline: timedelta | None


class StartUpload:
    """Takes the next archive in line. Safe to repeat: it changes nothing but the state."""

    async def run(self, job: Job, report: Report) -> Advance:
        await report.log(f"Starting Globus upload to {job.globus_destination_path}")
        return Advance(JobStatus.UPLOADING)


class UploadArchive:
    """Safe to repeat: the same submission is sent again, and Globus runs a submission once; then it is polled."""

    def __init__(
        self, globus: Globus, catalogue: Catalogue, queue: Queue, places: Places, settings: UploadSettings
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._queue = queue
        self._places = places
        self._settings = settings

    async def run(self, job: Job, report: Report) -> Advance:
        upload = await self._catalogue.latest_upload(job.id)
        if _is_of_this_archive(upload, job, outcome="succeeded"):
            await report.log("This archive was uploaded before: it is verified again, not sent again")
            return Advance(JobStatus.UPLOAD_VERIFYING)
        if not _is_of_this_archive(upload, job, outcome=None):
            await self._end(upload)
            upload = await self._store_submission(job, report)
        if upload.task_id is None:
            report.operation("Submitting the transfer to Globus")
            upload = await self._catalogue.set_task(upload, await self._globus.submit(upload.request))
            await report.log(f"Globus accepted the transfer as task {upload.task_id}")
        await self._queue.checkpoint(job, globus_task_id=upload.task_id)
        await self._poll_until_done(upload, job, report)
        await self._catalogue.set_succeeded(upload)
        await report.log(f"Upload complete ({human_size(job.archive_size_bytes or 0)})")
        return Advance(JobStatus.UPLOAD_VERIFYING)

    async def _store_submission(self, job: Job, report: Report) -> Upload:
        """Claim the destination and store the request, all before anything is sent."""
        archive = self._places.archive(job)
        size = await in_thread(lambda _work: _size_or_minus_one(archive))
        if size != job.archive_size_bytes or job.archive_path is None or job.archive_sha256 is None:
            raise Permanent(
                f"the local archive {job.archive_path} is not the one that was verified "
                f"({size} bytes instead of {job.archive_size_bytes}): retry from the source",
                problem="archive-missing",
            )
        path = job.globus_destination_path
        collection = self._settings.destination_collection
        taken = await why_taken(self._globus, self._catalogue, collection=collection, path=path, own_job_id=job.id)
        if taken is not None:
            raise Permanent(taken, problem="destination-exists")
        leftover = await self._globus.stat(collection, path) is not None
        submission_id = await self._globus.new_submission_id()
        request = transfer_document(
            submission_id=submission_id,
            label=f"CS Archiver job {job.id} {submission_id[:8]}",
            source_collection=self._settings.source_collection,
            destination_collection=collection,
            source_path=self._places.as_collection_path(job.archive_path),
            destination_path=path,
            sha256=job.archive_sha256 if self._settings.external_checksum else None,
            # A leftover of ours is always sent anew: a skipped file would not count as transferred.
            sync_level=None if leftover else self._settings.sync_level,
            deadline=self._deadline(),
        )
        if leftover:
            await report.log("Replacing what an earlier, unverified attempt left", LogLevel.WARNING)
        return await self._catalogue.add_upload(job, submission_id=submission_id, request=request)

    async def _end(self, upload: Upload | None) -> None:
        """An earlier attempt with another archive may still be writing to the destination."""
        if upload is not None and upload.outcome is None:
            if upload.task_id is not None:
                await ended(self._globus, upload.task_id, poll_interval=self._settings.poll_interval)
            await self._set_failed(upload)

    async def _set_failed(self, upload: Upload) -> None:
        collection = self._settings.destination_collection
        left = await left_behind(self._globus, collection, upload.destination_path)
        await self._catalogue.set_failed(upload, left_behind=left)

    def _deadline(self) -> str | None:
        deadline = self._settings.deadline
        return None if deadline is None else now_text(after=deadline)

    async def _poll_until_done(self, upload: Upload, job: Job, report: Report) -> None:
        task_id = upload.task_id or ""
        told_fault = None
        while True:
            task = await self._globus.task(task_id)
            status = task.get("status")
            if status in _KNOWN_STATUSES:
                await report.recovered()
            if status == "SUCCEEDED":
                return
            if status == "FAILED":
                await self._set_failed(upload)
                raise Temporary(f"Globus task {task_id} failed: {_reason(task)}", problem="transfer-failed")
            if status == "INACTIVE":
                raise NeedsOperator(
                    f"Globus task {task_id} is inactive: its credentials expired; renew the collection's consent",
                    problem="transfer-inactive",
                )
            if status != "ACTIVE":
                raise ConnectionTrouble(f"Globus task {task_id} has the unknown status {status!r}")
            self._show(task, job, report)
            told_fault = await self._tell_new_fault(task, told_fault, report)
            if elapsed(upload.created_at, now_text()) > self._settings.task_timeout:
                await self._give_up(upload, report)
                return
            await asyncio.sleep(self._settings.poll_interval.total_seconds())

    def _show(self, task: Mapping[str, Any], job: Job, report: Report) -> None:
        done, total = int(task.get("bytes_transferred") or 0), job.archive_size_bytes or 0
        state = task.get("nice_status") or "OK"
        text = task.get("nice_status_short_description") or state
        faults = int(task.get("faults") or 0)
        rate = int(task.get("effective_bytes_per_second") or 0)
        report.operation(
            f"Uploading: {human_size(done)} of {human_size(total)}, {human_size(rate)}/s, "
            f"{faults} faults, Globus says {state}" + (f" ({text})" if text != state else "")
        )
        report.progress(bytes_done=done, bytes_total=total)

    async def _tell_new_fault(self, task: Mapping[str, Any], told: str | None, report: Report) -> str | None:
        if task.get("is_ok") is not False:
            return None
        fault = str(task.get("nice_status"))
        if fault != told:
            detail = await self._globus.last_fault(str(task.get("task_id")))
            await report.log(f"Globus reports a fault and keeps trying: {detail or fault}", LogLevel.WARNING)
        return fault

    async def _give_up(self, upload: Upload, report: Report) -> None:
        """Cancel the task and wait for its end, so that nothing writes to the destination afterwards."""
        hours = self._settings.task_timeout.total_seconds() / 3600
        task_id = upload.task_id or ""
        await report.log(f"The upload took over {hours:g} h: cancelling the Globus task", LogLevel.WARNING)
        report.operation("Cancelling the Globus task: it took too long")
        if await ended(self._globus, task_id, poll_interval=self._settings.poll_interval) == "SUCCEEDED":
            return
        await self._set_failed(upload)
        raise Temporary(f"the upload was cancelled after {hours:g} h", problem="transfer-timed-out")


def _is_of_this_archive(upload: Upload | None, job: Job, *, outcome: str | None) -> TypeGuard[Upload]:
    return (
        upload is not None
        and (upload.outcome, upload.archive_sha256) == (outcome, job.archive_sha256)
        and upload.destination_path == job.globus_destination_path
    )


def _size_or_minus_one(path: bytes) -> int:
    try:
        return file_size(path)
    except OSError:
        return -1


def _reason(task: Mapping[str, Any]) -> str:
    error = task.get("fatal_error")
    if isinstance(error, Mapping):
        return f"{error.get('code')}: {error.get('description')}"
    return str(task.get("nice_status_short_description") or task.get("nice_status") or "no reason given")
