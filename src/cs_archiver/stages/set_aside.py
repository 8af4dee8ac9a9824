"""What becomes of a job's local files when it fails (kept for a person to look at) or must make room."""

import os

from cs_archiver.clock import now_text
from cs_archiver.domain.job import Job
from cs_archiver.stages.places import Places
from cs_archiver.tools import removal
from cs_archiver.tools.disk import local_error, make_folders
from cs_archiver.tools.threads import in_thread


class SetAside:
    def __init__(self, places: Places) -> None:
        self._places = places

    async def keep(self, job: Job, error: str) -> None:
        """Move the archive to failed/{job_id}/ beside an error.log; the working copy goes: the source is there."""
        await in_thread(lambda _work: self._keep(job, error))

    async def discard(self, job: Job) -> None:
        """Remove everything a job that is given up made locally, its archive included: the source has it all."""
        await in_thread(lambda _work: self._clear(job, archive_too=True))

    async def clear(self, job: Job) -> None:
        """Remove the working copy and the partial archive: their source is untouched."""
        await in_thread(lambda _work: self._clear(job))

    def _clear(self, job: Job, *, archive_too: bool = False) -> None:
        folder = self._places.working_folder(job)
        try:
            removal.remove_working_copy(folder)
            if job.archive_path is not None:
                removal.remove_file(self._places.partial(job))
                if archive_too:
                    removal.remove_file(self._places.archive(job))
        except OSError as problem:
            raise local_error(folder, problem) from problem

    def _keep(self, job: Job, error: str) -> None:
        folder = self._places.failed_folder(job)
        try:
            make_folders(folder)
            with open(os.path.join(folder, b"error.log"), "a", encoding="utf-8") as log:
                log.write(f"{now_text()} job {job.id} failed while {job.status}: {error}\n")
            if job.archive_path is not None:
                for path in (self._places.archive(job), self._places.partial(job)):
                    removal.set_aside(path, folder)
            removal.remove_working_copy(self._places.working_folder(job))
        except OSError as problem:
            raise local_error(folder, problem) from problem
