"""upload_verifying -> deleting_source: the triple verification, then the gate; the evidence is stored first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cs_archiver.db.catalogue import Catalogue, Upload
from cs_archiver.db.connection import Connection
from cs_archiver.db.switches import Switches, require_deletions
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job
from cs_archiver.domain.sizes import counted
from cs_archiver.domain.states import JobStatus
from cs_archiver.domain.verification import (
    Check,
    Expected,
    Observed,
    failures,
    passed,
    size_difference,
    verify,
    verify_comparison,
)
from cs_archiver.errors import ConnectionTrouble, JobError, Permanent, Temporary
from cs_archiver.stages.destination import described
from cs_archiver.stages.nas import Nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import bring_back_if_gone
from cs_archiver.stages.source import Approvals, SourceLook
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.stages.transfer import Transfers
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.disk import local_error
from cs_archiver.tools.fixity import Digest, LastDigest
from cs_archiver.tools.globus import Globus
from cs_archiver.tools.threads import Work, in_thread


@dataclass(frozen=True, slots=True)
class VerifySettings:
    source_collection: str
    destination_collection: str
    size_tolerance_percent: float
    compare_again: bool


@dataclass(frozen=True, slots=True)
class _Hashed:
    upload_id: int = 0
    last: LastDigest = field(default_factory=LastDigest)


class VerifyUpload:
    """Safe to repeat: it only reads, and stores what it found before the deletion is allowed."""

    def __init__(
        self,
        globus: Globus,
        catalogue: Catalogue,
        places: Places,
        nas: Nas,
        source: SourceLook,
        approvals: Approvals,
        transfers: Transfers,
        switches: Switches,
        settings: VerifySettings,
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._places = places
        self._nas = nas
        self._source = source
        self._approvals = approvals
        self._transfers = transfers
        self._switches = switches
        self._settings = settings
        self._hashed = _Hashed()

    async def run(self, job: Job, report: Report) -> Advance:
        upload = await self._catalogue.latest_upload(job.id)
        if upload is None or job.manifest_id is None or job.archive_sha256 is None:
            raise Permanent("this job has no upload to verify", problem="nothing-uploaded")
        await self._nas.require(job, report)  # first: a job held for days must not verify again and again
        checks, comparison = await self._verify(job, upload, report), None
        if passed(checks) and self._settings.compare_again:
            comparison, compared = await self._compare_again(job, upload, report)
            checks += compared
        elif (unwanted := await self._catalogue.open_comparison(upload)) is not None:
            await self._transfers.end(unwanted, job, report)  # from before the setting was changed
        await self._catalogue.add_evidence(
            job,
            upload,
            checks,
            passed=passed(checks),
            collection=self._settings.destination_collection,
            comparison=comparison,
        )
        self._hashed = _Hashed()  # what is verified once more is read once more
        await _tell(checks, report)
        if not passed(checks):
            await self._catalogue.set_failed(upload, left_behind=(await self._catalogue.upload(upload.id)).left_behind)
            raise Temporary(
                f"Upload verification failed - {failures(checks)}",
                problem="verification-failed",
                start_over=True,
            )
        await self._switches.require_deletions(has_begun=False)
        await self._pass_the_gate(job, checks, report)
        return Advance(
            JobStatus.DELETING_SOURCE,
            also=_require_deletions,
            said=["Source is unchanged since it was copied: deletion authorised"],
        )

    async def _verify(self, job: Job, upload: Upload, report: Report) -> list[Check]:
        report.operation("Verifying the upload: reading the task back from Globus")
        task = await self._globus.task(upload.task_id or "")
        transfers = await self._globus.successful_transfers(upload.task_id or "")
        settings = self._settings
        ids = (settings.source_collection, settings.destination_collection)
        collections = [await self._globus.collection(collection_id) for collection_id in ids]
        report.operation("Verifying the upload: looking at the remote file")
        remote = await self._globus.stat(settings.destination_collection, upload.destination_path)
        local = await self._digest_of_archive(job, upload, report)
        disabled = [collection.name for collection in collections if collection.verification_disabled]
        observed = Observed(task, transfers, remote, disabled, local.size, local.sha256.hex())
        left, found = upload.left_behind, None if remote is None else described(remote)
        still = Check(1, "remote file as the upload left it", str(left), str(found), passed=left == found)
        return [*verify(self._expected(job, upload), observed), still]

    async def _compare_again(self, job: Job, upload: Upload, report: Report) -> tuple[Upload, list[Check]]:
        """A task of its own reads both sides anew and must find nothing to send.

        The first task may have been told lies, or the file may have changed since. If this one does send the file,
        the destination was wrong: nothing is deleted on that, and the upload begins again.
        """
        await report.log("Comparing the destination with the archive once more, in a task of its own")
        comparison = await self._catalogue.open_comparison(upload)
        if comparison is None:
            comparison = await self._transfers.store(job, sync_level="checksum", compares=upload)
        comparison = await self._transfers.send(comparison, report)
        task = await self._followed(comparison, job, report)
        if task.get("files_transferred") != 0:
            await self._transfers.note_what_is_left(upload)
        return comparison, verify_comparison(self._expected(job, comparison), task)

    async def _followed(self, comparison: Upload, job: Job, report: Report) -> Mapping[str, Any]:
        doing = "Comparing the destination with the archive"
        try:
            return (await self._transfers.until_succeeded(comparison, job, report, doing=doing)).task
        except ConnectionTrouble:  # it goes on
            raise
        except JobError:
            self._hashed = _Hashed()  # it may have sent the archive as it is now
            raise

    def _expected(self, job: Job, upload: Upload) -> Expected:
        settings = self._settings
        return Expected(
            task_id=upload.task_id or "",
            label=str(upload.request.get("label")),
            source_collection=settings.source_collection,
            destination_collection=settings.destination_collection,
            source_path=self._places.as_collection_path(job.archive_path or ""),
            destination_path=job.globus_destination_path,
            size=job.archive_size_bytes or 0,
            sha256=job.archive_sha256 or "",
            size_tolerance_percent=settings.size_tolerance_percent,
        )

    async def _digest_of_archive(self, job: Job, upload: Upload, report: Report) -> Digest:
        """Hashed anew for each upload: Globus compared the destination with this file as it is now, not as packed.

        Only once until that is verified: an hour of reading is not lost because the connection broke in the comparison.
        """
        if self._hashed.upload_id != upload.id:
            self._hashed = _Hashed(upload.id)
        last = self._hashed.last
        archive = self._places.archive(job)
        await bring_back_if_gone(job, self._places, report)
        report.operation("Verifying the upload: hashing the local archive again")

        def read(work: Work) -> Digest:
            try:
                return last.of_file(archive, work.add)
            except FileNotFoundError as error:
                raise Permanent(
                    f"the local archive {job.archive_path} is gone before the upload was verified: the source is "
                    "kept; submit the folder again with on_existing=new_version",
                    problem="archive-missing",
                ) from error
            except OSError as error:
                raise local_error(archive, error, doing="read") from error

        total = job.archive_size_bytes
        return await in_thread(read, lambda count: report.progress(bytes_done=count, bytes_total=total))

    async def _pass_the_gate(self, job: Job, checks: Sequence[Check], report: Report) -> None:
        manifest = await self._catalogue.manifest(job.manifest_id or 0)
        look = await self._source.look(job, manifest, report, deletion_begun=False)
        reasons = await self._source.reasons_to_keep(job, manifest, checks, look)
        if reasons:
            raise Permanent(
                f"The source is kept: {'; '.join(reasons)}. The archive as it was copied is safe at "
                f"{job.globus_destination_path}. Put the source back as it was and retry, or submit the folder again "
                "with on_existing=new_version.",
                problem="source-changed",
            )
        self._approvals.give(job, ApprovedDeletion(self._places.source(job), look.inode, look.device, look.seen))


async def _require_deletions(connection: Connection, _job: Job) -> None:
    await require_deletions(connection)


async def _tell(checks: Sequence[Check], report: Report) -> None:
    lines: list[tuple[LogLevel, str]] = []
    for number, name in ((1, "task completed"), (2, "remote file exists"), (3, "size matches")):
        of_number = [check for check in checks if check.number == number]
        good = passed(of_number)
        outcome = f"passed ({counted(len(of_number), 'check')})" if good else f"FAILED: {failures(of_number)}"
        level = LogLevel.INFO if good else LogLevel.ERROR
        lines.append((level, f"Verification {number}/3, {name}: {outcome}"))
    difference = size_difference(checks)
    if difference is not None:
        lines.append((LogLevel.WARNING, difference))
    await report.log_all(lines)
