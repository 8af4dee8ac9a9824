"""A job as the queue holds it."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from cs_archiver.domain.states import JobStatus

HELD = "Held: "
"""How the operation of a job begins that goes on only once a person has mended what it names."""

_MOST_VERSIONS = 1000


class OnExisting(StrEnum):
    """What to do when the destination already holds an archive of this name."""

    FAIL = "fail"
    NEW_VERSION = "new_version"


class Job(NamedTuple):
    """One row of `jobs`. Times are UTC ISO 8601 text ending in Z, sizes are bytes.

    A tuple, since a list has a thousand of them: a frozen dataclass of so many fields takes five times as long to make.
    """

    id: str
    seq: int
    folder_name: str
    level1: str
    level2: str
    source_path: str
    globus_destination_path: str
    archive_path: str | None
    on_existing: OnExisting
    status: JobStatus
    progress_percent: int
    current_operation: str | None
    step_started_at: str | None
    folder_size_bytes: int | None
    folder_file_count: int | None
    archive_size_bytes: int | None
    archive_sha256: str | None
    source_inode: int | None
    attempt: int
    manifest_id: int | None
    created_by: str
    created_at: str
    started_at: str | None
    completed_at: str | None
    error_message: str | None
    error_problem: str | None
    retry_count: int
    connection_retries: int
    not_before: str | None
    disk_was_full: int
    cancel_requested_by: str | None
    globus_task_id: str | None

    @property
    def archive_name(self) -> str:
        return self.globus_destination_path.rsplit("/", 1)[-1]

    @property
    def marker_name(self) -> str:
        return f"{self.folder_name}-ARCHIVED-TO-GLOBUS.txt"


def later_versions(destination: str, folder_name: str) -> Iterator[str]:
    """Where the archive may go once its destination is taken, in order: `/a/b/name.v2.tar.7z` and so on, beside it."""
    stem = f"{destination.rsplit('/', 1)[0]}/{folder_name}"
    return (f"{stem}.v{version}.tar.7z" for version in range(2, _MOST_VERSIONS))
