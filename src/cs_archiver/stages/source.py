"""A fresh look at the source before and during its deletion, and the approvals that rest on one."""

import time
from collections.abc import Sequence

from cs_archiver.domain.deletion import facts_of, reasons_against
from cs_archiver.domain.job import Job
from cs_archiver.domain.manifest import first_missing, shown
from cs_archiver.domain.packed import Manifest
from cs_archiver.domain.verification import Check
from cs_archiver.errors import Permanent
from cs_archiver.stages.marker import own_names
from cs_archiver.stages.nas import Nas, require_nas
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Report
from cs_archiver.tools.deletion import ApprovedDeletion
from cs_archiver.tools.threads import Work, in_thread
from cs_archiver.tools.tree import FreshLook, look_again, scan_tree

_FRESH_SECONDS = 60.0


class ComparedCopies:
    """The manifests that were sealed since the start, when the copy was compared with the source at once if need be.

    Of one sealed before nobody knows it: the service may have had another setting then, and have left it for later.
    """

    def __init__(self) -> None:
        self._manifests: set[int] = set()

    def note(self, manifest_id: int) -> None:
        self._manifests.add(manifest_id)

    def __contains__(self, manifest_id: object) -> bool:
        return manifest_id in self._manifests


class SourceLook:
    """Compares a source with its manifest; with `read_content` every file is read and hashed again.

    Without it, only that of a copy that is not known to have been compared with the source.
    """

    def __init__(self, places: Places, nas: Nas, compared: ComparedCopies, *, threads: int, read_content: bool) -> None:
        self._places = places
        self._nas = nas
        self._compared = compared
        self._threads = threads
        self._read_content = read_content

    async def look(self, job: Job, manifest: Manifest, report: Report, *, deletion_begun: bool) -> FreshLook:
        """Raises NeedsOperator when the folder cannot be found: that may be the NAS, and is never "done".

        Of a deletion that has begun the content is read, whatever was set: that is looked at again only because
        something happened in the middle of it.
        """
        await self._nas.require(job, report)
        source = self._places.source(job)
        total = job.folder_size_bytes
        read_content = deletion_begun or self._reads_content_of(job)
        doing = "Comparing the source with the manifest" + (", file by file" if read_content else "")

        def look(work: Work) -> FreshLook:
            require_nas(self._places, job)
            return look_again(
                source,
                manifest,
                ignore=own_names(source, job) if deletion_begun else frozenset(),
                gone_is_fine=deletion_begun,
                read_content=read_content,
                threads=self._threads,
                work=work,
            )

        async with self._nas.watched(report, doing):
            return await in_thread(look, lambda count: report.progress(bytes_done=count, bytes_total=total))

    async def why_not_whole(self, job: Job, manifests: Sequence[Manifest], report: Report) -> str | None:
        """Why not everything that was copied is still there, by kind, size and time; None if it is, whatever was added.

        Then no deletion of it had begun. Raises NeedsOperator when the NAS is not there to be asked.
        """

        def look(work: Work) -> str | None:
            require_nas(self._places, job)
            now = scan_tree(self._places.source(job), threads=self._threads, work=work).entries
            missing = next(filter(None, (first_missing(manifest, now) for manifest in manifests)), None)
            return None if missing is None else f"its source is not whole ('{shown(missing.path)}' {missing.what})"

        if not any(manifest.parts for manifest in manifests):
            return "nobody knows what was copied"
        try:
            await self._nas.require(job, report)
            async with self._nas.watched(report, "Looking whether the source is still whole"):
                return await in_thread(look)
        except Permanent as error:  # renamed, removed, or not to be read
            return str(error)

    async def reasons_to_keep(
        self, job: Job, manifest: Manifest, checks: Sequence[Check], look: FreshLook
    ) -> list[str]:
        """What the gate has against deleting the source; counted in a thread, for a manifest may be huge."""

        def ask(_work: Work) -> list[str]:
            return reasons_against(
                facts_of(
                    job,
                    manifest,
                    checks,
                    inode=look.inode,
                    differences=look.differences,
                    unreadable=look.unreadable,
                    content_checked=look.content_checked,
                    content_check_required=self._reads_content_of(job),
                )
            )

        return await in_thread(ask)

    def _reads_content_of(self, job: Job) -> bool:
        return self._read_content or job.manifest_id not in self._compared


class Approvals:
    """Hands what the gate approved to the deletion; after a restart there is nothing, and it looks again."""

    def __init__(self) -> None:
        self._given: tuple[str, ApprovedDeletion, float] | None = None  # of one job: they are deleted one by one

    def give(self, job: Job, approved: ApprovedDeletion) -> None:
        self._given = job.id, approved, seconds_since_boot()

    def is_fresh(self, job: Job) -> bool:
        """False also of one that nobody gave. The database may have been out of order since, or the host asleep."""
        given = self._given
        return given is not None and given[0] == job.id and seconds_since_boot() - given[2] < _FRESH_SECONDS

    def take(self, job: Job) -> ApprovedDeletion | None:
        if self._given is None or self._given[0] != job.id:
            return None
        (_, approved, _), self._given = self._given, None
        return approved


def seconds_since_boot() -> float:
    """Also those in which the machine slept; unlike the time of day it is never set."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
