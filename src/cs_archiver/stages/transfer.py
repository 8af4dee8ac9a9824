"""A submission to Globus, from its stored request to the end of its task; nothing is sent that is not stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from cs_archiver.clock import elapsed, now_text
from cs_archiver.db.catalogue import Catalogue, Upload
from cs_archiver.db.switches import Switches
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import human_size
from cs_archiver.domain.switches import WORKER_PAUSED, Switch, said_of
from cs_archiver.errors import ConnectionTrouble, JobError, NeedsOperator, Permanent, Temporary
from cs_archiver.stages.destination import Destination, left_behind
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Report
from cs_archiver.tools.globus import Globus, SyncLevel, transfer_document
from cs_archiver.tools.globus_errors import one_line
from cs_archiver.tools.mark import SentMark
from cs_archiver.tools.threads import in_thread
from cs_archiver.tools.ticking import GrowingRests

_UNFINISHED_OR_FAILED = ("ACTIVE", "INACTIVE", "FAILED")
_DESTINATION_FULL = ("QUOTA_EXCEEDED", "NO_SPACE_LEFT")


@dataclass(frozen=True, slots=True)
class TransferSettings:
    """`poll_interval` is the longest; `deadline` None leaves it to Globus, which extends it while there is progress."""

    source_collection: str
    destination_collection: str
    external_checksum: bool
    poll_interval: timedelta
    task_timeout: timedelta
    deadline: timedelta | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The document of a task that succeeded, and what it left at the destination, described; not stored yet."""

    task: Mapping[str, Any]
    left_behind: str | None


