"""deleting_source -> completed: the marker, then what the manifest names, then the local archive."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime

from cs_archiver.clock import now_text
from cs_archiver.db import catalogue as catalogue_rows
from cs_archiver.db import folders as folder_rows
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.db.connection import Connection
from cs_archiver.db.switches import Switches
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.folders import archived_by
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import shown
from cs_archiver.domain.marker import Stored, marker_text
from cs_archiver.domain.sizes import counted, human_size
from cs_archiver.domain.states import JobStatus
from cs_archiver.domain.switches import DELETIONS_PAUSED, NOBODYS_FAULT
from cs_archiver.domain.verification import Check, collection_of
from cs_archiver.errors import Halted, NeedsOperator, Permanent, Temporary
from cs_archiver.stages.destination import require_still_there
from cs_archiver.stages.last_look import (
    held_while_refused,
    is_as_approved,
    left_and_still_there,
    not_the_folder,
    require_readable,
)
from cs_archiver.stages.marker import temporary_marker_name, write_marker
from cs_archiver.stages.nas import Nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.source import Approvals, SourceLook
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.tools import deletion, removal
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.globus import Globus
from cs_archiver.tools.mark import SentMark
from cs_archiver.tools.threads import in_thread
from cs_archiver.tools.tree import CHANGING


class DeleteSource:
    """Goes on where a crash left it: what is already gone is done, and the rest is looked at and proven again."""

    def __init__(
        self,
        globus: Globus,
        catalogue: Catalogue,
        places: Places,
        nas: Nas,
        source: SourceLook,
        approvals: Approvals,
        mark: SentMark,
        switches: Switches,
        *,
        collection: str,
        threads: int,
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._places = places
        self._nas = nas
        self._source = source
        self._approvals = approvals
        self._mark = mark
        self._switches = switches
        self._collection = collection
        self._threads = threads
        self._held: set[str] = set()  # deletions that were interrupted by trouble since the start

    async def run(self, job: Job, report: Report) -> Advance:
        device = await self._nas.device(job, report)
        has_waited = job.id in self._held or not self._approvals.is_fresh(job)
        approved = self._approvals.take(job)
        if approved is not None and (job.error_problem in NOBODYS_FAULT or approved.device != device):
            approved = None  # it waited, for a day or a week: every gate is asked again
        if approved is not None and has_waited and not await self._is_as_approved(approved, job, report):
            approved = None
        approved = approved or await self._look_again(job, report)
        try:
            await self._delete_all(job, approved, report)
        except deletion.NotAsApproved:
            # A chmod, as to mend a hold, touches an entry and changes nothing that is archived: its content decides.
            again = await self._look_again(job, report)
            try:
                await self._delete_all(job, again, report)
            except deletion.NotAsApproved as error:
                raise _somebody_is_at_work(str(error)) from error
        await self._switches.require_deletions(has_begun=True)
        removed = await self._remove_local_archive(job, report)
        return Advance(
            JobStatus.COMPLETED,
            {"current_operation": "Completed", "progress_percent": 100},
            also=self._record,
            said=[*removed, "Job completed"],
        )

    async def _delete_all(self, job: Job, approved: ApprovedDeletion, report: Report) -> None:
        checks = await self._catalogue.passed_checks(job.id)
        try:
            collection = await self._require_still_there(job, checks)
            await self._switches.require_deletions(has_begun=True)
            # A database from before the verification would take the archive for a leftover: it must know its age.
            number = await self._catalogue.last_number()
            await in_thread(lambda _work: self._mark.raise_to(number))
            if await self._write_marker(job, approved, report, collection, deleted=False):
                await report.log(f"Marker written: {job.marker_name}; deletion of the source begins")
            await self._delete(job, approved, report)
            await self._require_still_there(job, checks)
            await self._require_all_gone(job, approved, report)
            await self._write_marker(job, approved, report, collection, deleted=True)
        except (NeedsOperator, Temporary):
            self._approvals.give(job, approved)  # each entry is checked against it once more when it goes on
            self._held.add(job.id)
            raise
        self._held.discard(job.id)

    async def _require_still_there(self, job: Job, checks: Sequence[Check]) -> str:
        """The archive's collection. Raises as `require_still_there` does."""
        # Not the one in the settings: another may stand there since.
        collection = collection_of(checks) or self._collection
        await require_still_there(self._globus, collection, job, checks)
        return collection

    async def _is_as_approved(self, approved: ApprovedDeletion, job: Job, report: Report) -> bool:
        """Whether what is left is what was approved, by all that the NAS says of it, and nothing has come to it."""
        own = {temporary_marker_name(job), os.fsencode(job.marker_name)}
        async with self._nas.watched(report, "Looking whether the source is as it was approved"):
            return await in_thread(lambda work: is_as_approved(approved, own, work))

    async def _look_again(self, job: Job, report: Report) -> ApprovedDeletion:
        await report.log("Going on with the deletion: the source is looked at and compared again first")
        manifest = await self._catalogue.manifest(job.manifest_id or 0)
        with held_while_refused():
            look = await self._source.look(job, manifest, report, deletion_begun=True)
        if look.inode != job.source_inode:
            raise NeedsOperator(not_the_folder(self._places.source(job)), problem="nas-unreachable")
        require_readable(self._places.source(job), look.unreadable)
        checks = await self._catalogue.passed_checks(job.id)
        if look.differences and all(found.what == CHANGING for found in look.differences):
            raise _somebody_is_at_work(f"'{shown(look.differences[0].path)}' {CHANGING}")
        reasons = await self._source.reasons_to_keep(job, manifest, checks, look)
        if reasons:
            await self._require_still_there(job, checks)
            raise Permanent(
                f"What is left of the source is kept: {'; '.join(reasons)}. The archive is safe at "
                f"{job.globus_destination_path}.",
                problem="source-changed",
            )
        return ApprovedDeletion(self._places.source(job), look.inode, look.device, look.seen)

    async def _delete(self, job: Job, approved: ApprovedDeletion, report: Report) -> None:
        total = job.folder_size_bytes or 0
        started = now_text()
        removed = deletion.Removed()
        async with self._nas.watched(report, f"Deleting the source ({human_size(total)})"):
            try:
                await in_thread(
                    lambda work: deletion.delete_verified_source(
                        approved, removed, work, self._switches.deletions_are_paused, threads=self._threads
                    ),
                    lambda count: report.progress(bytes_done=count, bytes_total=total),
                )
            except deletion.DeletionHalted as halt:
                await report.log(f"Deletion paused: {_told(removed)}, begun at {started}; the rest is kept")
                await self._switches.require_deletions(has_begun=True)
                raise Halted("Deletions were paused for a moment", problem=DELETIONS_PAUSED) from halt
            except Exception:
                if removed.files:
                    await report.log(f"Deletion stopped: {_told(removed)}, begun at {started}; the rest is kept")
                raise
        before = " (what was missing had been deleted before)" if removed.files < (job.folder_file_count or 0) else ""
        await report.log(f"Source deleted: {_told(removed)}{before}, begun at {started}, at {shown(approved.folder)}")

    async def _write_marker(
        self, job: Job, approved: ApprovedDeletion, report: Report, collection: str, *, deleted: bool
    ) -> bool:
        """Whether it is new, and not written once more in its place."""
        archived_on = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        text = marker_text(
            job,
            Stored(collection, job.folder_file_count or 0, job.folder_size_bytes or 0),
            archived_on=archived_on,
            deleted=deleted,
        )
        async with self._nas.watched(report, "Writing the marker into the source"):
            return await in_thread(lambda _work: write_marker(approved, job, text, deleted=deleted))

    async def _require_all_gone(self, job: Job, approved: ApprovedDeletion, report: Report) -> None:
        """What came after the last look was never archived: it stays, under a marker that hides the folder.

        Raises NeedsOperator when something approved is still there, however it was reported gone.
        """
        marker = os.fsencode(job.marker_name)
        async with self._nas.watched(report, "Looking whether all of the source is gone"):
            left, still = await in_thread(lambda work: left_and_still_there(approved, marker, work))
        if still:
            raise NeedsOperator(
                f"'{shown(still[0])}' and {len(still) - 1} more are still there after their deletion: check the NAS",
                problem="source-not-deletable",
            )
        if left:
            late = counted(len(left), "entry", "entries")
            await report.log(
                f"Not in the archive, and left where found: {late} that came after the source was last compared, such "
                f"as '{shown(left[0])}'. To archive them, remove the marker file, refresh the "
                'folders, and submit this one again with "on_existing": "new_version"',
                LogLevel.WARNING,
            )

    async def _remove_local_archive(self, job: Job, report: Report) -> list[str]:
        """What is to be said of it."""
        archive, archives = self._places.archive(job), os.fsencode(self._places.archives)
        try:
            size = await in_thread(lambda _work: removal.remove_file(archive))
        except OSError as error:
            message = f"Local archive {job.archive_path} could not be removed ({error.strerror}): remove it yourself"
            await report.log(message, LogLevel.WARNING)
            return []
        await in_thread(lambda _work: removal.remove_empty_folders(os.path.dirname(archive), up_to=archives))
        if not size:
            return []
        return [f"Local archive deleted: {job.archive_path}, {human_size(size)} ({size} bytes), at {now_text()}"]

    async def _record(self, connection: Connection, job: Job) -> None:
        await catalogue_rows.set_source_deleted(connection, job.id)
        await folder_rows.set_left_out(connection, job.source_path, archived_by(os.fsencode(job.marker_name)))


def _somebody_is_at_work(what: str) -> NeedsOperator:
    return NeedsOperator(
        f"{what}: somebody is at work in the source while it is deleted. Nothing more is deleted until they are done "
        "and it is found to be what was archived",
        problem="source-changed",
    )


def _told(removed: deletion.Removed) -> str:
    return f"{counted(removed.files, 'file')}, {human_size(removed.bytes)} ({removed.bytes} bytes)"
