"""queued -> copying: is there room, is the source there, would Globus take the archive? Nothing is copied yet."""

import os
import stat
from dataclasses import dataclass

from cs_archiver.clock import now_text
from cs_archiver.db.catalogue import Catalogue
from cs_archiver.domain.events import LogLevel
from cs_archiver.domain.job import Job, OnExisting, later_versions
from cs_archiver.domain.manifest import shown
from cs_archiver.domain.space import Need, needed_again, required_bytes, why_never, why_not_now
from cs_archiver.domain.states import JobStatus
from cs_archiver.errors import NeedsOperator, NotYet, Permanent
from cs_archiver.stages.destination import Destination
from cs_archiver.stages.nas import Nas, require_writable
from cs_archiver.stages.places import Places
from cs_archiver.stages.set_aside import brought_back, finished_archives
from cs_archiver.stages.stage import Advance, Report
from cs_archiver.tools import removal
from cs_archiver.tools.disk import file_size, local_error, room_on, source_error
from cs_archiver.tools.globus import Globus
from cs_archiver.tools.threads import Work, in_thread

_PROBE_BYTES = 33


@dataclass(frozen=True, slots=True)
class AdmitSettings:
    source_collection: str
    destination_collection: str
    min_free_gb: float
    size_estimate_ratio: float


