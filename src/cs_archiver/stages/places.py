"""Where the pieces of a job lie: on the NAS, on the local disk, and as Globus sees them."""

import os
from dataclasses import dataclass
from pathlib import Path

from cs_archiver.domain.job import Job


@dataclass(frozen=True, slots=True)
class Places:
    """The base folders. `collection_base` is the path under which the source collection shows `storage`.

    `nas_mount`: where the file system was mounted that `nas` lay on when the service was started, or is to be by
    /etc/fstab.
    """

    nas: Path
    storage: Path
    temp: Path
    archives: Path
    failed: Path
    collection_base: str
    nas_mount: bytes = b"/"

    def working_folder(self, job: Job) -> bytes:
        return os.fsencode(self.temp / job.id)

    def copy(self, job: Job) -> bytes:
        return os.path.join(self.working_folder(job), os.fsencode(job.folder_name))

    def source(self, job: Job) -> bytes:
        return os.fsencode(job.source_path)

    def archive_for(self, level1: str, level2: str, archive_name: str) -> str:
        """The same relative path as at the destination, so that folders of one name do not meet."""
        return str(self.archives / level1 / level2 / archive_name)

    def archive(self, job: Job) -> bytes:
        if job.archive_path is None:
            raise ValueError(f"job {job.id} has no archive path yet")
        return os.fsencode(job.archive_path)

    def partial(self, job: Job) -> bytes:
        return self.archive(job) + b".partial"

    def probe(self, job: Job) -> bytes:
        """A file that only shows whether the source collection sees this folder."""
        return os.fsencode(self.archives / f".cs-archiver-probe-{job.id}")

    def as_collection_path(self, archive_path: str) -> str:
        """The archive's path as the source collection shows it."""
        return f"{self.collection_base.rstrip('/')}/{Path(archive_path).relative_to(self.storage)}"

    def failed_folder(self, job: Job) -> bytes:
        return os.fsencode(self.failed / job.id)