class Transfers:
    """Stores, sends and follows submissions. Each step may be repeated: Globus runs a submission once."""

    def __init__(
        self,
        globus: Globus,
        catalogue: Catalogue,
        places: Places,
        destination: Destination,
        mark: SentMark,
        switches: Switches,
        settings: TransferSettings,
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._places = places
        self._destination = destination
        self._mark = mark
        self._switches = switches
        self._settings = settings

    async def store(self, job: Job, *, sync_level: SyncLevel | None, compares: Upload | None = None) -> Upload:
        """Claim a submission id and store the whole request under it, before anything is sent."""
        submission_id = await self._globus.new_submission_id()
        what = "job" if compares is None else "comparison for job"
        request = transfer_document(
            submission_id=submission_id,
            label=f"CS Archiver {what} {job.id} {submission_id[:8]}",
            source_collection=self._settings.source_collection,
            destination_collection=self._settings.destination_collection,
            source_path=self._places.as_collection_path(job.archive_path or ""),
            destination_path=job.globus_destination_path,
            sha256=job.archive_sha256 if self._settings.external_checksum else None,
            sync_level=sync_level,
            deadline=self._deadline(),
        )
        return await self._catalogue.add_upload(job, submission_id=submission_id, request=request, compares=compares)

    async def found(self, upload: Upload) -> Upload:
        """With the id of its task where Globus shows one: it was sent, and the answer did not reach us."""
        task_id = await self._globus.task_of(upload.request) if upload.task_id is None else None
        return upload if task_id is None else await self._catalogue.set_task(upload, task_id)

    async def send(self, upload: Upload, report: Report) -> Upload:
        """Hand it to Globus, unless that was done; gives it back with the id of its task."""
        if upload.task_id is not None:
            return upload
        report.operation("Submitting the transfer to Globus")
        upload = await self._submit(upload)
        await report.log(f"Globus accepted the transfer as task {upload.task_id}")
        return upload

    async def until_succeeded(self, upload: Upload, job: Job, report: Report, *, doing: str) -> Ended:
        """What came of the task once it has succeeded; to be stored with what rests on it.

        Raises Temporary when it failed or took too long and is over, NeedsOperator while a person has to help.
        """
        task = await self._poll(upload, job, report, doing)
        return Ended(task, await self._left_by(upload))

    async def end(self, upload: Upload, job: Job, report: Report) -> None:
        """Cancel what may still be writing and wait for its end.

        Raises NeedsOperator when that cannot be done, as while the transfer is paused and nobody knows what was sent.
        """
        where = upload.destination_path
        upload = await self.found(upload)
        if upload.task_id is None:
            why = await self._destination.why_not_send(upload, job, report)
            if why is not None:  # it stays open
                await report.log(f"Whether a transfer was sent to Globus is not known; {why}", LogLevel.WARNING)
                return
            await self._require_no_pause(where)
            try:
                # It may have reached Globus without the answer reaching us: only sending it again tells.
                upload = await self._submit(upload)
            except Permanent:  # refused, and so never carried out; `_submit` has noted it
                return
        try:
            status = await self._ended(upload.task_id or "", report)
        except Temporary as error:
            if error.problem != "globus-task-unknown":
                raise
            # It stays open: nothing else is ever sent to where it may be writing.
            await report.log(
                f"Globus shows us no task {upload.task_id}: it may go on writing to {where}", LogLevel.WARNING
            )
            return
        await self.set_failed(upload)
        if upload.compares is None:
            left = "may hold a part of it" if status == "FAILED" else "holds it, unverified"
            await report.log(f"Globus task {upload.task_id} has ended; {where} {left}", LogLevel.WARNING)

    async def _require_no_pause(self, where: str) -> None:
        paused = (await self._switches.refresh()).get(Switch.TRANSFER)
        if paused is not None:
            raise NeedsOperator(
                f"{said_of(Switch.TRANSFER, paused)}: whether Globus got the request for {where} is known only once it "
                "is sent again, which waits until the transfer goes on",
                problem=WORKER_PAUSED,
            )

    async def set_failed(self, upload: Upload, *, long_ago: bool = False) -> None:
        """What lies at the destination now may be replaced later, if it is still exactly that.

        Unless the task ended `long_ago`: somebody else may have put something there since.
        """
        await self._catalogue.set_failed(upload, left_behind=None if long_ago else await self._left_by(upload))

    async def note_what_is_left(self, upload: Upload) -> None:
        """The comparison of this upload has just rewritten what lies there."""
        await self._catalogue.set_left_behind(upload, await self._left_by(upload))

    async def _left_by(self, upload: Upload) -> str | None:
        """Not said of a comparison, which leaves the archive itself, nor where the database is older than the task."""
        if upload.compares is not None or upload.doubted:
            return None
        return await left_behind(self._globus, self._settings.destination_collection, upload.destination_path)

    async def _submit(self, upload: Upload) -> Upload:
        # The mark first: an older database in the place of this one must know that it is older.
        await in_thread(lambda _work: self._mark.raise_to(upload.id))
        try:
            task_id = await self._globus.submit(upload.request)
        except Permanent:
            await self._catalogue.set_failed(upload, left_behind=None)  # another attempt needs another request
            raise
        return await self._catalogue.set_task(upload, task_id)

    def _deadline(self) -> str | None:
        deadline = self._settings.deadline
        return None if deadline is None else now_text(after=deadline)

    async def _poll(self, upload: Upload, job: Job, report: Report, doing: str) -> Mapping[str, Any]:
        told_fault = None
        rests = GrowingRests(self._settings.poll_interval)
        while True:
            task = await self._globus.task(upload.task_id or "")
            if task.get("status") == "SUCCEEDED":
                return task  # what is asked next may fail each time: that this was answered starts no new count
            if task.get("status") in _UNFINISHED_OR_FAILED:
                await report.recovered()
            await self._require_active(task, upload)
            _show(task, job, report, doing)
            told_fault = await self._tell_new_fault(task, told_fault, report)
            if elapsed(_sent_at(task, upload), now_text()) > self._settings.task_timeout:
                return await self._give_up(upload, report)
            await rests.rest()

    async def _require_active(self, task: Mapping[str, Any], upload: Upload) -> None:
        task_id, status = upload.task_id, task.get("status")
        if status == "FAILED":
            await self.set_failed(upload, long_ago=_ended_long_ago(task))
            error = task.get("fatal_error")
            if isinstance(error, Mapping) and error.get("code") in _DESTINATION_FULL:
                raise NeedsOperator(
                    f"the destination is full (Globus task {task_id}: {_reason(task)}): make room or raise its quota",
                    problem="destination-full",
                )
            raise Temporary(f"Globus task {task_id} failed: {_reason(task)}", problem="transfer-failed")
        if status == "INACTIVE":
            raise NeedsOperator(
                f"Globus task {task_id} is inactive: its credentials expired; renew the collection's consent",
                problem="transfer-inactive",
            )
        if status != "ACTIVE":
            raise ConnectionTrouble(f"Globus task {task_id} has the unknown status {status!r}")

    async def _tell_new_fault(self, task: Mapping[str, Any], told: str | None, report: Report) -> str | None:
        if task.get("is_ok") is not False:
            return None
        fault = str(task.get("nice_status"))
        if fault != told:
            await report.log(
                f"Globus reports a fault and keeps trying: {await self._words_for(task)}", LogLevel.WARNING
            )
        return fault

    async def _words_for(self, task: Mapping[str, Any]) -> str:
        try:
            detail = await self._globus.last_fault(str(task.get("task_id")))
        except JobError as error:  # only words for people: the task itself is what counts
            detail = f"{task.get('nice_status')} ({error})"
        return detail or str(task.get("nice_status"))

    async def _give_up(self, upload: Upload, report: Report) -> Mapping[str, Any]:
        """Cancel the task and wait for its end, so that nothing writes to the destination afterwards."""
        hours = self._settings.task_timeout.total_seconds() / 3600
        task_id = upload.task_id or ""
        await report.log(f"The transfer took over {hours:g} h: cancelling the Globus task", LogLevel.WARNING)
        report.operation("Cancelling the Globus task: it took too long")
        if await self._ended(task_id, report) == "SUCCEEDED":
            return await self._globus.task(task_id)
        await self.set_failed(upload)
        raise Temporary(f"the transfer was cancelled after {hours:g} h", problem="transfer-timed-out")

    async def _ended(self, task_id: str, report: Report) -> str:
        refusal = None
        try:
            await self._globus.cancel(task_id)
        except Permanent as error:
            refusal = error
        rests = GrowingRests(self._settings.poll_interval)
        while True:
            status = str((await self._globus.task(task_id)).get("status"))
            if status in ("SUCCEEDED", "FAILED"):
                return status
            if refusal is not None:  # it goes on writing, and nothing here can stop it
                text = f"{refusal}; end this task in the Globus web app"
                raise NeedsOperator(text, problem=refusal.problem) from refusal
            report.operation(f"Cancelling: waits for the end of Globus task {task_id}, which is {one_line(status)}")
            await rests.rest()


def _sent_at(task: Mapping[str, Any], upload: Upload) -> str:
    """When Globus got the request, which may have waited here for as long as Globus was out of reach."""
    sent_at = str(task.get("request_time")).replace("Z", "+00:00")
    try:
        elapsed(sent_at, now_text())
    except (ValueError, TypeError):
        return upload.created_at
    return sent_at


def _ended_long_ago(task: Mapping[str, Any]) -> bool:
    """As when the service was down meanwhile; also when Globus does not say when it was."""
    try:
        ended_at = str(task["completion_time"]).replace("Z", "+00:00")
        return not timedelta(hours=-1) < elapsed(ended_at, now_text()) < timedelta(hours=1)
    except (KeyError, ValueError, TypeError):
        return True


def _show(task: Mapping[str, Any], job: Job, report: Report, doing: str) -> None:
    # A comparison moves nothing: what it has read so far is its progress.
    done = int(task.get("bytes_transferred") or task.get("bytes_checksummed") or 0)
    total = job.archive_size_bytes or 0
    state = "paused" if task.get("is_paused") else task.get("nice_status") or "OK"
    text = task.get("nice_status_short_description") or state
    faults = int(task.get("faults") or 0)
    rate = int(task.get("effective_bytes_per_second") or 0)
    operation = (
        f"{doing}: {human_size(done)} of {human_size(total)}, {human_size(rate)}/s, "
        f"{faults} faults, Globus says {state}" + (f" ({text})" if text != state else "")
    )
    report.progress(bytes_done=done, bytes_total=total, operation=operation)


def _reason(task: Mapping[str, Any]) -> str:
    error = task.get("fatal_error")
    if isinstance(error, Mapping):
        return f"{error.get('code')}: {error.get('description')}"
    return str(task.get("nice_status_short_description") or task.get("nice_status") or "no reason given")
