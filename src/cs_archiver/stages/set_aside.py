"""What becomes of a job's local files when it fails (kept for a person to look at) or must make room."""

import os
import stat
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from cs_archiver.clock import from_ns, from_text, now_text
from cs_archiver.domain.job import Job
from cs_archiver.domain.states import JobStatus
from cs_archiver.stages.places import Places
from cs_archiver.stages.stage import Report
from cs_archiver.tools import removal
from cs_archiver.tools.disk import free_bytes, local_error, make_folders
from cs_archiver.tools.fixity import digest_of_file
from cs_archiver.tools.threads import Work, in_thread

_LITTLE_BYTES: Final = 1_000_000_000  # more than the manifest of a few million files needs, which found no room


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Whose working copies there are, and which archives; one that is not finished under the name it will have."""

    job_ids: frozenset[str]
    archive_paths: frozenset[str]


def finished_archives(job: Job, places: Places) -> list[bytes]:
    """Where the archive of an earlier attempt lies: under its own name, set aside, both or neither. Raises OSError."""
    archive = places.archive(job)
    kept = os.path.join(places.failed_folder(job), os.path.basename(archive))
    return [path for path in (archive, kept) if _is_regular(path)]


def brought_back(job: Job, places: Places, work: Work) -> bool:
    """Whether the job's verified archive is whole, hashed anew; if it was set aside, it is then under its own name.

    Raises Temporary and the like when the local disk fails.
    """
    archive = places.archive(job)
    try:
        for path in finished_archives(job, places):
            if digest_of_file(path, work.add).sha256.hex() != job.archive_sha256:
                continue
            if path != archive:
                make_folders(os.path.dirname(archive))
                removal.move_without_overwriting(path, archive)
            return True
    except FileExistsError:
        return False  # something else lies under the archive's name: begin anew, which sets it aside
    except OSError as error:
        raise local_error(archive, error) from error
    return False


async def bring_back_if_gone(job: Job, places: Places, report: Report) -> None:
    """A service that is killed while a job of it fails may have set the archive aside: the job then goes on with it."""
    archive = places.archive(job)
    if await in_thread(lambda _work: os.path.lexists(archive)):
        return
    if await in_thread(lambda work: brought_back(job, places, work)):
        await report.log("The archive was set aside when the service was interrupted: it is back in its place")


class SetAside:
    def __init__(self, places: Places) -> None:
        self._places = places

    async def keep(self, job: Job, error: str) -> None:
        """Move the archive to failed/{job_id}/ beside an error.log; the working copy goes: the source is there."""
        await in_thread(lambda work: self._keep(job, work, error))

    async def discard(self, job: Job, *, others_archive: bool) -> None:
        """Remove everything a job that is given up made locally, its archive included: the source has it all.

        `others_archive`: another job had an archive under the same name. Unless this one has got past that point
        itself, what lies there may be that one's, and the only copy of what it deleted: then it stays.
        """
        mine = not others_archive or job.status is not JobStatus.QUEUED
        await in_thread(lambda work: self._clear(job, work, kept_too=True, archive_too=mine))

    async def what_is_there(self) -> LocalFiles:
        """The working copies and archives on the local disk now, finished or not. What cannot be listed is left out."""
        return await in_thread(lambda _work: self._what_is_there())

    async def discard_left(self, job: Job) -> bool:
        """As `discard`, of a job cancelled earlier; False, and nothing is touched, if what is there may not be its own.

        A file under its archive's name that is newer than the cancel, or of another size, is somebody else's, even
        if no job in this database says so.
        """
        return await in_thread(lambda work: self._discard_left(job, work))

    async def may_make_room(self) -> bool:
        """Whether what jobs have written here may be what fills a disk: then there is little left on it."""
        return await in_thread(lambda _work: self._has_little_room())

    async def clear(self, job: Job) -> None:
        """Remove the working copy and the partial archive: their source is untouched."""
        await in_thread(lambda work: self._clear(job, work))

    async def kept_jobs(self) -> list[str]:
        """The ids of the jobs that left something in the folder for failed jobs."""
        return await in_thread(lambda _work: self._kept_jobs())

    async def forget(self, job: Job) -> None:
        """Remove what was kept of a failed job, but not what was found in its way: that may be somebody else's."""
        await in_thread(lambda _work: self._forget(job))

    def _has_little_room(self) -> bool:
        with suppress(OSError):
            return free_bytes(os.fsencode(self._places.storage)) < _LITTLE_BYTES
        return True

    def _kept_jobs(self) -> list[str]:
        folder = os.fsencode(self._places.failed)
        try:
            return [os.fsdecode(name) for name in os.listdir(folder) if _is_job_id(name)]
        except OSError as problem:
            raise local_error(folder, problem) from problem

    def _forget(self, job: Job) -> None:
        folder = self._places.failed_folder(job)
        try:
            for name in os.listdir(folder):
                if name == b"error.log" or name.endswith((b".tar.7z", b".tar.7z.partial")):
                    removal.remove_file(os.path.join(folder, name))
            removal.remove_empty_folders(folder, up_to=os.fsencode(self._places.failed))
        except OSError as problem:
            raise local_error(folder, problem) from problem

    def _what_is_there(self) -> LocalFiles:
        _, copies, _ = next(os.walk(self._places.temp), ("", [], []))
        paths = {
            os.path.join(folder, name).removesuffix(".partial")
            for folder, _, names in os.walk(self._places.archives)
            for name in names
        }
        return LocalFiles(frozenset(filter(_is_text, copies)), frozenset(filter(_is_text, paths)))

    def _discard_left(self, job: Job, work: Work) -> bool:
        archive = self._places.archive(job)
        try:
            if not self._is_inside(archive) or not _may_be_archive_of(job, archive):
                return False
        except OSError as problem:
            raise local_error(archive, problem) from problem
        self._clear(job, work, kept_too=True, archive_too=True)
        return True

    def _is_inside(self, archive: bytes) -> bool:
        archives = os.path.realpath(os.fsencode(self._places.archives))
        return os.path.realpath(os.path.dirname(archive)).startswith(archives + b"/")

    def _clear(self, job: Job, work: Work, *, kept_too: bool = False, archive_too: bool = False) -> None:
        folder = self._places.working_folder(job)
        try:
            removal.remove_working_copy(folder, work)
            removal.remove_file(self._places.probe(job))
            if job.archive_path is not None:
                removal.remove_file(self._places.partial(job))
                if archive_too:
                    removal.remove_file(self._places.archive(job))
            if kept_too and os.path.isdir(self._places.failed_folder(job)):
                self._forget(job)  # of an earlier failure
        except OSError as problem:
            raise local_error(folder, problem) from problem

    def _keep(self, job: Job, work: Work, error: str) -> None:
        folder = self._places.failed_folder(job)
        try:
            make_folders(folder)
            with open(os.path.join(folder, b"error.log"), "a", encoding="utf-8") as log:
                log.write(f"{now_text()} job {job.id} failed while {job.status}: {error}\n")
            if job.archive_path is not None:
                # Once a deletion had begun, this may be the only copy of what is gone: retention leaves it alone,
                # whatever the database says then.
                begun = job.status is JobStatus.DELETING_SOURCE
                kept = os.path.join(folder, b"only-copy") if begun else folder
                for path in (self._places.archive(job), self._places.partial(job)):
                    removal.set_aside(path, kept)
            removal.remove_working_copy(self._places.working_folder(job), work)
            removal.remove_file(self._places.probe(job))
        except OSError as problem:
            raise local_error(folder, problem) from problem


def _is_regular(path: bytes) -> bool:
    """A link to a file is none: somebody put it there. Raises OSError: an error is not taken for absence."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _may_be_archive_of(job: Job, archive: bytes) -> bool:
    try:
        status = os.lstat(archive)
    except FileNotFoundError:
        return True
    return (
        stat.S_ISREG(status.st_mode)
        and status.st_size == job.archive_size_bytes
        and job.completed_at is not None
        and from_text(from_ns(status.st_mtime_ns)) <= from_text(job.completed_at)
    )


def _is_text(name: str) -> bool:
    """Whether a job can be called so: names that are no UTF-8 are never archived."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _is_job_id(name: bytes) -> bool:
    try:
        return str(uuid.UUID(os.fsdecode(name))) == os.fsdecode(name)
    except ValueError:
        return False