class Admit:
    """Safe to repeat: it only looks, and clears what an earlier attempt of the same job left behind."""

    def __init__(
        self,
        globus: Globus,
        catalogue: Catalogue,
        places: Places,
        nas: Nas,
        destination: Destination,
        settings: AdmitSettings,
    ) -> None:
        self._globus = globus
        self._catalogue = catalogue
        self._places = places
        self._nas = nas
        self._destination = destination
        self._settings = settings

    async def run(self, job: Job, report: Report) -> Advance:
        await in_thread(lambda work: self._clear(job, work))
        may_go_on = _has_finished_archive(job)  # which takes no more room, and would give back what it takes
        if not may_go_on:
            await in_thread(lambda _work: self._require_space(job))
        await self._nas.require(job, report)
        async with self._nas.watched(report, "Looking whether the source could be deleted in the end"):
            inode = await in_thread(lambda _work: self._require_source(job))
        report.operation("Checking the Globus collections")
        await self._require_collections()
        await self._require_mapping(job)
        if may_go_on and await self._archive_is_still_there(job, report):
            said = "The verified archive of the earlier attempt is still there: on to the upload"
            return Advance(JobStatus.AWAITING_UPLOAD, {"started_at": now_text()}, said=[said])
        await self._require_no_archive_yet(job)
        if may_go_on:
            await in_thread(lambda _work: self._require_space(job))
        destination = await self._free_destination(job, report)
        archive_path = self._places.archive_for(job.level1, job.level2, destination.rsplit("/", 1)[-1])
        in_the_way = await in_thread(lambda _work: self._set_aside(job, os.fsencode(archive_path)))
        if in_the_way is not None:
            await report.log(
                f"A file lay where the archive is to be made: it is kept as '{shown(in_the_way)}'",
                LogLevel.WARNING,
            )
        attempt = job.attempt + 1
        return Advance(
            JobStatus.COPYING,
            {
                "attempt": attempt,
                "source_inode": inode,
                "globus_destination_path": destination,
                "archive_path": archive_path,
                "started_at": job.started_at or now_text(),
                "manifest_id": None,
                "archive_sha256": None,
                "archive_size_bytes": None,
            },
            said=["Job started" if attempt == 1 else f"Job started again (attempt {attempt})"],
        )

    async def _archive_is_still_there(self, job: Job, report: Report) -> bool:
        """Whether a retried job's archive is whole, hashed anew; it is then back under its own name."""
        report.operation("Hashing the archive of the earlier attempt")
        total = job.archive_size_bytes
        return await in_thread(
            lambda work: brought_back(job, self._places, work),
            lambda count: report.progress(bytes_done=count, bytes_total=total),
        )

    def _clear(self, job: Job, work: Work) -> None:
        try:
            removal.remove_working_copy(self._places.working_folder(job), work)
            if job.archive_path is not None:
                removal.remove_file(self._places.partial(job))
        except OSError as error:
            raise local_error(os.fsencode(self._places.storage), error) from error

    def _set_aside(self, job: Job, archive: bytes) -> bytes | None:
        """A finished archive of an attempt never recorded, or somebody's file: where it is kept for good."""
        try:
            return removal.set_aside(archive, os.path.join(self._places.failed_folder(job), b"found"))
        except OSError as error:
            raise local_error(archive, error) from error

    def _require_space(self, job: Job) -> None:
        size = job.folder_size_bytes or 0
        required = required_bytes(
            size, ratio=self._settings.size_estimate_ratio, min_free_gb=self._settings.min_free_gb
        )
        room, need = room_on(os.fspath(self._places.storage)), Need(required, job.folder_file_count or 0)
        if job.disk_was_full:  # the estimate was too low so many times already
            folder = Need(size, need.entries)
            again = needed_again(folder, times_full=job.disk_was_full, block_bytes=room.block_bytes)
            need = Need(max(required, again.bytes), again.entries)
        never, not_now = why_never(need, room), why_not_now(need, room)
        if never is not None:
            before = _told_of_full_disks(job.disk_was_full)
            raise Permanent(f"'{job.folder_name}': {never}{before}, then retry", problem="disk-too-small")
        if not_now is not None:
            raise NotYet(f"Waiting for disk space: {not_now}", problem="waiting-for-disk-space")

    def _require_source(self, job: Job) -> int:
        base, source = os.fsencode(self._places.nas), self._places.source(job)
        require_writable(self._places, job)
        try:
            status = os.lstat(source)
        except OSError as error:
            raise source_error(source, error) from error
        if not stat.S_ISDIR(status.st_mode) or os.path.realpath(source) != os.path.join(
            os.path.realpath(base), os.path.relpath(source, base)
        ):
            raise Permanent(f"'{shown(source)}' is a link, or no folder", problem="source-not-a-folder")
        return status.st_ino

    async def _require_collections(self) -> None:
        for collection_id in (self._settings.source_collection, self._settings.destination_collection):
            collection = await self._globus.collection(collection_id)
            if collection.problem is not None:
                raise NeedsOperator(
                    f"the Globus collection {collection.name!r} cannot be used: {collection.problem}",
                    problem="collection-unusable",
                )
            if collection.verification_disabled:
                raise NeedsOperator(
                    f"the Globus collection {collection.name!r} has checksum verification switched off: "
                    "ask its administrator to allow it; nothing is deleted on an unverified transfer",
                    problem="verification-disabled",
                )

    async def _require_mapping(self, job: Job) -> None:
        """The source collection really shows our archives: a file made here is seen there, with its size."""
        probe = self._places.probe(job)
        try:
            size = await in_thread(lambda _work: self._make_probe(job))
            path = self._places.as_collection_path(os.fsdecode(probe))
            seen = await self._globus.stat(self._settings.source_collection, path)
        except OSError as error:
            raise local_error(probe, error) from error
        finally:
            await in_thread(lambda _work: _remove(probe))
        if seen is None or seen.get("size") != size:
            raise NeedsOperator(
                f"a file written to {self._places.archives} is not seen at {path} through the source collection: check "
                "GLOBUS_SOURCE_BASE_PATH, and which folders the collection shares",
                problem="collection-mapping",
            )

    def _make_probe(self, job: Job) -> int:
        """Its size in bytes. An archive there is already only gets a second name: a full disk has room for that."""
        probe = self._places.probe(job)
        removal.remove_file(probe)  # what a kill left of an earlier attempt
        archives = finished_archives(job, self._places) if _has_finished_archive(job) else []
        if archives:
            os.link(archives[0], probe, follow_symlinks=False)
        else:
            with open(probe, "xb") as file:
                file.write(os.urandom(_PROBE_BYTES))
        return file_size(probe)

    async def _require_no_archive_yet(self, job: Job) -> None:
        archive = await self._catalogue.archive_of(job.id)
        if archive is not None:
            raise Permanent(
                f"this job's archive is verified at {archive.path}, and its local copy is gone: to archive the folder "
                "as it is now, submit it again with on_existing=new_version",
                problem="destination-exists",
            )

    async def _free_destination(self, job: Job, report: Report) -> str:
        """The job's destination, or with `new_version` the first of its versions that is free."""
        path = job.globus_destination_path
        taken = await self._why_taken(path, job.id, report)
        if taken is None:
            return path
        if job.on_existing is OnExisting.FAIL:
            raise Permanent(f"{taken}; submit again with on_existing=new_version", problem="destination-exists")
        for candidate in later_versions(path, job.folder_name):
            if await self._why_taken(candidate, job.id, report) is None:
                return candidate
        raise Permanent(f"every version of {path} is taken already", problem="destination-exists")

    async def _why_taken(self, path: str, job_id: str, report: Report) -> str | None:
        other = await self._catalogue.active_job_for(path, other_than=job_id)
        if other is not None:
            return f"the destination {path} is where job {other} is sending its archive"
        return (await self._destination.look_at(path, report)).why_taken


def _told_of_full_disks(times: int) -> str:
    if not times:
        return ""
    counted = "twice" if times == 1 else f"{1 + times} times"
    return f" (it filled the disk before, so that {counted} its size is counted)"


def _has_finished_archive(job: Job) -> bool:
    return job.archive_path is not None and job.archive_sha256 is not None and job.manifest_id is not None


def _remove(path: bytes) -> None:
    try:
        removal.remove_file(path)
    except OSError as error:
        raise local_error(path, error) from error
